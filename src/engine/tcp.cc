// TCP: which bytes of the client's stream may leave, and when the kernel may take the flow over.
//
// A segment of the client is accepted when all its bytes are judged (its end is not beyond the base of the
// client's window), else it is held. An allowed flow becomes final when the server has acknowledged the
// bytes that were judged (R4): until then a retransmission with other content is seen and denied.
#include <algorithm>
#include <optional>

#include "detector.h"
#include "inspector_impl.h"
#include "replaced_packet.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::engine {
namespace {

constexpr std::uint16_t kSshPort = 22;

// client_is_source tells who opened a connection whose beginning a capture may lack.
bool client_is_source(const Packet& packet, const parsers::IpPacket& ip) {
  if (packet.origin != Origin::kUnknown) return packet.origin == Origin::kOriginal;
  if (ip.tcp.syn) return !ip.tcp.ack;
  if (!ip.payload.empty()) {
    if (looks_like_server(ip.payload)) return false;
    if (looks_like_client(ip.payload)) return true;
  }
  return !(ip.source_port < kFirstUserPort && ip.destination_port >= kFirstUserPort);
}

}  // namespace

Decision Inspector::Impl::tcp(const Packet& packet, const parsers::IpPacket& ip) {
  const Endpoint source{ip.source, ip.source_port};
  const Endpoint destination{ip.destination, ip.destination_port};
  FlowKey key{Transport::kTcp, ip.ip_protocol, source, destination, inside_.id};
  Flow* flow = table_.find(key);
  if (flow != nullptr && is_misplaced(*flow, packet)) return {.reason = Reason::kReplyMisplaced};
  const bool opens = ip.tcp.syn && !ip.tcp.ack;
  bool replaces = false;
  if (flow != nullptr && opens && !repeats_syn(*flow, packet, ip)) {
    if (!may_begin_anew(*flow, packet)) return {.reason = Reason::kStaleSegment};
    replaces = packet.origin != Origin::kUnknown &&
               (flow->state != FlowState::kUndecided || (flow->client != nullptr && flow->client->base() != 0));
    close_flow(*flow);
    flow = nullptr;
  }
  if (flow == nullptr) {
    if (packet.origin == Origin::kReply && !packet.cut) return {.reason = Reason::kReplyWithoutFlow};
    if (!client_is_source(packet, ip)) key = key.reversed();
    flow = open_flow(packet, key);
    if (flow == nullptr) return {.reason = Reason::kFlowTableFull};
    // The end of the connection before may not have reached the server, which would then read the new stream as
    // the rest of the old one, from another place on.
    flow->watch = flow->server_must_confirm = replaces;
    if (packet.cut && !opens) {
      revoke(*flow, kNoRule);
      remarks.clear();  // The decision on this packet says it.
    }
  } else if (packet.cut && !opens && !flow->syn_seen && flow->revoked == 0 && flow->state != FlowState::kDenied) {
    revoke(*flow, kNoRule);  // It was judged in its middle before it was known to be one that ends.
    remarks.clear();
  }
  note_packet(*flow, packet);
  if (packet.origin == Origin::kUnknown && !ip.payload.empty()) turn_if_misread(*flow, packet, ip);
  flow->payload_seen |= !ip.payload.empty();
  if (flow->revoked != 0) return revoked_packet(*flow, packet, ip);
  const bool from_client = flow->key.client == source;
  if ((packet.origin == Origin::kOriginal && !from_client) || (packet.origin == Origin::kReply && from_client)) {
    return {.reason = Reason::kMidstream};  // The kernel and we do not mean the same connection.
  }
  // Of a judged stream too: what follows the missing bytes could be another request.
  // A packet on the loopback may be longer than the kernel hands over: the end of a body need not be seen (client_payload).
  const bool cut_by_queue = is_guarded(*flow) && packet.origin == Origin::kOriginal;
  if (ip.truncated && !cut_by_queue && (flow->state == FlowState::kUndecided || (flow->state == FlowState::kJudged && from_client && !flow->answers_read))) {
    flow->truncated = true;
    if (flow->state == FlowState::kUndecided) flow->reason = Reason::kTruncated;
    if (from_client && flow->client == nullptr && !ip.payload.empty()) set_protocol(*flow, detect_prefix(ip.payload));
  }
  if (flow->truncated) return {.reason = Reason::kTruncated};
  if (from_client) note_acknowledged(*flow, ip);
  const Decision decision = !from_client ? tcp_from_server(*flow, packet, ip)
                            : opens      ? tcp_syn(*flow, packet, ip)
                                         : tcp_from_client(*flow, packet, ip);
  if (decision.verdict == Verdict::kAccept && !from_client) note_delivered(*flow, ip);
  return decision;
}

