#include "sallyport/parsers/client_hello.h"

#include <algorithm>
#include <array>
#include <span>

namespace sallyport::parsers {
namespace {

constexpr std::size_t kRandomSize = 32;
constexpr std::size_t kSessionIdMax = 32;  // RFC 8446 §4.1.2
constexpr std::uint8_t kHostName = 0;      // RFC 6066 §3
constexpr std::uint8_t kNullCompression = 0;
constexpr std::uint16_t kDtlsVersionMajor = 0xfe;  // RFC 6347 §4.1: 1.0 is 0xfeff, 1.2 is 0xfefd.
constexpr std::uint16_t kDtlsBadVersion = 0x0100;

enum class Values : std::uint8_t { kBytes = 1, kPairs = 2 };

// A vector that fills its extension: a length of `Width` bytes, then one or more values.
template <std::size_t Width>
bool read_vector(ByteSpan data, Values values, ByteSpan& out) {
  ByteReader in(data);
  ByteReader list;
  if (!in.read_prefixed<Width>(list) || !in.empty() || list.empty()) return false;
  if (list.size() % static_cast<std::size_t>(values) != 0) return false;
  out = list.rest();
  return true;
}

// RFC 6066 §3: a list of at most one name of each type, of which only host_name was ever defined.
bool read_server_name(ByteSpan data, std::optional<std::string_view>& out) {
  ByteReader in(data);
  ByteReader list;
  ByteReader name;
  std::uint8_t type = 0;
  if (!in.read_prefixed<2>(list) || !in.empty()) return false;
  if (!list.read_u8(type) || type != kHostName || !list.read_prefixed<2>(name) || !list.empty()) return false;
  const std::string_view text = as_text(name.rest());
  // A server that keeps C strings would end the name at the NUL.
  if (text.empty() || text.find('\0') != std::string_view::npos) return false;
  out = text;
  return true;
}

bool read_alpn(ByteSpan data, ByteSpan& out) {
  if (!read_vector<2>(data, Values::kBytes, out)) return false;
  ByteReader list(out);
  while (!list.empty()) {
    ByteReader name;
    if (!list.read_prefixed<1>(name) || name.empty()) return false;
  }
  return true;
}

// RFC 9849 §5: an inner hello has the type alone; an outer one has a suite, an id, a key and a payload.
bool read_ech(ByteSpan data, ClientHello& hello) {
  hello.ech = true;
  ByteReader in(data);
  std::uint8_t type = 0;
  if (!in.read_u8(type)) return false;
  if (type == 1) {
    hello.ech_kind = EchKind::kInner;
    return in.empty();
  }
  hello.ech_kind = EchKind::kOuter;
  ByteReader enc;
  ByteReader payload;
  const bool whole = in.skip(5) && in.read_prefixed<2>(enc) && in.read_prefixed<2>(payload) && in.empty();
  return type == 0 && whole && !payload.empty();
}

bool read_extension(const Extension& extension, bool last, ClientHello& hello) {
  const ByteSpan data = extension.data;
  switch (extension.type) {
    case kExtServerName:
      return read_server_name(data, hello.server_name);
    case kExtSupportedGroups:
      return read_vector<2>(data, Values::kPairs, hello.supported_groups);
    case kExtEcPointFormats:
      return read_vector<1>(data, Values::kBytes, hello.ec_point_formats);
    case kExtSignatureAlgorithms:
      return read_vector<2>(data, Values::kPairs, hello.signature_algorithms);
    case kExtAlpn:
      return read_alpn(data, hello.alpn_list);
    case kExtSupportedVersions:
      return read_vector<1>(data, Values::kPairs, hello.supported_versions);
    case kExtEncryptedClientHello:
      return read_ech(data, hello);
    case kExtEchOuterExtensions:
      return false;
    case kExtEarlyData:
      hello.early_data = true;
      return data.empty();
    case kExtPreSharedKey:
      hello.psk = true;
      return last && !data.empty();
    case kExtQuicTransportParameters:
    case kExtQuicTransportParametersDraft:
      hello.quic_transport_parameters = true;
      return true;
    default:
      return true;
  }
}

std::expected<void, ParseError> read_extensions(ByteReader list, ClientHello& hello) {
  hello.extensions = list.rest();
  std::array<std::uint16_t, kClientHelloExtensionsMax> seen;
  ExtensionReader reader(list.rest());
  Extension extension;
  while (reader.next(extension)) {
    if (hello.extension_count == seen.size()) return std::unexpected(ParseError::kTooLong);
    const std::span<const std::uint16_t> earlier(seen.data(), hello.extension_count);
    if (std::find(earlier.begin(), earlier.end(), extension.type) != earlier.end() ||
        !read_extension(extension, reader.empty(), hello)) {
      return std::unexpected(ParseError::kMalformed);
    }
    seen[hello.extension_count++] = extension.type;
  }
  if (!reader.empty()) return std::unexpected(ParseError::kMalformed);
  return {};
}

std::uint16_t pair_at(ByteSpan pairs, std::size_t i) {
  return static_cast<std::uint16_t>(pairs[i] << 8 | pairs[i + 1]);
}

enum class Kind : std::uint8_t { kTls, kDtls };

// is_version_of tells TLS's versions; DTLS's; and the one before DTLS 1.0 that VPNs use.
constexpr bool is_version_of(Kind kind, std::uint16_t version) {
  if (kind == Kind::kTls) return version >> 8 == 3;
  return version >> 8 == kDtlsVersionMajor || version == kDtlsBadVersion;
}

std::expected<ClientHello, ParseError> parse_hello(ByteSpan body, Kind kind) {
  ByteReader in(body);
  ClientHello hello;
  ByteReader session_id;
  ByteReader cookie;
  ByteReader cipher_suites;
  ByteReader compression_methods;
  if (!in.read_u16(hello.legacy_version) || !in.read_bytes(kRandomSize, hello.random) ||
      !in.read_prefixed<1>(session_id) || (kind == Kind::kDtls && !in.read_prefixed<1>(cookie)) ||
      !in.read_prefixed<2>(cipher_suites) || !in.read_prefixed<1>(compression_methods)) {
    return std::unexpected(ParseError::kMalformed);
  }
  hello.session_id = session_id.rest();
  hello.cipher_suites = cipher_suites.rest();
  hello.compression_methods = compression_methods.rest();
  const ByteSpan compression = hello.compression_methods;
  if (session_id.size() > kSessionIdMax || cipher_suites.empty() || cipher_suites.size() % 2 != 0 ||
      std::find(compression.begin(), compression.end(), kNullCompression) == compression.end()) {
    return std::unexpected(ParseError::kMalformed);
  }
  if (!is_version_of(kind, hello.legacy_version)) return std::unexpected(ParseError::kUnsupported);
  if (in.empty()) return hello;  // RFC 5246 §7.4.1.2: extensions may be absent.
  ByteReader extensions;
  if (!in.read_prefixed<2>(extensions) || !in.empty()) return std::unexpected(ParseError::kMalformed);
  const auto read = read_extensions(extensions, hello);
  if (!read) return std::unexpected(read.error());
  return hello;
}

}  // namespace

std::expected<ClientHello, ParseError> parse_client_hello(ByteSpan body) {
  return parse_hello(body, Kind::kTls);
}

std::expected<ClientHello, ParseError> parse_dtls_client_hello(ByteSpan body) {
  return parse_hello(body, Kind::kDtls);
}

std::string_view ClientHello::first_alpn() const {
  std::string_view name;
  AlpnReader(alpn_list).next(name);
  return name;
}

bool ClientHello::offers_version(std::uint16_t version) const {
  if (supported_versions.empty()) return version <= legacy_version;
  for (std::size_t i = 0; i + 1 < supported_versions.size(); i += 2) {
    if (pair_at(supported_versions, i) == version) return true;
  }
  return false;
}

std::uint16_t ClientHello::highest_version() const {
  if (supported_versions.empty()) return legacy_version;
  const bool downwards = legacy_version >> 8 == kDtlsVersionMajor;
  std::uint16_t highest = 0;
  for (std::size_t i = 0; i + 1 < supported_versions.size(); i += 2) {
    const std::uint16_t version = pair_at(supported_versions, i);
    if (is_grease(version)) continue;
    if (highest == 0 || (downwards ? version < highest : version > highest)) highest = version;
  }
  return highest;
}

bool AlpnReader::next(std::string_view& name) {
  ByteReader entry;
  if (!list_.read_prefixed<1>(entry)) return false;
  name = as_text(entry.rest());
  return true;
}

bool ExtensionReader::next(Extension& extension) {
  ByteReader in = list_;
  ByteReader data;
  if (!in.read_u16(extension.type) || !in.read_prefixed<2>(data)) return false;
  extension.data = data.rest();
  list_ = in;
  return true;
}

}  // namespace sallyport::parsers
