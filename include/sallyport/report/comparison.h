// Comparison is what would change between two policies for the same captures.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/policy/policy.h"
#include "sallyport/replay/replay.h"

namespace sallyport::report {

enum class Difference : std::uint8_t { kAllowed, kDenied, kOtherwise };  // Newly allowed, newly denied, by another rule or reason.

struct Side {
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  std::string rule;       // file:line
  std::string rule_text;  // TOML; equal texts are one rule, wherever they stand.
};

struct ChangedFlow {
  Difference difference = Difference::kOtherwise;
  std::string file;
  std::uint64_t flow = 0;
  std::string subject;  // "tls example.com 203.0.113.5:443"; hostile bytes as they are.
  Side before;
  Side after;
};

inline constexpr std::size_t kChangedFlowsMax = 20'000;  // Listed; all are counted.

class Comparison {
 public:
  // add_old and add_new take the results of the same captures in the same order under the two policies.
  void add_old(const replay::CaptureResult& result, const policy::Policy& policy);
  void add_new(const replay::CaptureResult& result, const policy::Policy& policy);

  const std::vector<ChangedFlow>& changes() const { return changes_; }
  std::uint64_t count(Difference difference) const { return counts_[static_cast<std::size_t>(difference)]; }
  std::uint64_t flows() const { return flows_; }
  bool changes_verdicts() const { return count(Difference::kAllowed) + count(Difference::kDenied) != 0; }

  // to_text is a table for people, with hostile bytes escaped; to_json one object a line per changed flow and one of counts.
  std::string to_text(bool colour) const;
  std::string to_json() const;

 private:
  std::map<std::pair<std::string, std::uint64_t>, Side> old_;
  std::vector<ChangedFlow> changes_;
  std::array<std::uint64_t, 3> counts_{};
  std::uint64_t flows_ = 0;
};

}  // namespace sallyport::report