// turn_if_misread exchanges client and server of a connection whose beginning a capture lacks, when the first
// payload says that they were taken for each other.
void Inspector::Impl::turn_if_misread(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.syn_seen || flow.payload_seen || flow.state != FlowState::kUndecided) return;
  const bool from_client = flow.key.client == Endpoint{ip.source, ip.source_port};
  if (from_client ? !looks_like_server(ip.payload) : !looks_like_client(ip.payload)) return;
  flow.key = flow.key.reversed();
  flow.client_base_known = flow.server_base_known = false;
  set_owner(flow, packet);
}

// repeats_syn tells whether a SYN is the one that began the flow, sent again. Not so once the flow was judged by
// its bytes and handed over: the kernel passes its packets by then, so one that still comes here belongs to another
// connection, whatever its sequence number.
bool Inspector::Impl::repeats_syn(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  const bool handed_over = flow.state == FlowState::kFinal && flow.final_after != 0 && packet.origin != Origin::kUnknown;
  return flow.syn_seen && !handed_over && flow.key.client == Endpoint{ip.source, ip.source_port} &&
         flow.client_base == ip.tcp.sequence + 1;
}

// may_begin_anew tells whether a SYN on the tuple of a known flow begins another connection. A SYN into a
// living connection does not: the server answers it with an ACK and goes on (RFC 9293 §3.10.7.4), so the
// judgement must go on too.
bool Inspector::Impl::may_begin_anew(const Flow& flow, const Packet& packet) const {
  if (packet.origin == Origin::kUnknown || flow.closing || flow.state == FlowState::kFinal ||
      flow.state == FlowState::kDenied) {
    return true;
  }
  return flow.client == nullptr || flow.client->base() == 0;  // Nothing of it has left yet.
}

Decision Inspector::Impl::pass(const Flow& flow, Reason reason) const {
  Decision decision{Verdict::kAccept, reason, flow.rule, {}};
  if (flow.key.tunnel != 0) {
    decision.mark = FlowMark::kWatch;  // The carrying flow stays in the queue, both ways.
  } else if (flow.state == FlowState::kFinal) {
    decision.mark = FlowMark::kAllow;
  } else if (flow.watch) {
    decision.mark = FlowMark::kWatch;
  }
  return decision;
}

Decision Inspector::Impl::tcp_syn(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.state == FlowState::kDenied) return denied(flow);
  if (flow.state == FlowState::kFinal) return pass(flow, Reason::kFlowAllowed);
  flow.syn_seen = flow.client_base_known = true;
  flow.midstream = false;
  flow.client_base = ip.tcp.sequence + 1;
  if (flow.server == nullptr) flow.server_base_known = false;  // Sent again: no answer has come through.
  if (flow.state == FlowState::kUndecided && judge_early(flow, packet)) {
    if (flow.state == FlowState::kDenied) return refusal_of(flow);
    if (!flow.answers_read) become_final(flow);
    if (flow.answers_read && !ip.payload.empty()) return client_payload(flow, packet, ip.payload, 0);
    return pass(flow, flow.reason);
  }
  // An SSH server need not wait for the client's first byte.
  if (!is_guarded(flow) && policy_->ssh_at(flow.scopes, flow.key.server.port, now_)) flow.ssh.server_wanted = flow.watch = true;
  // Both ends of SSH speak at once: to refuse it in words one must know whether the client has the server's (refusals.cc).
  const bool may_tell_ssh = flow.key.server.port == kSshPort && policy_->refuse_of(kNoRule) == policy::Refuse::kSpeak;
  if (!is_guarded(flow) && may_tell_ssh) flow.watch = true;
  if (!is_guarded(flow) && policy_->greeting_at(flow.scopes, flow.key.server.port, now_)) flow.greeting_wanted = flow.watch = true;
  if (ip.tcp.rst || ip.tcp.fin) return deny_flow(flow, Reason::kMalformed);
  if (ip.tcp.urg && !ip.payload.empty()) return deny_flow(flow, Reason::kUrgentData);
  if (flow.server_must_confirm && !ip.payload.empty()) return {.reason = Reason::kStaleSegment};
  if (const auto gate = gate_syn(flow, packet, !ip.payload.empty())) return *gate;
  flow.client_seen = std::max<std::uint64_t>(flow.client_seen, ip.payload.size());
  if (!ip.payload.empty()) return client_payload(flow, packet, ip.payload, 0);  // TCP Fast Open, RFC 7413.
  if (flow.verdict == FlowVerdict::kPending) flow.reason = Reason::kConnecting;  // All that there is to say if it ends like this.
  return pass(flow, Reason::kConnecting);
}

