// The unencrypted part of SSH for tests: packets, KEXINIT, the reply with the host key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::testing {

// SshKexInitBuilder has the lists of a recent OpenSSH in short; set what a test is about.
struct SshKexInitBuilder {
  std::string kex =
      "sntrup761x25519-sha512@openssh.com,curve25519-sha256,diffie-hellman-group-exchange-sha256";
  std::string host_key = "ssh-ed25519,rsa-sha2-512";
  std::string encryption_client_to_server = "chacha20-poly1305@openssh.com,aes128-ctr";
  std::string encryption_server_to_client = "aes256-gcm@openssh.com";
  std::string mac_client_to_server = "umac-64-etm@openssh.com,hmac-sha2-256";
  std::string mac_server_to_client = "hmac-sha2-512";
  std::string compression_client_to_server = "none,zlib@openssh.com";
  std::string compression_server_to_client = "none";
  bool first_kex_packet_follows = false;

  std::vector<std::uint8_t> payload() const;
};

// ssh_packet wraps a payload with the least padding that RFC 4253 §6 allows.
std::vector<std::uint8_t> ssh_packet(const std::vector<std::uint8_t>& payload);
// ssh_string is a length of four bytes and the text.
std::vector<std::uint8_t> ssh_string(std::string_view text);
// ssh_ed25519_blob is a public key blob with 32 bytes of `fill`.
std::vector<std::uint8_t> ssh_ed25519_blob(std::uint8_t fill);
// ssh_kex_reply is the payload of type 31 (or 33) with a host key, a server share and a signature.
std::vector<std::uint8_t> ssh_kex_reply(std::uint8_t type, const std::vector<std::uint8_t>& host_key_blob);

}  // namespace sallyport::testing
