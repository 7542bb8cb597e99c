// What a server's answer to one of our own questions says.
#pragma once

#include <cstdint>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/time.h"

namespace sallyport::resolver {

struct LookupAnswer {
  enum class Kind : std::uint8_t {
    kUnusable,   // Malformed, an error, or an answer to something else.
    kNoAddress,  // The name has none, or does not exist.
    kAddresses,
  };
  Kind kind = Kind::kUnusable;
  std::vector<IpAddress> addresses;  // Unmapped, as many as there are: a message has at most kDnsRecordsMax.
  Duration ttl{0};                   // The least of the chain's and the addresses'.
};

// read_lookup_answer reads a response to the question for `name` and `type` (A or AAAA). Addresses count only at the
// end of the CNAME chain that begins at the question (R16), whatever order the records stand in.
LookupAnswer read_lookup_answer(ByteSpan message, const DomainName& name, std::uint16_t type);

}  // namespace sallyport::resolver