Decision Inspector::Impl::tcp_from_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.state == FlowState::kDenied && !options_.read_details) return denied(flow);
  if (flow.state == FlowState::kFinal && !options_.read_details) return pass(flow, Reason::kFlowAllowed);
  if (flow.binding_wait == BindingWait::kSyn) return {.reason = Reason::kAwaitingBinding};  // Nobody has answered the SYN.
  if (ip.tcp.rst || ip.tcp.fin) flow.closing = true;
  if (ip.tcp.ack && flow.stage == Protocol::kSsh) read_acknowledgement(flow, ip);
  if (flow.state == FlowState::kFinal && !options_.read_details) return pass(flow, Reason::kFlowAllowed);
  if (ip.payload.empty()) {
    if (flow.state == FlowState::kDenied) return denied(flow);
    // Without a SYN the address was never judged, and a header can carry something, too.
    if (!flow.syn_seen && packet.origin == Origin::kOriginal && !is_guarded(flow) && !may_reach(flow)) return {.reason = Reason::kMidstream};
    return pass(flow, Reason::kNoPayload);
  }
  if (ip.tcp.rst && !shadow(flow)) return {.reason = Reason::kPayloadNotExpected};
  if (ip.tcp.urg && !shadow(flow)) return deny_flow(flow, Reason::kUrgentData);
  if (flow.server_must_confirm && !shadow(flow)) return {.reason = Reason::kStaleSegment};
  if (!flow.client_base_known) {
    flow.client_base_known = flow.midstream = true;
    flow.client_base = ip.tcp.sequence;
    if (flow.state == FlowState::kUndecided && judge_early(flow, packet)) {
      if (flow.state == FlowState::kDenied) return refusal_of(flow);
      become_final(flow);
      flow.answers_read = false;  // Where its messages begin is not known.
      return pass(flow, flow.reason);
    }
  }
  if (flow.server_base_guessed && ip.tcp.ack &&
      (looks_like_client(ip.payload) || parsers::looks_like_dns_tcp(ip.payload) != parsers::Likeness::kNo)) {  // As without details.
    flow.server_base_known = flow.server_base_guessed = false;
    windows_.release(flow.server);
  }
  if (!flow.server_base_known && ip.tcp.ack) {
    flow.server_base_known = true;
    flow.server_base = ip.tcp.acknowledgment;
  }
  // The base is no measure: behind a long body it is gigabytes ahead.
  const std::int64_t offset = unwrap(ip.tcp.sequence, flow.client_base, flow.client_seen);
  constexpr std::uint64_t kReceiveWindowMax = std::uint64_t{1} << 30;  // RFC 7323 §2.3
  const bool stale = offset < 0 || static_cast<std::uint64_t>(offset) > flow.client_seen + kReceiveWindowMax;
  if (stale && flow.state == FlowState::kDenied) return denied(flow);
  if (stale) return shadow(flow) ? pass(flow, Reason::kFlowAllowed) : Decision{.reason = Reason::kStaleSegment};
  flow.client_seen = std::max(flow.client_seen, static_cast<std::uint64_t>(offset) + ip.payload.size());
  if (offset == 0 && ip.tcp.ack && flow.session.read.protocol == Protocol::kUnknown) {
    flow.session.begin_known = true;
    flow.session.begin = ip.tcp.acknowledgment;
  }
  const Decision decision = client_payload(flow, packet, ip.payload, static_cast<std::uint64_t>(offset));
  read_details(flow);
  return decision;
}

