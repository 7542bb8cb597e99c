// Whole IP packets around a refusal: IPv4 (RFC 791) or IPv6 (RFC 8200) with TCP (RFC 9293) or UDP (RFC 768), checksums right.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

inline constexpr std::size_t kRefusalHeadersMax = 40 + 20;  // IPv6 and TCP.

struct TcpSegment {
  Endpoint from;
  Endpoint to;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  bool fin = false;
  bool rst = false;
  bool ack = false;
  bool psh = false;
  std::uint16_t window = 0;
  ByteSpan payload;
};

// tcp_segment and udp_datagram write the packet; 0 where it does not fit or the two addresses are not of one family.
std::size_t tcp_segment(Buffer out, const TcpSegment& segment);
std::size_t udp_datagram(Buffer out, const Endpoint& from, const Endpoint& to, ByteSpan payload);

}  // namespace sallyport::refusal
