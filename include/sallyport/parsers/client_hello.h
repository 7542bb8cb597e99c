// The ClientHello of TLS 1.0 to 1.3 and of QUIC (RFC 8446 §4.1.2, §4.2; RFC 6066 §3; RFC 7301 §3.1).
//
// A message parser: it is given the whole body, so any shortage inside is kMalformed. It is strict where
// a server could read otherwise than we do: repeated extensions, trailing bytes, several server names.
// Nothing allocates. Results are views into the body and valid as long as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/parse_error.h"

namespace sallyport::parsers {

// Browsers send about 20 extensions; 128 bounds the search for repeated ones.
inline constexpr std::size_t kClientHelloExtensionsMax = 128;

// ExtensionType (IANA "TLS ExtensionType Values").
inline constexpr std::uint16_t kExtServerName = 0;
inline constexpr std::uint16_t kExtSupportedGroups = 10;
inline constexpr std::uint16_t kExtEcPointFormats = 11;
inline constexpr std::uint16_t kExtSignatureAlgorithms = 13;
inline constexpr std::uint16_t kExtAlpn = 16;
inline constexpr std::uint16_t kExtPadding = 21;
inline constexpr std::uint16_t kExtPreSharedKey = 41;
inline constexpr std::uint16_t kExtEarlyData = 42;
inline constexpr std::uint16_t kExtSupportedVersions = 43;
inline constexpr std::uint16_t kExtPskKeyExchangeModes = 45;
inline constexpr std::uint16_t kExtKeyShare = 51;
inline constexpr std::uint16_t kExtQuicTransportParameters = 57;  // RFC 9001 §8.2
inline constexpr std::uint16_t kExtQuicTransportParametersDraft = 0xffa5;
inline constexpr std::uint16_t kExtEchOuterExtensions = 0xfd00;    // RFC 9849 §5.1
inline constexpr std::uint16_t kExtEncryptedClientHello = 0xfe0d;  // RFC 9849 §5

// is_grease tells the reserved values of RFC 8701: 0x0a0a, 0x1a1a, ... 0xfafa.
constexpr bool is_grease(std::uint16_t value) {
  return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

enum class EchKind : std::uint8_t {
  kNone,
  kOuter,  // A real outer hello or GREASE; the two look the same by design.
  kInner,  // The marker of an inner hello, which is never seen on a network by an honest client.
};

struct ClientHello {
  std::uint16_t legacy_version = 0;
  ByteSpan random;               // 32 bytes.
  ByteSpan session_id;           // 0 to 32 bytes.
  ByteSpan cipher_suites;        // An even number of bytes, at least 2.
  ByteSpan compression_methods;  // At least 1 byte; contains 0.
  ByteSpan extensions;           // The list without its length; walk it with ExtensionReader. May be empty.
  std::size_t extension_count = 0;

  // The one host_name of server_name; nullopt when the extension is absent. 1 byte or more, without NUL,
  // else unchecked: DomainName::parse says whether it is a name.
  std::optional<std::string_view> server_name;
  ByteSpan alpn_list;             // ProtocolNameList without its length; empty when absent. See AlpnReader.
  ByteSpan supported_versions;    // 16-bit values; empty when absent.
  ByteSpan supported_groups;      // 16-bit values; empty when absent.
  ByteSpan signature_algorithms;  // 16-bit values; empty when absent.
  ByteSpan ec_point_formats;      // 8-bit values; empty when absent.

  bool ech = false;  // encrypted_client_hello (0xfe0d) is there.
  EchKind ech_kind = EchKind::kNone;
  bool psk = false;  // pre_shared_key.
  bool early_data = false;
  bool quic_transport_parameters = false;

  // first_alpn returns the first protocol that the client offers, or an empty view.
  std::string_view first_alpn() const;
  // offers_version tells whether `version` is in supported_versions, or, without that extension, is not
  // above legacy_version.
  bool offers_version(std::uint16_t version) const;
  // highest_version returns the highest version offered, GREASE aside. DTLS counts downwards.
  std::uint16_t highest_version() const;
};

// parse_client_hello reads the body of a ClientHello (without the 4-byte handshake header).
// kTooLong: more than kClientHelloExtensionsMax extensions. kMalformed: anything else that is not to the
// letter of the standard, a repeated extension, an empty or second server name, a name type other than
// host_name, a NUL in the name, pre_shared_key not last, ech_outer_extensions outside an inner hello.
std::expected<ClientHello, ParseError> parse_client_hello(ByteSpan body);

// parse_dtls_client_hello reads the body of a DTLS ClientHello, which has a cookie besides (RFC 6347 §4.2.1),
// just as strictly.
std::expected<ClientHello, ParseError> parse_dtls_client_hello(ByteSpan body);

// AlpnReader walks ClientHello::alpn_list.
class AlpnReader {
 public:
  explicit AlpnReader(ByteSpan alpn_list) : list_(alpn_list) {}
  // next gives the next protocol name (arbitrary bytes, 1 to 255 of them); false at the end.
  bool next(std::string_view& name);

 private:
  ByteReader list_;
};

struct Extension {
  std::uint16_t type = 0;
  ByteSpan data;
};

// ExtensionReader walks ClientHello::extensions in the order of the wire.
class ExtensionReader {
 public:
  explicit ExtensionReader(ByteSpan extensions) : list_(extensions) {}
  // next gives the next extension; false at the end, or at a truncated one (then !empty()).
  bool next(Extension& extension);
  bool empty() const { return list_.empty(); }

 private:
  ByteReader list_;
};

}  // namespace sallyport::parsers
