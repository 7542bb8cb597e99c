// The rules of guarded ports, for the chains of INPUT and OUTPUT in filter. docs/netfilter.md has the reasons.
#pragma once

#include <string>
#include <vector>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

// GuardWriter is what the texts depend on; `queue` is the plan's target for what is judged.
struct GuardWriter {
  const RulePlan& plan;
  Family family;
  std::string queue;
};

// plan_guards returns what the rules must know of the guards that have ports.
std::vector<GuardPlan> plan_guards(const policy::Policy& policy);

// add_guard_requests: what comes in for a guarded port goes to the queue, whoever sends it. The rules belong behind those that
// take verdicts off packets.
void add_guard_requests(const GuardWriter& writer, std::vector<std::string>& chains, std::vector<std::string>& rules);

// add_guard_answers: of what a guarded port answers, the packets of watched flows and resets go to the queue.
void add_guard_answers(const GuardWriter& writer, std::vector<std::string>& chains, std::vector<std::string>& rules);

// guard_refusals matches what may be said in a guarded port's name to those who asked it, by whatever interface they are behind.
std::vector<std::string> guard_refusals(const RulePlan& plan, Family family);

}  // namespace sallyport::netfilter
