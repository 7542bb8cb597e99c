// What Policy::match makes of each rule, and which rules come near to allowing a flow. Nothing here matches by itself:
// trace_rules tells what match's own judgement of a rule was, and near_misses asks again with facts of the query changed.
// For reports; allocates. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::policy {

// RuleFate is what match makes of one rule that has the flow's name or address among its targets.
enum class RuleFate : std::uint8_t {
  kNotInForce,      // For flows of other scopes, or expired.
  kNotMetadata,     // Allows, but does not name the metadata address that the flow is for.
  kElsewhere,       // Allows, at another port or for another protocol, type or number.
  kOtherClaim,      // Allows by the name alone what carries no name: the bytes claim another one.
  kDeniesElsewhere,  // Denies, for another protocol, port or request.
  kDenies,
  kDeniesPerhaps,   // Denies some paths, and which one the request has cannot be told.
  kOtherProxyUse,   // For proxies alone, or not for proxies.
  kUnbound,         // Allows the name at an address that belongs to it.
  kOtherRequest,    // Allows other HTTP requests.
  kOtherHostKey,    // Allows with another host key.
  kAwaitsHostKey,   // Allows if the host key is one of the rule's.
  kAwaitsTls,       // Allows if TLS comes first.
  kAllows,
};

struct RuleTrace {
  RuleId rule = kNoRule;
  bool by_name = false;  // It has the name; otherwise the address, or any destination.
  RuleFate fate = RuleFate::kNotInForce;
  RequestFit fit = RequestFit::kFits;  // kOtherRequest: what the request lacks.
};

// trace_rules returns every rule that match looks at for `query`, in the order in which it does; one that has both the
// name and the address is there twice.
std::vector<RuleTrace> trace_rules(const Policy& policy, const FlowQuery& query);

// RuleTermsView is what a rule says beside its targets. Views are the policy's.
struct RuleTermsView {
  Action action = Action::kAllow;
  std::vector<std::string_view> protocols{};                  // The words that `protocols` may hold.
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ports{};  // Ranges; empty: each protocol's own.
  ScopeSet scopes = 0;                                        // 0: every flow.
  bool expires = false;
  Timestamp expires_at{};
  bool strict = true;      // Its names count at their own addresses alone.
  bool host_keys = false;  // It pins some.
  bool proxy = false;
  std::vector<std::string_view> methods{};
  std::vector<std::string_view> paths{};  // Prefixes, and expressions behind "re:".
};
RuleTermsView terms_of(const Policy& policy, RuleId rule);

// Fact is something that a rule asks of a flow.
enum class Fact : std::uint8_t { kBinding, kHostKey, kMethod, kPath, kUpgrade, kPort, kProtocol, kProxy, kScope, kTime, kName, kAddress };

// Change is one fact of a flow that a rule would have had otherwise; both are words for people.
struct Change {
  Fact fact = Fact::kPort;
  std::string is;     // "8443"
  std::string wants;  // "443"
};

// NearMiss is an allow rule that does not allow the flow, and the fewest facts by which it would: match said so.
struct NearMiss {
  RuleId rule = kNoRule;
  std::vector<Change> changes;  // One or two; none if no two facts would do.
};

// near_misses returns the allow rules that come nearest to allowing `query`, the nearest first: those that have its name
// or address, and those that have a name next to it (above, below, or beside it by a "www").
std::vector<NearMiss> near_misses(const Policy& policy, const FlowQuery& query, std::size_t at_most);

// word_for returns the word of `protocols` that a flow answers to most closely: its protocol's, else its transport's, else an
// empty view.
std::string_view word_for(Transport transport, Protocol protocol);
// home_ports_of returns the ports that a rule without `ports` has for a word; none for one without a home.
std::vector<std::uint16_t> home_ports_of(std::string_view word);

}  // namespace sallyport::policy
