// Reads the notifications that nf_tables sends when rules change.
#pragma once

#include <span>

#include "sallyport/core/bytes.h"
#include "sallyport/netfilter/rule_notices.h"

namespace sallyport::netfilter {

// read_rule_notices reads the messages of one datagram: `changed` becomes true for a table, chain or rule of IPv4 or IPv6 in one of
// `tables`; who made the change is in the message at its end. What is not understood is left out.
void read_rule_notices(ByteSpan datagram, std::span<const char* const> tables, RuleNotice& notice);

}  // namespace sallyport::netfilter
