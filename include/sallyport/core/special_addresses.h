// Addresses that mean more than their digits say: cloud metadata services, and IPv4 inside NAT64 prefixes.
#pragma once

#include <optional>

#include "sallyport/core/ip_address.h"

namespace sallyport {

// is_metadata_address tells the addresses at which clouds give a machine its credentials. `address` is not IPv4-mapped.
bool is_metadata_address(const IpAddress& address);

// is_nat64_length tells the prefix lengths that RFC 6052 §2.2 has: 32, 40, 48, 56, 64 and 96.
bool is_nat64_length(unsigned length);

// embedded_v4 returns the IPv4 address inside `address`, if that is in `nat64`, whose length is_nat64_length. The octet that
// must be zero (bits 64 to 71) is passed over, as a translator does.
std::optional<IpAddress> embedded_v4(const IpPrefix& nat64, const IpAddress& address);

}  // namespace sallyport
