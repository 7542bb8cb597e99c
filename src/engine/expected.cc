// Flows that no rule allows by itself, but that another flow announced. Deny rules win over an announcement.
#include "inspector_impl.h"
#include "sallyport/core/special_addresses.h"
#include "sallyport/parsers/stun.h"

namespace sallyport::engine {
namespace {

// may_be_peer tells where an ICE peer may be: anywhere on the internet, and, for a client that has a private address itself,
// at private addresses. Link-local peers are IPv6 ones of a link-local client.
bool may_be_peer(const Endpoint& client, const Endpoint& peer) {
  const IpAddress to = peer.address.unmapped();
  const IpAddress from = client.address.unmapped();
  if (peer.port < kFirstUserPort) return false;
  if (to.is_loopback() || to.is_multicast_or_broadcast() || is_metadata_address(to)) return false;
  if (is_public_address(to)) return true;
  if (to.is_link_local()) return to.is_v6() && from.is_link_local();
  const bool unspecified = to.bytes()[0] == 0;  // 0.0.0.0/8, ::/8
  const bool reserved = to.is_v4() && to.bytes()[0] >= 240;
  return !unspecified && !reserved && !is_public_address(from) && !from.is_link_local();
}

}  // namespace

// take_expected_connection answers whether the flow is expected. It is allowed then, but where a deny rule could have it by what
// it will say: its bytes are judged first.
bool Inspector::Impl::take_expected_connection(Flow& flow, const policy::EarlyResult& early) {
  const bool by_rule = early.rule != kNoRule || early.match == policy::EarlyMatch::kAllow || early.metadata;
  if (flow.key.transport != Transport::kTcp || !flow.syn_seen || flow.key.tunnel != 0 || by_rule) return false;
  if (flow.expected == kNoRule) {
    const auto announcer = expectations_->take_connection(flow.key, owner_of(flow), now_);
    if (!announcer) return false;
    flow.expected = policy_->rule_defined(*announcer);
    if (!policy_->rule_in_force(flow.expected, flow.scopes, now_)) flow.expected = kNoRule;  // It is gone since.
    if (flow.expected == kNoRule) return false;
  }
  flow.needs_binding = false;
  if (!early.could_deny) allow_flow(flow, Reason::kExpected, flow.expected);
  return true;
}

// may_be_expected_peer tells a flow that was denied as nothing was known of its socket then, and could be allowed now.
bool Inspector::Impl::may_be_expected_peer(const Flow& flow, ByteSpan datagram) const {
  return flow.state == FlowState::kDenied && flow.rule == kNoRule && flow.ice.phase == IcePhase::kNone && flow.key.tunnel == 0 &&
         flow.reason != Reason::kIcePeerLimit && expectations_->socket_open(flow.key.client, owner_of(flow), now_) &&
         parsers::is_ice_check(datagram) && may_be_peer(flow.key.client, flow.key.server);
}

bool Inspector::Impl::take_expected_peer(Flow& flow, ByteSpan datagram) {
  if (flow.key.tunnel != 0 || flow.key.client.port == 0 || !expectations_->socket_open(flow.key.client, owner_of(flow), now_)) return false;
  if (!parsers::is_ice_check(datagram) || !may_be_peer(flow.key.client, flow.key.server)) return false;
  const policy::EarlyResult early = policy_->match_early(flow.scopes, flow.key.transport, flow.key.server.address,
                                                         flow.key.server.port, now_);
  if (early.rule != kNoRule || early.match == policy::EarlyMatch::kAllow || early.metadata) return false;
  const policy::PolicyMatch match = this->match(flow, Protocol::kStun, {});
  if (match.rule != kNoRule || match.action == policy::Action::kAllow) return false;
  Expectations::Announcer announcer = 0;
  switch (expectations_->take_peer(flow.key.client, owner_of(flow), now_, announcer)) {
    case Expectations::Peer::kNotOpen: return false;
    case Expectations::Peer::kTooMany: deny_flow(flow, Reason::kIcePeerLimit); return true;
    case Expectations::Peer::kTaken: break;
  }
  const RuleId rule = policy_->rule_defined(announcer);
  if (!policy_->rule_in_force(rule, flow.scopes, now_)) return false;
  set_protocol(flow, Protocol::kStun);
  flow.expected = rule;
  flow.ice.phase = IcePhase::kChecking;
  flow.watch = true;
  allow_flow(flow, Reason::kExpected, rule);
  return true;
}

}  // namespace sallyport::engine
