// Attribution: which grants of the book a flow that the learned policy allowed has used.
#pragma once

#include <set>
#include <vector>

#include "policy_text.h"

namespace sallyport::learn {

// used_by returns them. `first_rule` is the id of rules[0] in the policy; the rules before it are not learned.
std::set<Grant> used_by(const Sighting& sighting, const std::vector<RuleDraft>& rules, RuleId first_rule, const RuleBook& book);

}  // namespace sallyport::learn
