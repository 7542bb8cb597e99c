#include "sallyport/parsers/quic.h"

#include <algorithm>
#include <iterator>

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kLongHeader = 0x80;  // RFC 8999 §5.1
constexpr std::uint8_t kFixedBit = 0x40;    // RFC 9000 §17.2
constexpr std::size_t kRetryIntegrityTagSize = 16;
// Header protection samples 16 bytes from 4 behind the start of the packet number (RFC 9001 §5.4.2).
constexpr std::size_t kProtectedMin = 4 + 16;

// Long packet types, RFC 9000 §17.2 and RFC 9369 §3.2.
QuicPacketType packet_type(std::uint32_t version, std::uint8_t first_byte) {
  const unsigned bits = (first_byte >> 4) & 3u;
  // Version:                                  1 and drafts                  2
  constexpr QuicPacketType kTypes[4][2] = {{QuicPacketType::kInitial, QuicPacketType::kRetry},
                                           {QuicPacketType::kZeroRtt, QuicPacketType::kInitial},
                                           {QuicPacketType::kHandshake, QuicPacketType::kZeroRtt},
                                           {QuicPacketType::kRetry, QuicPacketType::kHandshake}};
  return kTypes[bits][version == kQuicV2 || version == kQuicV2Draft ? 1 : 0];
}

bool read_connection_ids(ByteReader& in, QuicLongHeader& header) {
  ByteReader destination;
  ByteReader source;
  if (!in.read_prefixed<1>(destination) || !in.read_prefixed<1>(source)) return false;
  header.destination_connection_id = destination.rest();
  header.source_connection_id = source.rest();
  return true;
}

bool read_retry(ByteReader& in, QuicLongHeader& header) {
  if (in.size() < kRetryIntegrityTagSize) return false;
  header.token = in.rest().first(in.size() - kRetryIntegrityTagSize);
  return in.skip(in.size());
}

// What Initial, 0-RTT and Handshake packets share: [token], Length, packet number, payload.
bool read_protected(ByteReader& in, ByteSpan datagram, QuicLongHeader& header) {
  std::uint64_t length = 0;
  if (header.type == QuicPacketType::kInitial &&
      (!read_quic_varint(in, length) || length > in.size() ||
       !in.read_bytes(static_cast<std::size_t>(length), header.token))) {
    return false;
  }
  if (!read_quic_varint(in, length) || length > in.size() || length < kProtectedMin) return false;
  header.packet_number_offset = datagram.size() - in.size();
  return in.skip(static_cast<std::size_t>(length));
}

constexpr std::uint64_t kFramePadding = 0x00;
constexpr std::uint64_t kFramePing = 0x01;
constexpr std::uint64_t kFrameAck = 0x02;
constexpr std::uint64_t kFrameAckEcn = 0x03;
constexpr std::uint64_t kFrameCrypto = 0x06;
constexpr std::uint64_t kFrameGoogleCrypto = 0x08;  // STREAM elsewhere.
constexpr std::uint64_t kFrameConnectionClose = 0x1c;
constexpr std::uint64_t kVarintMax = (std::uint64_t{1} << 62) - 1;

// RFC 9000 §19.3; the reader is behind the type. Each range takes two bytes or more, so that the loop
// ends with the packet whatever the count says.
bool skip_ack(ByteReader& in, bool ecn) {
  std::uint64_t ignored = 0;
  std::uint64_t ranges = 0;
  if (!read_quic_varint(in, ignored) || !read_quic_varint(in, ignored) || !read_quic_varint(in, ranges) ||
      !read_quic_varint(in, ignored) || ranges > in.size() / 2) {
    return false;
  }
  for (std::uint64_t i = 0; i < ranges; ++i) {
    if (!read_quic_varint(in, ignored) || !read_quic_varint(in, ignored)) return false;
  }
  if (!ecn) return true;
  return read_quic_varint(in, ignored) && read_quic_varint(in, ignored) && read_quic_varint(in, ignored);
}

// RFC 9000 §19.19: error code, frame type, reason phrase.
bool skip_connection_close(ByteReader& in) {
  std::uint64_t value = 0;
  if (!read_quic_varint(in, value) || !read_quic_varint(in, value) || !read_quic_varint(in, value))
    return false;
  return value <= in.size() && in.skip(static_cast<std::size_t>(value));
}

bool read_crypto(ByteReader& in, QuicFrame& frame) {
  std::uint64_t length = 0;
  if (!read_quic_varint(in, frame.offset) || !read_quic_varint(in, length)) return false;
  if (length > in.size() || frame.offset > kVarintMax - length) return false;
  frame.kind = QuicFrame::Kind::kCrypto;
  return in.read_bytes(static_cast<std::size_t>(length), frame.data);
}

