#include "compiled_rules.h"

#include <arpa/inet.h>

#include <algorithm>

#include "sallyport/core/special_addresses.h"

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
  if (facts.gid) {
    if (const auto found = groups.find(*facts.gid); found != groups.end()) set |= found->second;
  }
  if (!facts.cgroup.empty()) {
    for (const auto& [pattern, scopes] : cgroups) {
      if (pattern.matches(facts.cgroup)) set |= scopes;
    }
  }
  set |= facts.containers | (facts.owner_unknown && by_owner != 0 ? kUnknownOwner : 0);
  return set == 0 && (facts.workload || !facts.interface.empty()) ? kUnnamedWorkload : set;
}

bool ContainerScope::matches(std::string_view container, std::string_view compose_project,
                             std::string_view compose_service) const {
  if (project.empty()) return matches_glob(name, container);
  return !compose_service.empty() && matches_glob(project, compose_project) && matches_glob(name, compose_service);
}

IpAddress CompiledRules::plain(const IpAddress& address) const {
  if (address.is_v4()) return address;
  for (const IpPrefix& prefix : dns.nat64) {
    if (const auto embedded = embedded_v4(prefix, address)) return *embedded;
  }
  return address.unmapped();
}

bool CompiledRules::names_metadata(RuleId rule, const IpAddress& address) const {
  bool names = false;
  for (const IpAddress& form : {address, plain(address)}) {
    if (const RuleChains::Head* head = prefixes.find(IpPrefix::host(form))) chains.visit(*head, [&](RuleId id) { names |= id == rule; });
  }
  return names;
}

namespace {

constexpr RuleId first_of(RuleId a, RuleId b) {
  return std::min(a, b);
}

// accepts_key tells whether the server's key is one that the rule has for this flow. What a rule matches by address goes
// by the keys of the address, and of the name if the address is known to have it.
bool accepts_key(const HostKeys& keys, const FlowQuery& query) {
  const bool has_name = query.name != nullptr && !query.name->empty() && query.bound;
  if (has_name && keys.accepts(*query.host_key, query.name->text(), query.port)) return true;
  const IpAddress address = query.destination.unmapped();
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.is_v6() ? AF_INET6 : AF_INET, address.bytes().data(), text, sizeof text);
  return keys.accepts(*query.host_key, text, query.port);
}

// fit_of tells whether a rule has the request. A rule for some requests has no flow of which none is known.
RequestFit fit_of(const RuleTerms& rule, const FlowQuery& query) {
  if (rule.http == nullptr) return RequestFit::kFits;
  if (query.protocol != Protocol::kHttp) {
    const bool whatever = rule.http->methods.empty() && !rule.http->has_paths() && rule.http->websocket != Websocket::kOnly;
    return whatever ? RequestFit::kFits : RequestFit::kMethod;
  }
  const bool denies = rule.action == Action::kDeny;
  if (query.http == nullptr) return denies && !query.request_judged ? RequestFit::kFits : RequestFit::kMethod;
  return rule.http->fit(*query.http, denies);
}

// has_ip_terms tells whether a flow is of what IpTerms are about, as far as its transport tells.
constexpr bool has_ip_terms(Transport transport) {
  return transport == Transport::kIcmp || transport == Transport::kIcmpv6 || transport == Transport::kOther;
}

// is_among tells whether a rule for the flow's word is for its type, size or number too.
bool is_among(const RuleTerms& rule, const FlowQuery& query) {
  if (rule.ip == nullptr || !has_ip_terms(query.transport)) return true;
  if (query.transport == Transport::kOther) return query.protocol != Protocol::kUnknown || rule.ip->numbers.test(query.number);
  return rule.ip->icmp_types.test(query.number) && (rule.action == Action::kDeny || query.size <= rule.ip->icmp_payload);
}

