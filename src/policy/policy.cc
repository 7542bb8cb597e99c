#include "sallyport/policy/policy.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <bit>
#include <span>

#include "compiled_rules.h"
#include "name_hash.h"

namespace sallyport::policy {
namespace {

// NameCollector gathers names, each once, up to a bound.
class NameCollector {
 public:
  explicit NameCollector(std::size_t at_most) : at_most_(at_most) {}

  void add(std::span<const std::string_view> names) {
    for (const std::string_view name : names) {
      if (names_.size() == at_most_) return;
      const auto parsed = DomainName::parse(name);
      if (parsed && seen_.insert(name).second) names_.push_back(*parsed);
    }
  }
  std::vector<DomainName> take() { return std::move(names_); }

 private:
  std::size_t at_most_;
  std::vector<DomainName> names_;
  absl::flat_hash_set<std::string_view, NameHash, NameEqual> seen_;
};

}  // namespace

Policy::Policy() : compiled_(std::make_unique<CompiledRules>()) {}
Policy::~Policy() = default;

ScopeSet Policy::scopes_of(const ScopeFacts& facts) const {
  return compiled_->scopes.scopes_of(facts);
}

PolicyMatch Policy::match(const FlowQuery& query) const {
  if (bypassed(query.scopes, query.now)) return {.action = Action::kAllow, .bypass = true};
  return compiled_->match(query);
}

EarlyResult Policy::match_early(ScopeSet scopes, Transport transport, const IpAddress& destination,
                                std::uint16_t port, Timestamp now, Via via) const {
  if (bypassed(scopes, now)) return {.match = EarlyMatch::kAllow, .bypass = true};
  return compiled_->match_early(scopes, transport, destination, port, now, via);
}

bool Policy::ssh_at(ScopeSet scopes, std::uint16_t port, Timestamp now) const {
  return std::any_of(compiled_->ssh_rules.begin(), compiled_->ssh_rules.end(), [&](RuleId id) {
    const RuleTerms& rule = compiled_->rules[id];
    return in_force(rule, scopes, now) && matches_at(rule, kSshBit, port);
  });
}

bool Policy::greeting_at(ScopeSet scopes, std::uint16_t port, Timestamp now) const {
  return std::any_of(compiled_->greeting_rules.begin(), compiled_->greeting_rules.end(), [&](RuleId id) {
    const RuleTerms& rule = compiled_->rules[id];
    return in_force(rule, scopes, now) && matches_at(rule, kGreetingProtocols, port);
  });
}

bool Policy::names_cover(ScopeSet scopes, Transport transport, std::uint16_t port, const DomainName& name,
                         Timestamp now, Via via) const {
  return compiled_->names_cover(scopes, transport, port, name.text(), now, via);
}

PolicyMatch Policy::match_question(ScopeSet scopes, const DomainName* name, Timestamp now) const {
  if (bypassed(scopes, now)) return {.action = Action::kAllow, .bypass = true};
  return compiled_->match_question(scopes, name, now);
}

std::string_view Policy::wildcard_of(ScopeSet scopes, const DomainName& name, Timestamp now) const {
  return compiled_->wildcard_of(scopes, name.text(), now);
}

std::vector<DomainName> Policy::exact_names(Timestamp now, std::size_t at_most) const {
  NameCollector names(at_most);
  compiled_->visit_exact([&](const RuleTerms& rule, std::span<const std::string_view> list) {
    if (rule.action == Action::kAllow && now < rule.expires) names.add(list);
  });
  return names.take();
}

std::vector<DomainName> Policy::denied_names(Timestamp now, std::size_t at_most) const {
  NameCollector names(at_most);
  compiled_->visit_exact([&](const RuleTerms& rule, std::span<const std::string_view> list) {
    if (rule.action == Action::kDeny && now < rule.expires) names.add(list);
  });
  return names.take();
}

std::optional<Timestamp> Policy::next_expiry(Timestamp after) const {
  std::optional<Timestamp> next;
  for (const RuleTerms& rule : compiled_->rules) {
    if (rule.expires != kNever && rule.expires > after && (!next || rule.expires < *next)) next = rule.expires;
  }
  return next;
}

bool Policy::looks_up(const DomainName& name) const {
  const auto found = compiled_->exact_names.find(name.text());
  if (found == compiled_->exact_names.end()) return false;
  bool looked_up = false;
  compiled_->chains.visit(found->second, [&](RuleId id) { looked_up |= needs_addresses(compiled_->rules[id]); });
  return looked_up;
}

bool Policy::only_denies(const DomainName& name, Timestamp now) const {
  bool denies = false, allows = false;
  compiled_->visit_name(name.text(), [&](RuleId id) {
    const RuleTerms& rule = compiled_->rules[id];
    if (now < rule.expires) (rule.action == Action::kDeny ? denies : allows) = true;
  });
  return denies && !allows;
}

bool Policy::needs_bindings() const {
  return compiled_->needs_bindings;
}

bool Policy::denies_names_at(ScopeSet scopes, Transport transport, std::uint16_t port, Timestamp now) const {
  if (bypassed(scopes, now)) return false;
  return compiled_->name_ports.could_match(NamePortTable::Kind::kDenyUnnamed, transport, port, scopes, now);
}

bool Policy::denies_datagrams_at(ScopeSet scopes, const IpAddress& destination, std::uint16_t port, Timestamp now) const {
  if (bypassed(scopes, now)) return false;
  return compiled_->denies_datagrams_at(scopes, destination, port, now);
}

std::vector<DomainName> Policy::exact_names_for(ScopeSet scopes, Transport transport, std::uint16_t port,
                                                Timestamp now, std::size_t at_most) const {
  NameCollector names(at_most);
  compiled_->visit_exact([&](const RuleTerms& rule, std::span<const std::string_view> list) {
    if (rule.action == Action::kAllow && in_force(rule, scopes, now) && matches_at(rule, bound_protocols_on(transport), port)) names.add(list);
  });
  return names.take();
}

EarlyResult Policy::match_named_early(ScopeSet scopes, const DomainName& name, std::uint16_t port, Timestamp now) const {
  if (bypassed(scopes, now)) return {.bypass = true};
  return compiled_->match_named_early(scopes, name, port, now);
}

bool Policy::reads_paths() const {
  return compiled_->any_paths;
}

bool Policy::has_proxies() const {
  return compiled_->any_proxies;
}

bool Policy::has_host_keys() const {
  return compiled_->any_host_keys;
}

Ech Policy::ech_of(RuleId rule) const {
  if (rule >= compiled_->infos.size()) return compiled_->dns.ech;
  return compiled_->infos[rule].ech.value_or(compiled_->dns.ech);
}

View Policy::view_of(ScopeSet scopes) const {
  const auto& resolvers = compiled_->scope_resolvers;
  for (; scopes != 0; scopes &= scopes - 1) {
    const auto scope = static_cast<std::size_t>(std::countr_zero(scopes));
    if (scope < resolvers.size() && !resolvers[scope].empty()) return static_cast<View>(1 + scope);
  }
  return 0;
}

std::span<const IpAddress> Policy::resolvers_of(View view) const {
  const auto& resolvers = compiled_->scope_resolvers;
  if (view == 0 || view > resolvers.size()) return {};
  return resolvers[view - 1u];
}

bool Policy::view_trusts(View view, const IpAddress& server) const {
  const std::span<const IpAddress> list = resolvers_of(view);
  return std::find(list.begin(), list.end(), plain(server)) != list.end();
}

IpAddress Policy::plain(const IpAddress& address) const {
  return compiled_->plain(address);
}

bool Policy::has_cgroups() const {
  return !compiled_->scopes.cgroups.empty();
}

std::span<const ContainerScope> Policy::containers() const {
  return compiled_->scopes.containers;
}

bool Policy::may_be_private(const DomainName& name) const {
  return compiled_->private_names.has(name.text());
}

bool Policy::may_rebind(const DomainName& name) const {
  return compiled_->rebinding_except.has(name.text()) || may_be_private(name);
}

const Dns& Policy::dns() const {
  return compiled_->dns;
}
const Defaults& Policy::defaults() const {
  return compiled_->defaults;
}
const Refusals& Policy::refusals() const {
  return compiled_->refusals;
}
const Deploy& Policy::deploy() const {
  return compiled_->deploy;
}
const Events& Policy::events() const {
  return compiled_->events;
}

const Listeners& Policy::listeners() const {
  return compiled_->listeners;
}
const Inspect& Policy::inspect() const {
  return compiled_->inspect;
}
std::span<const std::uint8_t> Policy::ip_protocols() const {
  return compiled_->ip_protocols;
}
std::span<const std::uint8_t> Policy::icmp_types() const {
  return compiled_->icmp_types;
}
const std::vector<RuleInfo>& Policy::rules() const {
  return compiled_->infos;
}
const std::vector<std::string>& Policy::scope_names() const {
  return compiled_->scope_names;
}
const Metrics& Policy::metrics() const {
  return compiled_->metrics;
}
const std::vector<Problem>& Policy::grant_problems() const {
  return compiled_->grant_problems;
}
bool Policy::bypassed(ScopeSet scopes, Timestamp now) const {
  return std::ranges::any_of(compiled_->bypasses, [&](const CompiledRules::BypassTerms& bypass) {
    return now < bypass.expires && (bypass.scopes == 0 || (bypass.scopes & (scopes == 0 ? kNoScope : scopes)) != 0);
  });
}
const std::vector<Problem>& Policy::warnings() const {
  return compiled_->warnings;
}
std::uint64_t Policy::fingerprint() const {
  return compiled_->fingerprint;
}

// The definition of a rule is never 0, but by a chance of 1 in 2^64.
std::uint64_t Policy::definition_of(RuleId rule) const {
  if (rule < compiled_->definitions.size()) return compiled_->definitions[rule];
  const std::size_t guard = rule - compiled_->infos.size();
  return rule != kNoRule && guard < compiled_->guard_definitions.size() ? compiled_->guard_definitions[guard] : 0;
}

RuleId Policy::rule_defined(std::uint64_t definition) const {
  const auto found = compiled_->by_definition.find(definition);
  return found == compiled_->by_definition.end() ? kNoRule : found->second;
}

bool Policy::rule_in_force(RuleId rule, ScopeSet scopes, Timestamp now) const {
  return rule < compiled_->rules.size() && policy::in_force(compiled_->rules[rule], scopes, now);
}

ScopeSet Policy::scopes_from(const Policy& before, ScopeSet scopes, bool all) const {
  ScopeSet carried = scopes & (all ? kUnknownOwner | kUnnamedWorkload : kUnknownOwner);
  const CompiledRules& old = *before.compiled_;
  const ScopeSet every = (ScopeSet{1} << compiled_->scope_names.size()) - 1;
  for (ScopeSet rest = all ? every : compiled_->scopes.by_owner; rest != 0; rest &= rest - 1) {
    const auto scope = static_cast<std::size_t>(std::countr_zero(rest));
    const auto found = std::find(old.scope_names.begin(), old.scope_names.end(), compiled_->scope_names[scope]);
    const auto then = static_cast<std::size_t>(found - old.scope_names.begin());
    if (found == old.scope_names.end() || old.scope_definitions[then] != compiled_->scope_definitions[scope]) {
      carried |= kUnknownOwner;
    } else if ((scopes >> then & 1) != 0) {
      carried |= ScopeSet{1} << scope;
    }
  }
  return carried;
}

bool Policy::denies_no_more_requests(const Policy& before) const {
  for (std::size_t i = 0; i < compiled_->rules.size(); ++i) {
    const RuleTerms& rule = compiled_->rules[i];
    if (rule.action == Action::kDeny && rule.http != nullptr && !before.compiled_->by_definition.contains(compiled_->definitions[i])) return false;
  }
  return true;
}

bool Policy::same_views(const Policy& before) const {
  const CompiledRules& old = *before.compiled_;
  if (compiled_->scope_resolvers != old.scope_resolvers) return false;
  for (std::size_t i = 0; i < compiled_->scope_resolvers.size(); ++i) {
    if (compiled_->scope_resolvers[i].empty()) continue;
    if (compiled_->scope_names[i] != old.scope_names[i] || compiled_->scope_definitions[i] != old.scope_definitions[i]) return false;
  }
  return true;
}

std::span<const Guard> Policy::guards() const {
  return compiled_->guards;
}

GuardId Policy::guard_of(const IpAddress& address, std::uint16_t port, bool addressed) const {
  const std::vector<Guard>& guards = compiled_->guards;
  for (std::size_t i = 0; i < guards.size(); ++i) {
    for (const GuardListener& one : guards[i].listen) {
      if (one.covers(address, port) && (one.address || !addressed)) return static_cast<GuardId>(i);
    }
  }
  return kNoGuard;
}

RuleId Policy::rule_of(GuardId guard) const {
  return static_cast<RuleId>(compiled_->infos.size() + guard);
}

const Guard* Policy::guard_at(RuleId rule) const {
  if (rule < compiled_->infos.size()) return nullptr;
  const std::size_t guard = rule - compiled_->infos.size();
  return guard < compiled_->guards.size() ? &compiled_->guards[guard] : nullptr;
}

std::string Policy::location(RuleId rule) const {
  if (const Guard* guard = guard_at(rule)) return guard->file + ":" + std::to_string(guard->line);
  if (rule >= compiled_->infos.size()) return "default";
  const RuleInfo& info = compiled_->infos[rule];
  return info.file + ":" + std::to_string(info.line);
}

Refuse Policy::refuse_of(RuleId rule) const {
  if (rule >= compiled_->infos.size()) return compiled_->defaults.refuse;
  return compiled_->infos[rule].refuse.value_or(compiled_->defaults.refuse);
}

}  // namespace sallyport::policy
