// Packet is what a source of packets (a queue, a capture) hands to the inspector.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"

namespace sallyport {

// PacketId names a packet within its source: the NFQUEUE packet id, or the frame number of a capture.
using PacketId = std::uint64_t;

// Origin says which way a packet goes, where its source knows it.
enum class Origin : std::uint8_t {
  kUnknown,   // A capture: the first packet's sender is the client until the bytes say otherwise.
  kOriginal,  // From the side that is inspected (conntrack's ORIGINAL direction).
  kReply,
};

struct Packet {
  PacketId id = 0;
  ByteSpan bytes;             // From the IP header on. Borrowed for the call.
  std::uint32_t wire_size = 0;  // Length of the packet before capture truncation; >= bytes.size().
  Origin origin = Origin::kUnknown;
  // It is of a flow that came in for this host itself (kOriginal on the hook LOCAL_IN): guards judge it where one has its port.
  bool inbound = false;
  // It is of a TCP connection that is older than the service and is to be ended (defaults.existing = "kill").
  bool cut = false;
  // The transport checksum is not final (offload); it must not be verified (R18).
  bool checksum_pending = false;
  std::string_view in_interface;  // Empty when there is none or it is not known.
  std::uint32_t in_link = 0;      // The same as the kernel's number; 0: none, or not known.
  std::uint32_t out_link = 0;     // The number of the interface that it leaves by; 0: none, or not known.
  std::optional<std::uint32_t> uid;  // Owner of the local socket, if any.
  std::optional<std::uint32_t> gid;
};

}  // namespace sallyport