// Question is a query with what match works out of it once.
struct Question {
  explicit Question(const CompiledRules& policy, const FlowQuery& asked)
      : query(asked), upgraded(asked.upgraded_from != Protocol::kUnknown),
        protocols(protocols_of_flow(asked.transport, asked.protocol) |
                  (upgraded ? protocols_of_flow(asked.transport, asked.upgraded_from) : RuleProtocols{0})),
        metadata(is_metadata_address(policy.plain(asked.destination))) {
    const RuleProtocols claiming = asked.by_claim_alone ? kNamedProtocols | kUpgradeProtocols : kNamedProtocols;
    by_name = static_cast<RuleProtocols>(asked.claimed ? protocols : protocols & ~claiming);
    own_word = static_cast<RuleProtocols>(protocols & ~kTransportProtocols);
  }

  const FlowQuery& query;
  bool upgraded;
  RuleProtocols protocols;
  RuleProtocols by_name = 0;
  RuleProtocols own_word = 0;
  bool metadata;
};

struct Judgement {
  RuleFate fate;
  RequestFit fit = RequestFit::kFits;
};

// judge_denying and judge_rule tell what becomes of one rule that has the flow's name (`named`) or address: the one place where
// that is decided, for verdicts and for their explanations alike.
Judgement judge_denying(const RuleTerms& rule, const Question& asked) {
  const FlowQuery& query = asked.query;
  if (query.proxy && rule.http != nullptr && query.http == nullptr) return {RuleFate::kDeniesElsewhere};  // SOCKS asks without a request.
  if (query.connect && (rule.http == nullptr || rule.http->methods.empty())) return {RuleFate::kDeniesElsewhere};
  const RequestFit fit = fit_of(rule, query);
  if (fit == RequestFit::kFits) return {RuleFate::kDenies};
  return fit == RequestFit::kAmbiguousPath ? Judgement{RuleFate::kDeniesPerhaps, fit} : Judgement{RuleFate::kDeniesElsewhere, fit};
}

Judgement judge_rule(const CompiledRules& policy, const Question& asked, RuleId id, bool named) {
  const RuleTerms& rule = policy.rules[id];
  const FlowQuery& query = asked.query;
  if (!in_force(rule, query.scopes, query.now)) return {RuleFate::kNotInForce};
  const bool denies = rule.action == Action::kDeny;
  if (asked.metadata && !denies && !policy.names_metadata(id, query.destination)) return {RuleFate::kNotMetadata};
  if (!matches_at(rule, named ? asked.by_name : asked.protocols, query.port) || !is_among(rule, query)) {
    if (denies) return {RuleFate::kDeniesElsewhere};
    // What differs from a rule for tls is not its protocol, but that the bytes claim another name.
    const bool other_claim = named && matches_at(rule, asked.protocols, query.port) && is_among(rule, query);
    return {other_claim ? RuleFate::kOtherClaim : RuleFate::kElsewhere};
  }
  if (denies) return judge_denying(rule, asked);
  if (rule.proxy != query.proxy) return {RuleFate::kOtherProxyUse};
  if (named && rule.bind == Bind::kStrict && !query.bound) return {RuleFate::kUnbound};
  if (const RequestFit fit = fit_of(rule, query); fit != RequestFit::kFits) return {RuleFate::kOtherRequest, fit};
  if (rule.host_keys != nullptr) {
    if (query.host_key != nullptr) return {accepts_key(*rule.host_keys, query) ? RuleFate::kAllows : RuleFate::kOtherHostKey};
    return {query.host_key_pending ? RuleFate::kAwaitsHostKey : RuleFate::kOtherHostKey};
  }
  const bool wants_tls = rule.starttls == Starttls::kRequire && !asked.upgraded && (rule.protocols & asked.protocols & kUpgradeProtocols) != 0;
  return {wants_tls ? RuleFate::kAwaitsTls : RuleFate::kAllows};
}

// visit_rules calls `visitor(RuleId, bool named)` for each rule that has the query's name or address.
template <typename Visitor>
void visit_rules(const CompiledRules& policy, const FlowQuery& query, Visitor&& visitor) {
  if (query.name != nullptr && !query.name->empty()) policy.visit_name(query.name->text(), [&](RuleId id) { visitor(id, true); });
  if (query.no_address) {
    policy.chains.visit(policy.any, [&](RuleId id) { visitor(id, false); });
  } else {
    policy.visit_address(query.destination, [&](RuleId id) { visitor(id, false); });
  }
}

