// Keeper is a small process beside a run of one command: when its parent ends without a word (kill -9), it undoes what
// the run did to this host. It is out of reach of the terminal's signals and stays in the parent's cgroup.
#pragma once

#include <sys/types.h>

#include <expected>
#include <functional>
#include <string>

namespace sallyport::daemon {

class Keeper {
 public:
  // start forks: the caller must have no threads yet. `undo` runs in the keeper, after the parent's death alone; its
  // argument tells whether rules_touched was called. Fails with a message.
  static std::expected<Keeper, std::string> start(const std::function<void(bool rules_touched)>& undo);
  Keeper(Keeper&& other) noexcept;
  Keeper& operator=(Keeper&&) = delete;
  ~Keeper() { dismiss(); }

  pid_t pid() const { return pid_; }
  void rules_touched();
  // dismiss says that there is nothing left to undo, and waits for the keeper's end.
  void dismiss();
  // leave_the_rest has it undo what there is, as after this process's death, and does not wait for it.
  void leave_the_rest();
  // fd polls as readable when the keeper is gone; -1 where the kernel has no such descriptors.
  int fd() const { return pid_fd_; }

 private:
  Keeper(pid_t pid, int pid_fd, int pipe) : pid_(pid), pid_fd_(pid_fd), pipe_(pipe) {}
  pid_t pid_;
  int pid_fd_;
  int pipe_;
};

// open_pidfd returns a descriptor that polls as readable when the process has ended, or -1.
int open_pidfd(pid_t pid);

}  // namespace sallyport::daemon
