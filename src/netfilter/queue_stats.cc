#include "sallyport/netfilter/queue_stats.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace sallyport::netfilter {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// inode_of_port finds the netlink socket with this port id in /proc/net/netlink.
std::string inode_of_port(std::uint32_t port_id) {
  std::istringstream lines(read_file("/proc/net/netlink"));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string address, groups, memory, sent, dump, locks, drops, inode;
    std::string protocol;
    std::string port;
    if (!(fields >> address >> protocol >> port >> groups >> memory >> sent >> dump >> locks >> drops >>
          inode)) {
      continue;
    }
    if (protocol == std::to_string(NETLINK_NETFILTER) && port == std::to_string(port_id)) return inode;
  }
  return {};
}

// process_with_socket finds the process that has the socket open.
std::string process_with_socket(const std::string& inode) {
  namespace fs = std::filesystem;
  const std::string wanted = "socket:[" + inode + "]";
  std::error_code error;
  for (const fs::directory_entry& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    std::error_code ignored;
    for (const fs::directory_entry& fd : fs::directory_iterator(process.path() / "fd", ignored)) {
      if (fs::read_symlink(fd.path(), ignored) != wanted) continue;
      std::string name = read_file("/proc/" + pid + "/comm");
      if (!name.empty() && name.back() == '\n') name.pop_back();
      return name + " (pid " + pid + ")";
    }
  }
  return {};
}

}  // namespace

std::vector<QueueStats> parse_queue_stats(std::string_view text) {
  std::vector<QueueStats> result;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    QueueStats stats;
    std::int64_t port_id = 0;
    unsigned copy_range = 0;
    if (fields >> stats.queue >> port_id >> stats.waiting >> stats.copy_mode >> copy_range >>
        stats.queue_dropped >> stats.user_dropped >> stats.last_id) {
      stats.port_id = static_cast<std::uint32_t>(port_id);  // Some kernels print it signed.
      result.push_back(stats);
    }
  }
  return result;
}

std::vector<QueueStats> read_queue_stats() {
  return parse_queue_stats(read_file("/proc/net/netfilter/nfnetlink_queue"));
}

std::uint32_t socket_overruns(int fd) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> figures{};
  socklen_t size = sizeof figures;
  return ::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures.data(), &size) == 0 ? figures[SK_MEMINFO_DROPS] : 0;
}

std::string queue_holder(std::uint16_t queue) {
  for (const QueueStats& stats : read_queue_stats()) {
    if (stats.queue != queue) continue;
    const std::string inode = inode_of_port(stats.port_id);
    const std::string process = inode.empty() ? std::string() : process_with_socket(inode);
    return process.empty() ? "a process that cannot be seen from here" : process;
  }
  return {};
}

}  // namespace sallyport::netfilter