// Findings are the first rules of each kind that were met.
struct Findings {
  RuleId deny = kNoRule;
  RuleId allow = kNoRule;
  RuleId pinned = kNoRule;  // Allows, if the server's key is one of the rule's.
  RuleId nearest = kNoRule;
  RuleId unbound = kNoRule;
  RuleId other_host_key = kNoRule;
  RuleId own_word = kNoRule;
  RuleId ice = kNoRule;
  RuleId ambiguous_deny = kNoRule;  // Denies some paths, and which one the request has cannot be told.
  RuleId other_request = kNoRule;   // Allows other requests.
  RequestFit request_fit = RequestFit::kMethod;
  RuleId wants_tls = kNoRule;  // Allows, if TLS comes first.
  bool allowed_by_name = false;
  bool nearest_icmp = false;

  void take(RuleId id, const Judgement& judgement) {
    switch (judgement.fate) {
      case RuleFate::kNotInForce:
      case RuleFate::kNotMetadata:
      case RuleFate::kOtherClaim:
      case RuleFate::kDeniesElsewhere: return;
      case RuleFate::kDenies: deny = first_of(deny, id); return;
      case RuleFate::kDeniesPerhaps: ambiguous_deny = first_of(ambiguous_deny, id); return;
      case RuleFate::kElsewhere:
      case RuleFate::kOtherProxyUse: nearest = first_of(nearest, id); return;
      case RuleFate::kUnbound: unbound = first_of(unbound, id); return;
      case RuleFate::kOtherRequest: misfit(id, judgement.fit); return;
      case RuleFate::kOtherHostKey: other_host_key = first_of(other_host_key, id); return;
      case RuleFate::kAwaitsHostKey: pinned = first_of(pinned, id); return;
      case RuleFate::kAwaitsTls: wants_tls = first_of(wants_tls, id); return;
      case RuleFate::kAllows: allow = first_of(allow, id); return;
    }
  }

  // misfit notes an allow rule that has all of a flow but the request.
  void misfit(RuleId id, RequestFit fit) {
    if (other_request != kNoRule && (fit < request_fit || (fit == request_fit && other_request < id))) return;
    other_request = id;
    request_fit = fit;
  }
};

}  // namespace

PolicyMatch CompiledRules::match(const FlowQuery& query) const {
  const Question asked(*this, query);
  Findings found;
  visit_rules(*this, query, [&](RuleId id, bool named) {
    const Judgement judgement = judge_rule(*this, asked, id, named);
    found.take(id, judgement);
    found.nearest_icmp |= judgement.fate == RuleFate::kElsewhere && (rules[id].protocols & kIcmpBit) != 0;
    if (judgement.fate != RuleFate::kAllows) return;
    found.allowed_by_name |= named;
    if (!matches_at(rules[id], asked.own_word, query.port)) return;
    found.own_word = first_of(found.own_word, id);
    if (rules[id].ice) found.ice = first_of(found.ice, id);
  });
  PolicyMatch result;
  if (found.deny != kNoRule) {
    result.rule = found.deny;
  } else if (found.ambiguous_deny != kNoRule) {
    result.rule = found.ambiguous_deny;
    result.request_fit = RequestFit::kAmbiguousPath;
  } else if (found.allow != kNoRule || found.pinned != kNoRule || found.wants_tls != kNoRule ||
             (defaults.action == Action::kAllow && !query.proxy && !asked.metadata)) {
    const RuleId on_condition = first_of(found.pinned, found.wants_tls);
    const bool conditional = found.allow == kNoRule && defaults.action == Action::kDeny;
    result.action = Action::kAllow;
    result.rule = found.allow != kNoRule ? found.allow : on_condition;
    result.by_name = found.allowed_by_name;
    result.own_word = found.own_word;
    result.ice = found.ice;
    result.needs_host_key = conditional && found.pinned != kNoRule;
    result.needs_tls = conditional && found.wants_tls != kNoRule;
  } else {
    result.metadata = asked.metadata && found.nearest == kNoRule && found.other_host_key == kNoRule && found.other_request == kNoRule;
    result.nearest = found.nearest;
    result.nearest_icmp = found.nearest_icmp;
    result.unbound = found.unbound;
    result.other_host_key = found.other_host_key;
    result.other_request = found.other_request;
    if (found.other_request != kNoRule) result.request_fit = found.request_fit;
  }
  return result;
}

