// The rules of guarded ports, for the chains of INPUT and OUTPUT in filter. docs/netfilter.md has the reasons.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

struct GuardRules {
  std::vector<std::string> chains;
  std::vector<std::string> rules;
};

// guard_request_rules: what comes in for a guarded port goes to the queue, whoever sends it. `queue` is the plan's target.
// They stand behind what returns flows that the kernel may pass alone.
GuardRules guard_request_rules(const RulePlan& plan, Family family, std::string_view queue);

// guard_answer_rules: of what a guarded port answers, the packets of watched flows and resets go to the queue.
GuardRules guard_answer_rules(const RulePlan& plan, Family family, std::string_view queue);

// guard_refusals matches what may be said in a guarded port's name to those who asked it, by whatever interface they are behind.
std::vector<std::string> guard_refusals(const RulePlan& plan, Family family);

}  // namespace sallyport::netfilter
