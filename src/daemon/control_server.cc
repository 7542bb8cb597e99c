#include "control_server.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

constexpr long kTickNs = 100'000'000;
constexpr int kAcceptsPerTurn = 16;

constexpr std::uint64_t kListenerId = 0;
constexpr std::uint64_t kTimerId = 1;
constexpr std::uint64_t kWakeId = 2;
constexpr std::uint64_t kAlarmId = 3;
constexpr std::uint64_t kFirstClientId = 4;

std::string error_text(const std::string& path, const char* what) {
  return "control socket " + path + ": " + what + ": " + std::strerror(errno);
}

// answered tells whether somebody listens on the socket.
bool answered(const UnixAddress& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool connected = ::connect(fd, address.get(), address.size) == 0;
  ::close(fd);
  return connected;
}

// make_directories returns those that were missing; the socket's bind tells what could not be made.
std::vector<std::filesystem::path> make_directories(const std::filesystem::path& wanted) {
  std::vector<std::filesystem::path> made;
  std::filesystem::path path;
  std::error_code error;
  for (const std::filesystem::path& part : wanted) {
    path /= part;
    if (std::filesystem::create_directory(path, error)) made.push_back(path);
  }
  return made;
}

std::string process_name(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/comm";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[64];
  const ssize_t size = ::read(fd, text, sizeof text);
  ::close(fd);
  std::string name(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

Peer peer_of(int fd) {
  Peer peer;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return peer;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pid = credentials.pid;
  return peer;
}

bool is_master(const Peer& peer) {
  return peer.uid == 0 || peer.uid == ::geteuid();
}

std::string text_of(const nlohmann::ordered_json& answer) {
  return answer.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

std::expected<std::unique_ptr<ControlServer>, std::string> ControlServer::open(const std::string& path, ControlLimits limits) {
  const std::optional<UnixAddress> address = unix_address(path);
  if (!address) return std::unexpected("control socket " + path + ": the path is too long");
  if (answered(*address)) {
    return std::unexpected(
        "control socket " + path +
        ": another sallyport answers there; stop it, or choose another path with --control");
  }
  std::vector<std::filesystem::path> made = make_directories(std::filesystem::path(path).parent_path());
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return std::unexpected("control socket " + path + ": there is something else");
    ::unlink(path.c_str());
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(error_text(path, "socket"));
  std::unique_ptr<ControlServer> server(new ControlServer(fd, path, limits));
  server->abstract_ = path.front() == '@';
  server->made_ = std::move(made);
  const mode_t before = ::umask(0117);  // Nobody may connect before the mode is right.
  const bool bound = ::bind(fd, address->get(), address->size) == 0;
  ::umask(before);
  if (!bound) return std::unexpected(error_text(path, "bind"));
  if (const group* entry = ::getgrnam("sallyport"); entry != nullptr) {
    (void)!::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid);
  }
  if (::listen(fd, 128) != 0) return std::unexpected(error_text(path, "listen"));
  if (!server->open_poll()) return std::unexpected(error_text(path, "poll"));
  return server;
}

bool ControlServer::open_poll() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  alarm_ = ::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  next_id_ = kFirstClientId;
  return epoll_ >= 0 && timer_ >= 0 && wake_ >= 0 && alarm_ >= 0 && watch(alarm_, kAlarmId, EPOLLIN) && watch(fd_, kListenerId, EPOLLIN) && watch(timer_, kTimerId, EPOLLIN) &&
         watch(wake_, kWakeId, EPOLLIN);
}

bool ControlServer::watch(int fd, Id id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

ControlServer::~ControlServer() {
  while (!clients_.empty()) close(clients_.begin());
  for (const int fd : {fd_, epoll_, timer_, wake_, alarm_}) {
    if (fd >= 0) ::close(fd);
  }
  if (abstract_) return;
  ::unlink(path_.c_str());
  std::error_code error;
  while (!made_.empty() && std::filesystem::remove(made_.back(), error)) made_.pop_back();  // Empty ones only.
}

void ControlServer::on(std::string command, ControlHandler handler, ControlRight right) {
  commands_[std::move(command)] = {std::move(handler), nullptr, right};
}

void ControlServer::on_stream(std::string command, ControlStreamHandler handler) {
  commands_[std::move(command)] = {nullptr, std::move(handler), ControlRight::kRead};
}

bool ControlServer::attend(int fd, std::function<void()> ready) {
  const Id id = next_id_++;
  attended_[id] = std::move(ready);
  return watch(fd, id, EPOLLIN);
}

void ControlServer::serve() {
  std::array<epoll_event, 32> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    std::uint64_t ignored = 0;
    if (event.data.u64 == kListenerId) {
      accept_some();
    } else if (event.data.u64 == kTimerId) {
      (void)!::read(timer_, &ignored, sizeof ignored);
      end_overdue();
    } else if (event.data.u64 == kAlarmId) {
      (void)!::read(alarm_, &ignored, sizeof ignored);  // Fails when the clock was set: then, too, it is time to look.
      if (ring_) ring_();
    } else if (event.data.u64 == kWakeId) {
      (void)!::read(wake_, &ignored, sizeof ignored);
      flush_streams();
    } else if (const auto other = attended_.find(event.data.u64); other != attended_.end()) {
      other->second();
    } else if (const auto client = clients_.find(event.data.u64); client == clients_.end()) {
      continue;  // Closed by an event before this one.
    } else if (!client->second.answered && (event.events & EPOLLIN) != 0) {
      receive(client);
    } else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) {
      close(client);
    } else if ((event.events & EPOLLOUT) != 0) {
      flush(client);
    }
  }
}

