// What the sockets of a cgroup leave behind: a TCP connection outlives the process that closed it, and the kernel goes on to
// repeat what was not acknowledged. Whoever judged that must end these connections before it takes its rules out.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/core/flow_key.h"
#include "sallyport/netfilter/cgroup.h"

namespace sallyport::netfilter {

// cgroup_ids returns the kernel's ids of the cgroup and of those below it that are still there.
std::vector<std::uint64_t> cgroup_ids(const Cgroup& cgroup);

// end_tcp_sockets ends every TCP socket of this network namespace that was made in one of these cgroups (SOCK_DESTROY, Linux
// 4.5): nothing of it is sent any more but a RST. Where the kernel refuses (CONFIG_INET_DIAG_DESTROY) it waits until they are
// gone, at most for `patience`; then it fails, with a message.
std::expected<void, std::string> end_tcp_sockets(const std::vector<std::uint64_t>& cgroups, std::chrono::milliseconds patience);

// What became of a wish to end a socket. kRefused: it is here, and the kernel did not end it (CONFIG_INET_DIAG_DESTROY, or no
// memory).
enum class SocketEnd : std::uint8_t { kEnded, kNotHere, kRefused };

// TcpSockets ends single TCP sockets of this network namespace. One thread.
class TcpSockets {
 public:
  // open fails with a message where the kernel has no sock_diag.
  static std::expected<std::unique_ptr<TcpSockets>, std::string> open();
  ~TcpSockets();
  TcpSockets(const TcpSockets&) = delete;
  TcpSockets& operator=(const TcpSockets&) = delete;

  // end ends the socket that is one end of this connection, whichever; the other end gets a RST at once. A socket that listens is
  // never ended.
  SocketEnd end(const FlowKey& key);

 private:
  class Impl;
  explicit TcpSockets(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::netfilter
