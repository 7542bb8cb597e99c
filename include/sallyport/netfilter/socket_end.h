// What the sockets of a cgroup leave behind: a TCP connection outlives the process that closed it, and the kernel goes on to
// repeat what was not acknowledged. Whoever judged that must end these connections before it takes its rules out.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "sallyport/netfilter/cgroup.h"

namespace sallyport::netfilter {

// cgroup_ids returns the kernel's ids of the cgroup and of those below it that are still there.
std::vector<std::uint64_t> cgroup_ids(const Cgroup& cgroup);

// end_tcp_sockets ends every TCP socket of this network namespace that was made in one of these cgroups (SOCK_DESTROY, Linux
// 4.5): nothing of it is sent any more but a RST. Where the kernel refuses (CONFIG_INET_DIAG_DESTROY) it waits until they are
// gone, at most for `patience`; then it fails, with a message.
std::expected<void, std::string> end_tcp_sockets(const std::vector<std::uint64_t>& cgroups, std::chrono::milliseconds patience);

}  // namespace sallyport::netfilter
