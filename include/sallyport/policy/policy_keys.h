// The keys that a policy may hold. docs/policy.md has a row for each; a test compares the two.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::policy {

enum class KeyStage : std::uint8_t {
  kSupported,
  kLater,  // Known, but an error "not supported yet": never ignored.
};

struct PolicyKey {
  std::string_view table;  // "" is the top of the file; "scopes.NAME" stands for each scope.
  std::string_view key;
  std::string_view type;           // For people; empty for kLater.
  std::string_view default_value;  // As TOML, "required", or "-" for none.
  KeyStage stage = KeyStage::kSupported;
};

std::span<const PolicyKey> policy_keys();

}  // namespace sallyport::policy
