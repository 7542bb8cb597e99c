// The filter of system calls. Which ones: what the live suites were seen to make (strace -f, glibc 2.36, both back ends of
// iptables), and those of the same kind that another version of a library may take in their place (docs/install.md).
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "privileges.h"

namespace sallyport::daemon {
namespace {

constexpr const char* kAllowed[] = {
    // Files.
    "read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "_llseek", "open", "openat", "openat2", "close", "close_range",
    "fstat", "fstat64", "stat", "stat64", "lstat", "lstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir",
    "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "umask", "ftruncate", "ftruncate64", "fallocate", "fsync",
    "fdatasync", "fcntl", "fcntl64", "flock", "dup", "dup2", "dup3", "pipe", "pipe2", "memfd_create", "fadvise64", "sendfile", "sendfile64", "splice",
    "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "name_to_handle_at", "open_by_handle_at", "utimensat",
    // Memory; mmap and mprotect are below.
    "brk", "munmap", "mremap", "madvise", "msync", "membarrier",
    // Threads and programs; clone is below.
    "futex", "futex_time64", "futex_waitv", "set_robust_list", "get_robust_list", "set_tid_address", "rseq", "sched_yield", "sched_getaffinity",
    "exit", "exit_group", "fork", "vfork", "execve", "wait4", "waitid", "gettid", "getpid", "getppid", "getpgrp", "getpgid", "setpgid",
    "getsid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "capget", "prctl", "arch_prctl", "getrlimit",
    "ugetrlimit", "getrusage", "getpriority", "sysinfo", "uname", "times", "getcpu", "kill", "tgkill", "tkill", "pidfd_open", "pidfd_send_signal",
    // Signals and time.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend", "sigaltstack", "sigreturn",
    "signalfd4", "pause", "restart_syscall", "clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep", "clock_nanosleep_time64",
    "nanosleep", "gettimeofday", "time", "alarm", "setitimer", "timerfd_create", "timerfd_settime", "timerfd_gettime", "poll", "ppoll", "ppoll_time64",
    "select", "_newselect", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "getrandom",
    // Sockets; socket is below.
    "socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt", "send",
    "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "shutdown",
};

// No part of the program, and no program that it starts, has a use for these.
constexpr const char* kFatal[] = {
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kexec_load", "kexec_file_load", "reboot", "mount", "umount2",
    "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr", "unshare", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "swapon", "swapoff", "iopl", "ioperm", "acct", "quotactl", "modify_ldt",
};

constexpr int kFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
// What is asked of terminals, sockets and interfaces.
constexpr unsigned long kRequests[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFMTU, SIOCGIFHWADDR};
constexpr unsigned long kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

class Filter {
 public:
  // What is not added is `otherwise`; refusals are `told` to the kernel's log.
  Filter(std::uint32_t otherwise, bool told) : context_(seccomp_init(otherwise), &seccomp_release) {
    if (!context_) failed_ = -ENOMEM;
    // Calls of another architecture end the process, whatever they are.
    note(attribute(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    note(attribute(SCMP_FLTATR_CTL_LOG, told ? 1 : 0));
    note(attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2));  // A tree, not a list: every call goes through it.
  }

  // add ignores calls that this architecture does not have.
  void add(std::uint32_t action, const char* name) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call != __NR_SCMP_ERROR && call >= 0) note(seccomp_rule_add(context_.get(), action, call, 0));
  }
  void allow_if(const char* name, scmp_arg_cmp comparison) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call != __NR_SCMP_ERROR && call >= 0) note(seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call, 1, &comparison));
  }

  int load() {
    if (failed_ == 0) note(seccomp_load(context_.get()));
    return failed_;
  }

 private:
  int attribute(scmp_filter_attr name, std::uint32_t value) { return context_ ? seccomp_attr_set(context_.get(), name, value) : failed_; }
  void note(int result) {
    if (failed_ == 0) failed_ = result;
  }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int failed_ = 0;
};

constexpr scmp_arg_cmp equal(unsigned argument, std::uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
constexpr scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) { return {argument, SCMP_CMP_MASKED_EQ, mask, value}; }

[[maybe_unused]] void add_arguments(Filter& filter, const Needs& needs) {
  for (const int family : kFamilies) filter.allow_if("socket", equal(0, static_cast<std::uint64_t>(family)));
  for (const unsigned long request : kRequests) filter.allow_if("ioctl", equal(1, request));
  // No memory that is written to becomes code.
  for (const std::uint64_t protection : std::initializer_list<std::uint64_t>{0, PROT_WRITE, PROT_EXEC}) {
    filter.allow_if("mmap", masked(2, PROT_WRITE | PROT_EXEC, protection));
    filter.allow_if("mmap2", masked(2, PROT_WRITE | PROT_EXEC, protection));
  }
  filter.allow_if("mprotect", masked(2, PROT_EXEC, 0));
  filter.allow_if("clone", masked(0, kNamespaces, 0));
  filter.allow_if("prlimit64", equal(2, 0));  // Asked, not set.
  if (needs.other_namespaces) filter.allow_if("setns", equal(1, CLONE_NEWNET));
}

}  // namespace

std::expected<void, std::string> filter_system_calls([[maybe_unused]] const Needs& needs) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return {};
#else
  // The flags of clone3 are in memory, where a filter cannot look. glibc takes clone when there is no clone3, each time anew:
  // that is for no log, and has a filter of its own. Of two filters the stricter answer counts.
  Filter absent(SCMP_ACT_ALLOW, false);
  absent.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  Filter filter(SCMP_ACT_ERRNO(EPERM), true);
  filter.add(SCMP_ACT_ALLOW, "clone3");
  for (const char* name : kAllowed) filter.add(SCMP_ACT_ALLOW, name);
  for (const char* name : kFatal) filter.add(SCMP_ACT_KILL_PROCESS, name);
  add_arguments(filter, needs);
  int error = absent.load();
  if (error == 0) error = filter.load();
  if (error != 0) return std::unexpected(std::string("seccomp: ") + std::strerror(-error));
  return {};
#endif
}

}  // namespace sallyport::daemon
