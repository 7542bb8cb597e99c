#include "event_judge.h"

#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {

policy::PolicyMatch judge_question(const policy::Policy& policy, policy::ScopeSet scopes, const DomainName* name, Timestamp now) {
  policy::FlowQuery query;
  query.scopes = scopes;
  query.transport = Transport::kUdp;
  query.protocol = Protocol::kDns;
  query.no_address = true;
  query.port = kDnsPort;
  query.name = name;
  query.claimed = query.bound = true;
  query.now = now;
  const policy::PolicyMatch by_rule = policy.match(query);
  if (by_rule.action == policy::Action::kAllow || by_rule.rule != kNoRule) return by_rule;
  return policy.match_question(scopes, name, now);
}

policy::PolicyMatch judge_event(const policy::Policy& policy, const Sighting& event) {
  const auto name = DomainName::parse(event.name);
  if (event.protocol == Protocol::kDns && event.key.server.port == kDnsPort) return judge_question(policy, 0, name ? &*name : nullptr, event.last);
  policy::FlowQuery query;
  query.transport = event.key.transport;
  query.protocol = event.protocol == Protocol::kHttp2 ? Protocol::kHttp : event.protocol;
  query.destination = event.key.server.address;
  query.port = event.key.server.port;
  query.name = name ? &*name : nullptr;
  query.now = event.last;
  query.bound = event.reason != Reason::kAddressNotBound;
  query.claimed = policy::rule_word_of(event.protocol, event.key.transport).carries_name;
  query.number = event.key.ip_protocol;
  if (!event.icmp_types.empty()) query.number = event.icmp_types.front();
  return policy.match(query);
}

std::vector<Step> event_steps(const Sighting& event, const Facts& facts) {
  std::vector<Step> steps = event.proxy_target.empty() ? first_steps(event, facts) : std::vector<Step>{};
  if (steps.empty()) {
    // Nothing is known but the address: the last steps of the ladder.
    Sighting denied = event;
    denied.verdict = engine::FlowVerdict::kDeny;
    denied.reason = Reason::kAddressNotAllowed;
    steps = next_steps(denied, facts);
    if (steps.size() > 1) steps.erase(steps.begin() + 1, steps.end());
  }
  if (!event.proxy_target.empty()) {
    // The event says what the proxy was asked for; that it was asked by HTTP is likely, unless it says SOCKS.
    const std::string_view asked = event.protocol == Protocol::kSocks ? "socks" : "http";
    Step& proxy = steps.emplace_back();
    proxy.grant = {Target::of(event.key.server.address), asked, event.key.server.port, 0, true};
  }
  for (Step& step : steps) {
    const bool unbound = event.reason == Reason::kAddressNotBound && !step.grant.target.is_address && !step.grant.proxy;
    if (unbound && policy::rule_word(step.grant.word).carries_name) step.terms.any_bind = true;
  }
  std::erase_if(steps, [](const Step& step) { return !can_be_written(step); });
  return steps;
}

}  // namespace sallyport::learn
