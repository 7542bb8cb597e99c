// What the policy says of a question: the inspector's order of asking (engine/bindings.cc, engine/judge_dns.cc), of the one
// matcher that there is.
#include "ask.h"

#include <algorithm>

#include "sallyport/engine/denial.h"

namespace sallyport::advice {
namespace {

using engine::carries_name;
using engine::denies_by_rule;

policy::PolicyMatch ask_dns(const policy::Policy& policy, const Asked& asked) {
  const policy::PolicyMatch match = policy.match(asked.claimed);
  const bool by_rule = match.action == policy::Action::kAllow || match.rule != kNoRule;
  if (by_rule || !asked.claimed.bound || asked.claimed.port != kDnsPort) return match;
  if (policy.dns().names == policy::DnsNames::kAny) return {.action = policy::Action::kAllow};
  policy::PolicyMatch question = policy.match_question(asked.claimed.scopes, asked.claimed.name, asked.claimed.now);
  question.nearest = match.nearest;
  return question;
}

// names_of returns what the destination is known as.
std::vector<DomainName> names_of(const Question& question) {
  std::vector<DomainName> names = question.address_names;
  if (question.name && question.bound && std::ranges::find(names, *question.name) == names.end()) names.push_back(*question.name);
  return names;
}

policy::PolicyMatch ask_names(const policy::Policy& policy, const Question& question, const Asked& asked, policy::PolicyMatch match) {
  policy::FlowQuery query = asked.unclaimed;
  query.bound = true;
  policy::PolicyMatch allowed;
  for (const DomainName& name : names_of(question)) {
    query.name = &name;
    const policy::PolicyMatch one = policy.match(query);
    if (denies_by_rule(one)) return one;
    const bool freer = allowed.action == policy::Action::kDeny || ((allowed.needs_host_key || allowed.needs_tls) && !one.needs_host_key && !one.needs_tls);
    if (one.action == policy::Action::kAllow && freer) allowed = one;
    if (match.nearest == kNoRule && !asked.has_claim) match.nearest = one.nearest;
    if (match.other_host_key == kNoRule) match.other_host_key = one.other_host_key;
  }
  const bool freer = match.needs_tls && allowed.action == policy::Action::kAllow && !allowed.needs_tls;
  return (match.action == policy::Action::kAllow && !freer) || allowed.action == policy::Action::kDeny ? match : allowed;
}

Reason why_denied(const Question& question, const policy::PolicyMatch& match) {
  const bool of_dns = question.protocol == Protocol::kDns && !question.bound;
  if (of_dns && match.rule == kNoRule && !match.metadata) return Reason::kResolverNotTrusted;
  const bool has_name = question.name.has_value();
  return engine::why_denied(match, {.transport = question.transport, .protocol = question.protocol, .has_name = has_name, .has_claim = has_name});
}

}  // namespace

Asked::Asked(const Question& question) {
  if (question.request) {
    http = {question.request->method, question.request->path, question.request->path_ambiguous, question.request->websocket};
  }
  claimed.scopes = question.scopes;
  claimed.transport = question.transport;
  claimed.protocol = question.protocol;
  claimed.no_address = !question.address;
  if (question.address) claimed.destination = *question.address;
  claimed.port = question.port;
  claimed.now = question.now;
  claimed.host_key = question.host_key ? &*question.host_key : nullptr;
  claimed.host_key_pending = question.protocol == Protocol::kSsh && !question.host_key;
  claimed.http = question.request ? &http : nullptr;
  claimed.number = question.transport == Transport::kOther ? question.ip_protocol : question.icmp_type;
  unclaimed = claimed;
  claimed.claimed = true;
  has_claim = (carries_name(question.protocol) || question.protocol == Protocol::kDns) && question.name.has_value();
  if (has_claim) claimed.name = &*question.name;
  claimed.bound = has_claim && question.bound;
  if (question.protocol == Protocol::kDns) claimed.bound = question.bound;
  decisive = claimed;
  if (!has_claim && question.name) {
    decisive = unclaimed;
    decisive.name = &*question.name;
    decisive.bound = question.bound;
  }
}

Answer ask(const policy::Policy& policy, const Question& question) {
  const Asked asked(question);
  if (question.protocol == Protocol::kQuic && policy.defaults().quic == policy::Action::kDeny) return {{}, Reason::kQuicDenied};
  policy::PolicyMatch match;
  if (question.protocol == Protocol::kDns) {
    match = ask_dns(policy, asked);
  } else {
    match = policy.match(asked.claimed);
    if (match.action == policy::Action::kAllow && carries_name(question.protocol)) {
      // A rule that has the name outweighs what else is at the address. A rule for any name, or the default, does not.
      if (!match.by_name) {
        const policy::PolicyMatch others = ask_names(policy, question, asked, match);
        if (denies_by_rule(others)) match = others;
      }
    } else if (!denies_by_rule(match)) {
      match = ask_names(policy, question, asked, match);
    }
  }
  if (match.action == policy::Action::kAllow) return {match, match.rule == kNoRule ? Reason::kDefaultAllows : Reason::kRuleAllows};
  return {match, why_denied(question, match)};
}

}  // namespace sallyport::advice
