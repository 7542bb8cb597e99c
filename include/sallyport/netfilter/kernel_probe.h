// Questions to the kernel that change nothing outside of this process: what `sallyport doctor` asks. Each needs root. Modules that
// the kernel loads for an answer stay loaded, as they would when the service starts.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "sallyport/netfilter/rule_installer.h"

namespace sallyport::netfilter {

struct QueueProbe {
  std::uint16_t queue = 0;  // That was bound and given back; nobody used it.
  std::string error;        // Why it could not be; the rest is then false.
  bool gso = false;
  bool uid_gid = false;
  bool fail_open = false;
  bool conntrack = false;  // The kernel tells conntrack facts with each packet (NETFILTER_NETLINK_GLUE_CT).
};

// probe_queue binds a queue that nobody uses, tries the options one by one, and lets it go.
QueueProbe probe_queue();

// probe_rules puts the plan's rules into a network namespace of its own, that a child process makes and that ends with it, sends a
// packet through them, reads it from the queue, lets it go, and sees it arrive. Fails with what went wrong.
std::expected<void, std::string> probe_rules(Backend backend, RulePlan plan);

// probe_socket_destroy tells whether the kernel ends TCP sockets on request (CONFIG_INET_DIAG_DESTROY), by asking for one that
// cannot exist; nullopt: it did not say.
std::optional<bool> probe_socket_destroy();

// probe_ctnetlink asks connection tracking for entries with a mark that none has. Fails with what the kernel said: an enforcing service does not
// start then.
std::expected<void, std::string> probe_ctnetlink();

struct BackendState {
  bool installed = false;
  bool in_use = false;  // Legacy: tables are loaded here. nft: it can be asked.
  std::string saved4;   // What iptables-save says.
  std::string saved6;
  std::string error;
};

// read_backend reads what rules a backend has. Of legacy's nothing is read where no table is loaded: reading would load it.
BackendState read_backend(Backend backend);

}  // namespace sallyport::netfilter
