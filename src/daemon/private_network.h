// PrivateNetwork joins a command's network namespace to this host by a gateway of ours:
//
//   command (eth0) ---- (in0) gateway (up0) ---- (sprPID) host
//
// The rules and the queues are in the gateway, which the command cannot reach. The host routes and masquerades; all that it
// gets is one interface, one nft table, and forwarding if that was off. IPv4 alone.
#pragma once

#include <sys/types.h>

#include <expected>
#include <string>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

inline constexpr const char* kGatewayInside = "in0";

// Namespace holds a network namespace, that of the calling thread unless another is named.
class Namespace {
 public:
  explicit Namespace(const std::string& path = "/proc/thread-self/ns/net");
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;
  // enter moves the calling thread there.
  std::expected<void, std::string> enter() const;

 private:
  int fd_;
};

// NetworkPlan is chosen before anything is changed, so that whoever undoes it knows all of it.
struct NetworkPlan {
  std::string subnet;            // "10.213.7.0/29"
  std::string base;              // "10.213.7."
  std::string host_link;         // "spr1234"
  std::string table;             // Of nft: "sallyport_run_1234"
  std::string resolv_conf;       // Text of the command's /etc/resolv.conf.
  std::string resolv_conf_path;  // Where it is.
  bool forwarding_was_off = false;  // Before this run, and before those that are here with it.
  bool forward_chain = false;    // iptables has rules or a policy in FORWARD, which may drop.

  // make looks for a free subnet and for resolvers that the policy believes and the command can ask. Fails with a message.
  static std::expected<NetworkPlan, std::string> make(const policy::Dns& dns);
};

// The caller is the process that will enforce, single-threaded, in the host's namespace. enter_own_namespace moves it to a
// new namespace; a child that is forked then stays there.
std::expected<void, std::string> enter_own_namespace();

// join builds the picture above: `host` and `command` are processes in these namespaces, and the caller is in the gateway's.
// Its return to the host's namespace and back is over when it returns.
std::expected<void, std::string> join(const NetworkPlan& plan, pid_t host, pid_t command);

// cut takes the command's network from it for good. For the process that joined it, in the gateway.
std::expected<void, std::string> cut();

// undo takes everything off the host again; the namespaces go with their processes. For a process in the host's namespace.
// Returns what could not be undone, or an empty text.
std::string undo(const NetworkPlan& plan);

}  // namespace sallyport::daemon