std::vector<RuleTrace> CompiledRules::trace(const FlowQuery& query) const {
  const Question asked(*this, query);
  std::vector<RuleTrace> all;
  visit_rules(*this, query, [&](RuleId id, bool named) {
    const Judgement judgement = judge_rule(*this, asked, id, named);
    all.push_back({id, named, judgement.fate, judgement.fit});
  });
  return all;
}

EarlyResult CompiledRules::match_early(ScopeSet flow_scopes, Transport transport,
                                       const IpAddress& destination, std::uint16_t port,
                                       Timestamp now, Via via) const {
  const RuleProtocols certain = protocols_of_flow(transport, Protocol::kUnknown);
  const RuleProtocols possible = protocols_on(transport);
  RuleId deny = kNoRule;   // Whatever the bytes are.
  RuleId allow = kNoRule;  // Whatever the bytes are, if nothing denies.
  using Kind = NamePortTable::Kind;
  const auto names_could = [&](Kind kind) { return name_ports.could_match(kind, transport, port, flow_scopes, now); };
  bool could_deny = names_could(Kind::kDeny) || (transport == Transport::kUdp && defaults.quic == Action::kDeny);
  // A metadata address is nobody's but that of rules that name it.
  const bool metadata = is_metadata_address(plain(destination));
  bool could_allow = !metadata && names_could(via == Via::kProxy ? Kind::kAllowAnyTarget : Kind::kAllowAny);  // At an address that belongs to no name.
  const bool strict_could_allow = !metadata && names_could(via == Via::kProxy ? Kind::kAllowStrictTarget : Kind::kAllowStrict);
  visit_address(destination, [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (!in_force(rule, flow_scopes, now) || !matches_at(rule, possible, port)) return;
    const bool denies = rule.action == Action::kDeny;
    if ((metadata && !denies && !names_metadata(id, destination)) || (rule.proxy && via == Via::kProxy)) return;
    (denies ? could_deny : could_allow) = true;
    if (!matches_at(rule, certain, port) || (rule.ip != nullptr && has_ip_terms(transport))) return;
    RuleId& first = denies ? deny : allow;
    first = std::min(first, id);
  });
  const bool default_allows = defaults.action == Action::kAllow && !metadata;
  if (deny != kNoRule) return {EarlyMatch::kDeny, deny};
  // Under a default that denies, bytes that match no rule are denied.
  if (!could_allow && !strict_could_allow && !default_allows) return {EarlyMatch::kDeny, kNoRule, false, could_deny, metadata};
  if (!could_deny && allow != kNoRule) return {EarlyMatch::kAllow, allow};
  if (!could_deny && default_allows) return {EarlyMatch::kAllow, kNoRule};
  return {EarlyMatch::kUndecided, kNoRule, !could_allow && !default_allows, could_deny};
}

bool CompiledRules::denies_datagrams_at(ScopeSet flow_scopes, const IpAddress& destination, std::uint16_t port,
                                        Timestamp now) const {
  bool denies = name_ports.could_match(NamePortTable::Kind::kDenyDatagrams, Transport::kUdp, port, flow_scopes, now);
  visit_address(destination, [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    denies |= rule.action == Action::kDeny && in_force(rule, flow_scopes, now) && matches_at(rule, kDatagramProtocols, port);
  });
  return denies;
}

}  // namespace sallyport::policy
