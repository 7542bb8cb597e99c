#include "sallyport/netfilter/command.h"

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "file_descriptor.h"

namespace sallyport::netfilter {
namespace {

// Files in memory instead of pipes: nothing can block on a full one.
FileDescriptor memory_file() {
  return FileDescriptor(memfd_create("sallyport", MFD_CLOEXEC));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::lseek(fd, 0, SEEK_SET) == 0;
}

std::string read_all(int fd) {
  std::string text;
  char block[16'384];
  if (::lseek(fd, 0, SEEK_SET) != 0) return text;
  for (;;) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(block, static_cast<std::size_t>(got));
  }
}

std::string error_text(const std::string& what, int error) {
  return what + ": " + std::strerror(error);
}

std::atomic<int> held_in_commands{-1};

// spawn starts the program; gives its pid.
std::expected<pid_t, std::string> spawn(const std::string& path, const std::vector<std::string>& arguments,
                                        int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char locale[] = "LC_ALL=C";
  char search_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* const environment[] = {locale, search_path, nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  // Onto itself: that takes close-on-exec off.
  if (const int held = held_in_commands.load(); held >= 0) posix_spawn_file_actions_adddup2(&actions, held, held);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(error_text(path, error));
  return pid;
}

using Clock = std::chrono::steady_clock;

// wait_until gives the status of a child that ends by `deadline`, or an error: ETIMEDOUT when it does not.
std::expected<int, int> wait_until(pid_t pid, Clock::time_point deadline) {
  using std::chrono::milliseconds;
  constexpr milliseconds kLookAgain{10};  // Where the kernel gives no descriptor for a process.
  const FileDescriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid) return status;
    if (got < 0 && errno != EINTR) return std::unexpected(errno);
    const milliseconds left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left <= milliseconds::zero()) return std::unexpected(ETIMEDOUT);
    pollfd waits = {ended.get(), POLLIN, 0};
    (void)::poll(&waits, 1, static_cast<int>((ended.valid() ? left : std::min(left, kLookAgain)).count()));
  }
}

// Unended keeps what was killed and did not end (the kernel holds it); it is reaped when the next program is run.
class Unended {
 public:
  void add(pid_t pid) {
    const std::lock_guard lock(mutex_);
    pids_.push_back(pid);
  }
  void reap() {
    const std::lock_guard lock(mutex_);
    std::erase_if(pids_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
  }

 private:
  std::mutex mutex_;
  std::vector<pid_t> pids_;
} unended;

// stop kills a program that took too long, and what it started; gives the error to tell.
std::string stop(pid_t pid, const std::vector<std::string>& arguments, std::chrono::milliseconds limit) {
  constexpr std::chrono::milliseconds kKillTime{200};
  (void)::kill(-pid, SIGKILL);
  const bool ended = wait_until(pid, Clock::now() + kKillTime).has_value();
  if (!ended) unended.add(pid);
  std::string text;
  for (const std::string& argument : arguments) text += argument + (&argument == &arguments.back() ? "" : " ");
  return text + ": not done after " + std::to_string(limit.count()) + " ms, " + (ended ? "killed" : "killed, and has not ended yet");
}

// What was started last, so that what it does is not taken for somebody else's.
constexpr std::size_t kStartedKept = 64;
std::array<std::atomic<pid_t>, kStartedKept> started{};
std::atomic<std::size_t> started_count{0};

}  // namespace

bool is_own_command(std::uint32_t pid) {
  return pid != 0 && std::ranges::any_of(started, [pid](const auto& each) { return each.load() == static_cast<pid_t>(pid); });
}

void hold_in_commands(int fd) { held_in_commands.store(fd); }

std::string find_program(std::string_view name) {
  for (const char* directory : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/local/sbin/"}) {
    std::string path = std::string(directory) + std::string(name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

std::expected<CommandResult, std::string> run_command(const std::vector<std::string>& arguments, std::string_view input,
                                                      std::chrono::milliseconds limit) {
  unended.reap();
  const std::string path = find_program(arguments.front());
  if (path.empty()) return std::unexpected(arguments.front() + " is not installed");
  const FileDescriptor in = memory_file();
  const FileDescriptor out = memory_file();
  const FileDescriptor err = memory_file();
  if (!in.valid() || !out.valid() || !err.valid() || !write_all(in.get(), input)) {
    return std::unexpected(error_text("cannot prepare " + path, errno));
  }
  const std::expected<pid_t, std::string> pid = spawn(path, arguments, in.get(), out.get(), err.get());
  if (!pid) return std::unexpected(pid.error());
  started[started_count.fetch_add(1) % kStartedKept].store(*pid);
  const std::expected<int, int> status = wait_until(*pid, Clock::now() + limit);
  if (!status && status.error() == ETIMEDOUT) return std::unexpected(stop(*pid, arguments, limit));
  if (!status) return std::unexpected(error_text("waiting for " + path, status.error()));
  CommandResult result;
  result.exit_code = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
  result.output = read_all(out.get());
  result.errors = read_all(err.get());
  return result;
}

}  // namespace sallyport::netfilter
