// Flows that wait because their address belongs to no name yet. The owner of the inspector is told once of each
// (on_miss) and may look names up; when bindings have changed the flow is tried again, and after dns.miss_wait refused.
// Nothing blocks: the packets are held like those of an incomplete message.
#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kTriesPerCall = 128;  // Bounds the work of one expire().

}  // namespace

std::optional<Decision> Inspector::Impl::gate_syn(Flow& flow, const Packet& packet, bool has_payload) {
  if (!flow.needs_binding || observing() || flow.state != FlowState::kUndecided) return std::nullopt;
  if (flow.key.server.port == kDnsPort && trusts(flow)) return std::nullopt;
  flow.binding_tried = bindings_->version();
  if (names_cover(flow)) {
    if (flow.binding_wait == BindingWait::kSyn) {  // Sent again, and the binding has come meanwhile.
      end_binding_wait(flow);
      release_held(flow, UINT64_MAX);
    }
    return std::nullopt;
  }
  if (flow.binding_wait != BindingWait::kNone) return Decision{.reason = Reason::kAwaitingBinding};
  if (flow.key.server.port == kDnsPort) return deny_flow(flow, Reason::kResolverNotTrusted);
  if (const Reason waits = await_binding(flow, BindingWait::kSyn); waits != Reason::kAwaitingBinding) return deny_flow(flow, waits);
  // A SYN with data (RFC 7413) is not kept: its data would have to be. The client sends it again.
  if (has_payload) return Decision{.reason = Reason::kAwaitingBinding};
  if (!push_held(flow, packet, 0)) return deny_flow(flow, Reason::kWaitLimit);
  return Decision{Verdict::kHold, Reason::kAwaitingBinding, kNoRule, {}};
}

Reason Inspector::Impl::await_binding(Flow& flow, BindingWait what) {
  if (flow.binding_wait != BindingWait::kNone) return Reason::kAwaitingBinding;
  const Duration wait = policy_->dns().miss_wait;
  if (flow.binding_waited >= what || !options_.on_miss || wait <= Duration::zero()) return Reason::kAddressNotBound;
  // Who has no room is refused at once and may come back: a flow that hung about undecided would cost others theirs.
  flow.wait_place = awaiting_.place_of(flow.key, flow.uid.value_or(UINT32_MAX));
  if (!awaiting_.enter(flow.wait_place, flow.held.count)) return Reason::kWaitLimit;
  flow.binding_waited = what;
  flow.binding_wait = what;
  flow.binding_deadline = now_ + wait;
  table_.start_unbound(flow);
  options_.on_miss({flow.scopes, flow.key.transport, target_address(flow), target_port(flow),
                    what == BindingWait::kClaim ? flow.name : DomainName()});
  return Reason::kAwaitingBinding;
}

// hold_unbound keeps the first datagrams; the rest are the sender's to send again.
Decision Inspector::Impl::hold_unbound(Flow& flow, const Packet& packet) {
  // What a tunnel carries is judged when its packet comes, and a packet that is let go later would go unread.
  if (flow.carries != Protocol::kUnknown) return {.reason = Reason::kAwaitingBinding};
  if (flow.held.count >= kQuicInitialsPerFlowMax) return {.reason = Reason::kAwaitingBinding};
  return hold(flow, packet, 0);
}

void Inspector::Impl::end_binding_wait(Flow& flow) {
  if (flow.binding_wait == BindingWait::kNone) return;
  awaiting_.leave(flow.wait_place, flow.held.count);
  flow.binding_wait = BindingWait::kNone;
  table_.stop_unbound(flow);
}

void Inspector::Impl::retry_bindings() {
  const std::uint64_t version = bindings_->version();
  for (std::size_t i = 0; i < kTriesPerCall; ++i) {
    Flow* flow = table_.next_unbound();
    if (flow == nullptr) break;
    table_.end_unbound_turn(*flow);  // Also of one that was tried by a packet of its own: others are behind it.
    if (flow->binding_tried == version) continue;
    flow->binding_tried = version;
    last_flow = flow->number;
    retry_binding(*flow);
  }
  last_flow.reset();
  for (std::size_t i = 0; i < kTriesPerCall; ++i) {
    Flow* flow = table_.oldest_unbound();
    if (flow == nullptr || flow->binding_deadline > now_) break;
    if (flow->binding_tried != version) retry_binding(*flow);
    if (flow->binding_wait != BindingWait::kNone) refuse_held(*flow, Reason::kAddressNotBound);
  }
}

void Inspector::Impl::retry_binding(Flow& flow) {
  switch (flow.binding_wait) {
    case BindingWait::kNone:
      return;
    case BindingWait::kSyn:
      if (!names_cover(flow)) return;
      end_binding_wait(flow);
      flow.reason = Reason::kConnecting;
      return release_held(flow, UINT64_MAX);
    case BindingWait::kDatagram: {
      const std::uint32_t held = flow.held.count;
      if (judge(flow, flow.stage, {})) {
        flow.watch = true;
        return release_held(flow, UINT64_MAX);
      }
      if (flow.state == FlowState::kDenied && held != 0) releases.back().decision = refusal_of(flow);
      return;
    }
    case BindingWait::kClaim:
      if (bound_to_target(flow, flow.name)) retry_claim(flow);
      return;
  }
}

// retry_claim reads again what is remembered of the client's bytes.
void Inspector::Impl::retry_claim(Flow& flow) {
  const std::uint32_t held = flow.held.count;
  if (flow.key.transport == Transport::kTcp) {
    read_client_stream(flow);
    if (flow.state != FlowState::kDenied && flow.binding_wait == BindingWait::kNone) release_held(flow, judged_end(flow));
  } else if (flow.stage == Protocol::kQuic && flow.client != nullptr) {
    if (read_crypto_stream(flow) == QuicRead::kJudged) {
      flow.state = FlowState::kFinal;
      release_held(flow, UINT64_MAX);
    }
  } else if (flow.stage == Protocol::kDtls && flow.client != nullptr && read_dtls_hello(flow)) {
    flow.watch = true;
    release_held(flow, UINT64_MAX);
  }
  if (flow.state == FlowState::kDenied && held != 0 && !releases.empty()) releases.back().decision = refusal_of(flow);
}

// refuse_held denies a flow whose wait is over. Its last held packet carries the refusal.
void Inspector::Impl::refuse_held(Flow& flow, Reason reason) {
  const std::uint32_t held = flow.held.count;
  end_binding_wait(flow);
  deny_flow(flow, reason);
  if (held != 0 && !releases.empty()) releases.back().decision = refusal_of(flow);
}

}  // namespace sallyport::engine
