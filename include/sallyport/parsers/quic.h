// QUIC as far as it can be read from outside: long headers (RFC 8999, RFC 9000 §17.2, RFC 9369 §3),
// Initial packets, whose keys follow from the client's first Destination Connection ID (RFC 9001 §5.2),
// and the frames inside them.
//
// Views are into the datagram, except those of QuicPlaintext. Parsers do not allocate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

inline constexpr std::uint32_t kQuicVersionNegotiation = 0;
inline constexpr std::uint32_t kQuicV1 = 0x00000001;  // RFC 9000
inline constexpr std::uint32_t kQuicV2 = 0x6b3343cf;  // RFC 9369 §3.1
inline constexpr std::uint32_t kQuicV2Draft = 0x709a50c4;  // draft-ietf-quic-v2-01 to -05: as version 2.
inline constexpr std::uint32_t kQuicDraft22 = 0xff000016;
inline constexpr std::uint32_t kQuicDraft23 = 0xff000017;
inline constexpr std::uint32_t kQuicDraft27 = 0xff00001b;
inline constexpr std::uint32_t kQuicDraft29 = 0xff00001d;
inline constexpr std::uint32_t kQuicDraft34 = 0xff000022;
// Facebook's mvfst before version 1: draft 22, then draft 27 under numbers of its own.
inline constexpr std::uint32_t kQuicMvfst22 = 0xfaceb001;
inline constexpr std::uint32_t kQuicMvfst27 = 0xfaceb002;
inline constexpr std::uint32_t kQuicMvfstExperimental = 0xfaceb00e;
// Google's QUIC in the long header of the drafts, sealed with keys of its own. Q050 carries Google's own
// handshake, T050 and T051 carry TLS.
inline constexpr std::uint32_t kGquicQ050 = 0x51303530;
inline constexpr std::uint32_t kGquicT050 = 0x54303530;
inline constexpr std::uint32_t kGquicT051 = 0x54303531;
inline constexpr std::size_t kQuicMinInitialDatagram = 1'200;  // RFC 9000 §14.1

// quic_version_is_google tells the Google versions whose Initial packets can be opened. They are named and
// refused: what their servers accept beside a hello was never written down.
constexpr bool quic_version_is_google(std::uint32_t version) {
  return version == kGquicQ050 || version == kGquicT050 || version == kGquicT051;
}
// quic_version_is_known tells the versions whose Initial packets can be opened: 1, 2, drafts 22 to 34 and
// what was built on them.
constexpr bool quic_version_is_known(std::uint32_t version) {
  return version == kQuicV1 || version == kQuicV2 || version == kQuicV2Draft ||
         (version >= kQuicDraft22 && version <= kQuicDraft34) || version == kQuicMvfst22 ||
         version == kQuicMvfst27 || version == kQuicMvfstExperimental || quic_version_is_google(version);
}
// quic_version_is_reserved tells 0x?a?a?a?a, which provoke version negotiation (RFC 9000 §15).
constexpr bool quic_version_is_reserved(std::uint32_t version) {
  return (version & 0x0f0f0f0f) == 0x0a0a0a0a;
}

// has_quic_long_header tells whether the first bit says long header. What follows a packet in its
// datagram without that bit is a short header packet (or stray padding) and takes up the rest.
constexpr bool has_quic_long_header(ByteSpan datagram) {
  return !datagram.empty() && (datagram[0] & 0x80) != 0;
}

// looks_like_quic judges a client's datagram: a long header with the fixed bit and a known version, without the
// fixed bit (RFC 9287) a known version in 1200 bytes or more, or, in as many, a reserved version or one that some
// implementation is known to use. Datagrams are
// whole, so it never answers kMaybe.
Likeness looks_like_quic(ByteSpan datagram);

// looks_like_gquic recognises Google's own QUIC (Q0xx, T0xx).
bool looks_like_gquic(ByteSpan datagram);

// GquicHello is what a datagram of Google's QUIC says in the clear.
struct GquicHello {
  std::uint32_t version = 0;                    // As on the wire: "Q043" is 0x51303433.
  std::optional<std::string_view> server_name;  // As sent, without NUL; absent if there is no hello here.
};

// read_gquic_hello reads a datagram for which looks_like_gquic holds, of a version before Q050.
GquicHello read_gquic_hello(ByteSpan datagram);

// gquic_server_name finds the hello of Google's handshake ("CHLO") near the beginning of `bytes`, which are
// the frames of a packet, and returns its server name (tag "SNI"), if both are there.
std::optional<std::string_view> gquic_server_name(ByteSpan bytes);

// Long header packet types by meaning; their bits differ from version to version.
enum class QuicPacketType : std::uint8_t {
  kInitial,
  kZeroRtt,
  kHandshake,
  kRetry,
  kVersionNegotiation,
  kUnknownVersion,  // Only what RFC 8999 promises is read: the two connection ids.
};

