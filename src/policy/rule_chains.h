// RuleChains keeps ascending lists of rule ids. Lists share their tails, so that a million names of one
// rule cost one cell.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "sallyport/core/decision.h"

namespace sallyport::policy {

class RuleChains {
 public:
  using Head = std::uint32_t;
  static constexpr Head kEmpty = 0;

  // prepend returns the list `tail` with `rule` in front of it; `rule` is at most the tail's first rule,
  // and a rule that is there already is not added again.
  Head prepend(RuleId rule, Head tail) {
    if (tail != kEmpty && cells_[tail].rule == rule) return tail;
    const auto [place, is_new] = known_.try_emplace({rule, tail}, static_cast<Head>(cells_.size()));
    if (is_new) cells_.push_back({rule, tail});
    return place->second;
  }

  // visit calls `visitor(RuleId)` for each rule of a list, in ascending order.
  template <typename Visitor>
  void visit(Head head, Visitor&& visitor) const {
    for (; head != kEmpty; head = cells_[head].next) visitor(cells_[head].rule);
  }

  // seal drops what only building needs.
  void seal() {
    known_ = {};
    cells_.shrink_to_fit();
  }

 private:
  struct Cell {
    RuleId rule = kNoRule;
    Head next = kEmpty;
  };
  std::vector<Cell> cells_{1};  // Index 0 is the empty list.
  absl::flat_hash_map<std::pair<RuleId, Head>, Head> known_;
};

}  // namespace sallyport::policy
