// LookupBudget counts how many distinct names below one wildcard a scope asks for, so that a wildcard carries little data
// out (a name's labels reach whoever serves the zone). Counts are per hour: all begin anew when an hour is over, which lets
// twice the budget through around that moment. Shared by the workers; all memory is taken in the constructor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

class LookupBudget {
 public:
  // `hash_key` must be secret: who knows it could find names that count as one.
  explicit LookupBudget(std::array<std::uint64_t, 2> hash_key = {}, std::size_t names = kBudgetNames,
                        std::size_t counts = kBudgetCounts);
  ~LookupBudget();
  LookupBudget(const LookupBudget&) = delete;
  LookupBudget& operator=(const LookupBudget&) = delete;

  // admit tells whether `name` may be asked below `wildcard`, and counts it if it is new. Names that were counted stay
  // admitted for the hour. When the memory for names or counts is used up, new names are refused. A `budget` of 0 is no
  // bound. Thread-safe, holds a lock for one look-up; no allocation. Names are told apart by 64 bits of a keyed hash: two
  // of n names are taken for one with a chance of n * n / 2^65.
  bool admit(policy::ScopeSet scopes, std::string_view wildcard, std::string_view name, std::uint32_t budget, Timestamp now);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::engine
