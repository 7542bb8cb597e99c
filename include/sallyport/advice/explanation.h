// Explanation is the path to the verdict of one flow under one policy, what came nearest to allowing it, and the rule that
// would. Every "would" was asked of the policy's own matcher. For people and scripts; allocates.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sallyport/advice/question.h"
#include "sallyport/advice/rule_text.h"
#include "sallyport/policy/explain.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::advice {

// Answer is what the policy says of a question, asked as the inspector asks: for the name that the bytes claim, then for
// the names that the address belongs to.
struct Answer {
  policy::PolicyMatch match;
  Reason reason = Reason::kNotEvaluated;
};
Answer ask(const policy::Policy& policy, const Question& question);

enum class Sign : std::uint8_t { kNeutral, kYes, kNo };

struct Step {
  std::string title;  // "scope", "deny rules", ...
  std::string text;
  Sign sign = Sign::kNeutral;
};

struct RuleShown {
  RuleId id = kNoRule;
  std::string location;  // "policy.toml:12", or "default"
  std::string name;      // The rule's own, if it has one.
  std::string text;      // TOML
};

struct NearRule {
  RuleShown rule;
  std::vector<policy::Change> changes;
  std::string why_not;  // "it is for port 443, not 8443"
};

struct Suggestion {
  std::string toml;  // A rule to add; empty where none helps.
  std::string note;  // What else to know, or what to do instead.
  bool proven = false;  // The policy was loaded with it, and allows.
};

struct Explanation {
  std::string subject;  // "tls to example.com, TCP port 443"
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleShown rule;
  std::vector<Step> steps;
  std::vector<NearRule> nearest;
  Suggestion suggestion;
  bool conditional = false;  // Allowed if the host key is right, or TLS comes first.
  std::vector<std::string> notes;

  bool allowed() const { return verdict == engine::FlowVerdict::kAllow; }
};

// LoadWith loads the policy with `toml` behind its text; null when it does not load.
using LoadWith = std::function<policy::LoadResult(const std::string& toml)>;

// explain never fails: what the policy cannot tell is said so. Without `load_with` suggestions are not proven.
Explanation explain(const policy::Policy& policy, const Question& question, RuleTexts& texts, const LoadWith& load_with);

// suggest returns the narrowest rule that allows the flow, or says why none would.
Suggestion suggest(const policy::Policy& policy, const Question& question, const Answer& answer, const LoadWith& load_with);

// sentence_of says why a rule that comes near does not allow the flow.
std::string sentence_of(const std::vector<policy::Change>& changes);

struct TextStyle {
  bool colour = false;
  bool brief = false;  // Without the steps.
};
// to_text is for terminals: everything but printable ASCII is escaped. to_json is one object without a line feed.
std::string to_text(const Explanation& explanation, const TextStyle& style);
std::string to_json(const Explanation& explanation);

}  // namespace sallyport::advice
