// DnsChannel asks servers over UDP and TCP, by c-ares: fresh ids, its own time-outs and repetitions, no search domains,
// no hosts file. It watches its sockets in the owner's epoll set. One thread owns it. Callbacks may come from within
// any of its functions, the destructor too (as failures).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "sallyport/core/bytes.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"

namespace sallyport::resolver {

class DnsChannel {
 public:
  // `message` is empty when nothing usable came; `failure` is then for people. Valid during the call.
  using OnAnswer = std::function<void(std::uint64_t tag, ByteSpan message, const char* failure)>;

  // OnSocket tells of a local port that a socket of the channel has now, or no more.
  using OnSocket = std::function<void(Transport transport, std::uint16_t port, bool open)>;

  // Events of its sockets carry `event_tag` in the upper and the descriptor in the lower half of epoll_data.
  static std::expected<std::unique_ptr<DnsChannel>, std::string> open(std::span<const IpAddress> servers, std::uint16_t port,
                                                                      int epoll, std::uint32_t event_tag, OnAnswer on_answer,
                                                                      OnSocket on_socket);
  ~DnsChannel();
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  // ask sends one question; exactly one callback with `tag` follows.
  void ask(const DomainName& name, std::uint16_t type, std::uint64_t tag);
  void process(int socket, bool readable, bool writable);
  void process_timeouts();
  // timeout returns how long process_timeouts may wait; absent: nothing is under way.
  std::optional<Duration> timeout() const;

 private:
  class Impl;
  explicit DnsChannel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::resolver
