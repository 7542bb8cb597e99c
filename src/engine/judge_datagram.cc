// What a datagram can change in a flow that is no stranger any more: QUIC under a policy that has none, and the protocols
// that a deny rule has, whatever allowed the flow.
#include "inspector_impl.h"

namespace sallyport::engine {

// refuses_quic refuses a QUIC flow at its first datagram. Its name is not waited for: the sooner its client hears of it,
// the sooner it takes TCP.
bool Inspector::Impl::refuses_quic(Flow& flow) {
  if (policy_->defaults().quic != policy::Action::kDeny) return false;
  set_protocol(flow, Protocol::kQuic);
  refuse(flow, Reason::kQuicDenied);
  return flow.state == FlowState::kDenied;
}

// refuses_short_header refuses what may be of a QUIC connection that nobody knows any more, if no rule has it for whatever it
// is. It does not condemn the flow: a client that starts anew from the same port is judged by its hello.
bool Inspector::Impl::refuses_short_header(Flow& flow) {
  const policy::PolicyMatch match = this->match(flow, Protocol::kUnknown, {});
  if (match.action == policy::Action::kAllow || why_denied(flow, Protocol::kUnknown, {}, match) != Reason::kUnknownProtocol) return false;
  if (flow.verdict != FlowVerdict::kDeny) deny_flow(flow, Reason::kQuicShortHeader);
  flow.stage_known = false;
  return true;
}

// denies_datagram asks for a datagram that is of another protocol than the flow began with: a deny rule has it wherever it
// comes in the flow. Allow rules are not asked again: what `ntp` or `udp` allows may go on as it likes.
bool Inspector::Impl::denies_datagram(Flow& flow, Protocol protocol) {
  if (!flow.asked_again || flow.state != FlowState::kJudged || protocol == Protocol::kUnknown || protocol == flow.stage) return false;
  const policy::PolicyMatch match = policy_->match(query_of(flow, protocol));
  const bool denied = denies_by_rule(match);
  const RuleId denier = denied ? match.rule : denier_of_address(flow, protocol);
  if (denier == kNoRule) return false;
  flow.protocol = protocol;
  deny_flow(flow, Reason::kRuleDenies, denier);
  return true;
}

}  // namespace sallyport::engine
