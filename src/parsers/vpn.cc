#include "sallyport/parsers/vpn.h"

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr Likeness yes_if(bool fact) {
  return fact ? Likeness::kYes : Likeness::kNo;
}

constexpr std::uint32_t be32(ByteSpan bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

bool all_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

// OpenVPN's first packets: opcode and key id 0 in the first byte, then the session id.
constexpr std::uint8_t kHardResetClientV1 = 1 << 3;  // Key method 1, plain.
constexpr std::uint8_t kHardResetClientV2 = 7 << 3;
constexpr std::uint8_t kHardResetServerV2 = 8 << 3;
constexpr std::uint8_t kHardResetClientV3 = 10 << 3;
constexpr std::size_t kSessionEnd = 1 + 8;

// is_replay_id tells whether a replay protection field stands there: a first packet's id and a time. The
// time is bounded by the years 2001 and 2038, between which no clock that works shows anything else.
bool is_replay_id(ByteSpan packet, std::size_t at) {
  constexpr std::uint32_t kYear2001 = 978'307'200;
  constexpr std::uint32_t kYear2038 = 2'145'916'800;
  constexpr std::uint32_t kFirstIdsMax = 64;  // A client that retries counts on.
  if (packet.size() < at + 8) return false;
  const std::uint32_t id = be32(packet, at);
  const std::uint32_t time = be32(packet, at + 4);
  return id >= 1 && id <= kFirstIdsMax && time >= kYear2001 && time < kYear2038;
}

bool is_hard_reset(ByteSpan packet) {
  constexpr std::size_t kAcksAndId = 1 + 4;  // No acknowledgements, packet id 0.
  constexpr std::size_t kCryptMin = kSessionEnd + 8 + 32 + kAcksAndId;
  const std::uint8_t opcode = packet[0];
  if (all_zero(packet.subspan(1, 8))) return false;
  if (opcode == kHardResetClientV3) {  // tls-crypt-v2: a wrapped key of 290 bytes or more follows.
    constexpr std::size_t kWrappedKeyMin = 290;
    return packet.size() >= kCryptMin + kWrappedKeyMin && packet.size() <= 1'400 &&
           is_replay_id(packet, kSessionEnd);
  }
  if (packet.size() == kCryptMin && is_replay_id(packet, kSessionEnd)) return true;  // tls-crypt
  if (opcode != kHardResetClientV2) return false;
  const std::size_t tail = packet.size() - kAcksAndId;
  if (!all_zero(packet.subspan(tail))) return false;
  if (tail == kSessionEnd) return true;
  for (const std::size_t hmac : {16U, 20U, 32U, 64U}) {  // tls-auth with MD5, SHA-1, SHA-256, SHA-512.
    if (tail == kSessionEnd + hmac + 8) return is_replay_id(packet, kSessionEnd + hmac);
  }
  return false;
}

// is_server_reset takes the plain answer: it acknowledges the client's packet 0 and has id 0 itself.
bool is_server_reset(ByteSpan packet) {
  return packet.size() == kSessionEnd + 1 + 4 + 8 + 4 && packet[kSessionEnd] == 1 &&
         be32(packet, kSessionEnd + 1) == 0 && !all_zero(packet.subspan(kSessionEnd + 5, 8)) &&
         be32(packet, packet.size() - 4) == 0;
}

bool is_ike_header(ByteSpan message) {
  constexpr std::size_t kHeaderSize = 28;
  if (message.size() < kHeaderSize || be32(message, 24) != message.size() || all_zero(message.first(8)))
    return false;
  const std::uint8_t next_payload = message[16];
  const std::uint8_t version = message[17];
  const std::uint8_t exchange = message[18];
  const std::uint8_t flags = message[19];
  if (version == 0x10) {  // RFC 2408 §3.1
    const bool known_exchange = exchange == 1 || exchange == 2 || exchange == 4 || exchange == 5 ||
                                (exchange >= 32 && exchange <= 34) || exchange == 6;
    return known_exchange && next_payload >= 1 && next_payload <= 23 && (flags & ~0x07) == 0;
  }
  if ((version & 0xf0) == 0x20) {  // RFC 7296 §3.1
    const bool known_payload = (next_payload >= 33 && next_payload <= 54) || next_payload == 0;
    return known_payload && exchange >= 34 && exchange <= 44 && (flags & ~0x38) == 0;
  }
  return false;
}

}  // namespace

Likeness looks_like_wireguard(ByteSpan datagram) {
  if (datagram.size() < 32 || !all_zero(datagram.subspan(1, 3))) return Likeness::kNo;
  switch (datagram[0]) {
    case 1:
      return yes_if(datagram.size() == 148);  // Handshake initiation.
    case 2:
      return yes_if(datagram.size() == 92);  // Handshake response.
    case 3:
      return yes_if(datagram.size() == 64);  // Cookie reply.
    case 4: {
      // Transport data: receiver, a counter that starts at zero (little-endian), padded ciphertext and tag.
      const bool young_counter = all_zero(datagram.subspan(12, 4));
      return yes_if(datagram.size() % 16 == 0 && !all_zero(datagram.subspan(4, 4)) && young_counter &&
                    !all_zero(datagram.last(16)));
    }
    default:
      return Likeness::kNo;
  }
}

Likeness looks_like_openvpn(ByteSpan datagram) {
  constexpr std::size_t kResetMin = kSessionEnd + 5;
  if (datagram.size() < kResetMin) return Likeness::kNo;
  switch (datagram[0]) {
    case kHardResetClientV1:
      return yes_if(datagram.size() == kResetMin && !all_zero(datagram.subspan(1, 8)) && all_zero(datagram.subspan(kSessionEnd)));
    case kHardResetClientV2:
    case kHardResetClientV3:
      return yes_if(is_hard_reset(datagram));
    case kHardResetServerV2:
      return yes_if(is_server_reset(datagram) || is_hard_reset(datagram));
    default:
      return Likeness::kNo;
  }
}

Likeness looks_like_openvpn_tcp(ByteSpan stream) {
  constexpr std::size_t kLengthMin = kSessionEnd + 5;
  constexpr std::size_t kLengthMax = 1'400;
  ByteReader in(stream);
  std::uint16_t length = 0;
  if (!in.read_u16(length))
    return stream.empty() || stream[0] <= kLengthMax >> 8 ? Likeness::kMaybe : Likeness::kNo;
  if (length < kLengthMin || length > kLengthMax) return Likeness::kNo;
  if (!in.empty() && in.rest()[0] != kHardResetClientV1 && in.rest()[0] != kHardResetClientV2 &&
      in.rest()[0] != kHardResetClientV3) {
    return Likeness::kNo;
  }
  ByteSpan packet;
  if (!in.read_bytes(length, packet)) return Likeness::kMaybe;
  return looks_like_openvpn(packet);
}

Likeness looks_like_ike(ByteSpan datagram) {
  constexpr std::size_t kMarkerSize = 4;
  if (is_ike_header(datagram)) return Likeness::kYes;
  return yes_if(datagram.size() > kMarkerSize && all_zero(datagram.first(kMarkerSize)) &&
                is_ike_header(datagram.subspan(kMarkerSize)));
}

}  // namespace sallyport::parsers
