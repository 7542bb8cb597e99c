// Reads one IP packet up to its transport payload (RFC 791, RFC 8200, RFC 9293, RFC 768).
#pragma once

#include <cstdint>
#include <expected>

#include "sallyport/core/bytes.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"

namespace sallyport::parsers {

enum class IpPacketError : std::uint8_t {
  kMalformed,  // Lengths or headers that contradict each other, or an extension header that may not pass.
  kFragment,   // A fragment that nobody reassembled (R11). An IPv6 atomic fragment is no fragment.
};

struct TcpFields {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  bool fin = false, syn = false, rst = false, ack = false, urg = false;
};

struct IpPacket {
  IpAddress source;
  IpAddress destination;
  std::uint8_t ip_protocol = 0;  // The transport's number, behind any IPv6 extension headers.
  Transport transport = Transport::kOther;
  std::uint16_t source_port = 0;  // 0 for transports without ports.
  std::uint16_t destination_port = 0;
  TcpFields tcp;              // For kTcp.
  std::size_t transport_offset = 0;  // Of what follows the IP headers, from the beginning of the input.
  ByteSpan payload;           // Behind the transport header; a view into the input.
  std::size_t payload_size = 0;  // Of the payload before capture truncation; >= payload.size().
  bool truncated = false;     // The capture lacks the end of the packet; payload is what is there.
};

// parse_ip_packet reads `bytes`, which begin with the IP header; `wire_size` is the packet's size before
// capture truncation. Bytes behind the IP total length (link padding) are left out. An IPv4 total length
// or IPv6 payload length of 0 on a TCP packet is segmentation offload: the packet is all that is there.
std::expected<IpPacket, IpPacketError> parse_ip_packet(ByteSpan bytes, std::size_t wire_size);

}  // namespace sallyport::parsers
