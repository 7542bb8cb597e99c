// UDP: DNS messages, and everything else by address. QUIC and DTLS have files of their own.
#include "detector.h"
#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

constexpr std::uint32_t kDatagramsWithoutAnswer = 16;  // A flow that nobody answers is handed over then.

bool is_dns_like(Protocol protocol) {
  return protocol == Protocol::kDns || protocol == Protocol::kMdns || protocol == Protocol::kLlmnr;
}

// client_is_source tells who asks: a capture may begin with an answer.
bool client_is_source(const Packet& packet, const parsers::IpPacket& ip) {
  if (packet.origin != Origin::kUnknown) return packet.origin == Origin::kOriginal;
  if (ip.destination.is_multicast_or_broadcast()) return true;
  constexpr std::uint16_t kQuicPort = 443;
  const bool from_quic_port = ip.source_port == kQuicPort && ip.destination_port != kQuicPort;
  if (from_quic_port && parsers::looks_like_quic(ip.payload) == parsers::Likeness::kYes) return false;
  return !looks_like_dns_answer(ip.payload) && !parsers::is_dtls_server_message(ip.payload);
}

// could_be_short_header tells what may be of a migrated or forgotten QUIC connection (RFC 9000 §17.3): nothing but the first
// bit is sure (RFC 9287 clears the second), so it is only asked where QUIC is usual.
bool could_be_short_header(const Flow& flow, ByteSpan datagram) {
  constexpr std::uint16_t kQuicPort = 443;
  constexpr std::uint8_t kLongHeader = 0x80;
  constexpr std::size_t kShortHeaderMin = 1 + 4 + 16;  // With the sample and tag that header protection needs (RFC 9001 §5.4.2).
  return flow.key.server.port == kQuicPort && datagram.size() >= kShortHeaderMin && (datagram[0] & kLongHeader) == 0;
}

// is_opaque tells that the address alone allowed the flow: no message in it is judged by name.
bool is_opaque(const Flow& flow) {
  const bool named = flow.stage == Protocol::kQuic || flow.stage == Protocol::kDtls || is_dns_like(flow.stage);
  return flow.by_address || !named;
}

}  // namespace

Decision Inspector::Impl::udp(const Packet& packet, const parsers::IpPacket& ip) {
  const Endpoint source{ip.source, ip.source_port};
  FlowKey key{Transport::kUdp, ip.ip_protocol, source, {ip.destination, ip.destination_port}, inside_.id};
  Flow* flow = table_.find(key);
  if (flow != nullptr && is_misplaced(*flow, packet)) return {.reason = Reason::kReplyMisplaced};
  if (flow != nullptr && flow->key.client == source && may_be_expected_peer(*flow, ip.payload)) {
    close_flow(*flow);  // It was denied before its socket was opened.
    flow = nullptr;
  }
  if (flow == nullptr) {
    if (packet.origin == Origin::kReply) return {.reason = Reason::kReplyWithoutFlow};
    if (!client_is_source(packet, ip)) key = key.reversed();
    flow = open_flow(packet, key);
    if (flow == nullptr) return {.reason = Reason::kFlowTableFull};
    flow->carries = carried_by_datagram(flow->key, ip.payload);
  }
  note_packet(*flow, packet);
  const bool from_client = flow->key.client == source;
  if ((packet.origin == Origin::kOriginal && !from_client) || (packet.origin == Origin::kReply && from_client)) {
    return {.reason = Reason::kMidstream};
  }
  if (ip.truncated && flow->state == FlowState::kUndecided) {
    flow->truncated = true;
    flow->reason = Reason::kTruncated;
    if (from_client && !flow->stage_known) set_protocol(*flow, detect_datagram(ip.payload, flow->key));
  }
  if (flow->truncated) return {.reason = Reason::kTruncated};
  if (ip.truncated && from_client && flow->state != FlowState::kDenied && packet.origin != Origin::kUnknown) {
    return {.reason = Reason::kTruncated};  // What was cut off would go unread.
  }
  if (inside_.id != 0 && flow->carries != Protocol::kUnknown) {
    return flow->state == FlowState::kUndecided ? deny_flow(*flow, Reason::kTunnelTooDeep) : denied(*flow);
  }
  return from_client ? udp_from_client(*flow, packet, ip) : udp_from_server(*flow, packet, ip);
}