struct QuicLongHeader {
  std::uint32_t version = 0;
  QuicPacketType type = QuicPacketType::kUnknownVersion;
  ByteSpan destination_connection_id;  // At most kQuicConnectionIdMax bytes in known versions.
  ByteSpan source_connection_id;
  ByteSpan token;   // Initial: the token, maybe empty. Retry: the Retry Token.
  ByteSpan packet;  // The whole packet, header included, up to its Length; coalesced packets follow it.
                    // Retry, version negotiation and unknown versions take up the rest.
  std::size_t packet_number_offset = 0;  // From the start of `packet`; 0 for types without one.
};

// parse_quic_long_header reads the packet at the start of what is left of a datagram. kUnsupported: no
// long header. kMalformed: shorter than its lengths say, a connection id over 20 bytes in a known version, or a
// packet too short to hold its packet number and AEAD tag sample. The fixed bit may have either value (RFC 9287).
std::expected<QuicLongHeader, ParseError> parse_quic_long_header(ByteSpan datagram_rest);

// parse_quic_long_header_as reads the packet as if its version were `version`, a known one, and says so in the
// header: clients that provoke a version negotiation seal their packets with the keys of a real version.
std::expected<QuicLongHeader, ParseError> parse_quic_long_header_as(ByteSpan datagram_rest,
                                                                    std::uint32_t version);

// Keys of both directions of a connection's Initial packets, RFC 9001 §5.2.
struct QuicInitialKeys {
  std::uint32_t version = 0;
  std::array<std::uint8_t, 16> client_key{};
  std::array<std::uint8_t, 12> client_iv{};
  std::array<std::uint8_t, 16> client_hp{};
  std::array<std::uint8_t, 16> server_key{};
  std::array<std::uint8_t, 12> server_iv{};
  std::array<std::uint8_t, 16> server_hp{};
};

struct QuicPlaintext {
  ByteSpan frames;  // Valid until the next call of open.
  std::uint64_t packet_number = 0;
};

// QuicInitialOpener derives Initial keys and opens Initial packets. It owns reused cipher contexts and one
// plaintext buffer, allocated in the constructor; no call allocates, the crypto library included. One per
// worker, one thread at a time.
class QuicInitialOpener {
 public:
  QuicInitialOpener();
  ~QuicInitialOpener();
  QuicInitialOpener(const QuicInitialOpener&) = delete;
  QuicInitialOpener& operator=(const QuicInitialOpener&) = delete;

  // derive fills `out` from the Destination Connection ID of the client's first Initial (after a Retry:
  // from that of the Initial that answers it). False: unknown version, a connection id over 20 bytes, or
  // a failure of the crypto library.
  static bool derive(std::uint32_t version, ByteSpan client_dcid, QuicInitialKeys& out);

  // open removes header protection and opens the AEAD. nullopt: not an Initial, of another version than
  // the keys, does not authenticate, or has reserved bits set (RFC 9000 §17.2). `largest` is the largest
  // packet number opened so far in this direction, for RFC 9000 appendix A.3.
  std::optional<QuicPlaintext> open(const QuicInitialKeys& keys, bool from_client,
                                    const QuicLongHeader& header,
                                    std::optional<std::uint64_t> largest = std::nullopt);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// QuicFrame is one frame of an Initial packet.
struct QuicFrame {
  enum class Kind : std::uint8_t {
    kCrypto,     // offset and data are set; offset + data.size() stays below 2^62.
    kOther,      // PADDING (a run counts as one), PING, ACK, CONNECTION_CLOSE 0x1c: skipped.
    kEnd,        // No frame is left.
    kMalformed,  // Truncated, not allowed in an Initial (RFC 9000 §12.4), a frame type that is not in its
                 // shortest form, no frame at all, or more than kQuicFramesPerPacketMax.
  };
  Kind kind = Kind::kEnd;
  std::uint64_t offset = 0;
  ByteSpan data;
};

// QuicFrameReader walks the frames of an opened Initial of `version` (Google's versions number CRYPTO
// otherwise). After kEnd or kMalformed it repeats itself.
class QuicFrameReader {
 public:
  explicit QuicFrameReader(ByteSpan frames, std::uint32_t version = kQuicV1)
      : rest_(frames), google_(quic_version_is_google(version)) {}
  QuicFrame next();

 private:
  bool skip_body(std::uint64_t type, QuicFrame& frame);

  ByteReader rest_;
  std::size_t count_ = 0;
  bool google_ = false;
  bool malformed_ = false;
};

// read_quic_varint reads a variable-length integer of up to 62 bits (RFC 9000 §16). False moves nothing.
bool read_quic_varint(ByteReader& in, std::uint64_t& out);

}  // namespace sallyport::parsers
