#include "client_hello_builder.h"

#include <algorithm>

namespace sallyport::testing {
namespace {

void put(Bytes& out, std::size_t width, std::size_t value) {
  for (std::size_t i = width; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void append(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Bytes prefixed(std::size_t width, const Bytes& bytes) {
  Bytes out;
  put(out, width, bytes.size());
  append(out, bytes);
  return out;
}

Bytes pairs(const std::vector<std::uint16_t>& values) {
  Bytes out;
  for (const std::uint16_t value : values) put(out, 2, value);
  return out;
}

Bytes text_bytes(std::string_view text) {
  return {text.begin(), text.end()};
}

Bytes key_share_entry(std::uint16_t group, std::size_t size) {
  Bytes out;
  put(out, 2, group);
  append(out, prefixed(2, Bytes(size, 0x6b)));
  return out;
}

constexpr std::uint16_t kX25519 = 0x001d;
constexpr std::uint16_t kX25519MlKem768 = 0x11ec;

}  // namespace

ClientHelloBuilder& ClientHelloBuilder::extension(std::uint16_t type, const Bytes& data) {
  extensions_.emplace_back(type, data);
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::server_name(std::string_view name) {
  Bytes entry = {0};  // host_name
  append(entry, prefixed(2, text_bytes(name)));
  return extension(0, prefixed(2, entry));
}

ClientHelloBuilder& ClientHelloBuilder::alpn(const std::vector<std::string>& protocols) {
  Bytes list;
  for (const std::string& protocol : protocols) append(list, prefixed(1, text_bytes(protocol)));
  return extension(16, prefixed(2, list));
}

ClientHelloBuilder& ClientHelloBuilder::supported_versions(const std::vector<std::uint16_t>& versions) {
  return extension(43, prefixed(1, pairs(versions)));
}

ClientHelloBuilder& ClientHelloBuilder::supported_groups(const std::vector<std::uint16_t>& groups) {
  return extension(10, prefixed(2, pairs(groups)));
}

ClientHelloBuilder& ClientHelloBuilder::signature_algorithms(const std::vector<std::uint16_t>& algorithms) {
  return extension(13, prefixed(2, pairs(algorithms)));
}

ClientHelloBuilder& ClientHelloBuilder::key_share_x25519() {
  return extension(51, prefixed(2, key_share_entry(kX25519, 32)));
}

ClientHelloBuilder& ClientHelloBuilder::key_share_post_quantum() {
  Bytes list = key_share_entry(kX25519MlKem768, 1'216);
  append(list, key_share_entry(kX25519, 32));
  return extension(51, prefixed(2, list));
}

ClientHelloBuilder& ClientHelloBuilder::ech_outer(std::size_t payload_size) {
  Bytes data = {0, 0, 1, 0, 1, 0x2f};  // outer, HKDF-SHA256, AES-128-GCM, config id
  append(data, prefixed(2, Bytes(32, 0xec)));
  append(data, prefixed(2, Bytes(payload_size, 0xed)));
  return extension(0xfe0d, data);
}

ClientHelloBuilder& ClientHelloBuilder::early_data() {
  return extension(42, {});
}

ClientHelloBuilder& ClientHelloBuilder::pre_shared_key() {
  Bytes identity = prefixed(2, Bytes(16, 0x1d));
  put(identity, 4, 0);
  Bytes data = prefixed(2, identity);
  append(data, prefixed(2, prefixed(1, Bytes(32, 0xb1))));
  return extension(41, data);
}

ClientHelloBuilder& ClientHelloBuilder::quic_transport_parameters() {
  return extension(57, {0x0f, 0x00});  // An empty initial_source_connection_id.
}

ClientHelloBuilder& ClientHelloBuilder::grease(std::uint16_t value) {
  return extension(value, {});
}

ClientHelloBuilder& ClientHelloBuilder::padding_to(std::size_t size) {
  const std::size_t now = build().size() + 4;
  return extension(21, Bytes(size > now ? size - now : 0, 0));
}

ClientHelloBuilder& ClientHelloBuilder::legacy_version(std::uint16_t version) {
  legacy_version_ = version;
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::random(std::uint8_t fill) {
  random_ = fill;
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::session_id(const Bytes& id) {
  session_id_ = id;
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::cipher_suites(const std::vector<std::uint16_t>& suites) {
  cipher_suites_ = suites;
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::compression_methods(const Bytes& methods) {
  compression_methods_ = methods;
  return *this;
}

ClientHelloBuilder& ClientHelloBuilder::without_extensions() {
  has_extensions_ = false;
  return *this;
}

ClientHelloBuilder ClientHelloBuilder::typical(std::string_view name) {
  ClientHelloBuilder hello;
  hello.server_name(name).supported_groups({0x001d, 0x0017}).alpn({"h2", "http/1.1"});
  hello.signature_algorithms({0x0403, 0x0804, 0x0401})
      .supported_versions({0x0304, 0x0303})
      .key_share_x25519();
  return hello;
}

ClientHelloBuilder ClientHelloBuilder::post_quantum(std::string_view name) {
  ClientHelloBuilder hello;
  hello.grease(0x3a3a)
      .key_share_post_quantum()
      .supported_groups({0x11ec, 0x001d, 0x0017})
      .alpn({"h2", "http/1.1"});
  hello.signature_algorithms({0x0403, 0x0804, 0x0401}).supported_versions({0x7a7a, 0x0304, 0x0303});
  // The name comes last, behind the first segment: a reader that sees only one segment misses it.
  hello.ech_outer().server_name(name);
  return hello;
}

Bytes ClientHelloBuilder::build() const {
  Bytes body;
  put(body, 2, legacy_version_);
  append(body, Bytes(32, random_));
  append(body, prefixed(1, session_id_));
  append(body, prefixed(2, pairs(cipher_suites_)));
  append(body, prefixed(1, compression_methods_));
  if (!has_extensions_) return body;
  Bytes extensions;
  for (const auto& [type, data] : extensions_) {
    put(extensions, 2, type);
    append(extensions, prefixed(2, data));
  }
  append(body, prefixed(2, extensions));
  return body;
}

Bytes ClientHelloBuilder::message() const {
  return joined({1}, prefixed(3, build()));
}

Bytes ClientHelloBuilder::record() const {
  return records({});
}

Bytes ClientHelloBuilder::records(const std::vector<std::size_t>& sizes) const {
  return tls_records(message(), sizes);
}

Bytes tls_records(const Bytes& payload, const std::vector<std::size_t>& sizes, std::uint8_t content_type,
                  std::uint16_t version) {
  Bytes out;
  std::size_t offset = 0;
  for (std::size_t i = 0; offset < payload.size(); ++i) {
    const std::size_t wanted = sizes.empty() ? payload.size() : sizes[std::min(i, sizes.size() - 1)];
    const std::size_t size = std::min(std::max<std::size_t>(wanted, 1), payload.size() - offset);
    const auto begin = payload.begin() + static_cast<std::ptrdiff_t>(offset);
    out.push_back(content_type);
    put(out, 2, version);
    append(out, prefixed(2, Bytes(begin, begin + static_cast<std::ptrdiff_t>(size))));
    offset += size;
  }
  return out;
}

Bytes server_hello(bool retry, std::uint16_t legacy_version) {
  Bytes body;
  put(body, 2, legacy_version);
  append(body,
         retry ? hex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c") : Bytes(32, 0xd0));
  append(body, hex("00 1301 00 0006 002b 0002 0304"));
  return tls_records(joined({2}, prefixed(3, body)), {}, 22, 0x0303);
}

Bytes hex(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  Bytes out;
  std::size_t digits = 0;
  for (const char c : text) {
    const std::size_t value = kDigits.find(c);
    if (value == std::string_view::npos) continue;
    if (digits++ % 2 == 0) {
      out.push_back(static_cast<std::uint8_t>(value << 4));
    } else {
      out.back() = static_cast<std::uint8_t>(out.back() | value);
    }
  }
  return out;
}

Bytes joined(const Bytes& first, const Bytes& second) {
  Bytes out = first;
  append(out, second);
  return out;
}

}  // namespace sallyport::testing
