// SocketCgroups tells in which cgroup (version 2) the local socket of a flow was made. It asks the kernel by sock_diag, once
// for each flow, on the packet's path: the owner of a socket is known while the socket lives, and a flow must not be judged
// before it is. A question is one system call to send and one to receive, answered by the kernel at once (no other process
// takes part); docs/benchmarks.md has what it costs. One thread owns it and is its only caller.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/core/flow_key.h"

namespace sallyport::netfilter {

// LocalSocket is what the kernel tells of the socket that sends a flow.
struct LocalSocket {
  std::uint64_t inode = 0;      // 0: not known, or several sockets could have sent the flow.
  std::uint32_t uid = 0;        // Who made it; counts where the inode is known.
  std::string_view cgroup{};    // As cgroup_of.
};

class SocketCgroups {
 public:
  // open fails with a message where the kernel does not tell (no sock_diag, no cgroup2, no CAP_DAC_READ_SEARCH).
  static std::expected<std::unique_ptr<SocketCgroups>, std::string> open();
  // open_for_sockets does with less: only sock_diag must answer; cgroups are told if they can be.
  static std::expected<std::unique_ptr<SocketCgroups>, std::string> open_for_sockets();
  ~SocketCgroups();
  SocketCgroups(const SocketCgroups&) = delete;
  SocketCgroups& operator=(const SocketCgroups&) = delete;

  // cgroup_of returns the path below the cgroup2 root ("/system.slice/x.service", "/" for the root) of the socket that sends
  // this flow of TCP or UDP by interface `out_link` (0: any). Of UDP sockets those of user `uid` alone count, whose the
  // packet's socket was; none do when that is not known. Empty: not known, because the socket is gone, several sockets of
  // different cgroups could have sent it (UDP), its cgroup is removed, or it is neither TCP nor UDP. Valid until the next
  // call. Remembers the paths of kCgroupsKept cgroups; another one allocates.
  std::string_view cgroup_of(const FlowKey& key, std::uint32_t out_link, std::optional<std::uint32_t> uid);
  // socket_of tells the same and which socket it is. The view is valid until the next call.
  LocalSocket socket_of(const FlowKey& key, std::uint32_t out_link, std::optional<std::uint32_t> uid);

 private:
  class Impl;
  explicit SocketCgroups(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::netfilter
