// Whether a name belongs to the flow's address: the second half of every judgement by name (R3).
#include <algorithm>

#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

// on_condition tells an allowance that something else must bear out.
bool on_condition(const policy::PolicyMatch& match) { return match.needs_host_key || match.needs_tls; }

}  // namespace

bool Inspector::Impl::trusts(const Flow& flow) const {
  if (flow.proxy != nullptr) return false;  // Whatever a proxy brings, it may have made.
  const IpAddress server = policy_->plain(flow.key.server.address);
  if (const policy::View view = view_of(flow); view != 0) return policy_->view_trusts(view, server);
  if (options_.resolvers != nullptr) return options_.resolvers->trusts(server);
  const policy::Dns& dns = policy_->dns();
  return dns.system_resolvers || std::ranges::find(dns.resolvers, server) != dns.resolvers.end();
}

bool Inspector::Impl::reads_answers(const Flow& flow) const {
  const bool wanted = policy_->needs_bindings() || policy_->dns().rebinding != policy::Rebinding::kAllow;
  return flow.key.server.port == kDnsPort && flow.key.tunnel == 0 && wanted && trusts(flow);
}

bool Inspector::Impl::is_own(const Flow& flow) const {
  return options_.own_uid && flow.uid == options_.own_uid && options_.resolvers != nullptr && flow.key.tunnel == 0 &&
         flow.key.server.port == kDnsPort && options_.resolvers->is_own_port(flow.key.transport, flow.key.client.port);
}

policy::FlowQuery Inspector::Impl::query_of(const Flow& flow, Protocol protocol) const {
  const bool upgraded = flow.session.upgraded && protocol == Protocol::kTls;
  return {.scopes = flow.scopes,
          .transport = flow.key.transport,
          .protocol = protocol,
          .destination = target_address(flow),
          .port = target_port(flow),
          .now = now_,
          .host_key = flow.ssh.host_key_known ? &flow.ssh.host_key : nullptr,
          .host_key_pending = protocol == Protocol::kSsh && !flow.ssh.host_key_known,
          .http = request_,
          .no_address = flow.proxy != nullptr && flow.proxy->by_name(),
          .upgraded_from = upgraded ? flow.session.read.protocol : Protocol::kUnknown,
          .by_claim_alone = upgraded && flow.hello_named,
          .number = flow.key.transport == Transport::kOther ? flow.key.ip_protocol : flow.icmp.type,
          .size = flow.icmp.size,
          .request_judged = rejudging_ && request_judged(flow)};
}

// match asks the policy: for what the message claims, and where that does not allow it, for what the address is known as.
policy::PolicyMatch Inspector::Impl::match(Flow& flow, Protocol protocol, const NameClaim& claim) {
  flow.binding_tried = bindings_->version();  // Before the look-up: what comes behind it is tried again.
  policy::FlowQuery query = query_of(flow, protocol);
  query.name = claim.name;
  query.claimed = true;
  if (claim.name != nullptr) {
    // A flow that began at a bound address lives on when the binding ends.
    const bool goes_on = flow.name_bound && flow.verdict == FlowVerdict::kAllow && flow.name == *claim.name;
    query.bound = goes_on || bound_to_target(flow, *claim.name);
    flow.name = *claim.name;
    flow.has_name = true;
    flow.name_of_address = false;
    flow.name_bound = query.bound;
  }
  const policy::PolicyMatch match = policy_->match(query);
  if (match.action == policy::Action::kAllow && query.bound) use_binding(flow, *claim.name);
  if (denies_by_rule(match)) return match;
  if (match.action == policy::Action::kAllow && carries_name(protocol)) {
    // A rule that has the name outweighs what else is at the address. A rule for any name, or the default, does not.
    const RuleId denier = match.by_name ? kNoRule : denier_of_address(flow, protocol);
    return denier == kNoRule ? match : policy::PolicyMatch{.rule = denier};
  }
  return match_names_of_address(flow, protocol, match, claim.name != nullptr);
}

// denier_of_address returns the deny rule that has one of the living names of the address, however many there are.
RuleId Inspector::Impl::denier_of_address(const Flow& flow, Protocol protocol) {
  if (!policy_->denies_names_at(flow.scopes, flow.key.transport, target_port(flow), now_)) return kNoRule;
  struct Question {
    const policy::Policy& policy;
    policy::FlowQuery query;
    RuleId rule = kNoRule;
  } question{*policy_, query_of(flow, protocol)};
  question.query.bound = true;
  const auto denies = [](void* context, const DomainName& name) {
    Question& asked = *static_cast<Question*>(context);
    asked.query.name = &name;
    const policy::PolicyMatch match = asked.policy.match(asked.query);
    if (denies_by_rule(match)) asked.rule = match.rule;
    return denies_by_rule(match);
  };
  (void)any_name_of_target(flow, denies, &question);
  return question.rule;
}

// allower_of_address returns what allows one of the living names of the address, however many there are, and the name.
policy::PolicyMatch Inspector::Impl::allower_of_address(const Flow& flow, Protocol protocol, DomainName& name) {
  struct Question {
    const policy::Policy& policy;
    policy::FlowQuery query;
    DomainName& name;
    policy::PolicyMatch match = {};
  } question{*policy_, query_of(flow, protocol), name};
  question.query.bound = true;
  const auto allows = [](void* context, const DomainName& one) {
    Question& asked = *static_cast<Question*>(context);
    asked.query.name = &one;
    const policy::PolicyMatch match = asked.policy.match(asked.query);
    if (match.action != policy::Action::kAllow) return false;
    asked.match = match;
    asked.name = one;
    return true;
  };
  (void)any_name_of_target(flow, allows, &question);
  return question.match;
}

