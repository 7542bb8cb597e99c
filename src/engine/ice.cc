// ICE (RFC 8445): a client's socket that a STUN or TURN server has answered may go on to peers. Until a peer has answered a
// check nothing but checks leave; behind it a DTLS hello is judged like any other and media passes. The kernel takes over only
// by what the peer says: else a client could send one datagram of media, and then the hello that a deny rule has.
#include <algorithm>

#include "inspector_impl.h"
#include "sallyport/parsers/dtls.h"
#include "sallyport/parsers/stun.h"

namespace sallyport::engine {
namespace {

constexpr std::uint8_t kDtlsHandshake = 22;

void remember_request(IceState& ice, ByteSpan id) {
  std::array<std::uint8_t, parsers::kStunIdSize> copy{};
  std::ranges::copy(id, copy.begin());
  if (std::ranges::find(ice.ids, copy) != ice.ids.end()) return;  // Sent again.
  ice.ids[ice.next_id++ % IceState::kIds] = copy;
}

bool remembers(const IceState& ice, ByteSpan id) {
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  return !std::ranges::all_of(id, zero) && std::ranges::any_of(ice.ids, [id](const auto& one) { return std::ranges::equal(one, id); });
}

// has_hello tells whether a DTLS datagram carries a part of a ClientHello.
bool has_hello(ByteSpan datagram) {
  parsers::DtlsFragmentReader fragments(datagram);
  parsers::DtlsFragment fragment;
  while (fragments.next(fragment)) {
    if (fragment.type == parsers::kTlsClientHello) return true;
  }
  return false;
}

}  // namespace

void Inspector::Impl::note_stun_request(Flow& flow, ByteSpan datagram) {
  const auto head = parsers::read_stun_head(datagram);
  if (head && head->kind == parsers::StunClass::kRequest) remember_request(flow.ice, head->transaction_id);
}

void Inspector::Impl::take_stun_answer(Flow& flow, ByteSpan datagram) {
  const auto head = parsers::read_stun_head(datagram);
  if (!head || head->kind != parsers::StunClass::kSuccess || !remembers(flow.ice, head->transaction_id)) return;
  const bool counts = head->method == parsers::kStunBinding || head->method == parsers::kTurnAllocate || head->method == parsers::kTurnRefresh;
  if (!counts || flow.key.tunnel != 0) return;
  // Without room its peers are denied.
  (void)expectations_->open_socket(flow.key.client, owner_of(flow), policy_->definition_of(flow.ice_rule), now_);
}

Decision Inspector::Impl::ice_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  const ByteSpan datagram = ip.payload;
  if (flow.state == FlowState::kDenied) return denied(flow);
  const parsers::MediaKind kind = parsers::media_kind(datagram);
  if (flow.ice.phase == IcePhase::kChecking) return ice_check(flow, datagram);
  switch (kind) {
    case parsers::MediaKind::kStun:
      if (flow.state == FlowState::kFinal || parsers::read_stun_head(datagram)) return pass(flow, flow.reason);
      return {.reason = Reason::kMalformed};
    case parsers::MediaKind::kDtls: return ice_dtls(flow, packet, datagram);
    case parsers::MediaKind::kRtp: {
      constexpr std::size_t kRtcpHeader = 8;
      if (datagram.size() < kRtcpHeader) return {.reason = Reason::kMalformed};
      if (flow.state == FlowState::kJudged && !flow.dtls.assembling && flow.ice.peer_media) become_final(flow);
      return pass(flow, flow.reason);
    }
    case parsers::MediaKind::kZrtp:
    case parsers::MediaKind::kTurnChannel:
    case parsers::MediaKind::kQuic:
    case parsers::MediaKind::kOther: break;
  }
  return {.reason = Reason::kProtocolNotAllowed};
}

// ice_check lets checks go to a peer that has not answered yet, and the answers to its own.
Decision Inspector::Impl::ice_check(Flow& flow, ByteSpan datagram) {
  if (datagram.size() > kIceCheckMax || !parsers::is_ice_message(datagram)) return {.reason = Reason::kIcePeerNotConfirmed};
  if (flow.datagrams > kIceChecksMax) return {.reason = Reason::kIcePeerLimit};
  const auto head = parsers::read_stun_head(datagram);
  if (head->kind == parsers::StunClass::kRequest) {
    if (!parsers::is_ice_check(datagram)) return {.reason = Reason::kIcePeerNotConfirmed};
    remember_request(flow.ice, head->transaction_id);
  }
  return pass(flow, flow.reason);
}

// ice_dtls judges a hello of the client's: a deny rule for its server name counts. A client that is the DTLS server sends none.
Decision Inspector::Impl::ice_dtls(Flow& flow, const Packet& packet, ByteSpan datagram) {
  if (flow.state == FlowState::kFinal) return pass(flow, flow.reason);
  if (flow.dtls.assembling || has_hello(datagram)) {
    flow.stage = Protocol::kDtls;
    return dtls_datagram(flow, packet, datagram);
  }
  parsers::DtlsFragmentReader fragments(datagram);
  parsers::DtlsFragment fragment;
  const bool handshake = datagram[0] == kDtlsHandshake && fragments.next(fragment);
  if (!handshake && !flow.dtls.hello_judged) return {.reason = Reason::kProtocolNotAllowed};
  if (handshake && fragment.type == parsers::kTlsServerHello && flow.ice.peer_hello) become_final(flow);
  return pass(flow, flow.reason);
}

Decision Inspector::Impl::ice_answer(Flow& flow, const parsers::IpPacket& ip) {
  if (flow.state == FlowState::kDenied) return denied(flow);
  if (flow.state == FlowState::kJudged) {  // A peer may speak before it answers.
    const parsers::MediaKind kind = parsers::media_kind(ip.payload);
    flow.ice.peer_media |= kind == parsers::MediaKind::kRtp;
    flow.ice.peer_hello |= kind == parsers::MediaKind::kDtls && has_hello(ip.payload);
  }
  if (flow.ice.phase == IcePhase::kChecking) {
    const auto head = parsers::read_stun_head(ip.payload);
    const bool answers = head && head->kind == parsers::StunClass::kSuccess && head->method == parsers::kStunBinding;
    if (answers && !ip.truncated && remembers(flow.ice, head->transaction_id)) flow.ice.phase = IcePhase::kOpen;
  } else if (flow.state == FlowState::kJudged && flow.dtls.hello_judged && parsers::answers_hello(ip.payload)) {
    become_final(flow);
  }
  return pass(flow, Reason::kReply);
}

}  // namespace sallyport::engine
