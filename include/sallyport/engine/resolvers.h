// Resolvers is the set of DNS servers whose answers are believed: the policy's own, and those of this host's
// configuration, which change while the program runs. One thread writes, the workers read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "sallyport/core/ip_address.h"

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

 private:
  // Readers copy nothing: they read the words between two reads of `sequence_` (resolvers.cc).
  std::atomic<std::uint64_t> sequence_{0};
  std::array<std::array<std::atomic<std::uint64_t>, 3>, kMax> slots_{};  // Family, high, low.
  std::atomic<std::size_t> size_{0};
  std::atomic<bool> any_{false};
};

}  // namespace sallyport::engine
