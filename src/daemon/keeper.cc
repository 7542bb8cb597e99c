#include "keeper.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "sallyport/netfilter/command.h"

namespace sallyport::daemon {
namespace {

constexpr char kRulesTouched = 'r';
constexpr char kDone = 'd';

// keep is the whole life of the keeper.
[[noreturn]] void keep(int pipe, const std::function<void(bool)>& undo) {
  (void)::setsid();
  (void)::prctl(PR_SET_NAME, "sallyport-keep");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2}) (void)std::signal(signal, SIG_IGN);
  // A reader of the command's output must see its end when the command ends.
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
    (void)::dup2(null, STDIN_FILENO);
    (void)::dup2(null, STDOUT_FILENO);
  }
  bool rules = false;
  for (;;) {
    char word = 0;
    const ssize_t got = ::read(pipe, &word, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (word == kDone) ::_exit(0);
    rules |= word == kRulesTouched;
  }
  undo(rules);
  ::_exit(0);
}

}  // namespace

int open_pidfd(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

std::expected<Keeper, std::string> Keeper::start(const std::function<void(bool)>& undo) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::unexpected(std::string("pipe: ") + std::strerror(errno));
  const pid_t pid = ::fork();
  if (pid < 0) return std::unexpected(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    ::close(pipe[1]);
    keep(pipe[0], undo);
  }
  ::close(pipe[0]);
  netfilter::hold_in_commands(pipe[1]);  // iptables-restore goes on when this process is killed: its rules are to be undone, too.
  return Keeper(pid, open_pidfd(pid), pipe[1]);
}

Keeper::Keeper(Keeper&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pid_fd_(std::exchange(other.pid_fd_, -1)), pipe_(std::exchange(other.pipe_, -1)) {}

void Keeper::rules_touched() {
  (void)!::write(pipe_, &kRulesTouched, 1);
}

void Keeper::dismiss() {
  if (pid_ < 0) return;
  (void)!::write(pipe_, &kDone, 1);
  netfilter::hold_in_commands(-1);
  ::close(pipe_);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (pid_fd_ >= 0) ::close(pid_fd_);
  pid_ = -1;
}

void Keeper::leave_the_rest() {
  if (pid_ < 0) return;
  netfilter::hold_in_commands(-1);
  ::close(pipe_);
  if (pid_fd_ >= 0) ::close(pid_fd_);
  pid_ = -1;
}

}  // namespace sallyport::daemon
