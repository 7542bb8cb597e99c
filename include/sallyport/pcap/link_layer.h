// Finds the IP packet inside a captured frame.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "sallyport/core/bytes.h"

namespace sallyport::pcap {

// IpSpan is a packet from its IP header on, ended by the IP header's own length: padding of the link is cut.
// A header whose length makes no sense is passed on with all that is left, for the inspector to refuse.
struct IpSpan {
  ByteSpan bytes;               // A view into the frame.
  std::uint32_t wire_size = 0;  // > bytes.size() when the capture cut the packet.
};

enum class LinkError : std::uint8_t {
  kNotIp,           // ARP, spanning tree, PPP negotiation, ...
  kCut,             // The frame ends, or was cut, before the IP header.
  kTooManyHeaders,  // More tags, labels or encapsulations than any network has.
  kUnknownLinkType,
};

constexpr std::string_view to_string(LinkError error) {
  switch (error) {
    case LinkError::kNotIp: return "not_ip";
    case LinkError::kCut: return "link_cut";
    case LinkError::kTooManyHeaders: return "link_too_deep";
    case LinkError::kUnknownLinkType: return "link_type_unknown";
  }
  return "not_ip";
}

// find_ip reads a frame of link type `link_type` (DLT_ or LINKTYPE_ number): Ethernet with 802.1Q and 802.1ad
// tags, Cisco metadata, MPLS, PPPoE sessions, LLC/SNAP; Linux cooked v1 and v2, NFLOG, raw IP, null and loop,
// PPP, Cisco HDLC. `wire_length` is the frame's length before the capture cut it. Pure; at most 16 headers.
std::expected<IpSpan, LinkError> find_ip(int link_type, ByteSpan frame, std::uint32_t wire_length);

}  // namespace sallyport::pcap
