// Loads a policy from TOML. All problems are reported at once; nothing is half-loaded.
#pragma once

#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::policy {

// Problem is one thing wrong with a policy: where, what was expected, and a suggestion if there is one.
struct Problem {
  std::string file;
  unsigned line = 0;    // From 1; 0 when the file as a whole is meant.
  unsigned column = 0;  // From 1.
  std::string message;  // "rules[3].prot: unknown key; did you mean \"protocols\"?"

  std::string to_string() const;  // "file:line:column: message"
};

using LoadResult = std::expected<std::shared_ptr<const Policy>, std::vector<Problem>>;

// load_policy_file reads `path` and what it includes ("preset:NAME" from the program itself, other
// names relative to the including file).
LoadResult load_policy_file(const std::filesystem::path& path);

// load_policy_text does the same for text that is not a file; `name` stands in messages.
LoadResult load_policy_text(std::string_view text, std::string_view name);

// embedded_policy returns the policy that is used when none is given: observe, default deny, no rules.
std::shared_ptr<const Policy> embedded_policy();

struct Preset {
  std::string_view name;  // "github"
  std::string_view text;  // TOML
};
const std::vector<Preset>& presets();

}  // namespace sallyport::policy