Decision Inspector::Impl::udp_from_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  ++flow.datagrams;
  datagram_ = ip.payload;
  if (flow.state == FlowState::kDenied && !options_.read_details) {
    if (flow.told) flow.told = tell(flow);  // Sent again: what it was told may be lost.
    return denied(flow);
  }
  if (flow.datagrams == 1 && take_expected_peer(flow, ip.payload) && flow.state == FlowState::kDenied) return refusal_of(flow);
  if (flow.ice.phase == IcePhase::kChecking || flow.ice.phase == IcePhase::kOpen) return ice_datagram(flow, packet, ip);
  if (flow.datagrams == 1) {
    flow.asked_again = policy_->denies_datagrams_at(flow.scopes, flow.key.server.address, flow.key.server.port, now_);
    if (judge_early(flow, packet)) {
      if (flow.state == FlowState::kDenied) return refusal_of(flow);
      flow.by_address = flow.watch = true;
    }
  }
  if (flow.by_address && !options_.read_details) return opaque_datagram(flow, packet, ip);
  const Protocol protocol = detect_datagram(ip.payload, flow.key);
  if (protocol == Protocol::kQuic && refuses_quic(flow) && !options_.read_details) return refusal_of(flow);
  // What waits goes by the names of the address, and a QUIC hello shows its own; what a deny rule may have is asked for
  // once the flow goes on. Their senders send them again.
  const bool another = protocol == Protocol::kQuic || (flow.asked_again && protocol != flow.stage);
  if (flow.binding_wait == BindingWait::kDatagram && another) return {.reason = Reason::kAwaitingBinding};
  if (!flow.stage_known || (protocol == Protocol::kQuic && flow.stage != Protocol::kQuic)) set_protocol(flow, protocol);
  read_two_datagrams(flow, ip.payload);
  if (flow.by_address) return opaque_datagram(flow, packet, ip);
  // DNS is judged message by message wherever it turns up (R5); it is no packet of the QUIC connection.
  if (flow.stage == Protocol::kQuic && is_dns_like(protocol) && !shadow(flow)) return {.reason = Reason::kProtocolNotAllowed};
  if (flow.stage == Protocol::kQuic) return quic_datagram(flow, packet, ip.payload);
  const bool on_link = flow.stage == Protocol::kMdns || flow.stage == Protocol::kLlmnr;
  if (on_link && flow.state == FlowState::kUndecided && judge_on_link(flow)) {
    return flow.state == FlowState::kDenied ? refusal_of(flow) : opaque_datagram(flow, packet, ip);
  }
  if (is_dns_like(flow.stage)) return dns_datagram(flow, ip);
  if (flow.stage == Protocol::kDtls) return dtls_datagram(flow, packet, ip.payload);
  if (flow.state == FlowState::kDenied) return denied(flow);
  if (flow.state == FlowState::kUndecided) {
    const bool short_header = flow.stage == Protocol::kUnknown && could_be_short_header(flow, ip.payload);
    if (short_header && refuses_short_header(flow)) {
      const Decision decision = refusal_of(flow);
      flow.state = FlowState::kUndecided;
      return decision;
    }
    if (!judge(flow, flow.stage, {})) {
      if (flow.binding_wait != BindingWait::kNone) return hold_unbound(flow, packet);
      return refusal_of(flow);
    }
    flow.watch = true;
    if (flow.stage == Protocol::kStun && flow.ice_rule != kNoRule) flow.ice.phase = IcePhase::kServer;
  }
  if (denies_datagram(flow, protocol)) return refusal_of(flow);
  return opaque_datagram(flow, packet, ip);
}

