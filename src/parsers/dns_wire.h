// The pieces of a DNS message, read at an offset, because compression needs the message from its beginning.
// Each function advances `offset` behind what it read when it returns kOk, and leaves it alone otherwise.
#pragma once

#include <cstddef>

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::parsers {

enum class DnsWire : std::uint8_t {
  kOk,
  kShort,  // The bytes end before the piece does; up to there it is well-formed.
  kMalformed,
  kTooLong,
};

DnsWire read_dns_header(ByteSpan message, std::size_t& offset, DnsHeader& out);
DnsWire read_dns_name(ByteSpan message, std::size_t& offset, DnsName& out);
DnsWire read_dns_question(ByteSpan message, std::size_t& offset, DnsQuestion& out);
// read_dns_record sets all fields but the section.
DnsWire read_dns_record(ByteSpan message, std::size_t& offset, DnsRecord& out);

// is_known_dns_type tells whether a type has a mnemonic.
bool is_known_dns_type(std::uint16_t type);

}  // namespace sallyport::parsers
