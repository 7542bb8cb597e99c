// Plaintext that TLS may begin in (STARTTLS and its kin). The session is allowed by its address, as any that carries no
// name, and followed on both sides to what the server agreed to; the client's next bytes are a ClientHello then, judged
// like any other, by rules for tls or for the protocol that it began in. For as long as TLS could still begin, the flow
// stays in the queue; where a rule says starttls = "require", mail, login and data do not leave before it does.
#include <algorithm>

#include "inspector_impl.h"
#include "replaced_packet.h"

namespace sallyport::engine {
namespace {

using StepKind = parsers::UpgradeStep::Kind;

// refusal_reason returns why a step ends the flow; kNotEvaluated: it does not.
Reason refusal_reason(StepKind kind) {
  switch (kind) {
    case StepKind::kMalformed: return Reason::kMalformed;
    case StepKind::kAmbiguous: return Reason::kAmbiguous;
    case StepKind::kTooLong: return Reason::kTooLong;
    case StepKind::kOtherSecurity: return Reason::kProtocolNotAllowed;
    case StepKind::kNeedMore:
    case StepKind::kRead:
    case StepKind::kAsks:
    case StepKind::kAgrees:
    case StepKind::kEnds: break;
  }
  return Reason::kNotEvaluated;
}

// A window forgets half of its history at most to make room ahead.
constexpr std::uint64_t kRememberedMin = (kStreamWindowSize - kStreamAheadMax) / 2;

}  // namespace

// follows_session tells whether what the server says is read: until it has agreed to TLS, and that ends here.
bool Inspector::Impl::follows_session(const Flow& flow) {
  return flow.state == FlowState::kJudged && flow.session.read.protocol != Protocol::kUnknown && !flow.session.upgraded &&
         !flow.session.ended;
}

// readable_of returns what may be read of the client's stream. A mail's body is as long as it likes, and what of it the
// server has not acknowledged must be remembered: other bytes could still take its place (R4).
ByteSpan Inspector::Impl::readable_of(const Flow& flow) {
  const ByteSpan stream = flow.client->contiguous();
  if (flow.session.read.next != parsers::UpgradeSession::Next::kBody) return stream;
  const std::uint64_t end = flow.acknowledged + kRememberedMin;
  const std::uint64_t base = flow.client->base();
  return stream.first(static_cast<std::size_t>(std::min<std::uint64_t>(stream.size(), end > base ? end - base : 0)));
}

// read_acknowledged_body reads on in a body that waited for the server to have what was read of it.
void Inspector::Impl::read_acknowledged_body(Flow& flow) {
  const bool in_body = follows_session(flow) && flow.session.read.next == parsers::UpgradeSession::Next::kBody;
  if (!in_body || flow.client == nullptr) return;
  const std::uint64_t base = flow.client->base();
  read_client_stream(flow);
  if (flow.state != FlowState::kJudged || flow.client == nullptr) return;
  release_held(flow, judged_end(flow));
  if (flow.client->base() == base || flow.waiting.list == 0) return;
  table_.stop_waiting(flow);  // As for a client's segment: what was waited for came.
  flow.hold_deadline = now_ + kHoldTime;
  table_.start_waiting(flow);
}

// note_window_scale reads the option of a SYN-ACK; without it windows are told as they are.
void Inspector::Impl::note_window_scale(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  constexpr std::uint8_t kEnd = 0, kPadding = 1, kWindowScale = 3, kScaleMax = 14;  // RFC 9293 §3.2, RFC 7323 §2.3
  constexpr std::size_t kHeader = 20;
  const std::size_t begin = ip.transport_offset + kHeader;
  const std::size_t end = ip.transport_offset + static_cast<std::size_t>(packet.bytes[ip.transport_offset + 12] >> 4) * 4;
  flow.session.scale_known = true;
  flow.session.scale = 0;
  if (end > packet.bytes.size() || begin > end) return;
  ByteSpan options = packet.bytes.subspan(begin, end - begin);
  while (!options.empty() && options[0] != kEnd) {
    const std::size_t size = options[0] == kPadding ? 1 : options.size() < 2 ? 0 : options[1];
    if (size == 0 || size > options.size() || (size == 1 && options[0] != kPadding)) return;
    if (options[0] == kWindowScale && size == 3) flow.session.scale = std::min(options[2], kScaleMax);
    options = options.subspan(size);
  }
}

// narrow_window has the client send no more ahead of the server than is remembered: what it sent beyond would be dropped, and come
// again by its timer alone, ever later. The server's window is told smaller than it is.
void Inspector::Impl::narrow_window(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  const bool mail = follows_session(flow) && flow.session.read.protocol == Protocol::kSmtp;
  if (!mail || !flow.session.scale_known || packet.origin != Origin::kReply || flow.key.tunnel != 0 || observing() || ip.truncated) return;
  constexpr std::size_t kWindowOffset = 14;  // RFC 9293 §3.1
  const std::size_t at = ip.transport_offset + kWindowOffset;
  const auto told = static_cast<std::uint64_t>(packet.bytes[at] << 8 | packet.bytes[at + 1]);
  const std::uint64_t most = std::max<std::uint64_t>(kRememberedMin >> flow.session.scale, 1);
  if (told <= most) return;
  const std::span<std::uint8_t> copy = copy_packet(packet);
  copy[at] = static_cast<std::uint8_t>(most >> 8);
  copy[at + 1] = static_cast<std::uint8_t>(most);
  write_checksum(copy, ip);
  replacement = copy;
}

bool Inspector::Impl::begin_session(Flow& flow) {
  if (!judge(flow, flow.stage, {})) return false;
  flow.watch = true;
  if (flow.greeting_lost) {
    refuse(flow, Reason::kTooLong);
    return false;
  }
  // Where nobody waited for the greeting, it passed before the flow was watched: what is read begins behind it, where the
  // client says so. The segment of the server that comes first may be the greeting sent again, or the second of an answer.
  if (!flow.greeting_wanted && flow.stage == Protocol::kSmtp) {
    windows_.release(flow.server);
    flow.server_base_guessed = false;
    flow.server_base_known = flow.session.begin_known;
    flow.server_base = flow.session.begin;
  }
  flow.session.read = parsers::begin_upgrade_session(flow.stage, flow.greeting_wanted);
  return read_session_server(flow);
}

void Inspector::Impl::read_session(Flow& flow) {
  if (shadow(flow)) return flow.client->skip(flow.client->contiguous().size());
  SessionState& session = flow.session;
  if (session.read.protocol == Protocol::kUnknown && !begin_session(flow)) return;
  while (flow.client != nullptr && flow.state == FlowState::kJudged && !session.upgraded) {
    const ByteSpan stream = readable_of(flow);
    if (session.ended) {
      if (flow.final_after != 0) return flow.client->skip(stream.size());
      flow.client->consume(stream.size());
      flow.final_after = flow.client->base();
      return;
    }
    const bool ftp = follows_ftp(flow);
    if (ftp && flow.ftp.pending == kFtpPipelineMax) return;
    const parsers::UpgradeStep step = parsers::read_upgrade_client(session.read, stream);
    if (step.kind == StepKind::kNeedMore) return;
    if (const Reason reason = refusal_reason(step.kind); reason != Reason::kNotEvaluated) return refuse(flow, reason);
    if (step.plaintext && session.tls_required) {
      deny_flow(flow, Reason::kTlsRequired, flow.rule);
      return;
    }
    if (ftp && step.kind == StepKind::kRead && !read_ftp_command(flow, stream.first(step.consumed))) return;
    flow.client->consume(step.consumed);
    flow.client->skip(step.skipped);
    if (step.kind == StepKind::kAgrees) return begin_session_tls(flow);
    if (step.kind == StepKind::kEnds) end_session(flow);
  }
}

// read_session_server reads what is at hand of the server's stream. False: the flow is denied now.
bool Inspector::Impl::read_session_server(Flow& flow) {
  while (flow.server != nullptr && follows_session(flow)) {
    const ByteSpan stream = flow.server->contiguous();
    const parsers::UpgradeStep step = parsers::read_upgrade_server(flow.session.read, stream);
    if (step.kind == StepKind::kNeedMore) return true;
    if (const Reason reason = refusal_reason(step.kind); reason != Reason::kNotEvaluated) {
      refuse(flow, reason);
      return false;
    }
    if (follows_ftp(flow)) {
      const bool ends = flow.session.read.reply_code == 0;  // The line is a reply's last one.
      if (ends && !read_ftp_reply(flow, stream.first(step.consumed))) return false;
      flow.server->consume(step.consumed);  // Another port in its place would be another permission.
    } else {
      flow.server->skip(step.consumed + step.skipped);
    }
    if (step.kind == StepKind::kAgrees) begin_session_tls(flow);
    if (step.kind == StepKind::kEnds) end_session(flow);
  }
  return flow.state != FlowState::kDenied;
}

// read_session_answer puts a segment of the server into its stream and reads on, as often as reading makes room. False:
// some of it could not be kept; the server must send it again.
bool Inspector::Impl::read_session_answer(Flow& flow, std::uint64_t offset, ByteSpan payload) {
  const std::uint64_t end = offset + payload.size();
  std::uint64_t stored = offset;
  while (stored < end && flow.server != nullptr && follows_session(flow)) {
    const auto result = flow.server->put(stored, payload.subspan(static_cast<std::size_t>(stored - offset)));
    if (result.put == StreamWindow::Put::kConflict) {
      refuse(flow, Reason::kRetransmissionDiffers);
      return true;
    }
    if (result.put != StreamWindow::Put::kOk || result.stored_end <= stored) break;
    stored = result.stored_end;
    if (!read_session_server(flow)) return true;
  }
  if (flow.session.upgraded && stored < end) {
    refuse(flow, Reason::kAmbiguous);
    return true;
  }
  // What the client has sent may have waited for this.
  if (flow.client != nullptr) read_client_stream(flow);
  if (flow.state == FlowState::kJudged && flow.client != nullptr) release_held(flow, judged_end(flow));
  read_details(flow);
  return stored == end || flow.state != FlowState::kJudged || flow.session.ended;
}

void Inspector::Impl::begin_session_tls(Flow& flow) {
  flow.session.upgraded = true;
  flow.upgrade.done = true;  // Its hello is reported when it is judged.
  flow.stage = Protocol::kTls;
  flow.tls_phase = TlsPhase::kFirstHello;
  flow.no_second_hello = flow.early_data_offered = flow.hello_retry_read = flow.hello_named = false;
  flow.final_after = 0;
  // The server speaks TLS only after the client: what stands here already was put behind its agreement by another.
  if (flow.server != nullptr && flow.server->received_end() > flow.server->base()) refuse(flow, Reason::kAmbiguous);
}

void Inspector::Impl::end_session(Flow& flow) {
  flow.session.ended = true;
  if (flow.client != nullptr) flow.final_after = flow.client->base();
}

}  // namespace sallyport::engine
