#include "sallyport/netfilter/command.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

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

}  // namespace

void hold_in_commands(int fd) { held_in_commands.store(fd); }

std::string find_program(std::string_view name) {
  for (const char* directory : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/local/sbin/"}) {
    std::string path = std::string(directory) + std::string(name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

std::expected<CommandResult, std::string> run_command(const std::vector<std::string>& arguments,
                                                      std::string_view input) {
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
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0) {
    if (errno != EINTR) return std::unexpected(error_text("waiting for " + path, errno));
  }
  CommandResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.output = read_all(out.get());
  result.errors = read_all(err.get());
  return result;
}

}  // namespace sallyport::netfilter
