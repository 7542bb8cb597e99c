// HostKeys is the set of SSH host keys that a rule accepts, and for which hosts. Immutable once sealed; a look-up takes
// no memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::policy {

// HostKey is the SHA-256 of a host key as it goes over the wire (RFC 4253 §6.6), which is what "SHA256:..." shows.
using HostKey = std::array<std::uint8_t, 32>;

// HostPattern is one word of a known_hosts line: a host, "[host]:port" or either with "*" and "?", in lower case.
struct HostPattern {
  std::string text;
  bool negated = false;

  friend auto operator<=>(const HostPattern&, const HostPattern&) = default;
};

class HostKeys {
 public:
  // add accepts a key for every target of the rule, or for those hosts that one of the patterns matches and no negated
  // one does; revoke refuses it whatever else says.
  void add(const HostKey& key);
  void add(const HostKey& key, std::vector<HostPattern> patterns);
  void revoke(const HostKey& key);
  // seal ends the adding: sorts, and drops what is there twice.
  void seal();

  // accepts tells whether `key` may be the key of `host` (a canonical name, or an address as text) at `port`.
  bool accepts(const HostKey& key, std::string_view host, std::uint16_t port) const;
  // knows tells whether some key that is not revoked is accepted for the host.
  bool knows(std::string_view host, std::uint16_t port) const;
  std::uint64_t hash() const;

  friend bool operator==(const HostKeys&, const HostKeys&) = default;

 private:
  struct Line {
    HostKey key{};
    std::vector<HostPattern> patterns;

    friend auto operator<=>(const Line&, const Line&) = default;
  };
  bool revoked(const HostKey& key) const;

  std::vector<HostKey> for_all_;
  std::vector<Line> lines_;
  std::vector<HostKey> revoked_;
};

// host_text writes a host as known_hosts files have it: the host alone for port 22, else "[host]:port". Borrowed from
// `buffer`.
using HostTextBuffer = std::array<char, 272>;
std::string_view host_text(std::string_view host, std::uint16_t port, HostTextBuffer& buffer);

}  // namespace sallyport::policy
