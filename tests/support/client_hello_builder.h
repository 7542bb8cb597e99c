// ClientHelloBuilder makes ClientHellos for tests: honest ones, and broken ones on demand. Extensions
// appear in the order of the calls. The bytes depend on nothing but the calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::testing {

using Bytes = std::vector<std::uint8_t>;

class ClientHelloBuilder {
 public:
  // Each of these appends one extension; called twice, it makes a duplicate.
  ClientHelloBuilder& server_name(std::string_view name);
  ClientHelloBuilder& alpn(const std::vector<std::string>& protocols);
  ClientHelloBuilder& supported_versions(const std::vector<std::uint16_t>& versions);
  ClientHelloBuilder& supported_groups(const std::vector<std::uint16_t>& groups);
  ClientHelloBuilder& signature_algorithms(const std::vector<std::uint16_t>& algorithms);
  ClientHelloBuilder& key_share_x25519();
  ClientHelloBuilder& key_share_post_quantum();  // X25519MLKEM768 (1216 bytes) and X25519.
  ClientHelloBuilder& ech_outer(std::size_t payload_size = 208);
  ClientHelloBuilder& early_data();
  ClientHelloBuilder& pre_shared_key();
  ClientHelloBuilder& quic_transport_parameters();
  ClientHelloBuilder& grease(std::uint16_t value = 0x2a2a);
  ClientHelloBuilder& extension(std::uint16_t type, const Bytes& data);
  // Appends a padding extension so that build() gives `size` bytes (if there is room for one).
  ClientHelloBuilder& padding_to(std::size_t size);

  ClientHelloBuilder& legacy_version(std::uint16_t version);
  ClientHelloBuilder& random(std::uint8_t fill);
  ClientHelloBuilder& session_id(const Bytes& id);
  ClientHelloBuilder& cipher_suites(const std::vector<std::uint16_t>& suites);
  ClientHelloBuilder& compression_methods(const Bytes& methods);
  // Leaves the extensions block out altogether.
  ClientHelloBuilder& without_extensions();

  // typical gives what a current client sends: TLS 1.3 and 1.2, h2 and http/1.1, X25519.
  static ClientHelloBuilder typical(std::string_view name);
  // post_quantum gives a hello of about 1.5 kB, longer than one segment with usual MTUs.
  static ClientHelloBuilder post_quantum(std::string_view name);

  Bytes build() const;    // The body.
  Bytes message() const;  // With the 4-byte handshake header: what a CRYPTO stream carries.
  Bytes record() const;   // The message in one record.
  // records cuts the message into records with payloads of the given sizes; the last one repeats until
  // the message ends. Empty: one record.
  Bytes records(const std::vector<std::size_t>& sizes) const;

 private:
  std::uint16_t legacy_version_ = 0x0303;
  std::uint8_t random_ = 0x5a;
  Bytes session_id_ = Bytes(32, 0xe0);
  std::vector<std::uint16_t> cipher_suites_ = {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f};
  Bytes compression_methods_ = {0};
  std::vector<std::pair<std::uint16_t, Bytes>> extensions_;
  bool has_extensions_ = true;
};

// tls_records wraps payload bytes into records of one content type, cut as ClientHelloBuilder::records.
Bytes tls_records(const Bytes& payload, const std::vector<std::size_t>& sizes = {},
                  std::uint8_t content_type = 22, std::uint16_t version = 0x0301);

// server_hello makes a record with a ServerHello; with `retry` it is a HelloRetryRequest.
Bytes server_hello(bool retry, std::uint16_t legacy_version = 0x0303);

// hex reads hexadecimal text, blanks ignored.
Bytes hex(std::string_view text);

Bytes joined(const Bytes& first, const Bytes& second);

}  // namespace sallyport::testing
