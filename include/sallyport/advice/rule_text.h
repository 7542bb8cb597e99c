// The TOML text of a rule as its operator wrote it.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::advice {

// RuleTexts reads the files of a policy, each once. Not thread-safe.
class RuleTexts {
 public:
  explicit RuleTexts(const policy::Policy& policy) : policy_(policy) {}

  // text_of returns the lines of a rule or guard, or an empty text where its file cannot be read (any more).
  std::string text_of(RuleId rule);

 private:
  const std::vector<std::string>& lines_of(const std::string& file);

  const policy::Policy& policy_;
  std::unordered_map<std::string, std::vector<std::string>> files_;
};

}  // namespace sallyport::advice
