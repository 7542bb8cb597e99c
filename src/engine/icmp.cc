// ICMP: each request is judged by its address, type and size, and no flow is ever handed to the kernel, so that what the rules
// say of the first request holds for every one. A flow is one identifier between two addresses. Errors, and what is for
// routers and neighbours, are nobody's to send.
#include "sallyport/parsers/icmp.h"

#include <algorithm>

#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

parsers::IcmpFamily family_of(Transport transport) {
  return transport == Transport::kIcmp ? parsers::IcmpFamily::kIcmp : parsers::IcmpFamily::kIcmpv6;
}

std::uint16_t swapped(std::uint16_t value) { return static_cast<std::uint16_t>(value << 8 | value >> 8); }

// goes_on tells whether `next` follows `last` closely, in either order of octets: some programs count in their own.
bool goes_on(std::uint16_t last, std::uint16_t next) {
  const auto step = static_cast<std::uint16_t>(next - last);
  const auto swapped_step = static_cast<std::uint16_t>(swapped(next) - swapped(last));
  return std::min(step, swapped_step) <= kIcmpSequenceStep;
}

}  // namespace

Decision Inspector::Impl::icmp(const Packet& packet, const parsers::IpPacket& ip) {
  const auto message = parsers::parse_icmp(family_of(ip.transport), ip.payload, ip.payload_size);
  if (!message) return {.reason = Reason::kMalformed};
  switch (message->kind) {
    case parsers::IcmpKind::kError: return {.reason = Reason::kIcmpError};
    case parsers::IcmpKind::kOther: return {.reason = Reason::kIcmpNotAllowed};
    case parsers::IcmpKind::kRequest: return icmp_request(packet, ip, *message);
    case parsers::IcmpKind::kReply: return icmp_reply(packet, ip, *message);
  }
  return {};
}

Decision Inspector::Impl::icmp_request(const Packet& packet, const parsers::IpPacket& ip, const parsers::IcmpMessage& message) {
  if (packet.origin == Origin::kReply) return {.reason = Reason::kReplyWithoutFlow};
  const FlowKey key{ip.transport, ip.ip_protocol, {ip.source, message.identifier}, {ip.destination, 0}, inside_.id};
  Flow* flow = table_.find(key);
  const bool fresh = flow == nullptr;
  if (fresh) flow = open_flow(packet, key);
  if (flow == nullptr) return {.reason = Reason::kFlowTableFull};
  note_packet(*flow, packet);
  if (flow->state == FlowState::kDenied) return denied(*flow);
  IcmpState& state = flow->icmp;
  const auto size = static_cast<std::uint32_t>(message.payload_size);
  const bool same = !fresh && state.type == message.type && size <= state.size;
  if (fresh) {
    set_protocol(*flow, Protocol::kIcmp);
    flow->needs_binding = policy_->match_early(flow->scopes, ip.transport, ip.destination, 0, now_).needs_binding;
  } else if (state.type == message.type && !goes_on(state.sequence, message.sequence)) {
    return {.reason = Reason::kIcmpSequence};
  }
  // What waits for a binding is judged once more, all of it together.
  if (flow->binding_wait != BindingWait::kNone && !same) return {.reason = Reason::kAwaitingBinding};
  state.type = message.type;
  state.sequence = message.sequence;
  if (flow->state == FlowState::kJudged && same) return pass(*flow, flow->reason);
  state.size = std::max(state.size, size);
  if (!judge(*flow, Protocol::kIcmp, {})) {
    return flow->binding_wait != BindingWait::kNone ? hold_unbound(*flow, packet) : refusal_of(*flow);
  }
  flow->watch = true;
  return pass(*flow, flow->reason);
}

Decision Inspector::Impl::icmp_reply(const Packet& packet, const parsers::IpPacket& ip, const parsers::IcmpMessage& message) {
  const FlowKey key{ip.transport, ip.ip_protocol, {ip.destination, message.identifier}, {ip.source, 0}, inside_.id};
  Flow* flow = table_.find(key);
  if (flow == nullptr || packet.origin == Origin::kOriginal) return {.reason = Reason::kReplyWithoutFlow};
  if (is_misplaced(*flow, packet)) return {.reason = Reason::kReplyMisplaced};
  note_packet(*flow, packet);
  if (flow->state == FlowState::kDenied) return denied(*flow);
  // A request of another type may have followed meanwhile; its own replies are what is awaited then.
  const IcmpState& state = flow->icmp;
  const bool answers = flow->state == FlowState::kJudged && message.type == parsers::reply_type_of(family_of(ip.transport), state.type);
  if (!answers || message.payload_size > state.size || !goes_on(message.sequence, state.sequence)) {
    return {.reason = Reason::kIcmpSequence};
  }
  return pass(*flow, Reason::kReply);
}

}  // namespace sallyport::engine
