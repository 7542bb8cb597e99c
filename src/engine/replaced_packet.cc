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
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  auto value = static_cast<std::uint16_t>(~sum);
  if (udp && value == 0) value = 0xffff;
  checksum[0] = static_cast<std::uint8_t>(value >> 8);
  checksum[1] = static_cast<std::uint8_t>(value);
}

}  // namespace sallyport::engine
