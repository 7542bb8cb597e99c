// Guards: flows that come in for a local HTTP port. A guard and nothing else judges them: from where they come at their SYN,
// then each request of the connection by Host (or :authority) and Origin. They are handed to the kernel only behind a
// WebSocket upgrade that the server took.
#include "inspector_impl.h"

namespace sallyport::engine {

// guard_of returns the guard of a flow that this packet opens. A capture does not tell which addresses are local ones, so
// there only listeners that have an address count.
policy::GuardId Inspector::Impl::guard_of(const Packet& packet, const FlowKey& key) const {
  const bool capture = packet.origin == Origin::kUnknown;
  if (key.transport != Transport::kTcp || key.tunnel != 0 || !(packet.inbound || capture)) return policy::kNoGuard;
  return policy_->guard_of(key.server.address, key.server.port, capture);
}

// set_owner tells whose a flow is. Who asks a guarded port is no scope's.
void Inspector::Impl::set_owner(Flow& flow, const Packet& packet) {
  flow.guard = guard_of(packet, flow.key);
  flow.scopes = is_guarded(flow) ? 0 : scopes_of(packet, flow.key);
}

// judge_guard_early answers for the first packet. True: it is refused; a guarded flow is never allowed before it has asked.
bool Inspector::Impl::judge_guard_early(Flow& flow, const Packet& packet) {
  const policy::Guard& guard = policy_->guards()[flow.guard];
  // A capture does not know the interface.
  const bool from_there = packet.origin == Origin::kUnknown ? guard.sources.empty() || guard.has_source(flow.key.client.address)
                                                            : guard.reaches(packet.in_interface, flow.key.client.address);
  if (!from_there) deny_flow(flow, Reason::kGuardSource);
  return !from_there;
}

// refuse_unguarded_stage refuses what is no HTTP: TLS, another protocol, or what an upgrade turned into.
void Inspector::Impl::refuse_unguarded_stage(Flow& flow) {
  refuse(flow, Reason::kGuardNotHttp);
  if (flow.client != nullptr) flow.client->skip(flow.client->contiguous().size());
}

bool Inspector::Impl::judge_guarded_request(Flow& flow, const parsers::HttpRequestHead& head) {
  if (shadow(flow)) return true;
  const policy::Guard& guard = policy_->guards()[flow.guard];
  const parsers::HttpAuthority* authority = head.name_authority();
  Reason reason = Reason::kRuleAllows;
  if (authority == nullptr || !guard.has_host(authority->host)) {
    reason = Reason::kGuardHost;
  } else if (head.origin_fields > 1 || (head.origin_fields == 1 && !guard.has_origin(head.origin))) {
    reason = Reason::kGuardOrigin;
  } else if (flow.midstream) {
    reason = Reason::kMidstream;  // What was asked before is not known.
  } else if (head.target_form == parsers::HttpTargetForm::kAuthority) {
    reason = Reason::kGuardNotHttp;  // CONNECT: what follows would be anything.
  }
  if (reason == Reason::kRuleAllows) {
    allow_flow(flow, reason, policy_->rule_of(flow.guard));
    return true;
  }
  deny_flow(flow, reason);
  return options_.read_details;
}

}  // namespace sallyport::engine
