// Overlay is what operators put on top of a policy file while the service runs: rules for a time, and break-glass. It is
// compiled with the file, so a grant is a rule like any other, whose location is "grant:ID".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::policy {

// What a grant's rule has for a file in reports; its line is the grant's id.
inline constexpr const char* kGrantFile = "grant";

// Grant has the words of a rule ([[rules]] of docs/policy.md), as text that is not checked yet.
struct Grant {
  std::uint32_t id = 0;
  Action action = Action::kAllow;
  std::string target;                  // As in `to`.
  std::vector<std::string> protocols;  // Empty: those of a rule that does not say.
  std::vector<std::string> ports;      // "443", "8000-8010", "any". Empty: each protocol's own.
  std::string scope;                   // Empty: every flow.
  std::optional<Timestamp> expires;    // Absent: until it is revoked.

  friend bool operator==(const Grant&, const Grant&) = default;
};

// normal_target returns the one text of all spellings of a target: lower case, A-labels, no final dot, addresses as prefixes.
// What is no target comes back as it is.
std::string normal_target(std::string_view text);

// Bypass lets a scope's flows through whatever the rules say.
struct Bypass {
  std::uint32_t id = 0;
  std::string scope;  // Empty: every flow.
  Timestamp expires;

  friend bool operator==(const Bypass&, const Bypass&) = default;
};

struct Overlay {
  std::vector<Grant> grants;
  std::vector<Bypass> bypasses;

  bool empty() const { return grants.empty() && bypasses.empty(); }
};

}  // namespace sallyport::policy
