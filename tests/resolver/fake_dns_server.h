// FakeDnsServer answers A and AAAA questions on a UDP port of the loopback, from a table that a test may change, on a
// thread of its own.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "support/dns_builder.h"

namespace sallyport::testing {

class FakeDnsServer {
 public:
  FakeDnsServer() {
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ok_ = ::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
          ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeDnsServer() {
    stopping_ = true;
    thread_.join();
    ::close(socket_);
  }
  FakeDnsServer(const FakeDnsServer&) = delete;
  FakeDnsServer& operator=(const FakeDnsServer&) = delete;

  bool ok() const { return ok_; }
  std::uint16_t port() const { return port_; }

  // set gives a name its addresses; without any it exists and has none. A name that was never set does not exist.
  void set(const std::string& name, std::vector<std::string> addresses, std::uint32_t ttl = 300) {
    const std::lock_guard lock(mutex_);
    table_[name] = {std::move(addresses), ttl};
  }
  // be_silent makes it leave questions unanswered.
  void be_silent(bool silent) { silent_ = silent; }

  int questions() const { return questions_; }
  int questions_for(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(name);
    return found == asked_.end() ? 0 : found->second;
  }
  // most_from_one_port returns the greatest number of questions that came from one port.
  int most_from_one_port() const {
    const std::lock_guard lock(mutex_);
    int most = 0;
    for (const auto& [port, count] : by_port_) most = std::max(most, count);
    return most;
  }
  // ports returns where questions came from.
  std::set<std::uint16_t> ports() const {
    const std::lock_guard lock(mutex_);
    std::set<std::uint16_t> ports;
    for (const auto& [port, count] : by_port_) ports.insert(port);
    return ports;
  }

 private:
  struct Answer {
    std::vector<std::string> addresses;
    std::uint32_t ttl = 0;
  };

  void serve() {
    std::array<std::uint8_t, 2'048> buffer;
    while (!stopping_) {
      pollfd waiting{socket_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      sockaddr_in client{};
      socklen_t size = sizeof client;
      const ssize_t got =
          ::recvfrom(socket_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&client), &size);
      if (got <= 0) continue;
      const Bytes reply = answer_to({buffer.data(), static_cast<std::size_t>(got)}, ntohs(client.sin_port));
      if (reply.empty()) continue;
      (void)!::sendto(socket_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&client), size);
    }
  }

  Bytes answer_to(ByteSpan query, std::uint16_t client_port) {
    const auto message = parsers::parse_dns_message(query);
    if (!message || !message->question) return {};
    const std::string name(message->question->name.text());
    const std::lock_guard lock(mutex_);
    ++questions_;
    ++asked_[name];
    ++by_port_[client_port];
    if (silent_) return {};
    DnsMessageBuilder reply(message->header.id);
    reply.response().question(name, message->question->type);
    const auto found = table_.find(name);
    if (found == table_.end()) return reply.rcode(3).build();
    for (const std::string& address : found->second.addresses) {
      const bool v6 = address.find(':') != std::string::npos;
      if (v6 && message->question->type == parsers::kDnsTypeAaaa) reply.aaaa(name, address, found->second.ttl);
      if (!v6 && message->question->type == parsers::kDnsTypeA) reply.a(name, address, found->second.ttl);
    }
    return reply.build();
  }

  int socket_ = -1;
  bool ok_ = false;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false}, silent_{false};
  std::atomic<int> questions_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Answer> table_;
  std::map<std::string, int> asked_;
  std::map<std::uint16_t, int> by_port_;
  std::thread thread_;
};

}  // namespace sallyport::testing
