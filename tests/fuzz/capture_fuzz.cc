// Captures from memory: the reader (plain, gzip, zstd), link layers, fragments.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/pcap/capture_reader.h"
#include "sallyport/pcap/fragments.h"
#include "sallyport/pcap/link_layer.h"

namespace {

constexpr std::uint64_t kFramesMax = 10'000;  // A compressed bomb is long, not deep.

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  auto reader = pcap::CaptureReader::open_memory({data, size});
  if (!reader) return 0;
  pcap::FragmentTable fragments;
  std::vector<PacketId> expired;
  pcap::Frame frame;
  Timestamp now{};
  while (frame.number < kFramesMax && reader->next(frame)) {
    expect(frame.wire_length >= frame.bytes.size());
    // The frame in a block of its own, so that a read too far is seen.
    const std::vector<std::uint8_t> bytes(frame.bytes.begin(), frame.bytes.end());
    const auto ip = pcap::find_ip(frame.link_type, bytes, frame.wire_length);
    if (!ip) continue;
    expect(!ip->bytes.empty() && ip->wire_size >= ip->bytes.size());
    if (frame.time > now) now = frame.time;
    while (fragments.take_expired(now, expired)) expect(!expired.empty());
    const auto result = fragments.add(ip->bytes, ip->wire_size, frame.number, now);
    expect(result.outcome != pcap::FragmentOutcome::kComplete || !result.packet.empty());
    expect(fragments.datagrams() <= pcap::kFragmentedDatagramsMax);
  }
  return 0;
}
