#include "sallyport/netfilter/queue_stats.h"

#include <linux/netlink.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <sstream>

namespace sallyport::netfilter {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// socket_of_port finds the netlink socket of netfilter with this port id, or gives one of nothing.
NetlinkSocket socket_of_port(std::span<const NetlinkSocket> sockets, std::uint32_t port_id) {
  for (const NetlinkSocket& socket : sockets) {
    if (socket.protocol == NETLINK_NETFILTER && socket.port_id == port_id) return socket;
  }
  return {};
}

std::vector<NetlinkSocket> read_netlink_sockets() { return parse_netlink_sockets(read_file("/proc/net/netlink")); }

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

std::vector<NetlinkSocket> parse_netlink_sockets(std::string_view text) {
  std::vector<NetlinkSocket> result;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    NetlinkSocket socket;
    std::int64_t port_id = 0;
    std::string address, groups, memory, sent, dump, locks;
    if (!(fields >> address >> socket.protocol >> port_id >> groups >> memory >> sent >> dump >> locks >> socket.drops >> socket.inode)) continue;
    socket.port_id = static_cast<std::uint32_t>(port_id);
    result.push_back(std::move(socket));
  }
  return result;
}

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
  std::vector<QueueStats> queues = parse_queue_stats(read_file("/proc/net/netfilter/nfnetlink_queue"));
  if (queues.empty()) return queues;
  const std::vector<NetlinkSocket> sockets = read_netlink_sockets();
  for (QueueStats& queue : queues) queue.overruns = socket_of_port(sockets, queue.port_id).drops;
  return queues;
}

std::string queue_holder(std::uint16_t queue) {
  for (const QueueStats& stats : read_queue_stats()) {
    if (stats.queue != queue) continue;
    const std::string inode = socket_of_port(read_netlink_sockets(), stats.port_id).inode;
    const std::string process = inode.empty() ? std::string() : process_with_socket(inode);
    return process.empty() ? "a process that cannot be seen from here" : process;
  }
  return {};
}

}  // namespace sallyport::netfilter
