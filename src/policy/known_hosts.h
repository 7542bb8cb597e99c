// Reads known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): plain and hashed hosts, patterns, @revoked.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host_keys.h"
#include "toml_document.h"

namespace sallyport::policy {

// HashedHost is a host that a file keeps secret: HMAC-SHA1 of its text under a salt.
struct HashedHost {
  std::vector<std::uint8_t> salt;
  std::array<std::uint8_t, 20> hash{};

  bool is(std::string_view host) const;
};

struct KnownHostsLine {
  HostKey key{};
  bool revoked = false;
  std::vector<HostPattern> patterns;  // Empty when hashed.
  std::optional<HashedHost> hashed;
};

// parse_known_hosts returns the lines that give keys. `error` is called for each line that is wrong, with its place.
using KnownHostsError = std::function<void(Position, std::string)>;
std::vector<KnownHostsLine> parse_known_hosts(std::string_view text, const KnownHostsError& error);

// host_key_of_blob returns the fingerprint of a key in its wire form.
HostKey host_key_of_blob(std::span<const std::uint8_t> blob);

}  // namespace sallyport::policy
