// MetricsServer answers GET /metrics over HTTP/1 on a loopback address, and nothing else. Requests are read by the program's own
// strict parser; the Host must be the address, "localhost" or a name that the policy lists, and so must an Origin be, so that no
// page in a browser reads the figures by a name that it points here. One thread, the main loop's; it never blocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

struct MetricsLimits {
  std::size_t request = 8'192;
  std::size_t clients = 16;
  std::chrono::milliseconds time{3'000};  // From the connection to the end of the answer.
  std::chrono::milliseconds age{1'000};   // Of a text that is given again.
};

class MetricsServer {
 public:
  using Text = std::function<std::string()>;

  // open binds policy::Metrics::address, which must be there; port 0 takes any. Fails with a message.
  static std::expected<std::unique_ptr<MetricsServer>, std::string> open(const policy::Metrics& metrics, Text text, MetricsLimits limits = {});
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // fd is readable whenever there is something to serve, the end of a client's time included.
  int fd() const { return epoll_; }
  void serve();
  std::uint16_t port() const { return port_; }
  std::size_t clients() const { return clients_.size(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Client {
    int fd = -1;
    std::string in;
    std::string out;
    std::size_t sent = 0;
    Clock::time_point deadline;
  };
  using Clients = std::map<std::uint64_t, Client>;

  MetricsServer(const policy::Metrics& metrics, Text text, MetricsLimits limits) : metrics_(metrics), text_(std::move(text)), limits_(limits) {}
  bool open_poll();
  void accept_some();
  void receive(Clients::iterator client);
  void flush(Clients::iterator client);
  void end_overdue();
  void arm_timer(bool on);
  void close(Clients::iterator client);
  std::string respond(std::string_view request);
  // recent_text makes the text at most once in limits_.age: whoever is on this host may ask, as often as he likes.
  const std::string& recent_text();
  bool is_ours(std::string_view host, std::uint16_t port) const;
  bool is_our_origin(std::string_view origin) const;

  policy::Metrics metrics_;
  Text text_;
  MetricsLimits limits_;
  int fd_ = -1;
  int epoll_ = -1;
  int timer_ = -1;
  std::uint16_t port_ = 0;
  bool timer_armed_ = false;
  Clients clients_;
  std::uint64_t next_id_ = 2;
  std::string recent_;
  Clock::time_point recent_made_;
};

}  // namespace sallyport::daemon
