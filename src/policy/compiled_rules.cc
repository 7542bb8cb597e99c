#include "compiled_rules.h"

#include <algorithm>

namespace sallyport::policy {

bool matches_at(const RuleTerms& rule, RuleProtocols protocols, std::uint16_t port) {
  const RuleProtocols common = rule.protocols & protocols;
  if (rule.ports.empty()) return (common & protocols_at_home(port)) != 0;
  if (common == 0) return false;
  const auto after =
      std::upper_bound(rule.ports.begin(), rule.ports.end(), port,
                       [](std::uint16_t p, const PortRange& range) { return p < range.first; });
  return after != rule.ports.begin() && port <= std::prev(after)->last;
}

ScopeSet ScopeTable::scopes_of(const ScopeFacts& facts) const {
  ScopeSet set = 0;
  sources.visit(facts.source, [&set](ScopeSet scopes) { set |= scopes; });
  if (!facts.interface.empty()) {
    if (const auto found = interfaces.find(facts.interface); found != interfaces.end()) set |= found->second;
  }
  if (facts.uid) {
    if (const auto found = users.find(*facts.uid); found != users.end()) set |= found->second;
  }
  return set;
}

PolicyMatch CompiledRules::match(const FlowQuery& query) const {
  const RuleProtocols protocols = protocols_of_flow(query.transport, query.protocol);
  RuleId deny = kNoRule;
  RuleId allow = kNoRule;
  RuleId nearest = kNoRule;
  const auto consider = [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (!in_force(rule, query.scopes, query.now)) return;
    if (matches_at(rule, protocols, query.port)) {
      RuleId& first = rule.action == Action::kDeny ? deny : allow;
      first = std::min(first, id);
    } else if (rule.action == Action::kAllow) {
      nearest = std::min(nearest, id);
    }
  };
  if (query.name != nullptr && !query.name->empty()) visit_name(query.name->text(), consider);
  visit_address(query.destination, consider);
  if (deny != kNoRule) return {Action::kDeny, deny, kNoRule};
  if (allow != kNoRule) return {Action::kAllow, allow, kNoRule};
  if (defaults.action == Action::kAllow) return {Action::kAllow, kNoRule, kNoRule};
  return {Action::kDeny, kNoRule, nearest};
}

EarlyResult CompiledRules::match_early(ScopeSet flow_scopes, Transport transport,
                                       const IpAddress& destination, std::uint16_t port,
                                       Timestamp now) const {
  const RuleProtocols certain = protocols_of_flow(transport, Protocol::kUnknown);
  const RuleProtocols possible = protocols_on(transport);
  RuleId deny = kNoRule;   // Whatever the bytes are.
  RuleId allow = kNoRule;  // Whatever the bytes are, if nothing denies.
  bool could_deny = name_ports.could_match(Action::kDeny, transport, port, flow_scopes, now);
  bool could_allow = name_ports.could_match(Action::kAllow, transport, port, flow_scopes, now);
  visit_address(destination, [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (!in_force(rule, flow_scopes, now) || !matches_at(rule, possible, port)) return;
    const bool denies = rule.action == Action::kDeny;
    (denies ? could_deny : could_allow) = true;
    if (!matches_at(rule, certain, port)) return;
    RuleId& first = denies ? deny : allow;
    first = std::min(first, id);
  });
  if (deny != kNoRule) return {EarlyMatch::kDeny, deny};
  if (could_deny) {
    // Under a default that denies, bytes that match no deny rule are denied as well.
    if (!could_allow && defaults.action == Action::kDeny) return {EarlyMatch::kDeny, kNoRule};
    return {};
  }
  if (allow != kNoRule) return {EarlyMatch::kAllow, allow};
  if (defaults.action == Action::kAllow) return {EarlyMatch::kAllow, kNoRule};
  if (!could_allow) return {EarlyMatch::kDeny, kNoRule};
  return {};
}

}  // namespace sallyport::policy
