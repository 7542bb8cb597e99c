// What the commands that work with a live policy share.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/policy/policy_file.h"

namespace sallyport::cli {

inline constexpr const char* kPolicyHelp =
    "Policy file (TOML); without it the embedded policy: observe, default deny";

// policy_name returns what reports call the policy.
inline std::string policy_name(const std::string& path) {
  return path.empty() ? "embedded" : path;
}

// print_problems returns the exit code for them.
inline int print_problems(const std::vector<policy::Problem>& problems) {
  for (const policy::Problem& problem : problems) std::fprintf(stderr, "%s\n", problem.to_string().c_str());
  return 2;
}

// load_live_policy loads `path`, or the embedded policy for an empty one. Prints every problem and gives null
// when it does not load.
inline std::shared_ptr<const policy::Policy> load_live_policy(const std::string& path) {
  if (path.empty()) return policy::embedded_policy();
  const policy::LoadResult loaded = policy::load_policy_file(path);
  if (loaded) return *loaded;
  for (const policy::Problem& problem : loaded.error())
    std::fprintf(stderr, "%s\n", problem.to_string().c_str());
  return nullptr;
}

}  // namespace sallyport::cli
