// Resolvers is the set of DNS servers whose answers are believed: the policy's own, and those of this host's
// configuration, which change while the program runs; and the ports that this process asks them from. One thread writes,
// the workers read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"

namespace sallyport::engine {

class Resolvers {
 public:
  static constexpr std::size_t kMax = 64;

  // set replaces the set; more than kMax are cut off, and false is returned. For one thread at a time.
  bool set(std::span<const IpAddress> addresses);
  // any makes every server a trusted one: a replay does not know the captured host's configuration.
  void set_any() { any_.store(true, std::memory_order_release); }
  // trusts is thread-safe and takes no lock.
  bool trusts(const IpAddress& address) const;

  // own_port notes that a socket of this process has a local port, or has it no longer.
  void own_port(Transport transport, std::uint16_t port, bool open) {
    const std::uint8_t by = open ? 1 : 0xff;
    ports_of(transport)[port].fetch_add(by, std::memory_order_relaxed);
  }
  bool is_own_port(Transport transport, std::uint16_t port) const {
    return (transport == Transport::kTcp ? tcp_ports_ : udp_ports_)[port].load(std::memory_order_relaxed) != 0;
  }

 private:
  // Readers copy nothing: they read the words between two reads of `sequence_` (resolvers.cc).
  std::atomic<std::uint64_t> sequence_{0};
  std::array<std::array<std::atomic<std::uint64_t>, 3>, kMax> slots_{};  // Family, high, low.
  std::atomic<std::size_t> size_{0};
  std::atomic<bool> any_{false};
  using Ports = std::array<std::atomic<std::uint8_t>, 65'536>;  // How many sockets have each.
  Ports& ports_of(Transport transport) { return transport == Transport::kTcp ? tcp_ports_ : udp_ports_; }
  Ports tcp_ports_{};
  Ports udp_ports_{};
};

}  // namespace sallyport::engine
