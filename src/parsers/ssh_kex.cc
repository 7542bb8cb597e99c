// The key exchange: KEXINIT and its fingerprints, the server's host key.
#include <algorithm>

#include "digest.h"
#include "sallyport/parsers/ssh.h"

namespace sallyport::parsers {
namespace {

// is_name_list tells whether a list is of RFC 4251 §5: printable ASCII, and no name is empty.
bool is_name_list(std::string_view list) {
  if (list.empty()) return true;
  if (list.front() == ',' || list.back() == ',' || list.find(",,") != std::string_view::npos) return false;
  return std::all_of(list.begin(), list.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool read_name_list(ByteReader& in, std::string_view& out) {
  ByteReader field;
  if (!in.read_prefixed<4>(field)) return false;
  out = as_text(field.rest());
  return is_name_list(out);
}

bool contains_name(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (list.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// is_marker tells the entries of the list that announce something and are no method.
bool is_marker(std::string_view name) {
  return name.starts_with("ext-info-") ||  // RFC 8308 §2.1
         name.starts_with("kex-strict-");  // OpenSSH PROTOCOL §1.9
}

HexMd5 joined_md5(std::string_view kex, std::string_view encryption, std::string_view mac,
                  std::string_view compression) {
  const ByteSpan semicolon = as_bytes_of(";");
  const std::array<ByteSpan, 7> parts = {as_bytes_of(kex), semicolon, as_bytes_of(encryption), semicolon,
                                         as_bytes_of(mac), semicolon, as_bytes_of(compression)};
  std::array<std::uint8_t, 16> digest;
  md5(parts, digest);
  constexpr std::string_view kDigits = "0123456789abcdef";
  HexMd5 hex;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    hex.chars[2 * i] = kDigits[digest[i] >> 4];
    hex.chars[2 * i + 1] = kDigits[digest[i] & 0xf];
  }
  return hex;
}

}  // namespace

std::expected<SshKexInit, ParseError> parse_ssh_kexinit(ByteSpan payload) {
  ByteReader in(payload);
  SshKexInit init;
  std::uint8_t type = 0;
  std::uint8_t follows = 0;
  std::uint32_t reserved = 0;
  if (!in.read_u8(type) || type != kSshMsgKexInit || !in.read_bytes(16, init.cookie) ||
      !read_name_list(in, init.kex_algorithms) || !read_name_list(in, init.server_host_key_algorithms) ||
      !read_name_list(in, init.encryption_client_to_server) ||
      !read_name_list(in, init.encryption_server_to_client) ||
      !read_name_list(in, init.mac_client_to_server) || !read_name_list(in, init.mac_server_to_client) ||
      !read_name_list(in, init.compression_client_to_server) ||
      !read_name_list(in, init.compression_server_to_client) ||
      !read_name_list(in, init.languages_client_to_server) ||
      !read_name_list(in, init.languages_server_to_client) || !in.read_u8(follows) ||
      !in.read_u32(reserved) || !in.empty()) {
    return std::unexpected(ParseError::kMalformed);
  }
  init.first_kex_packet_follows = follows != 0;
  return init;
}

std::string_view ssh_kex_method(const SshKexInit& client, const SshKexInit& server) {
  std::string_view list = client.kex_algorithms;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view name = list.substr(0, comma);
    if (!is_marker(name) && contains_name(server.kex_algorithms, name)) return name;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return {};
}

HexMd5 ssh_hassh(const SshKexInit& client) {
  return joined_md5(client.kex_algorithms, client.encryption_client_to_server, client.mac_client_to_server,
                    client.compression_client_to_server);
}

HexMd5 ssh_hassh_server(const SshKexInit& server) {
  return joined_md5(server.kex_algorithms, server.encryption_server_to_client, server.mac_server_to_client,
                    server.compression_server_to_client);
}

std::optional<ByteSpan> ssh_host_key(const SshPacket& packet, std::string_view kex_method) {
  // RFC 4462 §2.1: the types of GSS-API methods mean other things. RFC 4432: so do those of RSA.
  if (packet.framing != Framing::kComplete || kex_method.empty() || kex_method.starts_with("gss-") ||
      kex_method.starts_with("rsa")) {
    return std::nullopt;
  }
  if (packet.type != (ssh_is_group_exchange(kex_method) ? kSshMsgKexGexReply : kSshMsgKexReply))
    return std::nullopt;
  ByteReader in(packet.payload);
  ByteReader host_key, server_share, signature;
  if (!in.skip(1) || !in.read_prefixed<4>(host_key) || !in.read_prefixed<4>(server_share) ||
      !in.read_prefixed<4>(signature) || !in.empty() || !ssh_key_type(host_key.rest())) {
    return std::nullopt;
  }
  return host_key.rest();
}

std::optional<std::string_view> ssh_key_type(ByteSpan key_blob) {
  ByteReader in(key_blob);
  ByteReader field;
  if (!in.read_prefixed<4>(field)) return std::nullopt;
  const std::string_view type = as_text(field.rest());
  // A type is one name of RFC 4250 §4.6.1: at most 64 characters, no comma.
  if (type.empty() || type.size() > 64 || !is_name_list(type) || type.find(',') != std::string_view::npos) {
    return std::nullopt;
  }
  return type;
}

SshKeyDigest ssh_key_digest(ByteSpan key_blob) {
  SshKeyDigest digest;
  sha256(key_blob, digest);
  return digest;
}

bool ssh_is_group_exchange(std::string_view kex_method) {
  return kex_method.starts_with("diffie-hellman-group-exchange-");  // RFC 4419 §4
}

SshFingerprint ssh_fingerprint(ByteSpan key_blob) {
  return ssh_fingerprint(ssh_key_digest(key_blob));
}

SshFingerprint ssh_fingerprint(const SshKeyDigest& digest) {
  constexpr std::string_view kPrefix = "SHA256:";
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  SshFingerprint fingerprint;
  std::copy(kPrefix.begin(), kPrefix.end(), fingerprint.chars.begin());
  std::size_t at = kPrefix.size();
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const std::uint8_t byte : digest) {
    bits = bits << 8 | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      fingerprint.chars[at++] = kAlphabet[bits >> bit_count & 0x3f];
    }
  }
  fingerprint.chars[at] = kAlphabet[bits << (6 - bit_count) & 0x3f];  // 256 bits leave four over.
  return fingerprint;
}

}  // namespace sallyport::parsers