bool ControlServer::admits(const Peer& peer) const {
  if (clients_.size() >= limits_.clients) return false;
  if (is_master(peer)) return true;
  const auto others = std::ranges::count_if(clients_, [](const auto& each) { return !is_master(each.second.peer); });
  return static_cast<std::size_t>(others) < limits_.others;
}

void ControlServer::refuse(int fd, std::string_view why) {
  const std::string line = text_of(control_error(why)) + '\n';
  (void)::send(fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
}

void ControlServer::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    Peer peer = peer_of(fd);
    if (!admits(peer)) {
      refuse(fd, "too many clients; try again");
      continue;
    }
    const Id id = next_id_++;
    if (!watch(fd, id, EPOLLIN)) {
      ::close(fd);
      continue;
    }
    Client& client = clients_[id];
    client.fd = fd;
    client.peer = std::move(peer);
    client.deadline = Clock::now() + limits_.request_time;
    arm_timer(true);
  }
}

void ControlServer::receive(Clients::iterator client) {
  char block[8'192];
  const ssize_t got = ::recv(client->second.fd, block, sizeof block, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return close(client);
  std::string& in = client->second.in;
  in.append(block, static_cast<std::size_t>(got));
  const std::size_t end = in.find('\n', in.size() - static_cast<std::size_t>(got));
  if (end == std::string::npos && got == 0 && in.empty()) return close(client);
  if (in.size() > limits_.request && (end == std::string::npos || end > limits_.request)) {
    client->second.out = text_of(control_error("a request has at most " + std::to_string(limits_.request) + " octets")) + '\n';
    client->second.answered = true;
  } else if (end != std::string::npos || got == 0) {  // Who ends its side has said all.
    const std::string line = in.substr(0, end);
    answer(client, line);
  } else {
    return;
  }
  in = {};
  epoll_event event{};
  event.data.u64 = client->first;  // No more input; a peer that is gone shows all the same.
  (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, client->second.fd, &event);
  flush(client);
}

void ControlServer::answer(Clients::iterator client, std::string_view line) {
  Client& who = client->second;
  const auto request = parse_request(line);
  nlohmann::ordered_json answer = request ? dispatch(*request, who) : control_error(request.error());
  if (!answer.is_object()) answer = control_error("the handler gave no answer");
  if (answer.contains("error")) {
    if (who.stream) who.stream->close();
    who.stream.reset();
  } else {
    nlohmann::ordered_json whole = {{"ok", true}};
    whole.update(answer);
    answer = std::move(whole);
  }
  std::size_t queued = 0;
  for (const auto& [id, each] : clients_) queued += each.out.size();
  who.out = text_of(answer) + '\n';
  if (queued + who.out.size() > limits_.queued) who.out = text_of(control_error("too many answers wait to be read; try again")) + '\n';
  who.answered = true;
  who.deadline = Clock::now() + limits_.take_time;
}

nlohmann::ordered_json ControlServer::dispatch(const nlohmann::json& request, Client& client) {
  const std::string& name = request["command"].get_ref<const std::string&>();
  if (name == "help") return list_commands();
  const auto command = commands_.find(name);
  if (command == commands_.end()) return control_error("unknown command; {\"command\":\"help\"} lists the commands");
  client.peer.process = process_name(client.peer.pid);
  if (command->second.stream_handler) {
    const auto streams = std::ranges::count_if(clients_, [](const auto& each) { return each.second.stream != nullptr; });
    if (static_cast<std::size_t>(streams) >= limits_.streams) return control_error("too many streams are open");
    client.stream = std::make_shared<ControlStream>([fd = wake_] {
      const std::uint64_t one = 1;
      (void)!::write(fd, &one, sizeof one);
    });
    return command->second.stream_handler(request, client.peer, client.stream);
  }
  const bool change = command->second.right == ControlRight::kChange;
  nlohmann::ordered_json answer;
  if (change && abstract_ && !is_master(client.peer)) {
    answer = control_error("a control socket without a file says nothing of who may change anything: only root and the service's user may");
  } else {
    answer = command->second.handler(request, client.peer);
  }
  if (change && change_log_) change_log_(client.peer, request, answer);
  return answer;
}

nlohmann::ordered_json ControlServer::list_commands() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::object();
  for (const auto& [name, command] : commands_) {
    list[name] = command.stream_handler ? "stream" : command.right == ControlRight::kChange ? "change" : "read";
  }
  return {{"commands", std::move(list)}};
}

void ControlServer::flush(Clients::iterator client) {
  Client& who = client->second;
  for (;;) {
    if (who.sent == who.out.size() && who.stream) {
      who.out = who.stream->take();
      who.sent = 0;
      who.deadline = Clock::now() + limits_.take_time;
    }
    if (who.sent == who.out.size()) break;
    const ssize_t sent = ::send(who.fd, who.out.data() + who.sent, who.out.size() - who.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) return close(client);
    who.sent += static_cast<std::size_t>(sent);
    who.deadline = Clock::now() + limits_.take_time;
  }
  const bool waiting = who.sent < who.out.size();
  if (!waiting && !who.stream) return close(client);
  if (waiting == who.watched_for_output) return;
  epoll_event event{};
  event.events = waiting ? EPOLLOUT : 0u;
  event.data.u64 = client->first;
  (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, who.fd, &event);
  who.watched_for_output = waiting;
}

void ControlServer::flush_streams() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    if (client->second.stream) flush(client);
    client = next;
  }
}

