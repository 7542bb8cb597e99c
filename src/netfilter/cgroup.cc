#include "sallyport/netfilter/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {
namespace {

constexpr std::chrono::milliseconds kStep{10};
constexpr int kSteps = 200;

bool write_file(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  errno = error;
  return written;
}

// mounted_for_us mounts the hierarchy where nobody else sees it, and keeps it for this process's life: `ip netns exec` takes
// /sys/fs/cgroup out of sight.
const std::string& mounted_for_us() {
  static const std::string path = [] {
    const int context = ::fsopen("cgroup2", FSOPEN_CLOEXEC);
    int mount = -1;
    if (context >= 0 && ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) mount = ::fsmount(context, FSMOUNT_CLOEXEC, 0);
    if (context >= 0) ::close(context);
    return mount < 0 ? std::string() : "/proc/self/fd/" + std::to_string(mount);
  }();
  return path;
}

std::vector<pid_t> processes_in(const std::string& directory) {
  std::vector<pid_t> pids;
  std::ifstream file(directory + "/cgroup.procs");
  for (pid_t pid = 0; file >> pid;) pids.push_back(pid);
  return pids;
}

// inner_directories returns the directory and all below it, the innermost first.
std::vector<std::string> inner_directories(const std::string& directory) {
  std::vector<std::string> list;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entries(directory, error);
  for (; !error && entries != std::filesystem::recursive_directory_iterator(); entries.increment(error)) {
    if (entries->is_directory(error)) list.push_back(entries->path().string());
  }
  std::ranges::reverse(list);
  list.push_back(directory);
  return list;
}

// empty tells that no process is in the cgroup or below it.
bool empty(const std::string& directory) {
  std::ifstream file(directory + "/cgroup.events");
  for (std::string line; std::getline(file, line);) {
    if (line == "populated 1") return false;
  }
  return true;
}

}  // namespace

std::string cgroup_root() {
  // proc(5): ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE ...
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos || !std::string_view(line).substr(separator + 3).starts_with("cgroup2 ")) continue;
    std::istringstream words(line);
    std::string word, root, mount_point;
    words >> word >> word >> word >> root >> mount_point;
    if (root == "/" && ::access((mount_point + "/cgroup.procs").c_str(), F_OK) == 0) return mount_point;
  }
  return mounted_for_us();
}

std::expected<Cgroup, std::string> plan_cgroup(const std::string& name) {
  const std::string root = cgroup_root();
  if (root.empty()) return std::unexpected("no cgroup2 file system is mounted here; a command cannot be told from others without one");
  return Cgroup{root + '/' + name, name};
}

std::expected<void, std::string> make_cgroup(const Cgroup& cgroup) {
  if (::mkdir(cgroup.directory.c_str(), 0755) == 0) return {};
  return std::unexpected("cannot make the cgroup " + cgroup.directory + ": " + std::strerror(errno));
}

std::expected<void, std::string> enter(const Cgroup& cgroup, pid_t pid) {
  if (write_file(cgroup.directory + "/cgroup.procs", std::to_string(pid))) return {};
  return std::unexpected("cannot move a process into " + cgroup.directory + ": " + std::strerror(errno));
}

bool kill_cgroup(const Cgroup& cgroup) {
  for (int i = 0; i < kSteps; ++i) {
    if (empty(cgroup.directory)) return true;
    // cgroup.kill (Linux 5.14) leaves no fork behind; without it each round kills those that it sees.
    if (!write_file(cgroup.directory + "/cgroup.kill", "1")) {
      for (const std::string& each : inner_directories(cgroup.directory)) {
        for (const pid_t pid : processes_in(each)) (void)::kill(pid, SIGKILL);
      }
    }
    std::this_thread::sleep_for(kStep);
  }
  return empty(cgroup.directory);
}

bool remove_cgroup(const Cgroup& cgroup) {
  for (int i = 0; i < kSteps; ++i) {
    for (const std::string& each : inner_directories(cgroup.directory)) (void)::rmdir(each.c_str());
    if (::access(cgroup.directory.c_str(), F_OK) != 0) return true;
    std::this_thread::sleep_for(kStep);  // A process that was killed may still be on its way out.
  }
  return false;
}

}  // namespace sallyport::netfilter
