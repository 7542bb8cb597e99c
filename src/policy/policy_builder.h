// PolicyBuilder turns drafts into the tables of a Policy, and finds rules that say what others say.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compiled_rules.h"
#include "diagnostics.h"
#include "rule.h"

namespace sallyport::policy {

class PolicyBuilder {
 public:
  PolicyBuilder() : rules_(std::make_unique<CompiledRules>()) {}

  // rules are for the readers to fill: defaults, deploy, scopes, and the arena of the drafts' names.
  CompiledRules& rules() { return *rules_; }

  // add_rules compiles the drafts in their order; ids are indexes.
  void add_rules(std::vector<RuleDraft>& drafts, std::span<const std::uint64_t> scope_hashes);

  // report_redundant_rules reports rules that equal another, and allow rules that a deny rule covers.
  void report_redundant_rules(const std::vector<RuleDraft>& drafts, Diagnostics& diagnostics, Diagnostics& grant_problems) const;

  std::shared_ptr<const Policy> finish(std::vector<Problem> warnings);

 private:
  std::unique_ptr<CompiledRules> rules_;
  std::vector<std::uint64_t> target_hashes_;  // By rule.
};

}  // namespace sallyport::policy
