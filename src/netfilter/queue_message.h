// The nfnetlink_queue messages as values: a packet that the kernel handed over, and the verdict for it.
// Pure: no socket.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sallyport/core/bytes.h"
#include "sallyport/core/decision.h"
#include "sallyport/netfilter/mark_field.h"

struct nlmsghdr;

namespace sallyport::netfilter {

// QueuedPacket borrows from the netlink message.
struct QueuedPacket {
  std::uint32_t id = 0;
  std::uint8_t hook = 0;  // NF_INET_LOCAL_IN, NF_INET_FORWARD or NF_INET_LOCAL_OUT.
  std::uint32_t mark = 0;
  std::uint32_t in_interface = 0;  // Index; 0: none.
  std::uint32_t out_interface = 0;
  ByteSpan bytes;
  std::uint32_t wire_size = 0;
  bool checksum_pending = false;
  // Whether conntrack calls it a reply; absent where the kernel does not tell (F_CONNTRACK).
  std::optional<bool> reply;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

// decode_packet reads a NFQNL_MSG_PACKET message; nullopt for anything else.
std::optional<QueuedPacket> decode_packet(const nlmsghdr& message);

// KernelVerdict is what NFQA_VERDICT_HDR and NFQA_MARK carry.
struct KernelVerdict {
  std::uint32_t verdict = 0;  // NF_DROP
  std::optional<std::uint32_t> mark;
  friend bool operator==(const KernelVerdict&, const KernelVerdict&) = default;
};

// kernel_verdict maps a decision (not kHold) to the kernel. Every NF_REPEAT carries a code, else the packet
// would come back for ever; the foreign bits of `packet_mark` are kept. When observing, whatever is not an
// accept becomes one.
KernelVerdict kernel_verdict(const Decision& decision, bool observe, const MarkField& field,
                             Generation generation, std::uint32_t packet_mark);

// verdict_size returns the most bytes that encode_verdict writes.
inline constexpr std::size_t kVerdictSize = 48;
constexpr std::size_t verdict_size(ByteSpan replacement) {
  constexpr std::size_t kAttribute = 8;  // Header and padding.
  return replacement.empty() ? kVerdictSize : kVerdictSize + kAttribute + replacement.size();
}

// kReplacementMax is the longest packet that a verdict can carry: an attribute's length has 16 bits.
inline constexpr std::size_t kReplacementMax = 0xffff - 4;

// encode_verdict writes one message to `out` (at least verdict_size bytes) and returns its length. `replacement`, if
// there is one (at most kReplacementMax bytes), goes instead of the packet; its checksums must be right, as the kernel
// adds none.
std::size_t encode_verdict(std::span<std::uint8_t> out, std::uint16_t queue, std::uint32_t id,
                           const KernelVerdict& verdict, ByteSpan replacement = {});

}  // namespace sallyport::netfilter