// match_names_of_address asks for the living names of the address. A deny rule wins, then what `match` allowed, then the
// first name that is allowed; who had many names put there does not hide the others.
policy::PolicyMatch Inspector::Impl::match_names_of_address(Flow& flow, Protocol protocol, policy::PolicyMatch match,
                                                            bool has_claim) {
  policy::FlowQuery query = query_of(flow, protocol);
  query.bound = true;
  const std::size_t count = names_of_target(flow);
  if (count == 0) return match;
  // A deny rule has all names of the address, not the ones alone that are tried.
  if (const RuleId denier = denier_of_address(flow, protocol); denier != kNoRule) match = {.rule = denier};
  const DomainName* allowed = nullptr;
  policy::PolicyMatch by_name;
  for (const DomainName& name : std::span(names_).first(count)) {
    query.name = &name;
    const policy::PolicyMatch one = policy_->match(query);
    if (denies_by_rule(one)) {
      match = one;
      allowed = nullptr;
      break;
    }
    if (one.action == policy::Action::kAllow && (allowed == nullptr || (on_condition(by_name) && !on_condition(one)))) {
      allowed = &name;
      by_name = one;
    }
    // What the bytes claim is another name than the one that such a rule has.
    if (match.nearest == kNoRule && !has_claim && !query.by_claim_alone) match.nearest = one.nearest;
    if (match.other_host_key == kNoRule) match.other_host_key = one.other_host_key;
  }
  if (!query.no_address) report_bound_names(flow, count);
  DomainName further;
  if (allowed == nullptr && count == names_.size()) {
    by_name = allower_of_address(flow, protocol, further);
    if (by_name.action == policy::Action::kAllow) allowed = &further;
  }
  const bool freer = match.needs_tls && allowed != nullptr && !by_name.needs_tls;
  if (denies_by_rule(match) || (match.action == policy::Action::kAllow && !freer) || allowed == nullptr) return match;
  use_binding(flow, *allowed);
  if (has_claim) return by_name;
  flow.name = *allowed;
  flow.has_name = flow.name_of_address = true;
  return by_name;
}

Reason Inspector::Impl::why_denied(const Flow& flow, Protocol protocol, const NameClaim& claim, const policy::PolicyMatch& match) {
  const bool has_claim = !claim.text.empty() || claim.name != nullptr;
  // A deny rule says all; the names of the address are not gone through for it.
  const bool lacks_binding = match.rule == kNoRule && !carries_name(protocol) && flow.needs_binding && !names_cover(flow);
  return engine::why_denied(match, {flow.key.transport, protocol, claim.name != nullptr, has_claim, lacks_binding});
}

// names_cover tells whether the address has a living name that some rule for the flow's port has.
bool Inspector::Impl::names_cover(const Flow& flow) {
  struct Question {
    const policy::Policy& policy;
    const Flow& flow;
    Timestamp now;
  } question{*policy_, flow, now_};
  const auto covers = [](void* context, const DomainName& name) {
    const Question& asked = *static_cast<Question*>(context);
    const policy::Via via = asked.flow.proxy != nullptr ? policy::Via::kProxy : policy::Via::kNothing;
    return asked.policy.names_cover(asked.flow.scopes, asked.flow.key.transport, target_port(asked.flow), name, asked.now, via);
  };
  return any_name_of_target(flow, covers, &question);
}

// may_reach tells whether some rule could allow the flow at the address that it is for, as it stands.
bool Inspector::Impl::may_reach(const Flow& flow) {
  if (observing() || flow.state != FlowState::kUndecided) return true;
  const Endpoint& server = flow.key.server;
  const policy::EarlyResult early = policy_->match_early(flow.scopes, flow.key.transport, server.address, server.port, now_);
  if (early.match == policy::EarlyMatch::kAllow || (server.port == kDnsPort && trusts(flow))) return true;
  return early.match == policy::EarlyMatch::kUndecided && (!early.needs_binding || names_cover(flow));
}

// use_binding keeps a binding for as long as a client may hold on to the address after its last connection.
void Inspector::Impl::use_binding(Flow& flow, const DomainName& name) {
  if (flow.proxy != nullptr) return;  // Nobody holds on to an address that a proxy was asked for.
  flow.binding = bindings_->keep_until(policy_->plain(flow.key.server.address), name, view_of(flow), now_, now_ + policy_->dns().grace);
  flow.binding_kept = now_;
}

void Inspector::Impl::keep_binding(Flow& flow) {
  if (flow.binding.slot == BindingRef::kNone || flow.verdict != FlowVerdict::kAllow) return;
  if (now_ < flow.binding_kept + kBindingKeptAgain) return;
  flow.binding_kept = now_;
  bindings_->keep_until(flow.binding, policy_->plain(flow.key.server.address), now_, now_ + policy_->dns().grace);
}

// report_bound_names tells the first `count` of names_, as many as fit.
void Inspector::Impl::report_bound_names(Flow& flow, std::size_t count) {
  std::array<char, 1'024> text;
  std::size_t size = 0;
  for (const DomainName& name : std::span(names_).first(count)) {
    const std::string_view one = name.text();
    if (size + one.size() + 1 > text.size()) break;
    if (size != 0) text[size++] = ' ';
    size += one.copy(text.data() + size, one.size());
  }
  report_detail(flow, Detail::kBoundNames, {text.data(), size});
}

}  // namespace sallyport::engine
