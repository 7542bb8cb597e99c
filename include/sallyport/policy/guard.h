// Guard is one [[guards]] table: a local HTTP port, and who may ask it for what. Plain values, part of a Policy and immutable
// with it; any thread may read. Nothing here allocates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"

namespace sallyport::policy {

// GuardId is the index of a guard in its policy.
using GuardId = std::uint16_t;
inline constexpr GuardId kNoGuard = 0xffff;

// GuardListener is one entry of `listen`.
struct GuardListener {
  std::optional<IpAddress> address;  // Absent: every address of the families below.
  bool v4 = true;
  bool v6 = true;
  std::uint16_t port = 0;

  bool has_family(bool is_v6) const { return is_v6 ? v6 : v4; }
  // covers tells whether a connection to this address and port is the listener's. An IPv4-mapped address is its IPv4 address.
  bool covers(const IpAddress& to, std::uint16_t to_port) const;
  bool overlaps(const GuardListener& other) const;
  friend bool operator==(const GuardListener&, const GuardListener&) = default;
};

// GuardHost is a canonical name or an address, never both.
struct GuardHost {
  DomainName name;
  std::optional<IpAddress> address;

  friend bool operator==(const GuardHost&, const GuardHost&) = default;
};

// GuardOrigin is one entry of `origins`: a host at any port over http or https, or one whole origin (RFC 6454 §4).
struct GuardOrigin {
  std::string scheme;  // Lower case; empty: http or https, and `port` says nothing.
  GuardHost host;
  std::uint16_t port = 0;  // 0: a scheme without a default port, and none given.

  friend bool operator==(const GuardOrigin&, const GuardOrigin&) = default;
};

struct Guard {
  std::string name;                     // For people; may be empty.
  std::vector<GuardListener> listen;    // Empty: the service has a unix socket alone.
  std::vector<GuardHost> hosts;
  std::vector<GuardOrigin> origins;     // Empty: a request with an Origin is refused.
  std::vector<std::string> interfaces;  // Empty: any.
  std::vector<IpPrefix> sources;        // Empty: any.
  // A service without a port: the path of its socket ("@name": an abstract one), and the name or path of its program, if
  // that is said. Any TCP listener of it is a finding of the audit.
  std::string unix_socket;
  std::string process;
  std::string file;
  unsigned line = 0;

  bool covers(const IpAddress& address, std::uint16_t port) const;
  // reaches tells whether a client may come from there. An interface that is not known counts as another than those listed.
  bool reaches(std::string_view interface, const IpAddress& source) const;
  bool has_source(const IpAddress& source) const;
  // has_host tells whether a Host (without its port, an IPv6 address without its brackets) is listed.
  bool has_host(std::string_view host) const;
  // has_origin tells whether the value of one Origin field is listed. "null" and whatever is no origin is not.
  bool has_origin(std::string_view origin) const;
};

// parse_guard_host reads a host of a request: a canonical name, or an address, an IPv4-mapped one as IPv4.
std::optional<GuardHost> parse_guard_host(std::string_view text);

// OriginParts are the three parts of a serialised origin. Views into the text.
struct OriginParts {
  std::string_view scheme;
  std::string_view host;  // An IPv6 address without its brackets.
  std::optional<std::uint16_t> port;
};

// split_origin reads scheme "://" host [ ":" port ] (RFC 6454 §7.1) and nothing behind it.
std::optional<OriginParts> split_origin(std::string_view text);

// default_port_of returns the port of an origin that names none; 0 for schemes that have none here.
std::uint16_t default_port_of(std::string_view scheme);

}  // namespace sallyport::policy
