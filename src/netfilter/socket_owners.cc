// What /proc says of sockets and network namespaces.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "file_descriptor.h"
#include "sallyport/core/limits.h"
#include "sallyport/netfilter/listening_sockets.h"
#include "sallyport/netfilter/socket_processes.h"

namespace sallyport::netfilter {
namespace {

constexpr std::array<std::string_view, 6> kUnitKinds = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};
constexpr const char* kNamed = "/run/netns";  // Where ip-netns(8) has its names.

using Directory = std::unique_ptr<DIR, decltype([](DIR* directory) { ::closedir(directory); })>;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// visit_numbers calls `visit(number, name)` for each entry that is one, until it returns false.
template <typename Visit>
bool visit_numbers(const char* path, Visit&& visit) {
  const Directory directory(::opendir(path));
  if (!directory) return false;
  while (const dirent* entry = ::readdir(directory.get())) {
    const auto value = number(entry->d_name);
    if (value && !visit(*value, entry->d_name)) break;
  }
  return true;
}

std::string read_file(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 8'192> buffer;
  const ssize_t got = file.valid() ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string();
}

// cgroup_in returns the path of version 2 in a /proc/PID/cgroup: the line "0::/PATH".
std::string cgroup_in(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with("0::")) return std::string(line.substr(3));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return {};
}

SocketOwner owner_of(pid_t pid) {
  const std::string base = "/proc/" + std::to_string(pid);
  SocketOwner owner;
  owner.pid = pid;
  owner.process = read_file(base + "/comm");
  if (owner.process.ends_with('\n')) owner.process.pop_back();
  std::array<char, 4'096> path;
  const ssize_t size = ::readlink((base + "/exe").c_str(), path.data(), path.size());
  if (size > 0) owner.program.assign(path.data(), static_cast<std::size_t>(size));
  owner.cgroup = cgroup_of_process(pid);
  owner.unit = unit_of(owner.cgroup);
  return owner;
}

// socket_of returns the inode of a link "socket:[123]".
std::optional<std::uint64_t> socket_of(const std::string& path) {
  std::array<char, 64> target;
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size <= 0) return std::nullopt;
  std::string_view text(target.data(), static_cast<std::size_t>(size));
  constexpr std::string_view kBefore = "socket:[";
  if (!text.starts_with(kBefore) || !text.ends_with(']')) return std::nullopt;
  text.remove_prefix(kBefore.size());
  text.remove_suffix(1);
  return number(text);
}

std::optional<std::uint64_t> inode_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

}  // namespace

std::string unit_of(std::string_view cgroup) {
  while (cgroup.starts_with('/')) {
    cgroup.remove_prefix(1);
    const std::string_view component = cgroup.substr(0, cgroup.find('/'));
    cgroup.remove_prefix(component.size());
    // What is below a service or a scope may belong to its user, who chooses names there.
    if (component.ends_with(".slice")) continue;
    const bool known = std::ranges::any_of(kUnitKinds, [&](std::string_view kind) { return component.ends_with(kind) && component.size() > kind.size(); });
    return known ? std::string(component) : std::string();
  }
  return {};
}

std::string cgroup_of_process(pid_t pid) {
  return cgroup_in(read_file("/proc/" + std::to_string(pid) + "/cgroup"));
}

std::map<std::string, std::set<std::uint64_t>> listening_unix_sockets(const std::set<std::string>& paths) {
  constexpr unsigned long kListens = 0x10000;  // __SO_ACCEPTCON
  std::map<std::string, std::set<std::uint64_t>> found;
  if (paths.empty()) return found;
  std::ifstream list("/proc/thread-self/net/unix");
  std::string line;
  std::getline(list, line);  // The heading.
  while (std::getline(list, line)) {
    std::istringstream words(line);
    std::string skipped, flags, path;
    std::uint64_t inode = 0;
    // Num RefCount Protocol Flags Type St Inode Path
    if (!(words >> skipped >> skipped >> skipped >> flags >> skipped >> skipped >> inode) || !std::getline(words >> std::ws, path)) continue;
    if ((std::strtoul(flags.c_str(), nullptr, 16) & kListens) != 0 && paths.contains(path)) found[path].insert(inode);
  }
  return found;
}

std::map<std::uint64_t, std::vector<SocketOwner>> find_owners(const std::set<std::uint64_t>& inodes) {
  std::map<std::uint64_t, std::vector<SocketOwner>> owners;
  if (inodes.empty()) return owners;
  std::size_t looked_at = 0;
  (void)visit_numbers("/proc", [&](std::uint64_t pid, const char* name) {
    const std::string folder = std::string("/proc/") + name + "/fd";
    std::optional<SocketOwner> owner;
    std::set<std::uint64_t> seen;  // A process may have one socket under two numbers.
    (void)visit_numbers(folder.c_str(), [&](std::uint64_t, const char* descriptor) {
      const auto inode = socket_of(folder + '/' + descriptor);
      if (inode && inodes.contains(*inode) && seen.insert(*inode).second) {
        if (!owner) owner = owner_of(static_cast<pid_t>(pid));
        owners[*inode].push_back(*owner);
      }
      return ++looked_at < kOwnerDescriptorsMax;
    });
    return looked_at < kOwnerDescriptorsMax;
  });
  for (auto& [inode, list] : owners) std::ranges::sort(list);
  return owners;
}

