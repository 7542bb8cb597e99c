// Reads the keys of rules about protocols without ports: icmp_types, icmp_payload and ip_protos.
#pragma once

#include <memory>

#include "ip_terms.h"
#include "reader.h"
#include "rule.h"

namespace sallyport::policy {

// read_ip_terms reads them from the rule's table, for the protocols and the action that `draft` has. Null where the rule
// has neither icmp nor ip-proto. `failed` is set when a problem was reported.
std::shared_ptr<const IpTerms> read_ip_terms(const Reader& reader, const Value& table, const RuleDraft& draft, bool& failed);

}  // namespace sallyport::policy
