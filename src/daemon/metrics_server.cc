#include "metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "sallyport/parsers/http1.h"

namespace sallyport::daemon {
namespace {

constexpr std::uint64_t kListenerId = 0;
constexpr std::uint64_t kTimerId = 1;
constexpr long kTickNs = 200'000'000;
constexpr int kAcceptsPerTurn = 16;

std::string response(std::string_view status, std::string_view body, std::string_view more = {}) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n" + std::string(more) + "\r\n" + std::string(body);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const IpAddress& address, std::uint16_t port) {
  SocketAddress result;
  const std::string text = address.to_string();
  if (address.is_v6()) {
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    (void)::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr);
    result.size = sizeof *v6;
  } else {
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    (void)::inet_pton(AF_INET, text.c_str(), &v4->sin_addr);
    result.size = sizeof *v4;
  }
  return result;
}

}  // namespace

std::expected<std::unique_ptr<MetricsServer>, std::string> MetricsServer::open(const policy::Metrics& metrics, Text text, MetricsLimits limits) {
  std::unique_ptr<MetricsServer> server(new MetricsServer(metrics, std::move(text), limits));
  const auto fail = [](const char* what) { return std::unexpected(std::string("metrics.listen: ") + what + ": " + std::strerror(errno)); };
  SocketAddress address = socket_address(*metrics.address, metrics.port);
  server->fd_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (server->fd_ < 0) return fail("socket");
  const int on = 1;
  (void)::setsockopt(server->fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(server->fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) return fail("bind");
  if (::listen(server->fd_, 16) != 0) return fail("listen");
  socklen_t size = sizeof address.storage;
  (void)::getsockname(server->fd_, reinterpret_cast<sockaddr*>(&address.storage), &size);
  server->port_ = ntohs(address.storage.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                                                              : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
  if (!server->open_poll()) return fail("poll");
  return server;
}

bool MetricsServer::open_poll() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (epoll_ < 0 || timer_ < 0) return false;
  for (const auto& [fd, id] : {std::pair{fd_, kListenerId}, {timer_, kTimerId}}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  }
  return true;
}

MetricsServer::~MetricsServer() {
  while (!clients_.empty()) close(clients_.begin());
  for (const int fd : {fd_, epoll_, timer_}) {
    if (fd >= 0) ::close(fd);
  }
}

void MetricsServer::serve() {
  std::array<epoll_event, 32> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kListenerId) {
      accept_some();
    } else if (event.data.u64 == kTimerId) {
      std::uint64_t ignored = 0;
      (void)!::read(timer_, &ignored, sizeof ignored);
      end_overdue();
    } else if (const auto client = clients_.find(event.data.u64); client != clients_.end()) {
      if (client->second.out.empty()) {
        receive(client);
      } else {
        flush(client);
      }
    }
  }
}

void MetricsServer::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = next_id_++;
    if (clients_.size() >= limits_.clients || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
      ::close(fd);
      continue;
    }
    Client& client = clients_[event.data.u64];
    client.fd = fd;
    client.deadline = Clock::now() + limits_.time;
    arm_timer(true);
  }
}

void MetricsServer::receive(Clients::iterator client) {
  char block[4'096];
  const ssize_t got = ::recv(client->second.fd, block, sizeof block, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close(client);
  std::string& in = client->second.in;
  in.append(block, static_cast<std::size_t>(got));
  client->second.out = in.size() > limits_.request ? response("431 Request Header Fields Too Large", "too long\n") : respond(in);
  if (client->second.out.empty()) return;
  epoll_event event{};
  event.events = EPOLLOUT;
  event.data.u64 = client->first;
  (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, client->second.fd, &event);
  flush(client);
}

// respond returns nothing while the head is not whole.
std::string MetricsServer::respond(std::string_view request) {
  const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(request.data()), request.size());
  const parsers::HttpRequestHead head = parsers::parse_http_request_head(bytes);
  if (head.framing == Framing::kNeedMore) return {};
  if (head.framing != Framing::kComplete) return response("400 Bad Request", "not a request\n");
  const parsers::HttpAuthority* const authority = head.name_authority();
  if (authority == nullptr || !is_ours(authority->host, authority->port.value_or(80))) {
    return response("403 Forbidden", "the Host is none of this service's (metrics.hosts)\n");
  }
  if (head.origin_fields > 1 || (head.origin_fields == 1 && !is_our_origin(head.origin))) {
    return response("403 Forbidden", "the Origin is none of this service's (metrics.hosts)\n");
  }
  if (head.path != "/metrics") return response("404 Not Found", "there is /metrics\n");
  if (head.method != "GET") return response("405 Method Not Allowed", "GET\n", "Allow: GET\r\n");
  if (head.body != parsers::HttpBody::kNone || head.upgrade) return response("400 Bad Request", "a request without a body\n");
  return response("200 OK", recent_text());
}

const std::string& MetricsServer::recent_text() {
  const Clock::time_point now = Clock::now();
  if (recent_.empty() || now - recent_made_ >= limits_.age) {
    recent_ = text_();
    recent_made_ = now;
  }
  return recent_;
}

// is_ours goes by the host alone where a port is the listener's own or the default one, which a proxy may leave in.
bool MetricsServer::is_ours(std::string_view host, std::uint16_t port) const {
  if (port != port_ && port != 80 && port != 443) return false;
  std::string name = lower(host);
  if (name.ends_with('.')) name.pop_back();
  if (name == "localhost") return true;
  if (const auto address = IpAddress::parse(name)) return *address == *metrics_.address;
  return std::ranges::find(metrics_.hosts, name) != metrics_.hosts.end();
}

bool MetricsServer::is_our_origin(std::string_view origin) const {
  const std::string text = lower(origin);
  std::string_view rest = text;
  std::uint16_t port = 80;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
    port = 443;
  } else {
    return false;  // "null" among them.
  }
  const auto authority = parsers::parse_http_authority(rest);
  return authority && is_ours(authority->host, authority->port.value_or(port));
}

void MetricsServer::flush(Clients::iterator client) {
  Client& who = client->second;
  while (who.sent < who.out.size()) {
    const ssize_t sent = ::send(who.fd, who.out.data() + who.sent, who.out.size() - who.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) break;
    who.sent += static_cast<std::size_t>(sent);
  }
  (void)::shutdown(who.fd, SHUT_WR);
  char rest[4'096];
  for (int i = 0; i < 8 && ::recv(who.fd, rest, sizeof rest, MSG_DONTWAIT) > 0; ++i) {  // Unread octets would turn the close into a reset.
  }
  close(client);
}

void MetricsServer::end_overdue() {
  const Clock::time_point now = Clock::now();
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    if (now >= client->second.deadline) close(client);
    client = next;
  }
}

void MetricsServer::arm_timer(bool on) {
  if (on == timer_armed_) return;
  itimerspec spec{};
  if (on) spec = {{0, kTickNs}, {0, kTickNs}};
  (void)::timerfd_settime(timer_, 0, &spec, nullptr);
  timer_armed_ = on;
}

void MetricsServer::close(Clients::iterator client) {
  ::close(client->second.fd);
  clients_.erase(client);
  if (clients_.empty()) arm_timer(false);
}

}  // namespace sallyport::daemon
