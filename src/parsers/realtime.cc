#include "sallyport/parsers/realtime.h"

#include <algorithm>

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

constexpr std::uint32_t kStunCookie = 0x2112a442;  // RFC 8489 §5
constexpr std::size_t kStunHeaderSize = 20;

struct StunHeader {
  std::uint16_t type = 0;
  std::uint16_t length = 0;
  std::uint32_t cookie = 0;
};

bool read_stun_header(ByteReader& in, StunHeader& out) {
  return in.read_u16(out.type) && in.read_u16(out.length) && in.read_u32(out.cookie) && in.skip(12);
}

// method_of takes the class bits out of a message type (RFC 8489 §5).
constexpr unsigned method_of(std::uint16_t type) {
  return (type & 0x000fU) | (type & 0x00e0U) >> 1 | (type & 0x3e00U) >> 2;
}

// attributes_fill tells whether attributes, each padded to four bytes, end where the message does.
bool attributes_fill(ByteReader in, bool only_known) {
  while (!in.empty()) {
    std::uint16_t type = 0;
    std::uint16_t length = 0;
    if (!in.read_u16(type) || !in.read_u16(length)) return false;
    constexpr std::uint16_t kRfc3489Last = 0x000b;
    constexpr std::uint16_t kXorMappedAddress = 0x8020;
    if (only_known && !(type >= 1 && type <= kRfc3489Last) && type != kXorMappedAddress) return false;
    if (!in.skip(length)) return false;
    const std::size_t padding = (4 - length % 4U) % 4U;
    if (!in.skip(std::min(padding, in.size()))) return false;
  }
  return true;
}

// stun_begins tells whether a stream begins with a STUN message, the cookie included.
Likeness stun_begins(ByteSpan stream) {
  if (!stream.empty() && stream[0] >> 6 != 0) return Likeness::kNo;
  ByteReader in(stream);
  StunHeader header;
  if (!in.read_u16(header.type) || !in.read_u16(header.length)) return Likeness::kMaybe;
  if (header.length % 4 != 0 || method_of(header.type) == 0 || method_of(header.type) > 0x00ff)
    return Likeness::kNo;
  if (!in.read_u32(header.cookie)) return Likeness::kMaybe;
  return yes_if(header.cookie == kStunCookie);
}

// is_rtcp takes a compound packet: a report first, lengths that fill the datagram (RFC 3550 §6.1).
bool is_rtcp(ByteSpan datagram) {
  ByteReader in(datagram);
  for (bool first = true; !in.empty(); first = false) {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    std::uint16_t words = 0;
    if (!in.read_u8(flags) || flags >> 6 != 2 || !in.read_u8(type) || !in.read_u16(words)) return false;
    const bool report = type == 200 || type == 201;
    if (type < 200 || type > 207 || (first && !report) || !in.skip(std::size_t{words} * 4)) return false;
  }
  return datagram.size() >= 8;
}

struct RtpHeader {
  std::uint8_t payload_type = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t source = 0;
};

bool read_rtp_header(ByteSpan datagram, RtpHeader& out) {
  ByteReader in(datagram);
  std::uint8_t flags = 0;
  std::uint8_t marker_and_type = 0;
  if (!in.read_u8(flags) || flags >> 6 != 2 || !in.read_u8(marker_and_type) || !in.read_u16(out.sequence) ||
      !in.read_u32(out.timestamp) || !in.read_u32(out.source) || !in.skip(std::size_t{4} * (flags & 0x0f))) {
    return false;
  }
  out.payload_type = marker_and_type & 0x7f;
  const bool known_type = out.payload_type <= 34 || out.payload_type >= 96;  // RFC 3551 §6
  return known_type && out.source != 0 && !in.empty();
}

}  // namespace

Likeness looks_like_stun(ByteSpan datagram) {
  ByteReader in(datagram);
  StunHeader header;
  if (!read_stun_header(in, header) || header.type >> 14 != 0 || header.length != in.size()) {
    return Likeness::kNo;
  }
  // The cookie says enough: a widespread client forgets to pad its last attribute.
  if (header.cookie == kStunCookie) return yes_if(method_of(header.type) != 0 && attributes_fill(in, false));
  if (header.length % 4 != 0) return Likeness::kNo;
  const bool binding = header.type == 0x0001 || header.type == 0x0101 || header.type == 0x0111;
  const bool shared_secret = header.type == 0x0002 || header.type == 0x0102 || header.type == 0x0112;
  const auto id = datagram.subspan(4, 16);
  const bool has_id = std::any_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte != 0; });
  return yes_if((binding || shared_secret) && has_id && attributes_fill(in, true));
}

Likeness looks_like_stun_tcp(ByteSpan stream) {
  const Likeness bare = stun_begins(stream);
  if (bare == Likeness::kYes) return bare;
  // ICE over TCP puts a length before each message (RFC 6544 §3, RFC 4571 §2).
  constexpr std::size_t kFramedMax = 2'048;  // A connectivity check has some hundred bytes.
  ByteReader in(stream);
  std::uint16_t length = 0;
  if (!in.read_u16(length)) return stream.empty() || stream[0] <= kFramedMax >> 8 ? Likeness::kMaybe : bare;
  if (length < kStunHeaderSize || length > kFramedMax) return bare;
  const ByteSpan message = in.rest();
  ByteReader header(message);
  std::uint16_t type = 0, message_length = 0;
  const bool read = header.read_u16(type) && header.read_u16(message_length);
  if (read && message_length + kStunHeaderSize != length) return bare;
  return std::max(bare, stun_begins(message));
}

Likeness looks_like_rtp(ByteSpan first, ByteSpan second) {
  if (is_rtcp(first)) return Likeness::kYes;
  RtpHeader a;
  RtpHeader b;
  if (!read_rtp_header(first, a)) return Likeness::kNo;
  if (second.empty()) return Likeness::kMaybe;
  constexpr std::uint16_t kStepMax = 16;        // Some loss.
  constexpr std::uint32_t kTicksMax = 900'000;  // Ten seconds of video.
  if (!read_rtp_header(second, b)) return Likeness::kNo;
  const auto step = static_cast<std::uint16_t>(b.sequence - a.sequence);
  return yes_if(a.source == b.source && a.payload_type == b.payload_type && step >= 1 && step <= kStepMax &&
                b.timestamp - a.timestamp <= kTicksMax);
}

}  // namespace sallyport::parsers
