// A control group (version 2) of one's own: what is put into it, and whatever that starts, can be
// told from everything else by its sockets, and can be ended together. Not for use by two threads at once.
#pragma once

#include <sys/types.h>

#include <expected>
#include <string>

namespace sallyport::netfilter {

// cgroup_root returns the directory where the cgroup2 hierarchy is mounted, or an empty string.
std::string cgroup_root();

struct Cgroup {
  std::string directory;  // "/sys/fs/cgroup/NAME"
  std::string path;       // Below the cgroup2 root, as RulePlan::cgroup wants it: "NAME".
};

// plan_cgroup says where NAME goes, and makes nothing: directly below the root, which is no user's. A process may move where it may write
// to cgroup.procs of the target and of the ancestor that both have in common, and trees are delegated to users (user@UID.service), who
// could leave a cgroup in there. Limits of the caller's cgroup do not hold for what is inside. Fails with a message.
std::expected<Cgroup, std::string> plan_cgroup(const std::string& name);

// make_cgroup makes it. One that is there already is a failure.
std::expected<void, std::string> make_cgroup(const Cgroup& cgroup);

// enter moves a process into the cgroup. Sockets that it has already stay where they were made.
std::expected<void, std::string> enter(const Cgroup& cgroup, pid_t pid);

// kill_cgroup kills every process in the cgroup and below it, and waits until none is left, for at most two seconds.
// Gives false when some are (a process in the kernel's hands).
bool kill_cgroup(const Cgroup& cgroup);

// remove_cgroup removes the cgroup, and those that its processes made below it. Gives false when that cannot be.
bool remove_cgroup(const Cgroup& cgroup);

}  // namespace sallyport::netfilter
