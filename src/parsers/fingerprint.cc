// JA3 (MD5 of the offered numbers in decimal) and JA4 (FoxIO's format: a readable part, then two cut
// SHA-256 over sorted lists). The only user of OpenSSL's digests for anything but QUIC keys; the
// low-level functions, which OpenSSL 3 calls deprecated, because the EVP layer takes memory each time.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sallyport/parsers/fingerprint.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "sallyport/core/limits.h"

namespace sallyport::parsers {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::size_t kDigestMax = 32;
constexpr std::size_t kJa4HashSize = 12;  // Hex digits that JA4 keeps of a SHA-256.
// parse_client_hello bounds no list but by its own length; a hello's framing bounds that.
constexpr std::size_t kSuitesMax = kClientHelloMax / 2;

// Calls `visit` for each 16-bit value that is not GREASE.
template <typename Visit>
void for_each_value(ByteSpan pairs, Visit visit) {
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const auto value = static_cast<std::uint16_t>(pairs[i] << 8 | pairs[i + 1]);
    if (!is_grease(value)) visit(value);
  }
}

template <typename Visit>
void for_each_extension(const ClientHello& hello, Visit visit) {
  ExtensionReader reader(hello.extensions);
  Extension extension;
  while (reader.next(extension)) {
    if (!is_grease(extension.type)) visit(extension.type);
  }
}

std::string_view ja4_version(std::uint16_t version) {
  switch (version) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    case 0xfeff:
      return "d1";
    case 0xfefd:
      return "d2";
    case 0xfefc:
      return "d3";
    default:
      return "00";
  }
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// First and last character of the first ALPN value, or, if either is not alphanumeric, of its hex form.
std::array<char, 2> ja4_alpn(std::string_view protocol) {
  if (protocol.empty()) return {'0', '0'};
  const char first = protocol.front();
  const char last = protocol.back();
  if (is_alphanumeric(first) && is_alphanumeric(last)) return {first, last};
  return {kHexDigits[static_cast<std::uint8_t>(first) >> 4],
          kHexDigits[static_cast<std::uint8_t>(last) & 0x0f]};
}

std::array<char, 2> two_digits(std::size_t count) {
  const std::size_t shown = std::min<std::size_t>(count, 99);
  return {static_cast<char>('0' + shown / 10), static_cast<char>('0' + shown % 10)};
}

}  // namespace

// Room for sorting a hello's cipher suites: too large for the stack of a worker.
class Fingerprinter::Impl {
 public:
  std::array<std::uint16_t, kSuitesMax> suites;
};

namespace {

struct Md5 {
  using Context = MD5_CTX;
  static constexpr auto kInit = MD5_Init;
  static constexpr auto kUpdate = MD5_Update;
  static constexpr auto kFinal = MD5_Final;
};

struct Sha256 {
  using Context = SHA256_CTX;
  static constexpr auto kInit = SHA256_Init;
  static constexpr auto kUpdate = SHA256_Update;
  static constexpr auto kFinal = SHA256_Final;
};

// Digests text as it is written, through a small buffer: lists may be long.
template <typename Algorithm>
class TextDigest {
 public:
  TextDigest() : good_(Algorithm::kInit(&context_) == 1) {}

  void put(char c) {
    if (pending_size_ == pending_.size()) flush();
    pending_[pending_size_++] = c;
  }

  void put_decimal(unsigned value) {
    std::array<char, 10> digits;
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    for (const char* c = digits.data(); c != end; ++c) put(*c);
  }

  void put_hex(std::uint16_t value) {
    for (int shift = 12; shift >= 0; shift -= 4) put(kHexDigits[value >> shift & 0x0f]);
  }

  // Writes the first out.size() hex digits of the digest.
  bool finish(std::span<char> out) {
    flush();
    std::array<std::uint8_t, kDigestMax> digest{};
    if (!good_ || Algorithm::kFinal(digest.data(), &context_) != 1) return false;
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = kHexDigits[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 0x0f];
    }
    return true;
  }

 private:
  void flush() {
    good_ = good_ && Algorithm::kUpdate(&context_, pending_.data(), pending_size_) == 1;
    pending_size_ = 0;
  }

  typename Algorithm::Context context_;
  std::array<char, 256> pending_;
  std::size_t pending_size_ = 0;
  bool good_;
};

