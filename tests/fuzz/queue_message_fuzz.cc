// A netlink message as the kernel's queue sends it: what is decoded lies inside the message. And a verdict for
// it, made of the first bytes, fits its buffer and never lets a packet pass that was not accepted.
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "queue_message.h"

namespace {

using namespace sallyport;

void check(bool promise) {
  if (!promise) std::abort();
}

constexpr std::size_t aligned(std::size_t size) {
  return (size + MNL_ALIGNTO - 1) / MNL_ALIGNTO * MNL_ALIGNTO;
}

void check_message(ByteSpan bytes) {
  if (bytes.size() < sizeof(nlmsghdr)) return;
  // A block of the exact size, aligned as the receive buffer is; libmnl counts the padding as a message's own.
  const std::unique_ptr<std::uint8_t, decltype(&std::free)> block(
      static_cast<std::uint8_t*>(std::calloc(1, aligned(bytes.size()))), std::free);
  std::memcpy(block.get(), bytes.data(), bytes.size());
  auto* message = reinterpret_cast<nlmsghdr*>(block.get());
  // Only whole messages: mnl_nlmsg_ok, which leads from one to the next, leaves none that is cut (but takes a
  // length of 2^31 or more for a negative one, which the kernel does not send).
  if (message->nlmsg_len > bytes.size() || !mnl_nlmsg_ok(message, static_cast<int>(bytes.size()))) return;
  const auto packet = netfilter::decode_packet(*message);
  if (!packet) return;
  const std::uint8_t* end = block.get() + aligned(message->nlmsg_len);
  check(packet->bytes.empty() || (packet->bytes.data() > block.get() && packet->bytes.data() + packet->bytes.size() <= end));
  check(packet->wire_size >= packet->bytes.size());
}

void check_verdict(std::uint8_t how, std::uint8_t generation, std::uint32_t packet_mark) {
  Decision decision;
  decision.verdict = (how & 1) != 0 ? Verdict::kAccept : Verdict::kDrop;
  if ((how & 2) != 0) decision.mark = static_cast<FlowMark>(how >> 2 & 7);
  const bool observe = (how & 0x20) != 0;
  const netfilter::MarkField field;
  const auto verdict = netfilter::kernel_verdict(decision, observe, field,
                                                 static_cast<netfilter::Generation>(1 + generation % 7), packet_mark);
  check(verdict.verdict == NF_DROP || verdict.mark.has_value());  // NF_REPEAT without a code would never end.
  check(decision.verdict == Verdict::kDrop || verdict.verdict != NF_DROP);
  std::array<std::uint8_t, netfilter::kVerdictSize> out{};
  const std::size_t size = netfilter::encode_verdict(out, generation, packet_mark, verdict);
  check(size >= sizeof(nlmsghdr) && size <= out.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kVerdictBytes = 8;
  if (size < kVerdictBytes) return 0;
  std::uint32_t mark = 0;
  std::memcpy(&mark, data + 2, sizeof mark);
  check_verdict(data[0], data[1], mark);
  check_message({data + kVerdictBytes, size - kVerdictBytes});
  return 0;
}
