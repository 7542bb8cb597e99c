#include "policy_builder.h"

#include <algorithm>
#include <bit>
#include <bitset>

#include "guard_reader.h"
#include "redundancy.h"
#include "stable_hash.h"

namespace sallyport::policy {
namespace {

constexpr std::uint64_t kAnySeed = 1, kExactSeed = 2, kBelowSeed = 3, kPrefixSeed = 4, kNoScopeSeed = 5, kQuicSeed = 6;

// Inserter adds the targets of one rule; rules come in descending order, as RuleChains wants them.
class Inserter {
 public:
  Inserter(CompiledRules& rules, RuleId id) : rules_(rules), id_(id) {}

  void insert(const NameTarget& target) {
    if (target.form != NameForm::kBelow) insert(rules_.exact_names[target.name], target.name, kExactSeed);
    if (target.form == NameForm::kExact) return;
    rules_.suffix_length_max = std::max(rules_.suffix_length_max, target.name.size());
    insert(rules_.suffixes[target.name], target.name, kBelowSeed);
  }
  void insert(const IpPrefix& prefix) { insert(rules_.prefixes[prefix], prefix.to_string(), kPrefixSeed); }
  void insert_any() { insert(rules_.any, "any", kAnySeed); }

  // hash is of the set of targets: a target that is given twice counts once.
  std::uint64_t hash() const { return hash_; }

 private:
  void insert(RuleChains::Head& head, std::string_view text, std::uint64_t seed) {
    const RuleChains::Head longer = rules_.chains.prepend(id_, head);
    if (longer == head) return;
    head = longer;
    hash_ += stable_hash(text, seed);
  }

