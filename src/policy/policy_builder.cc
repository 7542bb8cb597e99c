#include "policy_builder.h"

#include <algorithm>
#include <bit>

#include "redundancy.h"
#include "stable_hash.h"

namespace sallyport::policy {
namespace {

constexpr std::uint64_t kAnySeed = 1, kExactSeed = 2, kBelowSeed = 3, kPrefixSeed = 4;

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
    scopes += scope_hashes[static_cast<std::size_t>(std::countr_zero(rest))];
  }
  hash = stable_hash(scopes, hash);
  hash = stable_hash(static_cast<std::uint64_t>(terms.expires.time_since_epoch().count()), hash);
  return stable_hash(info.refuse ? 1 + static_cast<std::uint64_t>(*info.refuse) : 0, hash);
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
  std::uint64_t sum = 0;
  for (std::size_t i = drafts.size(); i-- > 0;) {
    const RuleDraft& draft = drafts[i];
    Inserter inserter(out, static_cast<RuleId>(i));
    for (const NameTarget& target : draft.names) inserter.insert(target);
    for (const IpPrefix& prefix : draft.prefixes) inserter.insert(prefix);
    if (draft.any) inserter.insert_any();
    if (!draft.names.empty()) named.push_back(&out.rules[i]);
    target_hashes_[i] = inserter.hash();
    sum += hash_of(draft.terms, draft.info, inserter.hash(), scope_hashes);
  }
  out.name_ports.build(named);
  out.chains.seal();
  for (const std::uint64_t scope : scope_hashes) sum += mixed(scope);
  const Defaults& defaults = out.defaults;
  out.fingerprint = stable_hash(sum, static_cast<std::uint64_t>(defaults.action) << 16 |
                                         static_cast<std::uint64_t>(defaults.mode) << 8 |
                                         static_cast<std::uint64_t>(defaults.refuse));
  if (out.inspect.tunnels != 0) out.fingerprint = stable_hash(out.fingerprint, out.inspect.tunnels);
  for (const auto& [bit, number] : kIpProtocolBits) {
    const auto allows = [bit = bit](const RuleTerms& rule) {
      return rule.action == Action::kAllow && (rule.protocols & bit) != 0;
    };
    if (std::any_of(out.rules.begin(), out.rules.end(), allows)) out.ip_protocols.push_back(number);
  }
}

void PolicyBuilder::report_redundant_rules(const std::vector<RuleDraft>& drafts,
                                           Diagnostics& diagnostics) const {
  Redundancy(*rules_, drafts, target_hashes_, diagnostics).report();
}

std::shared_ptr<const Policy> PolicyBuilder::finish(std::vector<Problem> warnings) {
  rules_->warnings = std::move(warnings);
  auto policy = std::make_shared<Policy>();
  policy->compiled_ = std::move(rules_);
  return policy;
}

}  // namespace sallyport::policy