// is_listed_version tells versions that are not read but that some implementation sends, by the list of the
// working group: drafts of every kind, mvfst, picoquic, quicly, quic-go, MsQuic, MozQuic.
bool is_listed_version(std::uint32_t version) {
  struct Family {
    std::uint32_t mask;
    std::uint32_t value;
  };
  constexpr Family kFamilies[] = {{0xffffff00, 0xff000000}, {0xffffff00, 0xff020000}, {0xffffff00, 0xfaceb000},
                                  {0xffffff00, 0x50435100}, {0xffffff00, 0x91c17000}, {0xffffff00, 0x51474f00},
                                  {0xfffffff0, 0xabcd0000}, {0xfffffff0, 0xf123f0c0}};
  return std::any_of(std::begin(kFamilies), std::end(kFamilies),
                     [version](const Family& family) { return (version & family.mask) == family.value; });
}

bool is_gquic_version(ByteSpan version) {
  const bool digits = version[2] >= '0' && version[2] <= '9' && version[3] >= '0' && version[3] <= '9';
  return (version[0] == 'Q' || version[0] == 'T') && version[1] == '0' && digits;
}

// gquic_version_at returns where the version of a datagram of Google's QUIC stands, or 0. Q044 and later
// have a long header. Before: public flags, a connection id, version. Two bits told the id's length up to
// Q033 (0, 1, 4 or 8 bytes), one of them later (0 or 8).
std::size_t gquic_version_at(ByteSpan datagram) {
  constexpr std::uint8_t kHasVersion = 0x01, kIsReset = 0x02;
  constexpr std::size_t kVersionSize = 4;
  const auto version_is_at = [datagram](std::size_t at) {
    return datagram.size() >= at + kVersionSize && is_gquic_version(datagram.subspan(at, kVersionSize));
  };
  if (datagram.empty()) return 0;
  const std::uint8_t flags = datagram[0];
  if ((flags & kLongHeader) != 0) return version_is_at(1) ? 1 : 0;
  if ((flags & kHasVersion) == 0 || (flags & kIsReset) != 0) return 0;
  constexpr std::size_t kPlaces[4][2] = {{1, 1}, {2, 1}, {9, 5}, {9, 9}};
  for (const std::size_t at : kPlaces[flags >> 2 & 3]) {
    if (version_is_at(at)) return at;
  }
  return 0;
}

}  // namespace

bool read_quic_varint(ByteReader& in, std::uint64_t& out) {
  if (in.empty()) return false;
  const ByteSpan rest = in.rest();
  const std::size_t size = std::size_t{1} << (rest[0] >> 6);
  if (!in.skip(size)) return false;
  std::uint64_t value = rest[0] & 0x3f;
  for (std::size_t i = 1; i < size; ++i) value = value << 8 | rest[i];
  out = value;
  return true;
}

Likeness looks_like_quic(ByteSpan datagram) {
  ByteReader in(datagram);
  std::uint8_t first = 0;
  std::uint32_t version = 0;
  if (!in.read_u8(first) || !in.read_u32(version)) return Likeness::kNo;
  if ((first & kLongHeader) == 0) return Likeness::kNo;
  if ((first & kFixedBit) == 0) {  // RFC 9287 §3: a client that knows its server may clear the bit.
    const bool initial = quic_version_is_known(version) && datagram.size() >= kQuicMinInitialDatagram;
    return initial ? Likeness::kYes : Likeness::kNo;
  }
  if (quic_version_is_known(version)) return Likeness::kYes;
  if (datagram.size() < kQuicMinInitialDatagram) return Likeness::kNo;
  return quic_version_is_reserved(version) || is_listed_version(version) ? Likeness::kYes : Likeness::kNo;
}

bool looks_like_gquic(ByteSpan datagram) {
  return gquic_version_at(datagram) != 0;
}

GquicHello read_gquic_hello(ByteSpan datagram) {
  GquicHello hello;
  const std::size_t at = gquic_version_at(datagram);
  if (at == 0) return hello;
  ByteReader in(datagram.subspan(at));
  (void)in.read_u32(hello.version);
  hello.server_name = gquic_server_name(in.rest());
  return hello;
}

