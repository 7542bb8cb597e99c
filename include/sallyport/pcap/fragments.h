// Puts IP fragments together as the Linux kernel does before a packet reaches the firewall's hooks, so that a
// replay judges what the live queue would judge: an overlap throws the whole datagram away (RFC 5722; IPv4
// alike since Linux 4.19), an exact or contained repetition is ignored, what is not whole in time is lost.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/core/packet.h"
#include "sallyport/core/time.h"

namespace sallyport::pcap {

// Linux: net.ipv4.ipfrag_time and net.ipv6.ip6frag_time (RFC 8200 §4.5: 60 s).
inline constexpr Duration kFragmentTimeoutV4 = std::chrono::seconds(30);
inline constexpr Duration kFragmentTimeoutV6 = std::chrono::seconds(60);
inline constexpr std::size_t kFragmentedDatagramsMax = 1'024;
inline constexpr std::size_t kFragmentBytesMax = 4u << 20;  // Linux: net.ipv4.ipfrag_high_thresh.
inline constexpr std::size_t kFragmentsPerDatagramMax = 8'192;  // 65,535 bytes in pieces of eight.

enum class FragmentOutcome : std::uint8_t {
  kNotAFragment,  // The packet is whole as it is.
  kKept,          // Kept until the rest comes.
  kIgnored,       // Repeats what is there, or is over a bound; it alone is dropped.
  kComplete,      // `packet` is the whole datagram.
  kCut,           // The capture lacks a part of the datagram: `packet` is its beginning, as a packet that is cut.
  kRefused,       // It and all that was kept of its datagram are dropped.
};

struct FragmentResult {
  FragmentOutcome outcome = FragmentOutcome::kNotAFragment;
  ByteSpan packet;                    // kNotAFragment, kComplete, kCut. Valid until the next call of add().
  std::span<const PacketId> earlier;  // kComplete, kCut, kRefused: frames kept before this one. Valid likewise.
  std::uint32_t wire_size = 0;        // Of `packet`; more than there is of it where the capture cut it.
};

// FragmentTable owns the fragments of one capture. One thread uses it. Memory is bounded by the constants
// above; at a bound new fragments are ignored, as the kernel does.
class FragmentTable {
 public:
  FragmentTable();
  ~FragmentTable();
  FragmentTable(FragmentTable&&) noexcept;
  FragmentTable& operator=(FragmentTable&&) noexcept;

  // add takes a packet from its IP header on. A datagram of which the capture cut a fragment (wire_size >
  // bytes.size()) cannot be put together: kCut tells of it once its first fragment is there. IPv6: the fragment header is taken out, also of an atomic
  // fragment (RFC 6946). `now` never goes backwards.
  FragmentResult add(ByteSpan bytes, std::uint32_t wire_size, PacketId id, Timestamp now);

  // take_expired moves the frames of a datagram that was not whole in time into `frames`; false when there
  // is none (left). Call it until then.
  bool take_expired(Timestamp now, std::vector<PacketId>& frames);

  std::size_t datagrams() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::pcap
