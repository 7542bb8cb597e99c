#include "sallyport/policy/policy_loss.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "compiled_rules.h"

namespace sallyport::policy {
namespace {

constexpr RuleProtocols kFtpBit = bit_of_word("ftp");

bool same_bypass(const CompiledRules::BypassTerms& one, const CompiledRules::BypassTerms& other) {
  return one.scopes == other.scopes && one.expires <= other.expires;
}

}  // namespace

PolicyLoss::PolicyLoss(std::shared_ptr<const Policy> before, Timestamp judged, std::shared_ptr<const Policy> after, Timestamp now)
    : before_(std::move(before)), after_(std::move(after)), now_(now) {
  const CompiledRules& old = *before_->compiled_;
  const CompiledRules& fresh = *after_->compiled_;
  everything_ = fresh.frame != old.frame;
  more_tunnels_ = (fresh.inspect.tunnels & ~old.inspect.tunnels) != 0;
  for (const CompiledRules::BypassTerms& bypass : old.bypasses) {
    if (bypass.expires <= judged) continue;
    const bool stands = std::ranges::any_of(fresh.bypasses, [&](const auto& other) { return same_bypass(bypass, other); });
    everything_ = everything_ || bypass.expires <= now || !stands;
  }
  for (std::size_t i = 0; i < old.rules.size(); ++i) {
    const RuleTerms& rule = old.rules[i];
    if (rule.action != Action::kAllow || rule.expires <= judged) continue;
    const auto id = static_cast<RuleId>(i);
    if (rule.proxy) proxies_.rules.push_back(id);
    if (rule.expires > now && fresh.by_definition.contains(old.definitions[i])) continue;
    ice_ = ice_ || rule.ice;
    lost_.rules.push_back(id);
  }
  for (std::size_t i = 0; i < fresh.rules.size(); ++i) {
    const RuleTerms& rule = fresh.rules[i];
    if (rule.action != Action::kDeny || rule.expires <= now || old.by_definition.contains(fresh.definitions[i])) continue;
    denied_.rules.push_back(static_cast<RuleId>(i));
  }
  find_named(old, lost_);
  find_named(fresh, denied_);
  find_named(old, proxies_);
}

void PolicyLoss::find_named(const CompiledRules& rules, Meant& meant) {
  if (meant.rules.empty()) return;
  std::vector<bool> named(rules.rules.size());
  for (const CompiledRules::NameMap* names : {&rules.exact_names, &rules.suffixes}) {
    for (const auto& each : *names) rules.chains.visit(each.second, [&](RuleId id) { named[id] = true; });
  }
  std::ranges::copy_if(meant.rules, std::back_inserter(meant.named), [&](RuleId id) { return named[id]; });
}

bool PolicyLoss::may_lose(Transport transport, const IpAddress& server, std::uint16_t port) const {
  if (empty()) return false;
  if (has(*after_->compiled_, denied_, transport, server, port)) return true;
  const CompiledRules& old = *before_->compiled_;
  const bool peers = ice_ && transport == Transport::kUdp;  // They are anywhere.
  // What a proxy was asked for, at another port and under another name, nobody knows any more.
  const bool lost = everything_ || peers || has(old, lost_, transport, server, port) || has(old, proxies_, transport, server, port);
  return lost && !stands(transport, server, port);
}

// Whatever set of scopes a flow is in: what each of them allows no deny rule takes from all together.
bool PolicyLoss::stands(Transport transport, const IpAddress& server, std::uint16_t port) const {
  if (more_tunnels_ && transport != Transport::kTcp) return false;
  const auto allowed_in = [&](ScopeSet scopes) {
    return after_->match_early(scopes, transport, server, port, now_).match == EarlyMatch::kAllow;
  };
  if (!allowed_in(0) || !allowed_in(kUnknownOwner)) return false;
  for (std::size_t i = 0; i < after_->scope_names().size(); ++i) {
    if (!allowed_in(ScopeSet{1} << i)) return false;
  }
  return true;
}

bool PolicyLoss::has(const CompiledRules& rules, const Meant& meant, Transport transport, const IpAddress& server, std::uint16_t port) {
  const RuleProtocols protocols = protocols_on(transport);
  const auto at_port = [&](RuleId id) {  // The data of FTP go to any.
    const RuleTerms& rule = rules.rules[id];
    const bool ftp = (rule.protocols & kFtpBit) != 0 && transport == Transport::kTcp;
    return ftp || matches_at(rule, protocols, port);
  };
  if (std::ranges::any_of(meant.named, at_port)) return true;
  bool found = false;
  rules.visit_address(server, [&](RuleId id) { found = found || (std::ranges::binary_search(meant.rules, id) && at_port(id)); });
  return found;
}

}  // namespace sallyport::policy
