// Reads ICMP (RFC 792, RFC 950) and ICMPv6 (RFC 4443, RFC 4620) messages as far as a judgement needs.
#pragma once

#include <cstdint>
#include <expected>

#include "sallyport/core/bytes.h"
#include "sallyport/core/parse_error.h"

namespace sallyport::parsers {

enum class IcmpKind : std::uint8_t {
  kRequest,  // Of the types that have a reply by the same identifier.
  kReply,
  kError,    // Of errors, and of all that is for routers and neighbours (redirects, NDP, MLD).
  kOther,
};

struct IcmpMessage {
  IcmpKind kind = IcmpKind::kOther;
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t identifier = 0;  // Of requests and replies.
  std::uint16_t sequence = 0;
  std::size_t payload_size = 0;  // Octets behind the header of eight.
};

enum class IcmpFamily : std::uint8_t { kIcmp, kIcmpv6 };

// parse_icmp reads `bytes`, which were `size` octets long before capture truncation. kMalformed: shorter than a header, or
// a request or reply of a length or with a code that its standard does not have.
std::expected<IcmpMessage, ParseError> parse_icmp(IcmpFamily family, ByteSpan bytes, std::size_t size);

// reply_type_of returns the type of the reply to a request of `type`, which IcmpKind::kRequest has.
std::uint8_t reply_type_of(IcmpFamily family, std::uint8_t type);

}  // namespace sallyport::parsers