// opaque_datagram passes a datagram that the address alone allows. The kernel takes over at the first
// answer: handing over at once would let the rest of a burst overtake what is still queued.
Decision Inspector::Impl::opaque_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.carries != Protocol::kUnknown) return look_inside(flow, packet, ip);
  if (flow.answers_read) {
    note_datagram(flow, ip.payload);
    return pass(flow, flow.reason);
  }
  if (flow.ice.phase == IcePhase::kServer) {  // It stays here: each answer prolongs what it opened.
    note_stun_request(flow, ip.payload);
    return pass(flow, flow.reason);
  }
  const bool asks_again = flow.asked_again && !flow.by_address;
  if (flow.state == FlowState::kJudged && flow.datagrams >= kDatagramsWithoutAnswer && !asks_again) become_final(flow);
  return pass(flow, flow.reason);
}

Decision Inspector::Impl::udp_from_server(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.carries != Protocol::kUnknown && flow.state == FlowState::kJudged && is_opaque(flow)) {
    return look_inside(flow, packet, ip);
  }
  if (flow.ice.phase == IcePhase::kChecking || flow.ice.phase == IcePhase::kOpen) return ice_answer(flow, ip);
  if (flow.ice.phase == IcePhase::kServer && flow.state == FlowState::kJudged) {
    take_stun_answer(flow, ip.payload);
    return pass(flow, Reason::kReply);
  }
  if (flow.answers_read) {
    report_dns(flow, ip.payload);
    if (ip.truncated) return packet.origin == Origin::kUnknown ? pass(flow, Reason::kReply) : Decision{.reason = Reason::kTruncated};
    const Answer answer = take_answer(flow, ip.payload);
    if (answer == Answer::kRebinding) return refuse_answer(flow, packet, ip);
    // What begins like an answer and cannot be read may be one that the client can.
    const bool odd = answer == Answer::kUnreadable && refuses_rebinding() && parsers::read_first_dns_question(ip.payload);
    return odd ? Decision{.reason = Reason::kMalformed} : pass(flow, Reason::kReply);
  }
  if (is_dns_like(flow.stage) || (flow.stage == Protocol::kUnknown && looks_like_dns_answer(ip.payload))) {
    if (!flow.stage_known) set_protocol(flow, detect_datagram(ip.payload, flow.key));
    const bool judged_by_message = flow.stage == Protocol::kDns && !flow.by_address && flow.state != FlowState::kDenied;
    if (judged_by_message) return dns_answer(flow, packet, ip);
    report_dns(flow, ip.payload);
  } else if (flow.state == FlowState::kJudged && flow.stage != Protocol::kQuic) {
    const bool more_hellos = flow.stage == Protocol::kDtls && !flow.dtls.without_hello && !flow.by_address;
    const bool asks_again = flow.asked_again && is_opaque(flow) && !flow.by_address;
    if (!asks_again && (!more_hellos || parsers::answers_hello(ip.payload))) become_final(flow);
  }
  if (flow.state == FlowState::kDenied) return denied(flow);
  return pass(flow, Reason::kReply);
}

// judge_on_link judges multicast DNS and LLMNR by their own words, whatever is asked. False: no rule for these says anything,
// and the message is a question like others.
bool Inspector::Impl::judge_on_link(Flow& flow) {
  const policy::PolicyMatch match = this->match(flow, flow.stage, {});
  if (match.rule == kNoRule) return false;
  if (match.action == policy::Action::kAllow) {
    allow_flow(flow, Reason::kRuleAllows, match.rule);
    flow.by_address = flow.watch = true;
  } else {
    deny_flow(flow, Reason::kRuleDenies, match.rule);
  }
  return true;
}

// dns_datagram judges one message. A refused question does not condemn the socket that asked it: the next
// question is judged for itself.
Decision Inspector::Impl::dns_datagram(Flow& flow, const parsers::IpPacket& ip) {
  const bool answered_before = flow.state == FlowState::kJudged;
  if (flow.state == FlowState::kDenied) flow.state = FlowState::kUndecided;
  flow.watch = true;
  if (judge_dns(flow, ip.payload)) return pass(flow, flow.reason);
  Decision decision = refusal_of(flow);
  // A deny mark would stay on a conntrack entry that an earlier question has made.
  if (answered_before || flow.told) decision.mark.reset();
  flow.state = answered_before ? FlowState::kJudged : FlowState::kUndecided;
  return decision;
}

}  // namespace sallyport::engine
