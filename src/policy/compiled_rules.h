// CompiledRules is what a Policy consists of: rules, and the tables that find them. Immutable once built;
// any thread may read it.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgroup_pattern.h"
#include "name_arena.h"
#include "name_hash.h"
#include "name_port_table.h"
#include "prefix_map.h"
#include "rule.h"
#include "rule_chains.h"
#include "sallyport/policy/explain.h"
#include "sallyport/policy/policy.h"

namespace sallyport::policy {

// ScopeTable maps what is known of a flow's owner to the scopes that it is in.
struct ScopeTable {
  PrefixMap<ScopeSet> sources;
  absl::flat_hash_map<std::string, ScopeSet, NameHash, NameEqual> interfaces;
  absl::flat_hash_map<std::uint32_t, ScopeSet> users;
  absl::flat_hash_map<std::uint32_t, ScopeSet> groups;
  std::vector<std::pair<CgroupPattern, ScopeSet>> cgroups;
  std::vector<ContainerScope> containers;
  ScopeSet by_owner = 0;  // Scopes that go by cgroup or container.

  ScopeSet scopes_of(const ScopeFacts& facts) const;
};

// PrivateNames are those whose addresses may be private: so that they bind, or so that they reach who asked.
struct PrivateNames {
  using Set = absl::flat_hash_set<std::string, NameHash, NameEqual>;
  bool any = false;
  Set exact;
  Set suffixes;

  bool has(std::string_view name) const;
};

class CompiledRules {
 public:
  using NameMap = absl::flat_hash_map<std::string_view, RuleChains::Head, NameHash, NameEqual>;

  Defaults defaults;
  Refusals refusals;
  Deploy deploy;
  Inspect inspect;
  Dns dns;
  Listeners listeners;
  Events events;
  Metrics metrics;
  std::vector<std::uint8_t> ip_protocols;
  std::vector<std::uint8_t> icmp_types;
  std::vector<RuleInfo> infos;
  std::vector<std::string> scope_names;
  std::vector<Problem> warnings;
  std::vector<Guard> guards;
  std::uint64_t fingerprint = 0;
  std::uint64_t frame = 0;  // The fingerprint of all but the rules.
  // BypassTerms is a Bypass; no scopes: every flow.
  struct BypassTerms {
    ScopeSet scopes = 0;
    Timestamp expires;
  };
  std::vector<BypassTerms> bypasses;
  std::vector<Problem> grant_problems;
  std::vector<std::uint64_t> definitions;        // By rule.
  std::vector<std::uint64_t> guard_definitions;  // By guard.
  absl::flat_hash_map<std::uint64_t, RuleId> by_definition;
  std::vector<std::uint64_t> scope_definitions;

  std::vector<RuleTerms> rules;
  ScopeTable scopes;

  NameArena arena;
  RuleChains chains;
  NameMap exact_names;
  NameMap suffixes;  // Key "x": rules for all names below x.
  // The names that rules which need_addresses mention exactly, rule by rule: rule i has [exact_begins[i], exact_begins[i + 1]).
  std::vector<std::string_view> exact_list;
  std::vector<std::size_t> exact_begins;
  PrivateNames private_names;
  PrivateNames rebinding_except;
  std::vector<std::vector<IpAddress>> scope_resolvers;  // By scope; empty: none of its own.
  bool any_host_keys = false;
  bool needs_bindings = false;
  std::size_t suffix_length_max = 0;
  PrefixMap<RuleChains::Head> prefixes;
  RuleChains::Head any = RuleChains::kEmpty;
  NamePortTable name_ports;
  std::vector<RuleId> ssh_rules;       // Allow rules for ssh.
  bool any_paths = false;              // Some rule has paths.
  bool any_proxies = false;            // Some rule is for proxies.
  std::vector<RuleId> greeting_rules;  // Allow rules for kGreetingProtocols.

  PolicyMatch match(const FlowQuery& query) const;
  std::vector<RuleTrace> trace(const FlowQuery& query) const;
  EarlyResult match_early(ScopeSet flow_scopes, Transport transport, const IpAddress& destination,
                          std::uint16_t port, Timestamp now, Via via) const;
  bool denies_datagrams_at(ScopeSet flow_scopes, const IpAddress& destination, std::uint16_t port, Timestamp now) const;
  bool names_cover(ScopeSet flow_scopes, Transport transport, std::uint16_t port, std::string_view name, Timestamp now,
                   Via via) const;
  PolicyMatch match_question(ScopeSet flow_scopes, const DomainName* name, Timestamp now) const;
  EarlyResult match_named_early(ScopeSet flow_scopes, const DomainName& name, std::uint16_t port, Timestamp now) const;
  std::string_view wildcard_of(ScopeSet flow_scopes, std::string_view name, Timestamp now) const;
  // visit_exact calls `visitor(RuleTerms, std::span<const std::string_view>)` for each rule that has such names.
  template <typename Visitor>
  void visit_exact(Visitor&& visitor) const {
    for (std::size_t i = 0; i + 1 < exact_begins.size(); ++i) {
      const std::span all(exact_list);
      const auto names = all.subspan(exact_begins[i], exact_begins[i + 1] - exact_begins[i]);
      if (!names.empty()) visitor(rules[i], names);
    }
  }

  // visit_below calls `visitor(RuleId)` for each rule for all names below x, where x is `name`'s parent or
  // above it.
  template <typename Visitor>
  void visit_below(std::string_view name, Visitor&& visitor) const {
    if (suffixes.empty()) return;
    for (std::string_view x = DomainName::parent(name); !x.empty(); x = DomainName::parent(x)) {
      if (x.size() > suffix_length_max) continue;
      const auto found = suffixes.find(x);
      if (found != suffixes.end()) chains.visit(found->second, visitor);
    }
  }
  template <typename Visitor>
  void visit_name(std::string_view name, Visitor&& visitor) const {
    const auto found = exact_names.find(name);
    if (found != exact_names.end()) chains.visit(found->second, visitor);
    visit_below(name, visitor);
  }
  // plain is Policy::plain.
  IpAddress plain(const IpAddress& address) const;
  // names_metadata tells whether a rule has this very address, in one of its forms, among its targets.
  bool names_metadata(RuleId rule, const IpAddress& address) const;
  template <typename Visitor>
  void visit_prefixes(const IpAddress& address, Visitor&& visitor) const {
    const auto visit_list = [&](RuleChains::Head head) { chains.visit(head, visitor); };
    prefixes.visit(address, visit_list);
    if (const IpAddress embedded = plain(address); embedded.is_v6() != address.unmapped().is_v6()) prefixes.visit(embedded, visit_list);
  }
  template <typename Visitor>
  void visit_address(const IpAddress& address, Visitor&& visitor) const {
    visit_prefixes(address, visitor);
    chains.visit(any, visitor);
  }
};

// matches_at tells whether a rule is about one of `protocols` at `port`.
bool matches_at(const RuleTerms& rule, RuleProtocols protocols, std::uint16_t port);

// in_force tells whether a rule is for a flow of these scopes at this time.
inline bool in_force(const RuleTerms& rule, ScopeSet scopes, Timestamp now) {
  return (rule.scopes == 0 || (rule.scopes & (scopes == 0 ? kNoScope : scopes)) != 0) && now < rule.expires;
}

}  // namespace sallyport::policy
