#include "sallyport/refusal/packet.h"

#include "writer.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kIpv4HeaderSize = 20, kIpv6HeaderSize = 40, kTcpHeaderSize = 20, kUdpHeaderSize = 8;
constexpr std::uint8_t kTcp = 6, kUdp = 17;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::size_t kLengthMax = 65'535;  // Of an IPv4 packet, an IPv6 payload and a UDP datagram.

// sum_of adds up the 16-bit words of `bytes`, the last one filled up with zeros (RFC 1071).
std::uint64_t sum_of(ByteSpan bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<std::uint64_t>(bytes[i] << 8 | bytes[i + 1]);
  if (bytes.size() % 2 != 0) sum += static_cast<std::uint64_t>(bytes.back() << 8);
  return sum;
}

std::uint16_t checksum_of(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

bool write_ip_header(Writer& writer, const IpAddress& from, const IpAddress& to, std::uint8_t protocol, std::size_t size) {
  if (from.is_v4() != to.is_v4()) return false;
  if (from.is_v6()) {
    if (size > kLengthMax) return false;
    writer.u32(0x60000000);  // RFC 8200 §3: no traffic class, no flow label.
    writer.u16(static_cast<std::uint16_t>(size));
    writer.u8(protocol);
    writer.u8(kHopLimit);
  } else {
    if (size > kLengthMax - kIpv4HeaderSize) return false;
    writer.u16(0x4500);  // RFC 791 §3.1: five words, no type of service.
    writer.u16(static_cast<std::uint16_t>(kIpv4HeaderSize + size));
    writer.u32(0x00004000);  // DF: an identification of 0 is right where nothing is ever cut (RFC 6864 §4.1).
    writer.u8(kHopLimit);
    writer.u8(protocol);
    writer.u16(0);
  }
  writer.bytes(from.bytes());
  writer.bytes(to.bytes());
  if (from.is_v4()) {
    constexpr std::size_t kChecksum = 10;
    writer.patch<2>(kChecksum, checksum_of(sum_of(writer.written())));
  }
  return writer.ok();
}

// finish puts in the checksum of what stands behind the IP header.
std::size_t finish(Writer& writer, const IpAddress& from, const IpAddress& to, std::uint8_t protocol, std::size_t checksum_offset) {
  const std::size_t begin = from.is_v4() ? kIpv4HeaderSize : kIpv6HeaderSize;
  const Buffer transport = writer.written(begin);
  std::uint16_t checksum =
      checksum_of(sum_of(transport) + sum_of(from.bytes()) + sum_of(to.bytes()) + protocol + transport.size());
  if (protocol == kUdp && checksum == 0) checksum = 0xffff;  // RFC 768: 0 says that there is none.
  writer.patch<2>(begin + checksum_offset, checksum);
  return writer.finish();
}

}  // namespace

std::size_t tcp_segment(Buffer out, const TcpSegment& segment) {
  Writer writer(out);
  const IpAddress& from = segment.from.address;
  const IpAddress& to = segment.to.address;
  if (!write_ip_header(writer, from, to, kTcp, kTcpHeaderSize + segment.payload.size())) return 0;
  writer.u16(segment.from.port);
  writer.u16(segment.to.port);
  writer.u32(segment.sequence);
  writer.u32(segment.acknowledgment);
  constexpr std::uint16_t kFiveWords = 0x5000, kFin = 0x01, kRst = 0x04, kPsh = 0x08, kAck = 0x10;  // RFC 9293 §3.1
  writer.u16(static_cast<std::uint16_t>(kFiveWords | (segment.fin ? kFin : 0) | (segment.rst ? kRst : 0) |
                                        (segment.psh ? kPsh : 0) | (segment.ack ? kAck : 0)));
  writer.u16(segment.window);
  writer.u32(0);  // The checksum, which comes last, and no urgent data.
  writer.bytes(segment.payload);
  constexpr std::size_t kChecksum = 16;
  return finish(writer, from, to, kTcp, kChecksum);
}

std::size_t udp_datagram(Buffer out, const Endpoint& from, const Endpoint& to, ByteSpan payload) {
  Writer writer(out);
  const std::size_t size = kUdpHeaderSize + payload.size();
  if (!write_ip_header(writer, from.address, to.address, kUdp, size)) return 0;
  writer.u16(from.port);
  writer.u16(to.port);
  writer.u16(static_cast<std::uint16_t>(size));
  writer.u16(0);
  writer.bytes(payload);
  constexpr std::size_t kChecksum = 6;
  return finish(writer, from.address, to.address, kUdp, kChecksum);
}

}  // namespace sallyport::refusal