// The hello is a list of tags with the ends of their values, in the byte order of the machines that Google
// built it on (draft-tsvwg-quic-protocol-02 §8): "CHLO", count, padding, count times (tag, end), values.
std::optional<std::string_view> gquic_server_name(ByteSpan bytes) {
  constexpr std::size_t kHeadersMax = 128;  // Packet number, hash and frame headers come before.
  constexpr std::size_t kEntrySize = 8;
  constexpr std::size_t kTagsMax = 128;
  const std::string_view text = as_text(bytes);
  const std::size_t found = text.substr(0, kHeadersMax).find("CHLO");
  if (found == std::string_view::npos) return std::nullopt;
  const ByteSpan hello = bytes.subspan(found + 4);
  if (hello.size() < 4) return std::nullopt;
  const std::size_t count = hello[0] | std::size_t{hello[1]} << 8;
  const ByteSpan entries = hello.subspan(4);
  if (count > kTagsMax || entries.size() < count * kEntrySize) return std::nullopt;
  const ByteSpan values = entries.subspan(count * kEntrySize);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan entry = entries.subspan(i * kEntrySize, kEntrySize);
    const std::size_t end = entry[4] | std::size_t{entry[5]} << 8 | std::size_t{entry[6]} << 16 |
                            std::size_t{entry[7]} << 24;
    if (end < begin || end > values.size()) return std::nullopt;
    if (as_text(entry.first(4)) == std::string_view("SNI\0", 4)) {
      const std::string_view name = as_text(values.subspan(begin, end - begin));
      if (name.empty() || name.find('\0') != std::string_view::npos) return std::nullopt;
      return name;
    }
    begin = end;
  }
  return std::nullopt;
}

namespace {

// read_long_header reads the packet by the rules of `assumed`, or, when that is 0, of its own version.
std::expected<QuicLongHeader, ParseError> read_long_header(ByteSpan datagram_rest, std::uint32_t assumed) {
  if (!has_quic_long_header(datagram_rest)) return std::unexpected(ParseError::kUnsupported);
  ByteReader in(datagram_rest);
  QuicLongHeader header;
  std::uint8_t first = 0;
  if (!in.read_u8(first) || !in.read_u32(header.version) || !read_connection_ids(in, header)) {
    return std::unexpected(ParseError::kMalformed);
  }
  if (assumed != 0) header.version = assumed;
  header.packet = datagram_rest;
  if (!quic_version_is_known(header.version)) {
    header.type = header.version == kQuicVersionNegotiation ? QuicPacketType::kVersionNegotiation
                                                            : QuicPacketType::kUnknownVersion;
    return header;
  }
  // The fixed bit is not looked at: RFC 9287 lets both sides clear it.
  if (header.destination_connection_id.size() > kQuicConnectionIdMax ||
      header.source_connection_id.size() > kQuicConnectionIdMax) {
    return std::unexpected(ParseError::kMalformed);
  }
  header.type = packet_type(header.version, first);
  const bool whole = header.type == QuicPacketType::kRetry ? read_retry(in, header)
                                                           : read_protected(in, datagram_rest, header);
  if (!whole) return std::unexpected(ParseError::kMalformed);
  header.packet = datagram_rest.first(datagram_rest.size() - in.size());
  return header;
}

}  // namespace

std::expected<QuicLongHeader, ParseError> parse_quic_long_header(ByteSpan datagram_rest) {
  return read_long_header(datagram_rest, 0);
}

std::expected<QuicLongHeader, ParseError> parse_quic_long_header_as(ByteSpan datagram_rest,
                                                                    std::uint32_t version) {
  return read_long_header(datagram_rest, version);
}

bool QuicFrameReader::skip_body(std::uint64_t type, QuicFrame& frame) {
  frame.kind = QuicFrame::Kind::kOther;
  switch (type) {
    case kFramePadding:
      while (!rest_.empty() && rest_.rest()[0] == kFramePadding) rest_.skip(1);
      return true;
    case kFramePing:
      return true;
    case kFrameAck:
      return skip_ack(rest_, false);
    case kFrameAckEcn:
      return skip_ack(rest_, true);
    case kFrameCrypto:
      return read_crypto(rest_, frame);
    case kFrameGoogleCrypto:
      return google_ && read_crypto(rest_, frame);
    case kFrameConnectionClose:
      return skip_connection_close(rest_);
    default:
      return false;  // RFC 9000 §12.4, table 3: nothing else is allowed in an Initial packet.
  }
}

QuicFrame QuicFrameReader::next() {
  QuicFrame frame;
  if (!malformed_ && rest_.empty() && count_ != 0) return frame;
  const std::size_t before = rest_.size();
  std::uint64_t type = 0;
  // RFC 9000 §12.4: a packet without frames, or a type in a longer form than needed, is a violation.
  // All types that are allowed take one byte.
  if (malformed_ || count_ == kQuicFramesPerPacketMax || !read_quic_varint(rest_, type) ||
      before - rest_.size() != 1 || !skip_body(type, frame)) {
    malformed_ = true;
    return {.kind = QuicFrame::Kind::kMalformed, .offset = 0, .data = {}};
  }
  ++count_;
  return frame;
}

}  // namespace sallyport::parsers