  CompiledRules& rules_;
  RuleId id_;
  std::uint64_t hash_ = 0;
};

std::uint64_t hash_of(const RuleTerms& terms, const RuleInfo& info, std::uint64_t targets,
                      std::span<const std::uint64_t> scope_hashes) {
  // The action stands where it stood when there were eight protocols.
  const std::uint64_t bits = terms.protocols;
  const std::uint64_t protocols = (bits & 0xff) | (bits >> 8) << 16;
  std::uint64_t hash = stable_hash(targets, static_cast<std::uint64_t>(terms.action) << 8 | protocols);
  for (const PortRange& range : terms.ports)
    hash = stable_hash(std::uint64_t{range.first} << 16 | range.last, hash);
  std::uint64_t scopes = terms.scopes == 0 ? 0 : 1;
  for (ScopeSet rest = terms.scopes; rest != 0; rest &= rest - 1) {
    const auto scope = static_cast<std::size_t>(std::countr_zero(rest));
    scopes += scope < kScopesMax ? scope_hashes[scope] : stable_hash("none", kNoScopeSeed);
  }
  hash = stable_hash(scopes, hash);
  hash = stable_hash(static_cast<std::uint64_t>(terms.expires.time_since_epoch().count()), hash);
  hash = stable_hash(info.refuse ? 1 + static_cast<std::uint64_t>(*info.refuse) : 0, hash);
  hash = stable_hash(info.ech ? 1 + static_cast<std::uint64_t>(*info.ech) : 0, hash);
  hash = stable_hash(static_cast<std::uint64_t>(terms.bind), hash);
  if (terms.ice) hash = stable_hash(std::uint64_t{1}, hash);
  if (terms.starttls != Starttls::kAllow) hash = stable_hash(static_cast<std::uint64_t>(terms.starttls), hash);
  if (terms.ip != nullptr) hash = stable_hash(terms.ip->hash(), hash);
  hash = stable_hash(terms.host_keys != nullptr ? terms.host_keys->hash() : 0, hash);
  if (terms.http != nullptr) hash = stable_hash(terms.http->hash(), hash);
  return terms.proxy ? mixed(hash) : hash;
}

// hash_of_private_names is of the set of names whose addresses may be private.
std::uint64_t hash_of_private_names(const PrivateNames& names) {
  std::uint64_t sum = names.any ? kAnySeed : 0;
  for (const std::string& name : names.exact) sum += stable_hash(name, kExactSeed);
  for (const std::string& name : names.suffixes) sum += stable_hash(name, kBelowSeed);
  return sum;
}

std::uint64_t hash_of(const CompiledRules& rules) {
  const Dns& dns = rules.dns;
  std::uint64_t resolvers = dns.system_resolvers ? 1 : 0;
  for (const IpAddress& address : dns.resolvers) resolvers += stable_hash(address.to_string());
  if (dns.nat64 != Dns{}.nat64) {  // A policy that says nothing of it has the hash that it had before.
    resolvers += kPrefixSeed;
    for (const IpPrefix& prefix : dns.nat64) resolvers += stable_hash(prefix.to_string(), kPrefixSeed);
  }
  std::uint64_t options = 0;
  for (const std::uint16_t code : dns.edns_options) options += stable_hash(code, 0);
  std::uint64_t hash = stable_hash(resolvers, options);
  hash = stable_hash(static_cast<std::uint64_t>(dns.names) << 8 | static_cast<std::uint64_t>(dns.ech), hash);
  hash = stable_hash(dns.wildcard_budget, hash);
  hash = stable_hash(static_cast<std::uint64_t>(dns.grace.count()), hash);
  hash = stable_hash(static_cast<std::uint64_t>(dns.miss_wait.count()), hash);
  if (dns.rebinding != Rebinding::kRefuse) hash = stable_hash(static_cast<std::uint64_t>(dns.rebinding), hash);
  if (const std::uint64_t except = hash_of_private_names(rules.rebinding_except); except != 0) hash = stable_hash(except, mixed(hash));
  return stable_hash(hash_of_private_names(rules.private_names), hash);
}

// hash_of_all is of what decides a verdict; `sum` of the rules and the scopes, in any order.
std::uint64_t hash_of_all(const CompiledRules& rules, std::uint64_t sum) {
  const Defaults& defaults = rules.defaults;
  std::uint64_t hash = stable_hash(sum, static_cast<std::uint64_t>(defaults.action) << 16 | static_cast<std::uint64_t>(defaults.mode) << 8 |
                                            static_cast<std::uint64_t>(defaults.refuse));
  hash = stable_hash(hash_of(rules), hash);
  if (defaults.quic == Action::kDeny) hash = stable_hash(hash, kQuicSeed);
  if (rules.inspect.tunnels != 0) hash = stable_hash(hash, rules.inspect.tunnels);
  const std::uint64_t guards = hash_of_guards(rules.guards);
  return guards != 0 ? stable_hash(hash, guards) : hash;
}

// list_exact_names lists what a resolver keeps warm: the names of rules that match only at a name's own addresses.
// Deny rules are among them for the sake of protocols without names.
void list_exact_names(const std::vector<RuleDraft>& drafts, CompiledRules& out) {
  out.exact_begins.reserve(drafts.size() + 1);
  for (const RuleDraft& draft : drafts) {
    out.exact_begins.push_back(out.exact_list.size());
    const RuleTerms& terms = draft.terms;
    if (!needs_addresses(terms)) continue;
    out.needs_bindings |= !draft.names.empty();
    for (const NameTarget& target : draft.names) {
      if (target.form != NameForm::kBelow) out.exact_list.push_back(target.name);
    }
  }
  out.exact_begins.push_back(out.exact_list.size());
}

// list_ip_protocols tells what the kernel must hand over beside TCP and UDP.
void list_ip_protocols(CompiledRules& out) {
  std::bitset<256> numbers;
  std::bitset<256> types;
  for (const RuleTerms& rule : out.rules) {
    if (rule.action != Action::kAllow) continue;
    for (const auto& [bit, number] : kIpProtocolBits) {
      if ((rule.protocols & bit) != 0) numbers.set(number);
    }
    if (rule.ip == nullptr) continue;
    numbers |= rule.ip->numbers;
    types |= rule.ip->icmp_types;
  }
  for (std::size_t i = 0; i < 256; ++i) {
    if (numbers.test(i)) out.ip_protocols.push_back(static_cast<std::uint8_t>(i));
    if (types.test(i)) out.icmp_types.push_back(static_cast<std::uint8_t>(i));
  }
}

}  // namespace

void PolicyBuilder::add_rules(std::vector<RuleDraft>& drafts, std::span<const std::uint64_t> scope_hashes) {
  CompiledRules& out = *rules_;
  std::size_t names = 0;
  std::vector<const RuleTerms*> named;
  for (RuleDraft& draft : drafts) {
    out.rules.push_back(draft.terms);
    out.infos.push_back(draft.info);
    names += draft.names.size();
  }
  if (names > 1'000) out.exact_names.reserve(names);
  target_hashes_.resize(drafts.size());
  out.definitions.resize(drafts.size());
  out.scope_definitions.assign(scope_hashes.begin(), scope_hashes.end());
  for (const Guard& guard : out.guards) out.guard_definitions.push_back(hash_of_guards({guard}));
  std::uint64_t sum = 0;
  for (std::size_t i = drafts.size(); i-- > 0;) {
    const RuleDraft& draft = drafts[i];
    Inserter inserter(out, static_cast<RuleId>(i));
    for (const NameTarget& target : draft.names) inserter.insert(target);
    for (const IpPrefix& prefix : draft.prefixes) inserter.insert(prefix);
    if (draft.any) inserter.insert_any();
    if (!draft.names.empty()) named.push_back(&out.rules[i]);
    out.any_host_keys |= draft.terms.host_keys != nullptr;
    out.any_paths |= draft.terms.http != nullptr && draft.terms.http->has_paths();
    out.any_proxies |= draft.terms.proxy;
    target_hashes_[i] = inserter.hash();
    out.definitions[i] = hash_of(draft.terms, draft.info, inserter.hash(), scope_hashes);
    out.by_definition[out.definitions[i]] = static_cast<RuleId>(i);  // The first one stays.
    sum += out.definitions[i];
  }
  // Behind the hashes: the bit is no scope of the policy's own.
  for (RuleTerms& rule : out.rules) {
    if (rule.action == Action::kDeny && (rule.scopes & (out.scopes.by_owner | kNoScope)) != 0) rule.scopes |= kUnknownOwner;
    if (rule.action == Action::kDeny && (rule.scopes & kNoScope) != 0) rule.scopes |= kUnnamedWorkload;
  }
  list_exact_names(drafts, out);
  out.name_ports.build(named);
  for (std::size_t i = 0; i < out.rules.size(); ++i) {
    const RuleTerms& rule = out.rules[i];
    if (rule.action != Action::kAllow) continue;
    if ((rule.protocols & kSshBit) != 0) out.ssh_rules.push_back(static_cast<RuleId>(i));
    if ((rule.protocols & kGreetingProtocols) != 0) out.greeting_rules.push_back(static_cast<RuleId>(i));
  }
  out.chains.seal();
  std::uint64_t scopes = 0;
  for (const std::uint64_t scope : scope_hashes) scopes += mixed(scope);
  out.fingerprint = hash_of_all(out, sum + scopes);
  out.frame = hash_of_all(out, scopes);
  list_ip_protocols(out);
}

void PolicyBuilder::report_redundant_rules(const std::vector<RuleDraft>& drafts,
                                           Diagnostics& diagnostics, Diagnostics& grant_problems) const {
  Redundancy(*rules_, drafts, target_hashes_, diagnostics, grant_problems).report();
}

std::shared_ptr<const Policy> PolicyBuilder::finish(std::vector<Problem> warnings) {
  rules_->warnings = std::move(warnings);
  auto policy = std::make_shared<Policy>();
  policy->compiled_ = std::move(rules_);
  return policy;
}

}  // namespace sallyport::policy