// A list of numbers with a separator between them.
template <typename Writer>
class Joiner {
 public:
  Joiner(Writer& writer, char separator) : writer_(writer), separator_(separator) {}
  void before_next() {
    if (!first_) writer_.put(separator_);
    first_ = false;
  }

 private:
  Writer& writer_;
  char separator_;
  bool first_ = true;
};

template <typename Writer>
void put_hex_list(Writer& writer, std::span<const std::uint16_t> values) {
  Joiner joiner(writer, ',');
  for (const std::uint16_t value : values) {
    joiner.before_next();
    writer.put_hex(value);
  }
}

}  // namespace

Fingerprinter::Fingerprinter() : impl_(std::make_unique<Impl>()) {}
Fingerprinter::~Fingerprinter() = default;

// version,ciphers,extensions,groups,point formats; values joined by '-'.
bool Fingerprinter::ja3(const ClientHello& hello, Ja3Text& out) {
  TextDigest<Md5> digest;
  const auto put_values = [&digest](ByteSpan pairs) {
    Joiner joiner(digest, '-');
    for_each_value(pairs, [&](std::uint16_t value) {
      joiner.before_next();
      digest.put_decimal(value);
    });
  };
  digest.put_decimal(hello.legacy_version);
  digest.put(',');
  put_values(hello.cipher_suites);
  digest.put(',');
  Joiner extensions(digest, '-');
  for_each_extension(hello, [&](std::uint16_t type) {
    extensions.before_next();
    digest.put_decimal(type);
  });
  digest.put(',');
  put_values(hello.supported_groups);
  digest.put(',');
  Joiner formats(digest, '-');
  for (const std::uint8_t format : hello.ec_point_formats) {
    formats.before_next();
    digest.put_decimal(format);
  }
  return digest.finish(out);
}

bool Fingerprinter::ja4(const ClientHello& hello, HelloTransport transport, Ja4Text& out) {
  auto& all_suites = impl_->suites;
  std::size_t suite_count = 0;
  for_each_value(hello.cipher_suites, [&](std::uint16_t suite) {
    if (suite_count < all_suites.size()) all_suites[suite_count++] = suite;
  });
  std::array<std::uint16_t, kClientHelloExtensionsMax> types;
  std::size_t extension_count = 0;  // GREASE aside.
  std::size_t type_count = 0;       // Less server_name and ALPN, which vary with the destination.
  for_each_extension(hello, [&](std::uint16_t type) {
    ++extension_count;
    if (type == kExtServerName || type == kExtAlpn || type_count == types.size()) return;
    types[type_count++] = type;
  });
  const std::span suites(all_suites.data(), suite_count);
  const std::span sorted_types(types.data(), type_count);
  std::sort(suites.begin(), suites.end());
  std::sort(sorted_types.begin(), sorted_types.end());

  const auto version = ja4_version(hello.highest_version());
  const auto alpn = ja4_alpn(hello.first_alpn());
  const auto suites_shown = two_digits(suite_count);
  const auto extensions_shown = two_digits(extension_count);
  out.fill('0');
  constexpr std::array<char, 3> kTransportLetters = {'t', 'q', 'd'};
  out[0] = kTransportLetters[static_cast<std::size_t>(transport)];
  std::copy(version.begin(), version.end(), out.begin() + 1);
  out[3] = hello.server_name ? 'd' : 'i';
  std::copy(suites_shown.begin(), suites_shown.end(), out.begin() + 4);
  std::copy(extensions_shown.begin(), extensions_shown.end(), out.begin() + 6);
  std::copy(alpn.begin(), alpn.end(), out.begin() + 8);
  out[10] = '_';
  out[11 + kJa4HashSize] = '_';

  // An empty list is written as zeros, which are there already.
  if (!suites.empty()) {
    TextDigest<Sha256> digest;
    put_hex_list(digest, suites);
    if (!digest.finish(std::span(out).subspan(11, kJa4HashSize))) return false;
  }
  if (sorted_types.empty()) return true;
  TextDigest<Sha256> digest;
  put_hex_list(digest, sorted_types);
  Joiner algorithms(digest, ',');
  bool first = true;
  for_each_value(hello.signature_algorithms, [&](std::uint16_t algorithm) {
    if (first) digest.put('_');
    first = false;
    algorithms.before_next();
    digest.put_hex(algorithm);
  });
  return digest.finish(std::span(out).subspan(12 + kJa4HashSize));
}

}  // namespace sallyport::parsers
