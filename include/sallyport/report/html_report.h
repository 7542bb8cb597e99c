// HtmlReport makes one page of a replay: a timeline, names, and every flow with its explanation. It needs no network and no
// other file. Names are hostile: they are data of a JSON block that cannot be left, and the page shows them as text alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/policy/policy.h"
#include "sallyport/replay/replay.h"
#include "sallyport/report/comparison.h"

namespace sallyport::report {

// Beyond these the page has totals alone, and says so.
inline constexpr std::size_t kFlowsShownMax = 20'000;
inline constexpr std::size_t kNamesShownMax = 2'000;
inline constexpr std::size_t kExplanationsMax = 2'000;

class HtmlReport {
 public:
  // `policy_file` is empty for the embedded policy.
  HtmlReport(std::shared_ptr<const policy::Policy> policy, std::string policy_file);
  ~HtmlReport();

  void add(const replay::CaptureResult& result);
  // page returns the page; with what changed where there is a comparison.
  std::string page(const Comparison* comparison) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::report