// Looking is one search: what is not found yet, and what is.
struct ProcessSearch::Looking {
  std::set<std::uint64_t> open;
  std::map<std::uint64_t, SocketOwner> found;
  std::size_t descriptors = 0;
  std::set<pid_t> looked_at;

  bool done() const { return open.empty() || descriptors >= kOwnerDescriptorsMax; }
};

void ProcessSearch::look_at(pid_t pid, Looking& looking) {
  if (!looking.looked_at.insert(pid).second) return;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  std::optional<SocketOwner> owner;
  (void)visit_numbers(folder.c_str(), [&](std::uint64_t, const char* descriptor) {
    ++looking.descriptors;
    const auto inode = socket_of(folder + '/' + descriptor);
    if (inode && looking.open.erase(*inode) != 0) {
      if (!owner) owner = owner_of(pid);
      looking.found.emplace(*inode, *owner);
    }
    return !looking.done();
  });
  if (!owner) return;
  constexpr std::size_t kRecentMax = 16;
  std::erase(recent_, pid);
  recent_.push_front(pid);
  if (recent_.size() > kRecentMax) recent_.pop_back();
}

std::map<std::uint64_t, SocketOwner> ProcessSearch::find(std::span<const Wanted> wanted) {
  Looking looking;
  std::set<std::uint32_t> users;
  for (const Wanted& each : wanted) {
    looking.open.insert(each.inode);
    users.insert(each.uid);
  }
  const std::deque<pid_t> recent = recent_;
  for (const pid_t pid : recent) {
    if (looking.done()) break;
    look_at(pid, looking);
  }
  if (looking.done()) return std::move(looking.found);
  std::vector<pid_t> theirs, others;
  (void)visit_numbers("/proc", [&](std::uint64_t pid, const char* name) {
    struct stat status{};
    if (::stat((std::string("/proc/") + name).c_str(), &status) != 0) return true;
    (users.contains(status.st_uid) ? theirs : others).push_back(static_cast<pid_t>(pid));
    return true;
  });
  // Who asks for something new has often just begun.
  std::ranges::sort(theirs, std::ranges::greater{});
  std::ranges::sort(others, std::ranges::greater{});
  for (const auto* pids : {&theirs, &others}) {
    for (const pid_t pid : *pids) {
      if (looking.done()) break;
      look_at(pid, looking);
    }
  }
  return std::move(looking.found);
}

std::expected<std::vector<NetworkNamespace>, std::string> other_namespaces() {
  const auto own = inode_of("/proc/thread-self/ns/net");
  if (!own) return std::unexpected(std::string("/proc/thread-self/ns/net: ") + std::strerror(errno));
  std::map<std::uint64_t, NetworkNamespace> found;
  const auto add = [&](std::uint64_t inode, const std::string& path) -> NetworkNamespace& {
    NetworkNamespace& space = found[inode];
    space.inode = inode;
    if (space.path.empty()) space.path = path;
    return space;
  };
  if (const Directory directory(::opendir(kNamed)); directory) {
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string path = std::string(kNamed) + '/' + entry->d_name;
      if (entry->d_name[0] == '.') continue;
      const auto inode = inode_of(path);
      if (!inode || *inode == *own) continue;
      NetworkNamespace& space = add(*inode, path);
      if (space.name.empty() || entry->d_name < space.name) space.name = entry->d_name;
    }
  }
  const bool listed = visit_numbers("/proc", [&](std::uint64_t pid, const char* name) {
    const std::string path = std::string("/proc/") + name + "/ns/net";
    const auto inode = inode_of(path);
    if (!inode || *inode == *own) return true;
    NetworkNamespace& space = add(*inode, path);
    if (space.pid == 0 || static_cast<pid_t>(pid) < space.pid) space.pid = static_cast<pid_t>(pid);
    return found.size() <= kNamespacesMax;
  });
  if (!listed) return std::unexpected(std::string("/proc: ") + std::strerror(errno));
  if (found.size() > kNamespacesMax) return std::unexpected("more than " + std::to_string(kNamespacesMax) + " network namespaces");
  std::vector<NetworkNamespace> spaces;
  for (auto& [inode, space] : found) spaces.push_back(std::move(space));
  return spaces;
}

}  // namespace sallyport::netfilter
