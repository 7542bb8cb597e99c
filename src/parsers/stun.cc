#include "sallyport/parsers/stun.h"

#include <zlib.h>

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr std::uint32_t kCookie = 0x2112a442;  // RFC 8489 §5
constexpr std::size_t kHeaderSize = 20;
constexpr std::size_t kAttributeHeader = 4;

// Attributes, RFC 8489 §18.3 and RFC 8445 §16.1.
constexpr std::uint16_t kUsername = 0x0006, kIntegrity = 0x0008, kIntegritySha256 = 0x001c, kPriority = 0x0024,
                        kUseCandidate = 0x0025, kFingerprint = 0x8028, kIceControlled = 0x8029, kIceControlling = 0x802a;

// Attributes is which ones a message has.
struct Attributes {
  bool username = false;
  bool priority = false;
  int roles = 0;
  bool integrity = false;
  bool fingerprint = false;
};

// is_ice_username takes "one:other" (RFC 8445 §7.2.2).
bool is_ice_username(ByteSpan value) {
  const std::string_view text = as_text(value);
  const std::size_t colon = text.find(':');
  return colon != std::string_view::npos && colon != 0 && colon + 1 != text.size() && colon == text.rfind(':');
}

// note reads one attribute. False: wrong in itself, or where it stands.
bool note(std::uint16_t type, ByteSpan value, ByteSpan before, Attributes& out) {
  if (out.fingerprint) return false;
  constexpr std::size_t kIntegritySize = 20, kIntegritySha256Max = 32;
  constexpr std::uint32_t kXor = 0x5354554e;
  switch (type) {
    case kFingerprint: {
      std::uint32_t crc = 0;
      ByteReader in(value);
      out.fingerprint = in.read_u32(crc) && in.empty() && crc == (crc32(0, before.data(), static_cast<uInt>(before.size())) ^ kXor);
      return out.fingerprint;
    }
    case kIntegritySha256:
      out.integrity = true;
      return value.size() >= 16 && value.size() <= kIntegritySha256Max;
    case kIntegrity:
      if (out.integrity) return false;
      out.integrity = true;
      return value.size() == kIntegritySize;
    default: break;
  }
  if (out.integrity) return false;
  switch (type) {
    case kUsername:
      if (out.username) return false;
      out.username = true;
      return is_ice_username(value);
    case kPriority:
      if (out.priority) return false;
      out.priority = true;
      return value.size() == 4;
    case kIceControlled:
    case kIceControlling: ++out.roles; return value.size() == 8;
    case kUseCandidate: return value.empty();
    default: return true;
  }
}

std::optional<Attributes> read_attributes(ByteSpan datagram) {
  Attributes attributes;
  std::size_t at = kHeaderSize;
  while (at < datagram.size()) {
    ByteReader in(datagram.subspan(at));
    std::uint16_t type = 0;
    std::uint16_t length = 0;
    ByteSpan value;
    if (!in.read_u16(type) || !in.read_u16(length) || !in.read_bytes(length, value)) return std::nullopt;
    const std::size_t padded = (std::size_t{length} + 3) / 4 * 4;
    if (padded > datagram.size() - at - kAttributeHeader) return std::nullopt;
    if (!note(type, value, datagram.first(at), attributes)) return std::nullopt;
    at += kAttributeHeader + padded;
  }
  return attributes;
}

}  // namespace

std::optional<StunHead> read_stun_head(ByteSpan datagram) {
  ByteReader in(datagram);
  std::uint16_t type = 0;
  std::uint16_t length = 0;
  std::uint32_t cookie = 0;
  StunHead head;
  if (!in.read_u16(type) || !in.read_u16(length) || !in.read_u32(cookie) || !in.read_bytes(kStunIdSize, head.transaction_id)) {
    return std::nullopt;
  }
  // Methods from 0x100 on are kept free, so that the first byte tells STUN from media (RFC 7983 §7).
  if (type >> 10 != 0 || cookie != kCookie || length != in.size()) return std::nullopt;
  head.kind = static_cast<StunClass>((type >> 4 & 1) | (type >> 7 & 2));
  head.method = static_cast<std::uint16_t>((type & 0x000f) | (type & 0x00e0) >> 1 | (type & 0x3e00) >> 2);
  return head;
}

bool is_ice_message(ByteSpan datagram) {
  const auto head = read_stun_head(datagram);
  return head && head->method == kStunBinding && read_attributes(datagram).has_value();
}

bool is_ice_check(ByteSpan datagram) {
  const auto head = read_stun_head(datagram);
  if (!head || head->method != kStunBinding || head->kind != StunClass::kRequest) return false;
  const auto attributes = read_attributes(datagram);
  return attributes && attributes->username && attributes->priority && attributes->roles == 1 && attributes->integrity &&
         attributes->fingerprint;
}

MediaKind media_kind(ByteSpan datagram) {
  if (datagram.empty()) return MediaKind::kOther;
  const std::uint8_t first = datagram[0];
  if (first <= 3) return MediaKind::kStun;
  if (first >= 16 && first <= 19) return MediaKind::kZrtp;
  if (first >= 20 && first <= 63) return MediaKind::kDtls;
  if (first >= 64 && first <= 79) return MediaKind::kTurnChannel;
  if (first >= 128 && first <= 191) return MediaKind::kRtp;
  return first >= 192 ? MediaKind::kQuic : MediaKind::kOther;
}

}  // namespace sallyport::parsers
