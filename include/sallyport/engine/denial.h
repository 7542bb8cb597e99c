// Why the policy denies a flow: what the inspector tells, and what an explanation says of a question.
#pragma once

#include "sallyport/core/decision.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/reason.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

// carries_name tells the protocols whose bytes say the name that they are for.
constexpr bool carries_name(Protocol protocol) {
  return protocol == Protocol::kTls || protocol == Protocol::kQuic || protocol == Protocol::kHttp || protocol == Protocol::kDtls;
}

// denies_by_rule tells a deny rule from the default.
constexpr bool denies_by_rule(const policy::PolicyMatch& match) {
  return match.action == policy::Action::kDeny && match.rule != kNoRule;
}

// Denied is what of a flow decides the reason, beside the match.
struct Denied {
  Transport transport = Transport::kTcp;
  Protocol protocol = Protocol::kUnknown;
  bool has_name = false;       // A host name was claimed.
  bool has_claim = false;      // So was something, a host name or not.
  bool lacks_binding = false;  // Only rules for names could allow it, and its address belongs to none of theirs.
};

// why_denied returns the reason of a denial.
Reason why_denied(const policy::PolicyMatch& match, const Denied& flow);

}  // namespace sallyport::engine
