#include "sallyport/parsers/ip_packet.h"

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kHopByHop = 0, kTcp = 6, kUdp = 17, kRouting = 43, kFragmentHeader = 44, kIcmp = 1,
                       kIcmpv6 = 58, kNoNextHeader = 59, kDestinationOptions = 60;  // IANA protocol numbers
constexpr int kExtensionHeadersMax = 8;
constexpr std::size_t kIpv4HeaderMin = 20, kIpv6Header = 40, kTcpHeaderMin = 20, kUdpHeader = 8;

using Error = IpPacketError;

// Body is what follows the IP headers: what is captured of it and how long it was.
struct Body {
  ByteSpan bytes;
  std::size_t size = 0;
};

std::expected<Body, Error> read_ipv4(ByteSpan bytes, std::size_t wire_size, IpPacket& packet) {
  if (bytes.size() < kIpv4HeaderMin) return std::unexpected(Error::kMalformed);
  const std::size_t header = static_cast<std::size_t>(bytes[0] & 0x0f) * 4;
  std::size_t total = static_cast<std::size_t>(bytes[2]) << 8 | bytes[3];
  if (total == 0) total = wire_size;
  if (header < kIpv4HeaderMin || header > bytes.size() || total < header || total > wire_size) {
    return std::unexpected(Error::kMalformed);
  }
  packet.ip_protocol = bytes[9];
  packet.source = *IpAddress::from_bytes(bytes.subspan(12, 4));
  packet.destination = *IpAddress::from_bytes(bytes.subspan(16, 4));
  const unsigned fragment = static_cast<unsigned>(bytes[6]) << 8 | bytes[7];
  if ((fragment & 0x3fff) != 0) return std::unexpected(Error::kFragment);  // MF bit or an offset
  return Body{bytes.subspan(header, std::min(total, bytes.size()) - header), total - header};
}

// step_over reads the extension header of type `next` and moves `in` behind it.
std::expected<bool, Error> step_over(ByteReader& in, std::uint8_t& next) {
  const std::uint8_t type = next;
  std::uint8_t length = 0;
  ByteSpan rest;
  ByteReader look = in;
  if (!look.read_u8(next) || !look.read_u8(length)) return std::unexpected(Error::kMalformed);
  if (type == kFragmentHeader) {
    std::uint16_t offset = 0;
    if (!look.read_u16(offset) || !in.skip(8)) return std::unexpected(Error::kMalformed);
    if ((offset & 0xfff9) != 0) return std::unexpected(Error::kFragment);
    return true;  // RFC 6946: an atomic fragment is a whole packet.
  }
  if (!in.read_bytes(static_cast<std::size_t>(length) * 8 + 8, rest)) return std::unexpected(Error::kMalformed);
  // With segments left the packet is on its way to another address than the one in its header.
  if (type == kRouting && rest[3] != 0) return std::unexpected(Error::kMalformed);
  return true;
}

std::expected<Body, Error> read_ipv6(ByteSpan bytes, std::size_t wire_size, IpPacket& packet) {
  if (bytes.size() < kIpv6Header) return std::unexpected(Error::kMalformed);
  std::size_t size = static_cast<std::size_t>(bytes[4]) << 8 | bytes[5];
  if (size == 0 && bytes[6] != kNoNextHeader) size = wire_size - kIpv6Header;
  if (size > wire_size - kIpv6Header) return std::unexpected(Error::kMalformed);
  packet.source = *IpAddress::from_bytes(bytes.subspan(8, 16));
  packet.destination = *IpAddress::from_bytes(bytes.subspan(24, 16));
  std::uint8_t next = bytes[6];
  const ByteSpan captured = bytes.subspan(kIpv6Header, std::min(size, bytes.size() - kIpv6Header));
  ByteReader in(captured);
  for (int headers = 0; next == kHopByHop || next == kRouting || next == kFragmentHeader ||
                        next == kDestinationOptions;
       ++headers) {
    if (headers == kExtensionHeadersMax) return std::unexpected(Error::kMalformed);
    const auto stepped = step_over(in, next);
    if (!stepped) return std::unexpected(stepped.error());
  }
  packet.ip_protocol = next;
  return Body{in.rest(), size - (captured.size() - in.size())};
}

bool read_tcp(const Body& body, IpPacket& packet) {
  ByteReader in(body.bytes);
  std::uint16_t offset_and_flags = 0;
  if (body.bytes.size() < kTcpHeaderMin || !in.read_u16(packet.source_port) ||
      !in.read_u16(packet.destination_port) || !in.read_u32(packet.tcp.sequence) ||
      !in.read_u32(packet.tcp.acknowledgment) || !in.read_u16(offset_and_flags)) {
    return false;
  }
  const std::size_t header = static_cast<std::size_t>(offset_and_flags >> 12) * 4;
  if (header < kTcpHeaderMin || header > body.size) return false;
  packet.tcp.fin = (offset_and_flags & 0x01) != 0;
  packet.tcp.syn = (offset_and_flags & 0x02) != 0;
  packet.tcp.rst = (offset_and_flags & 0x04) != 0;
  packet.tcp.ack = (offset_and_flags & 0x10) != 0;
  packet.tcp.urg = (offset_and_flags & 0x20) != 0;
  packet.truncated = body.bytes.size() < body.size;
  packet.payload = body.bytes.subspan(std::min(header, body.bytes.size()));
  packet.payload_size = body.size - header;
  return true;
}

bool read_udp(const Body& body, IpPacket& packet) {
  ByteReader in(body.bytes);
  std::uint16_t length = 0;
  std::uint16_t checksum = 0;
  if (!in.read_u16(packet.source_port) || !in.read_u16(packet.destination_port) || !in.read_u16(length) ||
      !in.read_u16(checksum)) {
    return false;
  }
  // Bytes behind the UDP length would go along unread.
  if (length < kUdpHeader || length != body.size) return false;
  packet.truncated = body.bytes.size() < length;
  packet.payload = body.bytes.first(std::min<std::size_t>(length, body.bytes.size())).subspan(kUdpHeader);
  packet.payload_size = length - kUdpHeader;
  return true;
}

}  // namespace

std::expected<IpPacket, IpPacketError> parse_ip_packet(ByteSpan bytes, std::size_t wire_size) {
  IpPacket packet;
  wire_size = std::max(wire_size, bytes.size());
  if (bytes.empty()) return std::unexpected(Error::kMalformed);
  const unsigned version = bytes[0] >> 4;
  if (version != 4 && version != 6) return std::unexpected(Error::kMalformed);
  const auto body = version == 4 ? read_ipv4(bytes, wire_size, packet) : read_ipv6(bytes, wire_size, packet);
  if (!body) return std::unexpected(body.error());
  packet.transport_offset = static_cast<std::size_t>(body->bytes.data() - bytes.data());
  switch (packet.ip_protocol) {
    case kTcp:
      packet.transport = Transport::kTcp;
      if (!read_tcp(*body, packet)) return std::unexpected(Error::kMalformed);
      return packet;
    case kUdp:
      packet.transport = Transport::kUdp;
      if (!read_udp(*body, packet)) return std::unexpected(Error::kMalformed);
      return packet;
    case kIcmp: packet.transport = Transport::kIcmp; break;
    case kIcmpv6: packet.transport = Transport::kIcmpv6; break;
    default: packet.transport = Transport::kOther; break;
  }
  packet.payload = body->bytes;
  packet.payload_size = body->size;
  packet.truncated = body->bytes.size() < body->size;
  return packet;
}

}  // namespace sallyport::parsers