// client_payload puts a segment into the stream and reads on, as often as reading makes room: a segment
// may be larger than the window (segmentation offload).
Decision Inspector::Impl::client_payload(Flow& flow, const Packet& packet, ByteSpan payload, std::uint64_t offset) {
  const bool decided = shadow(flow);
  const std::uint64_t judged_before = flow.client == nullptr ? 0 : judged_end(flow);
  const auto decided_answer = [&] {
    return flow.state == FlowState::kDenied ? denied(flow) : pass(flow, Reason::kFlowAllowed);
  };
  if (flow.client == nullptr) flow.client = windows_.acquire(0);
  if (flow.client == nullptr) return decided ? decided_answer() : deny_flow(flow, Reason::kStreamLimit);
  if (options_.read_details && flow.stage != Protocol::kTls && flow.stage != Protocol::kHttp) {
    if (flow.ssh_client == nullptr) flow.ssh_client = windows_.acquire(0);
    if (flow.ssh_client != nullptr) (void)flow.ssh_client->put(offset, payload);
  }
  const std::uint64_t end = offset + payload.size();
  const std::uint64_t unseen = is_guarded(flow) ? packet.wire_size - packet.bytes.size() : 0;
  std::uint64_t stored = offset;
  bool fresh = false;
  while (stored < end) {
    const auto result = flow.client->put(stored, payload.subspan(static_cast<std::size_t>(stored - offset)));
    fresh = fresh || result.fresh;
    if (decided && result.put != StreamWindow::Put::kOk) return decided_answer();
    if (result.put == StreamWindow::Put::kConflict) return deny_flow(flow, Reason::kRetransmissionDiffers);
    if (result.put == StreamWindow::Put::kStale) return {.reason = Reason::kStaleSegment};
    const bool progress = result.put == StreamWindow::Put::kOk && result.stored_end > stored;
    stored = progress ? result.stored_end : stored;
    if (!progress) break;
    read_client_stream(flow);
    if (flow.client == nullptr || (shadow(flow) && !decided)) break;  // Decided now.
  }
  if (decided) return decided_answer();
  if (flow.state == FlowState::kDenied) return refusal_of(flow);
  const std::uint64_t judged = judged_end(flow);
  release_held(flow, judged);
  if (judged > judged_before && flow.waiting.list != 0) {  // The bytes waited for came; these are others.
    table_.stop_waiting(flow);
    flow.hold_deadline = now_ + kHoldTime;
    table_.start_waiting(flow);
  }
  const bool goes = end + unseen <= judged;
  if (goes) flow.left = std::max(flow.left, end + unseen);
  if (waits_for_itself(flow, judged)) return deny_flow(flow, Reason::kAmbiguous);
  if (goes) return pass(flow, flow.watch ? Reason::kAwaitingServer : flow.reason);
  if (stored < end) return {.reason = Reason::kStreamLimit};  // Not remembered: TCP sends it again.
  if (unseen != 0) return deny_flow(flow, Reason::kTruncated);
  // The same bytes are remembered already: their packet is held, or will be sent again once they are judged.
  if (!fresh && flow.waiting.list != 0) return {.reason = Reason::kNeedMoreData};
  return hold(flow, packet, end);
}

// waits_for_itself tells that one packet has both what a proxy, or a server that may switch, is to answer and what waits for the
// answer. Half a packet cannot leave, and should the answer be no, the rest is read as another message.
bool Inspector::Impl::waits_for_itself(const Flow& flow, std::uint64_t judged) {
  if (flow.client == nullptr || flow.left >= judged || flow.client->received_end() <= judged) return false;
  const bool switches = flow.stage == Protocol::kHttp && flow.http_phase == HttpPhase::kAwaitingSwitch;
  return switches || (flow.stage == Protocol::kSocks && awaits_socks_answer(flow.socks_phase));
}

