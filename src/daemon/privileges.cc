#include "privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sallyport::daemon {
namespace {

std::string error_text(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

}  // namespace

std::uint64_t needed_capabilities(const Needs& needs) {
  const std::uint64_t always = bit(CAP_NET_ADMIN)         // Queues, rules, marks, conntrack, ends of sockets.
                               | bit(CAP_NET_RAW)         // Refusals and resets are sent raw; so is what iptables-legacy asks.
                               | bit(CAP_DAC_READ_SEARCH) // /proc/PID/fd of others, files of policies that only their owner reads.
                               | bit(CAP_SYS_PTRACE)      // To whom a socket of another user belongs.
                               | bit(CAP_CHOWN);          // The control socket is the group's.
  return always | (needs.other_namespaces ? bit(CAP_SYS_ADMIN) : 0);
}

std::expected<void, std::string> drop_privileges(const Needs& needs) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(error_text("no_new_privs"));
  const std::uint64_t keep = needed_capabilities(needs);
  // Without CAP_SETPCAP the bounding set stays: with no_new_privs no program gets more than what is permitted here.
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if ((keep & bit(capability)) == 0) (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return std::unexpected(error_text("capget"));
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto half = static_cast<std::uint32_t>(keep >> (32 * i));
    sets[i].permitted &= half;
    sets[i].effective &= half;
    sets[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return std::unexpected(error_text("capset"));
  return {};
}

}  // namespace sallyport::daemon
