// What listens on this host: listening TCP sockets and unconnected UDP sockets, of one network namespace or of all, and whose
// they are. Asking is a dump by sock_diag(7); whose sockets are is looked up apart, since that reads every process's
// descriptors.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"

namespace sallyport::netfilter {

struct ListeningSocket {
  Transport transport = Transport::kTcp;
  IpAddress address;   // As bound; IPv4-mapped ones are unmapped.
  bool dual = false;   // Of :: without IPV6_V6ONLY: takes IPv4 as well (RFC 3493 §5.3).
  std::uint16_t port = 0;
  std::string interface;     // That it is bound to; empty: none.
  std::uint32_t uid = 0;     // Who made it.
  std::uint64_t inode = 0;   // 0: no process has it.
  std::uint64_t cookie = 0;  // Never used again while the host is up.

  friend auto operator<=>(const ListeningSocket&, const ListeningSocket&) = default;
};

// list_listening_sockets lists those of the caller's network namespace, in an order of their own. Fails with a message.
std::expected<std::vector<ListeningSocket>, std::string> list_listening_sockets();

// NetworkNamespace is one beside the caller's.
struct NetworkNamespace {
  std::uint64_t inode = 0;
  std::string path;  // "/run/netns/NAME" or "/proc/PID/ns/net".
  std::string name;  // Of `ip netns`; empty: none.
  pid_t pid = 0;     // A process in it; 0: none was found.
};

// other_namespaces lists the network namespaces that a process of this host is in, or that `ip netns` has a name for, but
// for the caller's own. Fails with a message: none are left out silently. Processes that may not be looked into have none.
std::expected<std::vector<NetworkNamespace>, std::string> other_namespaces();

// list_listening_sockets_in lists those of another namespace, in a thread that enters it and ends.
std::expected<std::vector<ListeningSocket>, std::string> list_listening_sockets_in(const NetworkNamespace& space);

struct SocketOwner {
  pid_t pid = 0;
  std::string process;  // What the process calls itself (/proc/PID/comm); any octets.
  std::string program;  // The path of its program; empty: not known (a kernel thread, another user's).
  std::string cgroup;   // Below the cgroup2 root, "/..."; empty: not known.
  std::string unit;     // Of systemd; empty: none.

  friend auto operator<=>(const SocketOwner&, const SocketOwner&) = default;
};

// find_owners looks for the processes that have these sockets open, in the order of their pids. Without root it sees the
// user's own processes alone.
std::map<std::uint64_t, std::vector<SocketOwner>> find_owners(const std::set<std::uint64_t>& inodes);

// listening_unix_sockets returns the inodes of the sockets of the caller's network namespace that listen at these paths ("@name":
// an abstract one), as they were bound.
std::map<std::string, std::set<std::uint64_t>> listening_unix_sockets(const std::set<std::string>& paths);

// cgroup_of_process returns the path below the cgroup2 root, "/...", or an empty text.
std::string cgroup_of_process(pid_t pid);

// unit_of returns the unit of systemd that a cgroup belongs to: the first component below slices, if it is of a unit's kind.
std::string unit_of(std::string_view cgroup);

}  // namespace sallyport::netfilter
