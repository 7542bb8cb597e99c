// The DNS servers of this host's configuration: the `nameserver` lines of /etc/resolv.conf, and behind a local stub
// the servers that the stub forwards to, so far as a file tells them.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/ip_address.h"

namespace sallyport::resolver {

// parse_resolv_conf returns the addresses of the `nameserver` lines (resolv.conf(5)), unmapped, in their order, each
// once, at most engine::Resolvers::kMax. A zone ("fe80::1%eth0") is dropped; a line that is no address is passed over,
// as the libc does.
std::vector<IpAddress> parse_resolv_conf(std::string_view text);

struct SystemResolvers {
  std::vector<IpAddress> asked;    // What this host's programs ask: the servers of /etc/resolv.conf.
  std::vector<IpAddress> trusted;  // These, and behind a loopback stub those that it asks in turn.
  friend bool operator==(const SystemResolvers&, const SystemResolvers&) = default;
};

// resolver_files returns the paths that read_system_resolvers may read, the first being /etc/resolv.conf.
std::span<const char* const> resolver_files();

// read_system_resolvers gathers both lists. `read` returns a file's contents, or nullopt when there is none. Without a
// `nameserver` line there are no servers: what the libc would try then (127.0.0.1) is nobody's choice.
using ReadFile = std::function<std::optional<std::string>(const char* path)>;
SystemResolvers read_system_resolvers(const ReadFile& read);

// stub_advice returns what the operator should know about the stub that /etc/resolv.conf names, or an empty text.
// `listed` are the addresses of `[dns] resolvers`, and `with_system` whether it has "system".
std::string stub_advice(const SystemResolvers& system, std::span<const IpAddress> listed, bool with_system);

// own_addresses returns the addresses of this host's interfaces with these names (as in deploy.inside: a final + stands
// for all that begin so), each once. Nothing when the kernel does not tell.
std::vector<IpAddress> own_addresses(std::span<const std::string> interfaces);

// read_small_file reads a regular file's first kResolvConfMax bytes.
std::optional<std::string> read_small_file(const char* path);

}  // namespace sallyport::resolver
