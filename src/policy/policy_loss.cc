#include "sallyport/policy/policy_loss.h"

#include <algorithm>
#include <utility>

#include "compiled_rules.h"

namespace sallyport::policy {
namespace {

constexpr RuleProtocols kFtpBit = bit_of_word("ftp");

// goes_by_claim tells the rules whose names may be at any address: what the bytes say decides.
bool goes_by_claim(const RuleTerms& rule) {
  return rule.action == Action::kAllow ? rule.bind == Bind::kAny : (rule.protocols & kNamedProtocols) != 0;
}

// by_claim returns those of some rules that go by a claim and have names among their targets.
std::vector<RuleId> by_claim(const CompiledRules& rules, const std::vector<RuleId>& meant) {
  std::vector<RuleId> found;
  std::ranges::copy_if(meant, std::back_inserter(found), [&](RuleId id) { return goes_by_claim(rules.rules[id]); });
  if (found.empty()) return found;
  std::vector<bool> named(rules.rules.size());
  for (const CompiledRules::NameMap* names : {&rules.exact_names, &rules.suffixes}) {
    for (const auto& each : *names) rules.chains.visit(each.second, [&](RuleId id) { named[id] = true; });
  }
  std::erase_if(found, [&](RuleId id) { return !named[id]; });
  return found;
}

bool same_bypass(const CompiledRules::BypassTerms& one, const CompiledRules::BypassTerms& other) {
  return one.scopes == other.scopes && one.expires <= other.expires;
}

}  // namespace

PolicyLoss::PolicyLoss(std::shared_ptr<const Policy> before, Timestamp judged, std::shared_ptr<const Policy> after, Timestamp now)
    : before_(std::move(before)), after_(std::move(after)) {
  const CompiledRules& old = *before_->compiled_;
  const CompiledRules& fresh = *after_->compiled_;
  everything_ = fresh.frame != old.frame;
  for (const CompiledRules::BypassTerms& bypass : old.bypasses) {
    if (bypass.expires <= judged) continue;
    const bool stands = std::ranges::any_of(fresh.bypasses, [&](const auto& other) { return same_bypass(bypass, other); });
    everything_ = everything_ || bypass.expires <= now || !stands;
  }
  for (std::size_t i = 0; i < old.rules.size(); ++i) {
    const RuleTerms& rule = old.rules[i];
    if (rule.action != Action::kAllow || rule.expires <= judged) continue;
    if (rule.proxy) proxies_.push_back(static_cast<RuleId>(i));
    if (rule.expires > now && fresh.by_definition.contains(old.definitions[i])) continue;
    const auto id = static_cast<RuleId>(i);
    ice_ = ice_ || rule.ice;
    lost_.push_back(id);
  }
  for (std::size_t i = 0; i < fresh.rules.size(); ++i) {
    const RuleTerms& rule = fresh.rules[i];
    if (rule.action == Action::kDeny && rule.expires > now && !old.by_definition.contains(fresh.definitions[i])) denied_.push_back(static_cast<RuleId>(i));
  }
  // What goes by a claim is about every address at its ports.
  lost_by_claim_ = by_claim(old, lost_);
  denied_by_claim_ = by_claim(fresh, denied_);
  proxies_by_claim_ = by_claim(old, proxies_);
}

bool PolicyLoss::may_lack(Transport transport, const IpAddress& server, std::uint16_t port, std::span<const DomainName> names) const {
  if (empty()) return false;
  if (everything_ || (ice_ && transport == Transport::kUdp)) return true;  // Peers are anywhere.
  const CompiledRules& old = *before_->compiled_;
  // What a proxy was asked for, at another port and under another name, nobody knows any more.
  return has(old, lost_, lost_by_claim_, transport, server, port, names) || has(old, proxies_, proxies_by_claim_, transport, server, port, names);
}

bool PolicyLoss::may_deny(Transport transport, const IpAddress& server, std::uint16_t port, std::span<const DomainName> names) const {
  return !denied_.empty() && has(*after_->compiled_, denied_, denied_by_claim_, transport, server, port, names);
}

bool PolicyLoss::has(const CompiledRules& rules, std::span<const RuleId> meant, std::span<const RuleId> by_claim, Transport transport,
                     const IpAddress& server, std::uint16_t port, std::span<const DomainName> names) {
  const RuleProtocols protocols = protocols_on(transport);
  const auto at_port = [&](RuleId id) {  // The data of FTP go to any.
    const RuleTerms& rule = rules.rules[id];
    const bool ftp = (rule.protocols & kFtpBit) != 0 && transport == Transport::kTcp;
    return ftp || matches_at(rule, protocols, port);
  };
  if (std::ranges::any_of(by_claim, at_port)) return true;
  bool found = false;
  const auto visitor = [&](RuleId id) { found = found || (std::ranges::binary_search(meant, id) && at_port(id)); };
  rules.visit_address(server, visitor);
  for (const DomainName& name : names) rules.visit_name(name.text(), visitor);
  return found;
}

}  // namespace sallyport::policy
