// The ladder: what may be tried, narrowest first, so that a policy allows a flow that it denies.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/learn/rule_book.h"
#include "sallyport/learn/sighting.h"

namespace sallyport::learn {

inline constexpr std::size_t kAnswersMax = 500'000;  // Pairs of a name and its address that are remembered.

// Facts is what all the flows together say.
struct Facts {
  std::set<std::pair<std::string, IpAddress>> answers;  // A resolver gave the name this address.
  bool settings = true;  // [dns] may be written; under --diff the running policy's stands.

  void take(const Sighting& sighting);
  bool told(const std::string& name, const IpAddress& address) const { return answers.contains({name, address}); }
};

// Step is one change to the book.
struct Step {
  enum class Kind : std::uint8_t { kGrant, kResolver, kPrivate, kRebindingExcept };
  Kind kind = Kind::kGrant;
  Grant grant{};
  Terms terms{};        // any_bind, ice, keep_exact and the ICMP terms alone.
  std::string name{};   // kPrivate, kRebindingExcept
  IpAddress address{};  // kResolver
};

// can_be_written tells whether a policy may say it: there are names that look like addresses, one that is a word of the policy's own,
// A-labels that stand for nothing, ports and protocols that rules do not take. The policy's own reader is asked wherever there
// could be a doubt. The steps below all can.
bool can_be_written(const Step& step);

// first_steps returns what a flow needs that nothing denied yet: all of them.
std::vector<Step> first_steps(const Sighting& sighting, const Facts& facts);
// next_steps returns what could be tried for a flow that the learned policy denies, narrowest first. Empty: no rule can
// allow it.
std::vector<Step> next_steps(const Sighting& sighting, const Facts& facts);

bool is_taken(const RuleBook& book, const Step& step);
void take(RuleBook& book, const Step& step);

// turn_of tells which denials are looked at first, as others hang on them: lookups (0), then what announces other flows (1), then
// known protocols (2), then the rest (3).
int turn_of(const Sighting& sighting);

}  // namespace sallyport::learn
