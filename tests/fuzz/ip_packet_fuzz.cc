// The first byte says by how much the packet is longer than what was captured; the rest begins with an IP
// header. What is accepted lies inside the input, does not change with bytes behind it, and is not accepted
// when its end is missing, unless it says so.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/ip_packet.h"

namespace {

using namespace sallyport;
using parsers::IpPacket;

void check(bool promise) {
  if (!promise) std::abort();
}

bool lies_inside(ByteSpan part, ByteSpan whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool same_flow(const IpPacket& a, const IpPacket& b) {
  return a.source == b.source && a.destination == b.destination && a.ip_protocol == b.ip_protocol &&
         a.transport == b.transport && a.source_port == b.source_port && a.destination_port == b.destination_port;
}

void check_cuts(const std::vector<std::uint8_t>& bytes, const IpPacket& whole) {
  for (const std::size_t length : {bytes.size() - 1, bytes.size() / 2, std::size_t{21}}) {
    if (length >= bytes.size()) continue;
    const std::vector<std::uint8_t> prefix(bytes.data(), bytes.data() + length);
    const auto cut = parsers::parse_ip_packet(prefix, bytes.size());
    if (!cut) continue;
    check(same_flow(*cut, whole) && cut->payload.size() <= whole.payload.size());
    check(cut->truncated || cut->payload.size() == whole.payload.size());
  }
}

void check_padding(const std::vector<std::uint8_t>& bytes, const IpPacket& whole) {
  std::vector<std::uint8_t> padded = bytes;
  padded.resize(bytes.size() + 6, 0xa5);
  const auto longer = parsers::parse_ip_packet(padded, padded.size());
  // A length field of zero means all that is there (segmentation offload).
  const bool by_length = bytes[0] >> 4 == 4 ? bytes[2] != 0 || bytes[3] != 0 : bytes[4] != 0 || bytes[5] != 0;
  if (!by_length) return;
  check(longer && same_flow(*longer, whole) && longer->payload.size() == whole.payload.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<std::uint8_t> bytes(data + 1, data + size);
  const auto packet = parsers::parse_ip_packet(bytes, bytes.size() + data[0]);
  if (!packet) return 0;
  check(lies_inside(packet->payload, bytes));
  const bool has_ports = packet->transport == Transport::kTcp || packet->transport == Transport::kUdp;
  check(has_ports || (packet->source_port == 0 && packet->destination_port == 0));
  check(packet->source.is_v4() == packet->destination.is_v4());
  check(data[0] != 0 || !packet->truncated);
  if (data[0] != 0) return 0;
  check_cuts(bytes, *packet);
  check_padding(bytes, *packet);
  return 0;
}