// judged_end returns the client offset up to which bytes may leave.
std::uint64_t Inspector::Impl::judged_end(const Flow& flow) {
  if (flow.state == FlowState::kFinal || flow.client == nullptr) return UINT64_MAX;
  // HTTP/2 frames are read before the request that they belong to is known.
  if (flow.stage == Protocol::kHttp2) return std::max(flow.tunnel_base, flow.http2_judged);
  if (flow.stage == Protocol::kSsh && flow.ssh.may_leave != 0 && flow.ssh.phase != SshPhase::kDone) return flow.ssh.may_leave;
  return flow.client->base();
}

void Inspector::Impl::become_final(Flow& flow) {
  drop_held(flow, Reason::kNeedMoreData);  // What is not released by now was not judged.
  flow.state = FlowState::kFinal;
  table_.stop_waiting(flow);
  give_back_windows(flow);
  touch(flow);
}

// read_client_stream reads as much as the contiguous bytes allow. A stage may end (a CONNECT tunnel, an
// upgrade) and another protocol begin behind it.
void Inspector::Impl::read_client_stream(Flow& flow) {
  constexpr int kStagesPerCall = 4;
  for (int stage = 0; stage < kStagesPerCall; ++stage) {
    if (flow.client == nullptr) return;
    if (!flow.stage_known && !detect_stage(flow)) return;
    const Protocol protocol = flow.stage;
    if (flow.answers_read && protocol != Protocol::kDns && !options_.read_details) {
      return flow.client->skip(flow.client->contiguous().size());
    }
    read_stage(flow);
    if (flow.stage_known && flow.stage == protocol) return;
  }
}

bool Inspector::Impl::detect_stage(Flow& flow) {
  const ByteSpan bytes = flow.client->contiguous();
  if (bytes.empty()) return false;
  std::optional<ByteSpan> greeting;
  if (flow.greeting_wanted) greeting = flow.server == nullptr ? ByteSpan{} : flow.server->contiguous();
  const Detection detection = detect_stream(bytes, greeting);
  if (!detection.known) return false;
  set_protocol(flow, detection.protocol);
  if (flow.stage == Protocol::kDns && flow.state == FlowState::kUndecided) forget_unasked_answers(flow);
  return true;
}

// forget_unasked_answers: what a server said before any question was read for details alone, and is no answer.
void Inspector::Impl::forget_unasked_answers(Flow& flow) {
  flow.protocol = Protocol::kDns;
  if (!options_.read_details || flow.ssh.server_wanted || flow.greeting_wanted || flow.tunnel_base != 0) return;
  windows_.release(flow.server);
}

void Inspector::Impl::read_stage(Flow& flow) {
  if (is_guarded(flow) && flow.stage != Protocol::kHttp && flow.stage != Protocol::kHttp2) return refuse_unguarded_stage(flow);
  switch (flow.stage) {
    case Protocol::kTls: return read_tls(flow);
    case Protocol::kHttp: return read_http(flow);
    case Protocol::kHttp2: return read_http2(flow);
    case Protocol::kDns: return read_dns_stream(flow);
    case Protocol::kSsh: return read_ssh(flow);
    case Protocol::kSocks: return read_socks(flow);
    default: break;
  }
  // Inside a proxy's tunnel a session is judged by what the proxy was asked for.
  if (parsers::can_upgrade(flow.stage) && flow.tunnel_base == 0) return read_session(flow);
  read_opaque(flow, flow.stage);
}

// read_opaque judges bytes of a protocol that carries no name, or of none that is known: by address alone.
void Inspector::Impl::read_opaque(Flow& flow, Protocol protocol) {
  const std::size_t length = flow.client->contiguous().size();
  if (flow.final_after == 0) {
    if (!judge(flow, protocol, {})) return;
    flow.client->consume(length);
    flow.final_after = flow.client->base();
    flow.watch = true;
    return;
  }
  flow.client->skip(length);
}

