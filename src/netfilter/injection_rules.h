// The rules about packets that this program makes itself: refusals to clients and resets to servers. They are known by
// their mark (MarkField::injected), by the user that sends them, and by where they go, never by one of these alone.
// docs/netfilter.md, "Injected packets".
#pragma once

#include <string>

#include "sallyport/netfilter/rule_text.h"
#include "table_text.h"

namespace sallyport::netfilter {

// of_injector matches, in OUTPUT and POSTROUTING, what bears an injected mark and was sent by the service's user.
std::string of_injector(const RulePlan& plan);

// add_injected adds the chain that lets such packets through where they may go and drops them elsewhere.
void add_injected(TableText& table, const RulePlan& plan, Family family);

// raw_table keeps connection tracking off injected packets that ask for it. What `of_scope`, if not empty, matches is a
// command's and never ours.
TableText raw_table(const RulePlan& plan, const std::string& of_scope);

}  // namespace sallyport::netfilter
