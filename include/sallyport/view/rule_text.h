// What a flow's name, protocol and port are as a rule of the policy, or as a request to the service.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "sallyport/view/model.h"

namespace sallyport::view {

// Wanted is what a rule is to be about.
struct Wanted {
  std::string target;    // One name or one address.
  std::string protocol;  // "tls"
  std::uint16_t port = 0;
  std::string scope;  // Empty: every flow's. "none": of the flows in no scope.

  std::string text() const;  // "tls github.com:443 in agent"
};

// wanted_of fails with a sentence if no rule may be made of it: what the network said must never be read as a target that
// means more than this one name ("any", a wildcard, a prefix), and a rule about one flow is not for every scope's. Only where the
// policy has no scopes (Header::has_scopes) it has none. `action` is "allow" or "deny", for a command line in the sentence.
std::expected<Wanted, std::string> wanted_of(const Flow& flow, bool has_scopes, std::string_view action = "allow");
std::expected<Wanted, std::string> wanted_of(const DeniedName& name, bool has_scopes, std::string_view action = "allow");

// rule_toml returns the [[rules]] table that allows it.
std::string rule_toml(const Wanted& wanted);
// grant_request returns the control request {"command": action, ...}; `action` is "allow" or "deny".
std::string grant_request(std::string_view action, const Wanted& wanted, std::string_view span);

}  // namespace sallyport::view