Decision Inspector::Impl::tcp_from_server(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (ip.tcp.rst || ip.tcp.fin) flow.closing = true;
  if (ip.tcp.ack && !flow.client_base_known) {
    // The client's first byte that the server has not seen yet; of a SYN-ACK: the byte behind the SYN.
    flow.client_base_known = true;
    flow.client_base = ip.tcp.acknowledgment;
    flow.midstream = !ip.tcp.syn;
  }
  if (ip.tcp.syn) {
    // Where the server's bytes count, where they begin is said once, as the client has it; and they begin behind it.
    const bool moves = flow.server_base_known && flow.server_base != ip.tcp.sequence + 1;
    const bool server_counts = flow.ssh.server_wanted || flow.greeting_wanted;
    if (server_counts && (moves || !ip.tcp.ack)) return {.reason = Reason::kStaleSegment};
    if (server_counts && !ip.payload.empty()) return {.reason = Reason::kPayloadNotExpected};
    flow.server_base_known = flow.server_first_known = true;
    flow.server_base = flow.server_first = ip.tcp.sequence + 1;
    if (!flow.server_next_known) flow.server_next = flow.server_first;
    flow.server_next_known = true;
    note_window_scale(flow, packet, ip);
    if (flow.server_must_confirm && ip.tcp.ack && ip.tcp.acknowledgment == flow.client_base) {
      flow.server_must_confirm = false;
      flow.watch = flow.ssh.server_wanted || flow.greeting_wanted;
    }
    return flow.state == FlowState::kDenied ? denied(flow) : pass(flow, Reason::kReply);
  }
  if (ip.tcp.ack && flow.client != nullptr) {
    const std::int64_t offset = unwrap(ip.tcp.acknowledgment, flow.client_base, flow.client_seen);
    if (offset > 0) flow.acknowledged = std::max(flow.acknowledged, static_cast<std::uint64_t>(offset));
    read_acknowledged_body(flow);
  }
  const bool was_denied = flow.state == FlowState::kDenied;
  if (!ip.payload.empty() && !read_server_stream(flow, ip)) return {.reason = Reason::kStreamLimit};
  if (ip.tcp.fin && awaits_ssh_server(flow) && flow.server != nullptr) {
    const std::int64_t offset = unwrap(ip.tcp.sequence, flow.server_base, flow.server->base());
    flow.ssh.server_end = static_cast<std::uint64_t>(std::max<std::int64_t>(offset, 0)) + ip.payload.size();
    judge_ssh_server(flow);
  }
  finish_if_acknowledged(flow);
  if (flow.state == FlowState::kDenied) return was_denied || flow.told ? denied(flow) : reset_client(flow, packet, ip);
  if (flow.stage == Protocol::kDns && !ip.payload.empty()) return strip_segment(flow, packet, ip);
  narrow_window(flow, packet, ip);
  return pass(flow, Reason::kReply);
}

// reset_client answers for a packet of the server on which an SSH flow is denied, or a session that is followed to TLS: it goes
// on as a RST. The client waits for this answer and sends nothing that a refusal could come back for; and it must not see the
// wrong host key, which it might take for the host's from then on.
Decision Inspector::Impl::reset_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  const bool silent = policy_->refuse_of(flow.rule) == policy::Refuse::kDrop;
  const bool waits = flow.stage == Protocol::kSsh || parsers::can_upgrade(flow.stage) || flow.session.read.protocol != Protocol::kUnknown;
  if (!waits || flow.key.tunnel != 0 || silent || observing() || ip.truncated) return refusal_of(flow);
  constexpr std::size_t kFlagsOffset = 13;  // RFC 9293 §3.1
  constexpr std::uint8_t kRstAck = 0x14;
  const std::span<std::uint8_t> copy = copy_packet(packet);
  copy[ip.transport_offset + kFlagsOffset] = kRstAck;
  const auto payload = copy.subspan(static_cast<std::size_t>(ip.payload.data() - packet.bytes.data()), ip.payload.size());
  std::fill(payload.begin(), payload.end(), std::uint8_t{0});
  write_checksum(copy, ip);
  replacement = copy;
  return {Verdict::kAccept, flow.reason, flow.rule, {}};
}

// read_acknowledgement takes note of what the client has of the server's stream: until it has what was judged,
// the server could send other bytes in its place.
void Inspector::Impl::read_acknowledgement(Flow& flow, const parsers::IpPacket& ip) {
  if (flow.server == nullptr || shadow(flow)) return;
  const std::int64_t offset = unwrap(ip.tcp.acknowledgment, flow.server_base, flow.server->base());
  if (offset <= 0) return;
  flow.ssh.server_acknowledged = std::max(flow.ssh.server_acknowledged, static_cast<std::uint64_t>(offset));
  finish_if_acknowledged(flow);
}

