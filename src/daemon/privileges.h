// What the service may do at most: capabilities, no_new_privs, and which system calls it may make (seccomp.cc). All of it is
// given up for good, before the first thread is made, and holds for the programs that it starts (iptables-restore, nft).
#pragma once

#include <cstdint>
#include <expected>
#include <string>

namespace sallyport::daemon {

struct Needs {
  bool other_namespaces = false;  // To look into other network namespaces (listeners.netns = "all").
};

// needed_capabilities returns a bit for each capability that is kept, as /proc/PID/status has them.
std::uint64_t needed_capabilities(const Needs& needs);
// drop_privileges takes all other capabilities from this process, which must have one thread, from its bounding set too where
// that is permitted, and sets no_new_privs. Fails with a message.
std::expected<void, std::string> drop_privileges(const Needs& needs);

// filter_system_calls lets this process, which must have one thread, make the calls that it needs. Those that nothing but an
// intruder makes end the process; all others fail with EPERM and are logged by the kernel. Fails with a message where the
// kernel has no seccomp. Does nothing in a build with sanitizers, which make calls of their own.
std::expected<void, std::string> filter_system_calls(const Needs& needs);

}  // namespace sallyport::daemon
