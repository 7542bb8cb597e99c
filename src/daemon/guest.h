// Guest is the one command of a scoped run: a child process that waits until the firewall stands before it, and only then
// becomes the program that was asked for.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::daemon {

// Account is the user that the command runs as.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  std::string home;
  std::string shell;

  // find takes a name or a number of this host.
  static std::expected<Account, std::string> find(const std::string& user);
};

// What a shell and its kin (env, timeout) say when the program itself is not what failed.
inline constexpr int kExitOwnFailure = 125;
inline constexpr int kExitCannotRun = 126;
inline constexpr int kExitNotFound = 127;

struct GuestOptions {
  std::vector<std::string> command;  // Not empty.
  std::optional<Account> account;    // Absent: the caller's user. With it there is no way back: no_new_privs is set.
  std::string resolv_conf;           // File to be seen as /etc/resolv.conf; empty: as it is.
};

class Guest {
 public:
  // start forks: the caller must have no threads yet. The child waits for go.
  static std::expected<Guest, std::string> start(const GuestOptions& options);
  Guest(Guest&& other) noexcept;
  Guest& operator=(Guest&&) = delete;
  // The destructor ends a child that was never let go, and reaps it.
  ~Guest();

  pid_t pid() const { return pid_; }
  int fd() const { return pid_fd_; }  // Polls as readable when it has ended.
  void go();
  // wait reaps it and returns what a shell would call its exit code: 128 and the signal's number if one ended it.
  int wait();

 private:
  Guest(pid_t pid, int pid_fd, int pipe) : pid_(pid), pid_fd_(pid_fd), pipe_(pipe) {}
  pid_t pid_;
  int pid_fd_;
  int pipe_;
};

}  // namespace sallyport::daemon
