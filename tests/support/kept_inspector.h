// KeptInspector keeps an inspector, and what workers share, from input to input of a fuzz target, as to make one costs more
// than to run most inputs: after finish() nothing of an input may remain. The clock goes on by more than anything is
// remembered for, so that bindings and budgets of an input are over at the next. Now and then all is made anew, so that a
// leak across inputs stays findable.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "sallyport/engine/inspector.h"

namespace sallyport::testing {

class KeptInspector {
 public:
  // `host_resolvers`: the servers believed are those of resolvers(), not the policy's own.
  explicit KeptInspector(engine::InspectorOptions options, bool host_resolvers = false)
      : options_(std::move(options)), host_resolvers_(host_resolvers) {
    options_.on_miss = [this](const engine::BindingMiss& miss) {
      if (miss_) miss_(miss);
    };
  }
  KeptInspector(const KeptInspector&) = delete;
  KeptInspector& operator=(const KeptInspector&) = delete;

  // next gives the inspector for the next input, which begins at begin().
  engine::Inspector& next() {
    constexpr unsigned kUses = 256;
    if (uses_ % kUses == 0) make();
    begin_ = kFirst + kApart * (uses_++ % kUses);
    if (resolvers_) (void)resolvers_->set({});
    return *inspector_;
  }
  Timestamp begin() const { return begin_; }
  engine::NameBindings& bindings() const { return *options_.bindings; }
  engine::LookupBudget& budget() const { return *options_.lookup_budget; }
  engine::Resolvers* resolvers() const { return resolvers_.get(); }
  void on_miss(std::function<void(const engine::BindingMiss&)> miss) { miss_ = std::move(miss); }

 private:
  void make() {
    constexpr std::size_t kBindings = 128, kNames = 64, kCounts = 8;
    inspector_.reset();
    options_.bindings = std::make_shared<engine::NameBindings>(kBindings);
    options_.lookup_budget = std::make_shared<engine::LookupBudget>(options_.hash_key, kNames, kCounts);
    if (host_resolvers_) options_.resolvers = resolvers_ = std::make_shared<engine::Resolvers>();
    inspector_ = std::make_unique<engine::Inspector>(options_);
  }

  static constexpr Timestamp kFirst{std::chrono::seconds(1'800'000'000)};
  static constexpr Duration kApart = std::chrono::hours(24 * 8);  // More than kBindingKeptMax and the longest grace.
  engine::InspectorOptions options_;
  const bool host_resolvers_;
  std::shared_ptr<engine::Resolvers> resolvers_;
  std::function<void(const engine::BindingMiss&)> miss_;
  unsigned uses_ = 0;
  Timestamp begin_ = kFirst;
  std::unique_ptr<engine::Inspector> inspector_;
};

// small_inspector gives options for a few flows; four windows for each flow are plenty.
inline engine::InspectorOptions small_inspector(std::size_t windows, bool details = false,
                                                std::optional<policy::Mode> mode = {}) {
  engine::InspectorOptions options;
  options.flows = 16;
  options.stream_windows = windows;
  options.held_packets = 32;
  options.read_details = details;
  options.mode = mode;
  return options;
}

}  // namespace sallyport::testing