void ControlServer::end_overdue() {
  const Clock::time_point now = Clock::now();
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    const bool idle_stream = client->second.stream && client->second.sent == client->second.out.size();
    if (!idle_stream && now >= client->second.deadline) close(client);
    client = next;
  }
}

void ControlServer::set_alarm(std::optional<Timestamp> when) {
  itimerspec spec{};
  if (when) {
    const auto since = std::max(std::chrono::ceil<std::chrono::milliseconds>(when->time_since_epoch()), std::chrono::milliseconds(1));
    spec.it_value.tv_sec = static_cast<time_t>(since.count() / 1'000);
    spec.it_value.tv_nsec = static_cast<long>(since.count() % 1'000) * 1'000'000;
  }
  (void)::timerfd_settime(alarm_, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, nullptr);
}

void ControlServer::arm_timer(bool on) {
  if (on == timer_armed_) return;
  itimerspec spec{};
  if (on) spec = {{0, kTickNs}, {0, kTickNs}};
  (void)::timerfd_settime(timer_, 0, &spec, nullptr);
  timer_armed_ = on;
}

void ControlServer::close(Clients::iterator client) {
  if (client->second.stream) client->second.stream->close();
  ::close(client->second.fd);
  clients_.erase(client);
  if (clients_.empty()) arm_timer(false);
}

}  // namespace sallyport::daemon
