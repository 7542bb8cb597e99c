// Loads a policy from TOML. All problems are reported at once; nothing is half-loaded.
#pragma once

#include <expected>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/policy/overlay.h"
#include "sallyport/policy/policy.h"
#include "sallyport/policy/problem.h"

namespace sallyport::policy {

using LoadResult = std::expected<std::shared_ptr<const Policy>, std::vector<Problem>>;

// load_policy_file reads `path` and what it includes ("preset:NAME" from the program itself, other
// names relative to the including file).
LoadResult load_policy_file(const std::filesystem::path& path, const Overlay& overlay = {});

// load_policy_file_with does the same for `path` and a text of further rules (TOML with a version of its own, and rules
// alone); these come behind all others. `name` stands for the text in messages and locations. An empty path is the embedded policy.
LoadResult load_policy_file_with(const std::filesystem::path& path, std::string_view further, std::string_view name);

// load_policy_text does the same for text that is not a file; `name` stands in messages. Such a text may
// include presets but no files: it has no folder that a relative name could start from.
LoadResult load_policy_text(std::string_view text, std::string_view name, const Overlay& overlay = {});

// PolicySource is where a running service's policy comes from: a file, or the embedded policy where `path` is empty. Its
// texts are kept as they were when it was last put in force, so that a grant neither waits for a file that is being edited to be
// whole nor puts half of an edit in force.
class PolicySource {
 public:
  explicit PolicySource(std::filesystem::path path) : path_(std::move(path)) {}

  // load reads the disk. What was kept stays until accept, which says that the policy loaded last is in force.
  LoadResult load(const Overlay& overlay);
  void accept();
  // apply compiles the kept texts with another overlay; no file is read.
  LoadResult apply(const Overlay& overlay);
  // files returns those that were read when it last loaded, and the first one in any case.
  std::vector<std::string> files() const;

 private:
  std::filesystem::path path_;
  std::map<std::string, std::string> texts_;   // Of the policy in force.
  std::map<std::string, std::string> loaded_;  // Of one that may come to be.
};

// embedded_policy returns the policy that is used when none is given: observe, default deny, no rules.
std::shared_ptr<const Policy> embedded_policy();

struct Preset {
  std::string_view name;  // "github"
  std::string_view text;  // TOML
};
const std::vector<Preset>& presets();

}  // namespace sallyport::policy
