#include "sallyport/policy/policy.h"

#include "compiled_rules.h"

namespace sallyport::policy {

Policy::Policy() : compiled_(std::make_unique<CompiledRules>()) {}
Policy::~Policy() = default;

ScopeSet Policy::scopes_of(const ScopeFacts& facts) const {
  return compiled_->scopes.scopes_of(facts);
}

PolicyMatch Policy::match(const FlowQuery& query) const {
  return compiled_->match(query);
}

EarlyResult Policy::match_early(ScopeSet scopes, Transport transport, const IpAddress& destination,
                                std::uint16_t port, Timestamp now) const {
  return compiled_->match_early(scopes, transport, destination, port, now);
}

const Defaults& Policy::defaults() const {
  return compiled_->defaults;
}
const Deploy& Policy::deploy() const {
  return compiled_->deploy;
}
const Inspect& Policy::inspect() const {
  return compiled_->inspect;
}
std::span<const std::uint8_t> Policy::ip_protocols() const {
  return compiled_->ip_protocols;
}
const std::vector<RuleInfo>& Policy::rules() const {
  return compiled_->infos;
}
const std::vector<std::string>& Policy::scope_names() const {
  return compiled_->scope_names;
}
const std::vector<Problem>& Policy::warnings() const {
  return compiled_->warnings;
}
std::uint64_t Policy::fingerprint() const {
  return compiled_->fingerprint;
}

std::string Policy::location(RuleId rule) const {
  if (rule >= compiled_->infos.size()) return "default";
  const RuleInfo& info = compiled_->infos[rule];
  return info.file + ":" + std::to_string(info.line);
}

Refuse Policy::refuse_of(RuleId rule) const {
  if (rule >= compiled_->infos.size()) return compiled_->defaults.refuse;
  return compiled_->infos[rule].refuse.value_or(compiled_->defaults.refuse);
}

}  // namespace sallyport::policy
