#include "guest.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "keeper.h"

namespace sallyport::daemon {
namespace {

[[noreturn]] void fail(const std::string& what, int code = kExitOwnFailure) {
  std::fprintf(stderr, "sallyport: %s: %s\n", what.c_str(), std::strerror(errno));
  ::_exit(code);
}

// close_sockets keeps connections that were made outside of the scope out of it. Standard input, output and error are the
// caller's to choose.
void close_sockets() {
  std::vector<int> sockets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename().string();
    int fd = -1;
    (void)std::from_chars(name.data(), name.data() + name.size(), fd);
    struct stat status{};
    if (fd > STDERR_FILENO && ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)) sockets.push_back(fd);
  }
  for (const int fd : sockets) ::close(fd);
}

void become(const Account& account) {
  if (::initgroups(account.name.c_str(), account.gid) != 0 || ::setresgid(account.gid, account.gid, account.gid) != 0 ||
      ::setresuid(account.uid, account.uid, account.uid) != 0) {
    fail("cannot become user " + account.name);
  }
  // A setuid program would be root again, and root can leave its cgroup.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  (void)::setenv("USER", account.name.c_str(), 1);
  (void)::setenv("LOGNAME", account.name.c_str(), 1);
  (void)::setenv("HOME", account.home.c_str(), 1);
  (void)::setenv("SHELL", account.shell.c_str(), 1);
}

// see_own_files has the command ask the resolvers of its own network: by the file, and not by services of the host that look
// names up for it over a socket.
void see_own_files(const GuestOptions& options) {
  if (options.resolv_conf.empty()) return;
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0 ||
      ::mount(options.resolv_conf.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) {
    fail("cannot mount a resolv.conf for the command");
  }
  for (const char* service : {"/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/run/dbus/system_bus_socket", "/run/avahi-daemon/socket"}) {
    if (::access(service, F_OK) == 0 && ::mount("/dev/null", service, nullptr, MS_BIND, nullptr) != 0) fail(service);
  }
}

// refuse_typing keeps the command from typing into the caller's terminal, whose shell would run it outside of the scope. The
// kernel reads 32 bits of an ioctl's request, so the filter does. Root could leave the scope anyway: there it may fail.
void refuse_typing(bool must) {
#if defined(__x86_64__)
  constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64, k32Bit = AUDIT_ARCH_I386;
#elif defined(__aarch64__)
  constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64, k32Bit = AUDIT_ARCH_ARM;
#else
#error "no system call filter for this architecture"
#endif
  constexpr std::uint32_t kIoctl32Bit = 54;    // Of i386, and of ARM.
  constexpr std::uint32_t kX32 = 0x40000000;   // Of x86-64: the same calls by other numbers, which hardly any kernel has.
  constexpr std::uint32_t kRequest = offsetof(seccomp_data, args) + sizeof(std::uint64_t);  // The low half, little-endian.
  std::array<sock_filter, 14> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32, 8, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 3, 8),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k32Bit, 0, 6),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kIoctl32Bit, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kRequest),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 2),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0 && must) fail("cannot filter the command's system calls");
}

[[noreturn]] void run(const GuestOptions& options, int pipe) {
  char word = 0;
  ssize_t got = 0;
  do {
    got = ::read(pipe, &word, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) ::_exit(kExitOwnFailure);  // Its reason was told already.
  see_own_files(options);
  close_sockets();
  if (options.account) become(*options.account);
  refuse_typing(options.account.has_value());
  std::vector<char*> argv;
  for (const std::string& argument : options.command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv.front(), argv.data());
  fail(options.command.front(), errno == ENOENT ? kExitNotFound : kExitCannotRun);
}

}  // namespace

std::expected<Account, std::string> Account::find(const std::string& user) {
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr) {
    uid_t number = 0;
    const auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), number);
    if (error == std::errc{} && end == user.data() + user.size()) entry = ::getpwuid(number);
  }
  if (entry == nullptr) return std::unexpected("this host has no user " + user);
  return Account{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir, entry->pw_shell};
}

std::expected<Guest, std::string> Guest::start(const GuestOptions& options) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::unexpected(std::string("pipe: ") + std::strerror(errno));
  const pid_t pid = ::fork();
  if (pid < 0) return std::unexpected(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    ::close(pipe[1]);
    run(options, pipe[0]);
  }
  ::close(pipe[0]);
  const int pid_fd = open_pidfd(pid);
  Guest guest(pid, pid_fd, pipe[1]);
  if (pid_fd < 0) return std::unexpected(std::string("pidfd_open: ") + std::strerror(errno));
  return guest;
}

Guest::Guest(Guest&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pid_fd_(std::exchange(other.pid_fd_, -1)), pipe_(std::exchange(other.pipe_, -1)) {}

Guest::~Guest() {
  if (pipe_ >= 0) ::close(pipe_);
  if (pid_ >= 0) (void)wait();
  if (pid_fd_ >= 0) ::close(pid_fd_);
}

void Guest::go() {
  (void)!::write(pipe_, "g", 1);
  ::close(std::exchange(pipe_, -1));
}

int Guest::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return kExitOwnFailure;
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace sallyport::daemon
