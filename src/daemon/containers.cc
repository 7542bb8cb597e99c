#include "containers.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sallyport::daemon {
namespace {

using nlohmann::json;
constexpr std::size_t kAnswerMax = 16u << 20;
constexpr std::size_t kContainersMax = 4'096;
constexpr std::chrono::seconds kInterval{1};
constexpr std::chrono::milliseconds kRefreshInterval{100};  // However often a worker meets what it does not know.

// text_at returns a member that is a string, else an empty one.
std::string text_at(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
const json& member(const json& object, const char* key) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found != object.end() ? *found : kNothing;
}

bool is_id(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Container read_container(const json& entry) {
  Container container;
  container.id = text_at(entry, "Id");
  const json& names = member(entry, "Names");
  if (names.is_array() && !names.empty() && names.front().is_string()) container.name = names.front().get<std::string>();
  if (container.name.starts_with('/')) container.name.erase(0, 1);
  const json& labels = member(entry, "Labels");
  container.project = text_at(labels, "com.docker.compose.project");
  container.service = text_at(labels, "com.docker.compose.service");
  for (const json& network : member(member(entry, "NetworkSettings"), "Networks")) {
    for (const char* key : {"IPAddress", "GlobalIPv6Address"}) {
      const auto address = IpAddress::parse(text_at(network, key));
      if (address) container.addresses.push_back(address->unmapped());
    }
  }
  return container;
}

class Connection {
 public:
  explicit Connection(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const timeval limit{2, 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // exchange sends a request and returns everything up to the end of the connection; nothing on failure.
  std::string exchange(const std::string& request) const {
    std::string answer;
    if (!connected_ || ::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return answer;
    char block[16'384];
    while (answer.size() <= kAnswerMax) {
      const ssize_t got = ::recv(fd_, block, sizeof block, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return {};
      if (got == 0) return answer;
      answer.append(block, static_cast<std::size_t>(got));
    }
    return {};
  }

 private:
  int fd_;
  bool connected_ = false;
};

// get asks by HTTP/1.0, whose answers end with the connection and are not chunked.
std::expected<std::string, std::string> get(const std::string& socket, const std::string& path) {
  const std::string answer = Connection(socket).exchange("GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n");
  if (answer.empty()) return std::unexpected(socket + ": no answer");
  const std::size_t end = answer.find("\r\n\r\n");
  const std::string_view status = std::string_view(answer).substr(0, answer.find("\r\n"));
  if (end == std::string::npos || !status.starts_with("HTTP/1.") || status.substr(8, 4) != " 200") {
    return std::unexpected(socket + ": GET " + path + ": " + std::string(status.substr(0, 64)));
  }
  return answer.substr(end + 4);
}

// cgroup_of returns the cgroup of a process, which is the container's first one.
std::string cgroup_of(const std::string& socket, const std::string& id) {
  const auto body = get(socket, "/containers/" + id + "/json");
  if (!body) return {};
  const json container = json::parse(*body, nullptr, false);
  const json& pid = member(member(container, "State"), "Pid");
  if (!pid.is_number_unsigned() || pid.get<std::uint64_t>() == 0) return {};
  std::ifstream file("/proc/" + std::to_string(pid.get<std::uint64_t>()) + "/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/") && line.size() > 4) return line.substr(3);
  }
  return {};
}

// looks_like_a_container tells the cgroups of containers: some component has an engine's 64 hexadecimal digits.
bool looks_like_a_container(std::string_view cgroup) {
  std::size_t digits = 0;
  for (const char c : cgroup) {
    digits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? digits + 1 : 0;
    if (digits == 64) return true;
  }
  return false;
}

}  // namespace

std::expected<std::vector<Container>, std::string> read_containers(std::string_view text) {
  const json list = json::parse(text, nullptr, false);
  if (!list.is_array()) return std::unexpected("the list of containers makes no sense");
  if (list.size() > kContainersMax) return std::unexpected("more than " + std::to_string(kContainersMax) + " containers");
  std::vector<Container> containers;
  for (const json& entry : list) {
    Container container = read_container(entry);
    if (!is_id(container.id)) return std::unexpected("the list of containers has an entry without an id");
    containers.push_back(std::move(container));
  }
  return containers;
}

std::expected<std::vector<Container>, std::string> list_containers(const std::string& socket) {
  const auto body = get(socket, "/containers/json");
  if (!body) return std::unexpected(body.error());
  auto containers = read_containers(*body);
  if (!containers) return std::unexpected(socket + ": " + containers.error());
  for (Container& container : *containers) container.cgroup = cgroup_of(socket, container.id);
  return containers;
}

ContainerScopes::ContainerScopes(const policy::Policy& policy, std::span<const Container> containers, bool complete) : complete_(complete) {
  for (const Container& container : containers) {
    policy::ScopeSet scopes = 0;
    for (const policy::ContainerScope& named : policy.containers()) {
      if (named.matches(container.name, container.project, container.service)) scopes |= named.scopes;
    }
    if (!container.cgroup.empty()) cgroups_.emplace_back(container.cgroup, scopes);
    for (const IpAddress& address : container.addresses) {
      const auto [at, fresh] = addresses_.try_emplace(address, Found{scopes, false});
      // Two networks may use the same addresses: then one does not tell who it is.
      if (!fresh && at->second.scopes != scopes) at->second = {at->second.scopes & scopes, true};
    }
  }
}

ContainerScopes::Found ContainerScopes::by_address(const IpAddress& source) const {
  const auto found = addresses_.find(source.unmapped());
  if (found == addresses_.end()) return {0, true};
  return {found->second.scopes, found->second.unknown || !complete_};
}

ContainerScopes::Found ContainerScopes::by_cgroup(std::string_view cgroup) const {
  for (const auto& [path, scopes] : cgroups_) {
    const bool below = cgroup.size() > path.size() && cgroup[path.size()] == '/';
    if (cgroup.starts_with(path) && (below || cgroup.size() == path.size())) return {scopes, !complete_};
  }
  return {0, !complete_ || cgroup.empty() || looks_like_a_container(cgroup)};
}

std::vector<std::string> ContainerWatch::usual_sockets() {
  std::vector<std::string> sockets;
  for (const char* path : {"/var/run/docker.sock", "/run/podman/podman.sock"}) {
    if (::access(path, F_OK) == 0) sockets.emplace_back(path);
  }
  return sockets;
}

ContainerWatch::ContainerWatch(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> sockets)
    : policy_(std::move(policy)), sockets_(std::move(sockets)) {
  ask();
  thread_ = std::thread([this] { run(); });
}

ContainerWatch::~ContainerWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::shared_ptr<const ContainerScopes> ContainerWatch::scopes() const {
  const std::lock_guard lock(mutex_);
  return scopes_;
}

std::string ContainerWatch::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void ContainerWatch::refresh() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_one();
}

void ContainerWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wanted_ = false;
    wake_.wait_for(lock, kRefreshInterval, [this] { return stopping_; });
    wake_.wait_for(lock, kInterval - kRefreshInterval, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    lock.unlock();
    ask();
    lock.lock();
  }
}

void ContainerWatch::ask() {
  std::vector<Container> all;
  // Without an engine's socket nobody says that there is no container: the engine may only be starting.
  std::string error = sockets_.empty() ? "neither /var/run/docker.sock nor /run/podman/podman.sock is there" : "";
  for (const std::string& socket : sockets_) {
    auto containers = list_containers(socket);
    if (containers) {
      all.insert(all.end(), std::make_move_iterator(containers->begin()), std::make_move_iterator(containers->end()));
    } else {
      error = containers.error();
    }
  }
  auto scopes = std::make_shared<const ContainerScopes>(*policy_, all, error.empty());
  const std::lock_guard lock(mutex_);
  scopes_ = std::move(scopes);
  error_ = std::move(error);
}

}  // namespace sallyport::daemon
