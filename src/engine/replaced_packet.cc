#include "replaced_packet.h"

namespace sallyport::engine {
namespace {

// sum_of adds up the 16-bit words of `bytes`, the last one filled up with zeros (RFC 1071).
std::uint64_t sum_of(ByteSpan bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<std::uint64_t>(bytes[i] << 8 | bytes[i + 1]);
  if (bytes.size() % 2 != 0) sum += static_cast<std::uint64_t>(bytes.back() << 8);
  return sum;
}

void put_u16(std::span<std::uint8_t> at, std::size_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

std::uint16_t checksum_of(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

void write_checksum(std::span<std::uint8_t> packet, const parsers::IpPacket& ip) {
  const bool udp = ip.transport == Transport::kUdp;
  const std::size_t checksum_offset = udp ? 6 : 16;  // RFC 768, RFC 9293 §3.1
  const std::size_t header = udp ? 8 : static_cast<std::size_t>(packet[ip.transport_offset + 12] >> 4) * 4;
  const auto segment = packet.subspan(ip.transport_offset, header + ip.payload.size());
  const auto checksum = segment.subspan(checksum_offset, 2);
  const bool v4 = packet[0] >> 4 == 4;
  if (udp && v4 && checksum[0] == 0 && checksum[1] == 0) return;
  checksum[0] = checksum[1] = 0;
  std::uint64_t sum = sum_of(segment) + ip.ip_protocol + segment.size();
  sum += v4 ? sum_of(packet.subspan(12, 8)) : sum_of(packet.subspan(8, 32));  // The pseudo header's addresses.
  const std::uint16_t value = checksum_of(sum);
  put_u16(checksum, udp && value == 0 ? 0xffff : value);
}

bool replace_datagram(std::vector<std::uint8_t>& out, ByteSpan packet, const parsers::IpPacket& ip, ByteSpan payload) {
  constexpr std::size_t kUdpHeaderSize = 8, kIpv6HeaderSize = 40, kLengthMax = 65'535;
  if (ip.transport != Transport::kUdp || payload.size() > kLengthMax - ip.transport_offset - kUdpHeaderSize) return false;
  const ByteSpan headers = packet.first(ip.transport_offset + kUdpHeaderSize);
  out.assign(headers.begin(), headers.end());
  out.insert(out.end(), payload.begin(), payload.end());
  const std::span<std::uint8_t> bytes(out);
  put_u16(bytes.subspan(ip.transport_offset + 4), kUdpHeaderSize + payload.size());
  if (bytes[0] >> 4 == 4) {
    const auto header = bytes.first(ip.transport_offset);
    put_u16(header.subspan(2), out.size());
    put_u16(header.subspan(10), 0);
    put_u16(header.subspan(10), checksum_of(sum_of(header)));
  } else {
    put_u16(bytes.subspan(4), out.size() - kIpv6HeaderSize);
  }
  parsers::IpPacket after = ip;
  after.payload = ByteSpan(bytes).subspan(headers.size());
  write_checksum(bytes, after);
  return true;
}

}  // namespace sallyport::engine
