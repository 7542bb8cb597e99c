#include "checksum_offload.h"

#include <optional>

namespace sallyport::replay {
namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr int kExtensionsMax = 8;

std::uint16_t u16_at(ByteSpan bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

struct Segment {
  std::uint8_t protocol = 0;
  ByteSpan addresses;
  ByteSpan bytes;
};

std::optional<Segment> find_segment(ByteSpan packet) {
  if (packet.empty()) return std::nullopt;
  if (packet[0] >> 4 == 4) {
    const std::size_t header = std::size_t{packet[0] & 0x0fu} * 4;
    if (header < 20 || header > packet.size()) return std::nullopt;
    return Segment{packet[9], packet.subspan(12, 8), packet.subspan(header)};
  }
  if (packet[0] >> 4 != 6 || packet.size() < 40) return std::nullopt;
  std::uint8_t next = packet[6];
  ByteReader rest(packet.subspan(40));
  for (int headers = 0; headers < kExtensionsMax && (next == 0 || next == 43 || next == 60); ++headers) {
    if (rest.size() < 2) return std::nullopt;
    next = rest.rest()[0];
    if (!rest.skip((std::size_t{rest.rest()[1]} + 1) * 8)) return std::nullopt;
  }
  return Segment{next, packet.subspan(8, 32), rest.rest()};
}

std::uint16_t folded(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

bool checksum_left_to_hardware(ByteSpan packet) {
  const auto segment = find_segment(packet);
  if (!segment || (segment->protocol != kTcp && segment->protocol != kUdp)) return false;
  const std::size_t checksum_at = segment->protocol == kTcp ? 16 : 6;
  if (segment->bytes.size() < checksum_at + 2) return false;
  const std::uint16_t checksum = u16_at(segment->bytes, checksum_at);
  std::uint64_t sum = segment->protocol;
  for (std::size_t i = 0; i < segment->addresses.size(); i += 2) sum += u16_at(segment->addresses, i);
  return checksum == 0 || checksum == folded(sum) || checksum == folded(sum + segment->bytes.size());
}

}  // namespace sallyport::replay
