// Finds rules that have no effect: those that equal another, and allow rules that a deny rule covers. A grant says something
// for a time, so nothing in the file is wrong because of it; a grant that a deny rule covers is a problem of the grant.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compiled_rules.h"
#include "diagnostics.h"
#include "rule.h"

namespace sallyport::policy {

class Redundancy {
 public:
  // `target_hashes` has a hash of the set of targets of each draft; drafts and rules share their ids.
  Redundancy(const CompiledRules& rules, std::span<const RuleDraft> drafts,
             std::span<const std::uint64_t> target_hashes, Diagnostics& diagnostics, Diagnostics& grant_problems)
      : rules_(rules), drafts_(drafts), target_hashes_(target_hashes), diagnostics_(diagnostics), grant_problems_(grant_problems) {}

  void report();

 private:
  void report_equal_rules();
  void report_covered_rules();
  bool targets_covered(RuleId allow, RuleId deny);
  bool has_exact(std::string_view name, RuleId rule) const;
  // visit_covering visits the rules (of either action) that have all of one target of `draft` among theirs.
  template <typename Visitor>
  void visit_covering(const RuleDraft& draft, std::size_t target, Visitor&& visitor) const;
  // The rule that the operator can change is blamed: not one of a preset, and else the later one.
  void blame(RuleId later, RuleId earlier, std::string_view message);
  std::string label(RuleId rule) const;

  const CompiledRules& rules_;
  std::span<const RuleDraft> drafts_;
  std::span<const std::uint64_t> target_hashes_;
  Diagnostics& diagnostics_;
  Diagnostics& grant_problems_;
  std::size_t lookups_ = 0;
};

}  // namespace sallyport::policy
