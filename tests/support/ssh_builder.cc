#include "ssh_builder.h"

namespace sallyport::testing {
namespace {

using Bytes = std::vector<std::uint8_t>;

void put(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void put32(Bytes& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
}

}  // namespace

Bytes ssh_string(std::string_view text) {
  Bytes out;
  put32(out, text.size());
  out.insert(out.end(), text.begin(), text.end());
  return out;
}

Bytes SshKexInitBuilder::payload() const {
  Bytes out = {20};
  for (std::uint8_t i = 0; i < 16; ++i) out.push_back(i);
  for (const std::string& list : {kex, host_key, encryption_client_to_server, encryption_server_to_client,
                                  mac_client_to_server, mac_server_to_client, compression_client_to_server,
                                  compression_server_to_client, std::string(), std::string()}) {
    put(out, ssh_string(list));
  }
  out.push_back(first_kex_packet_follows ? 1 : 0);
  put32(out, 0);
  return out;
}

Bytes ssh_packet(const Bytes& payload) {
  std::size_t padding = 8 - (5 + payload.size()) % 8;
  while (padding < 4 || 5 + payload.size() + padding < 16) padding += 8;
  Bytes out;
  put32(out, 1 + payload.size() + padding);
  out.push_back(static_cast<std::uint8_t>(padding));
  put(out, payload);
  out.insert(out.end(), padding, 0);
  return out;
}

Bytes ssh_ed25519_blob(std::uint8_t fill) {
  Bytes out = ssh_string("ssh-ed25519");
  put(out, ssh_string(std::string(32, static_cast<char>(fill))));
  return out;
}

Bytes ssh_kex_reply(std::uint8_t type, const Bytes& host_key_blob) {
  Bytes out = {type};
  put(out, ssh_string({reinterpret_cast<const char*>(host_key_blob.data()), host_key_blob.size()}));
  put(out, ssh_string(std::string(32, 'Q')));
  put(out, ssh_string(std::string(83, 's')));
  return out;
}

}  // namespace sallyport::testing