bool Inspector::Impl::read_server_stream(Flow& flow, const parsers::IpPacket& ip) {
  const bool greeting = awaits_greeting(flow);
  const bool counts = greeting || awaits_ssh_server(flow);
  // Answers are not for details: what comes before a question was let through is not read where there are none, either.
  const bool details = options_.read_details && flow.stage != Protocol::kDns;
  const bool session = follows_session(flow);
  const bool wanted = details || counts || greeting || (flow.watch && flow.state == FlowState::kJudged);
  if (!wanted) return true;
  if (!flow.server_base_known) {
    flow.server_base_known = true;
    flow.server_base_guessed = flow.state == FlowState::kUndecided && !counts && !greeting;
    flow.server_base = ip.tcp.sequence;
  }
  if ((counts || session) && ip.tcp.urg) {  // The client reads urgent bytes apart from the others (RFC 6093 §3.4).
    refuse(flow, Reason::kUrgentData);
    return true;
  }
  if (flow.server == nullptr) flow.server = windows_.acquire(0);
  if (flow.server == nullptr) return !counts && !session;  // The flow stays in the queue; it is not handed over unread.
  const std::int64_t offset = unwrap(ip.tcp.sequence, flow.server_base, flow.server->base());
  // Sent again, the greeting may stand in one segment with what follows it.
  const auto before = static_cast<std::uint64_t>(offset < 0 ? -offset : 0);
  if (session && before != 0 && before < ip.payload.size()) return read_session_answer(flow, 0, ip.payload.subspan(static_cast<std::size_t>(before)));
  if (offset < 0) return !counts;
  if (session) return read_session_answer(flow, static_cast<std::uint64_t>(offset), ip.payload);
  const auto result = flow.server->put(static_cast<std::uint64_t>(offset), ip.payload);
  if (counts && result.put == StreamWindow::Put::kConflict) {
    refuse(flow, Reason::kRetransmissionDiffers);
    return true;
  }
  switch (flow.stage) {
    case Protocol::kTls: read_tls_server(flow); break;
    case Protocol::kHttp: read_http_server(flow); break;
    case Protocol::kSsh: read_ssh_answer(flow); break;
    case Protocol::kSocks: read_socks_server(flow); break;
    case Protocol::kDns: read_dns_server(flow); break;
    default: break;
  }
  const bool whole = result.put == StreamWindow::Put::kOk &&
                     result.stored_end == static_cast<std::uint64_t>(offset) + ip.payload.size();
  flow.greeting_lost |= greeting && !whole;
  if (greeting) read_greeting(flow);
  read_details(flow);
  return whole || !counts || !flow.stage_known || !awaits_ssh_server(flow) || flow.ssh.phase == SshPhase::kDone;
}

// awaits_greeting tells whether what the server says first may be what names the flow.
bool Inspector::Impl::awaits_greeting(const Flow& flow) {
  const bool undecided = flow.state == FlowState::kUndecided || (flow.proxy != nullptr && flow.proxy->reached);
  return flow.greeting_wanted && !flow.stage_known && undecided;
}

// read_greeting judges a client that spoke before the whole greeting was here.
void Inspector::Impl::read_greeting(Flow& flow) {
  if (flow.client == nullptr) return;
  read_client_stream(flow);
  if (flow.state == FlowState::kJudged) release_held(flow, judged_end(flow));
}

void Inspector::Impl::read_ssh_answer(Flow& flow) {
  if (awaits_ssh_server(flow)) {
    judge_ssh_server(flow);
    if (flow.state == FlowState::kJudged && flow.client != nullptr) release_held(flow, judged_end(flow));
  }
}

void Inspector::Impl::finish_if_acknowledged(Flow& flow) {
  if (flow.state != FlowState::kJudged || flow.final_after == 0 || flow.acknowledged < flow.final_after) return;
  if (flow.stage == Protocol::kTls && !flow.no_second_hello) return;
  const bool ssh = flow.stage == Protocol::kSsh;
  if (ssh && (flow.ssh.phase != SshPhase::kDone || flow.ssh.server_acknowledged < flow.ssh.server_judged)) return;
  release_held(flow, UINT64_MAX);
  become_final(flow);
}

}  // namespace sallyport::engine
