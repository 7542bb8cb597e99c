// Protocols that belong to the local network, and rules for them that would lead out of it.
#pragma once

#include "reader.h"
#include "rule.h"

namespace sallyport::policy {

// check_local_targets reports targets beyond the local network of an allow rule for mdns or llmnr, and answers false then:
// whoever may send such messages anywhere has a way out that needs no lookup.
bool check_local_targets(const Reader& reader, const Value& table, const RuleDraft& draft);

}  // namespace sallyport::policy
