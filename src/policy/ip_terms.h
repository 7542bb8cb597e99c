// What a rule says of protocols that have no ports: ICMP, and IP protocols by number.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>

#include "sallyport/core/limits.h"
#include "stable_hash.h"

namespace sallyport::policy {

struct IpTerms {
  // Requests of both families: no number is a request in ICMP (below 128) and in ICMPv6 (from 128 on).
  std::bitset<256> icmp_types;
  std::uint32_t icmp_payload = kIcmpPayloadDefault;  // Octets behind the header; of allow rules.
  std::bitset<256> numbers;                          // Of the word ip-proto.

  friend bool operator==(const IpTerms&, const IpTerms&) = default;

  std::uint64_t hash() const {
    std::uint64_t sum = icmp_payload;
    for (std::uint64_t i = 0; i < 256; ++i) {
      if (icmp_types.test(i)) sum += stable_hash(i, 1);
      if (numbers.test(i)) sum += stable_hash(i, 2);
    }
    return sum;
  }
  // has tells whether whatever `narrow` is about this is about too; what they do with it aside.
  bool has(const IpTerms& narrow) const {
    return (narrow.icmp_types & ~icmp_types).none() && (narrow.numbers & ~numbers).none();
  }
};

}  // namespace sallyport::policy
