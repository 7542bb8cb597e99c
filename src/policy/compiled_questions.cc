// What the rules say of names alone: which may be looked up, and which an address may belong to.
#include <algorithm>

#include "compiled_rules.h"

namespace sallyport::policy {
namespace {

// The transports whose words cover a protocol's: a rule for tcp and udp is about quic and dns, too.
RuleProtocols transports_of(RuleProtocols bit) {
  RuleProtocols transports = 0;
  if ((protocols_on(Transport::kTcp) & bit) != 0) transports |= kTcpBit;
  if ((protocols_on(Transport::kUdp) & bit) != 0) transports |= kUdpBit;
  return transports;
}

// is_about tells whether a rule is about all flows of this protocol to these ports.
bool is_about(const RuleTerms& rule, RuleProtocols bit, PortRange ports) {
  if (rule.http != nullptr) return false;  // About some of them.
  bool about = false;
  const RuleProtocols transports = transports_of(bit);
  port_ranges_of(rule, [&](PortRange range, RuleProtocols protocols) {
    const bool has = (protocols & bit) != 0 || (transports != 0 && (protocols & transports) == transports);
    about |= has && range.first <= ports.first && ports.last <= range.last;
  });
  return about;
}

bool in_no_scope(ScopeSet scopes) { return scopes == 0 || scopes == kUnnamedWorkload; }

// takes_away tells whether a deny rule is for every flow that `allow` is for, as far as scopes go. A flow in no scope
// asks for those of all scopes.
bool takes_away(const RuleTerms& deny, const RuleTerms& allow, ScopeSet flow_scopes) {
  if (deny.scopes == 0) return true;
  if (!in_no_scope(flow_scopes)) return (deny.scopes & flow_scopes) != 0;
  return allow.scopes != 0 && (allow.scopes & ~deny.scopes) == 0;
}

bool may_ask(const RuleTerms& rule, ScopeSet flow_scopes, Timestamp now) {
  return in_no_scope(flow_scopes) ? now < rule.expires : in_force(rule, flow_scopes, now);
}

}  // namespace

bool PrivateNames::has(std::string_view name) const {
  if (any || exact.contains(name)) return true;
  if (suffixes.empty()) return false;
  for (std::string_view x = DomainName::parent(name); !x.empty(); x = DomainName::parent(x)) {
    if (suffixes.contains(x)) return true;
  }
  return false;
}

bool CompiledRules::names_cover(ScopeSet flow_scopes, Transport transport, std::uint16_t port, std::string_view name,
                                Timestamp now, Via via) const {
  const RuleProtocols protocols = bound_protocols_on(transport);
  bool cover = false;
  visit_name(name, [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (rule.proxy && via == Via::kProxy) return;
    cover |= rule.action == Action::kAllow && in_force(rule, flow_scopes, now) && matches_at(rule, protocols, port);
  });
  return cover;
}

PolicyMatch CompiledRules::match_question(ScopeSet flow_scopes, const DomainName* name, Timestamp now) const {
  const auto visit = [&](auto&& visitor) {
    if (name != nullptr && !name->empty()) visit_name(name->text(), visitor);
    chains.visit(any, visitor);
  };
  RuleId allow = kNoRule;
  RuleId deny = kNoRule;
  // denier_of returns the first rule that denies all flows of a protocol and range of an allow rule to this name.
  const auto denier_of = [&](const RuleTerms& rule, RuleProtocols bit, PortRange range) {
    RuleId first = kNoRule;
    visit([&](RuleId id) {
      const RuleTerms& other = rules[id];
      if (id < first && other.action == Action::kDeny && now < other.expires && takes_away(other, rule, flow_scopes) &&
          is_about(other, bit, range) && (rule.ip == nullptr || other.ip == nullptr || other.ip->has(*rule.ip))) {
        first = id;
      }
    });
    return first;
  };
  const auto consider = [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (id >= allow || rule.action != Action::kAllow || !may_ask(rule, flow_scopes, now)) return;
    port_ranges_of(rule, [&](PortRange range, RuleProtocols protocols) {
      protocols &= static_cast<RuleProtocols>(~kDnsBit);
      for (RuleProtocols rest = protocols; rest != 0 && allow != id; rest &= static_cast<RuleProtocols>(rest - 1)) {
        const RuleId denier = denier_of(rule, static_cast<RuleProtocols>(rest & -rest), range);
        if (denier == kNoRule) {
          allow = id;
        } else {
          deny = std::min(deny, denier);
        }
      }
    });
  };
  visit(consider);
  PolicyMatch result;
  if (allow != kNoRule || defaults.action == Action::kAllow) {
    result.action = Action::kAllow;
    result.rule = allow;
  } else {
    result.rule = deny;
  }
  return result;
}

EarlyResult CompiledRules::match_named_early(ScopeSet flow_scopes, const DomainName& name, std::uint16_t port,
                                             Timestamp now) const {
  constexpr RuleProtocols kPossible = protocols_on(Transport::kTcp);
  const bool default_allows = defaults.action == Action::kAllow;
  RuleProtocols allowed = default_allows ? kPossible : 0;
  RuleProtocols denied = 0;
  RuleId deny = kNoRule;
  const auto consider = [&](RuleId id) {
    const RuleTerms& rule = rules[id];
    if (!in_force(rule, flow_scopes, now) || !matches_at(rule, kPossible, port)) return;
    const bool whatever = (rule.protocols & kTcpBit) != 0 && matches_at(rule, kTcpBit, port);
    const RuleProtocols at_home = rule.ports.empty() ? protocols_at_home(port) : kPossible;
    const RuleProtocols bits = whatever ? kPossible : rule.protocols & kPossible & at_home;
    if (rule.action == Action::kAllow) {
      if (!rule.proxy) allowed |= bits;
    } else if (rule.http == nullptr) {
      denied |= bits;
      deny = std::min(deny, id);
    }
  };
  visit_name(name.text(), consider);
  chains.visit(any, consider);
  if ((allowed & ~denied) != 0) return {};
  return {EarlyMatch::kDeny, allowed != 0 ? deny : kNoRule, false};
}

std::string_view CompiledRules::wildcard_of(ScopeSet flow_scopes, std::string_view name, Timestamp now) const {
  const auto any_allows = [&](RuleChains::Head head) {
    bool allows = false;
    chains.visit(head, [&](RuleId id) {
      const RuleTerms& rule = rules[id];
      allows |= rule.action == Action::kAllow && may_ask(rule, flow_scopes, now);
    });
    return allows;
  };
  if (const auto found = exact_names.find(name); found != exact_names.end() && any_allows(found->second)) return {};
  std::string_view widest;
  if (suffixes.empty()) return widest;
  for (std::string_view x = DomainName::parent(name); !x.empty(); x = DomainName::parent(x)) {
    if (x.size() > suffix_length_max) continue;
    const auto found = suffixes.find(x);
    if (found != suffixes.end() && any_allows(found->second)) widest = found->first;
  }
  return widest;
}

}  // namespace sallyport::policy
