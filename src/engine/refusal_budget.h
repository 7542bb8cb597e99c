// RefusalBudget bounds how often one source (on this host: one user) is told that it was refused: each has a token bucket (kRefusalBurst,
// kRefusalsPerSecond). Sources share kRefusalSources buckets by a keyed hash; a shared one is the poorer for it. Beyond its
// budget a client is refused by the kernel alone (a reset, ICMP), which costs no words.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "keyed_hash.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"

namespace sallyport::engine {

class RefusalBudget {
 public:
  explicit RefusalBudget(const HashKey& key) : key_(key), buckets_(kRefusalSources) {}

  // take spends one refusal of the source's; false: there is none left.
  bool take(const IpAddress& source, std::uint32_t uid, Timestamp now) {
    // Of IPv6 the network: a host has as many addresses in it as it likes (RFC 8981).
    constexpr std::size_t kNetwork = 8;
    std::array<std::uint8_t, kNetwork + sizeof uid> bytes{};
    std::copy_n(source.bytes().begin(), std::min(source.bytes().size(), kNetwork), bytes.begin());
    std::memcpy(bytes.data() + kNetwork, &uid, sizeof uid);
    Bucket& bucket = buckets_[keyed_hash(key_, bytes.data(), bytes.size()) % buckets_.size()];
    const std::int64_t elapsed = std::max<std::int64_t>((now - bucket.filled).count(), 0);
    constexpr std::int64_t kInterval = Duration(std::chrono::seconds(1)).count() / kRefusalsPerSecond;
    const std::int64_t earned = elapsed / kInterval;
    if (bucket.spent <= earned) {
      bucket.spent = 0;
      bucket.filled = now;
    } else {
      bucket.spent -= static_cast<std::uint32_t>(earned);
      bucket.filled += Duration(earned * kInterval);
    }
    if (bucket.spent >= kRefusalBurst) return false;
    ++bucket.spent;
    return true;
  }

 private:
  struct Bucket {
    Timestamp filled{};
    std::uint32_t spent = 0;
  };
  HashKey key_;
  std::vector<Bucket> buckets_;
};

}  // namespace sallyport::engine
