// What a denied client is told, in its own protocol: from the flow's state to a packet of src/refusal/. A TCP client gets the
// words and a FIN where its next byte is due, the server a RST; a UDP client one datagram, no larger than its own.
#include <algorithm>

#include "inspector_impl.h"
#include "sallyport/core/text.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/refusal/dns.h"
#include "sallyport/refusal/http.h"
#include "sallyport/refusal/lines.h"
#include "sallyport/refusal/packet.h"
#include "sallyport/refusal/services.h"
#include "sallyport/refusal/ssh.h"
#include "sallyport/refusal/stun.h"
#include "sallyport/refusal/tls.h"

namespace sallyport::engine {
namespace {

constexpr std::uint16_t kWindow = 0xffff;

// field_of returns the value of the first field `name` of an HTTP/1 head, which may end early.
std::string_view field_of(std::string_view head, std::string_view name) {
  for (std::size_t line = head.find('\n'); line != std::string_view::npos; line = head.find('\n', line + 1)) {
    const std::string_view rest = head.substr(line + 1);
    if (rest.size() <= name.size() || rest[name.size()] != ':' || !equals_ignoring_case(rest.substr(0, name.size()), name)) continue;
    std::string_view value = rest.substr(name.size() + 1);
    value = value.substr(0, value.find_first_of("\r\n"));
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    return value;
  }
  return {};
}

refusal::HttpRefusal http_refusal(std::string_view head, Reason reason) {
  refusal::HttpRefusal refusal;
  head = head.substr(0, kHttpHeadMax);
  refusal.head = head.starts_with("HEAD ");
  refusal.accept = field_of(head, "accept");
  const bool bad = reason == Reason::kMalformed || reason == Reason::kAmbiguous || reason == Reason::kTooLong;
  if (bad) refusal.status = 400;  // RFC 9110 §15.5.1
  return refusal;
}

// imap_tag returns the tag of the command that `line` begins (RFC 9051 §2.2.1), or nothing.
std::string_view imap_tag(std::string_view line) {
  constexpr std::size_t kTagMax = 32;
  const std::size_t end = line.find(' ');
  if (end == std::string_view::npos || end == 0 || end > kTagMax) return {};
  const std::string_view tag = line.substr(0, end);
  const bool plain = std::ranges::all_of(tag, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_';
  });
  return plain ? tag : std::string_view{};
}

bool is_ehlo(std::string_view line) {
  constexpr std::string_view kWord = "EHLO";
  return equals_ignoring_case(line.substr(0, kWord.size()), kWord);
}

}  // namespace

// may_inject tells the flows for which packets of ours may be made: the kernel has an entry for a TCP connection that was seen
// from its SYN on and answered, and nothing answers into a tunnel.
bool Inspector::Impl::may_inject(const Flow& flow) const {
  if (observing() || flow.key.tunnel != 0) return false;
  // Nobody answers from such an address; and what asks from the port of DNS cannot be told (docs/netfilter.md).
  const auto single = [](const IpAddress& address) { return !address.is_multicast_or_broadcast() && address != IpAddress(); };
  if (!single(flow.key.client.address) || !single(flow.key.server.address)) return false;
  if (flow.key.transport == Transport::kUdp && flow.key.client.port == kDnsPort) return false;
  if (flow.key.transport == Transport::kTcp) return flow.syn_seen && flow.server_next_known && flow.client_base_known;
  return flow.key.transport == Transport::kUdp;
}

bool Inspector::Impl::tell(Flow& flow) {
  if (!may_inject(flow)) return false;
  bool told = false;
  if (policy_->refuse_of(flow.rule) == policy::Refuse::kSpeak) {
    std::array<std::uint8_t, refusal::kRefusalMax> words;
    const bool tcp = flow.key.transport == Transport::kTcp;
    const std::size_t size = tcp ? tcp_words(flow, words) : udp_words(flow, words);
    const bool may = size != 0 && refusal_budget_.take(flow.key.client.address, flow.uid.value_or(UINT32_MAX), now_);
    if (may) told = tell_client(flow, ByteSpan(words).first(size));
  }
  if (flow.key.transport == Transport::kTcp) tell_server(flow);
  return told;
}

bool Inspector::Impl::tell_client(const Flow& flow, ByteSpan words) {
  const refusal::Buffer room = std::span(injected_).subspan(injected_size());
  if (flow.key.transport == Transport::kUdp) {
    return inject(refusal::udp_datagram(room, flow.key.server, flow.key.client, words), true);
  }
  refusal::TcpSegment segment;
  segment.from = flow.key.server;
  segment.to = flow.key.client;
  segment.sequence = flow.server_next;
  segment.acknowledgment = flow.client_base + static_cast<std::uint32_t>(flow.client_seen);
  segment.fin = segment.ack = segment.psh = true;
  segment.window = kWindow;
  segment.payload = words;
  if (!inject(refusal::tcp_segment(room, segment), true)) return false;
  last_words_.push({flow.key, flow.server_next, static_cast<std::uint32_t>(words.size()), now_ + kRefusalEndsAfter});
  return true;
}

// end_told resets the clients that were told a moment ago. One that writes without reading would go on until TCP gives up, since
// its segments are dropped without a word; one to which the words were lost would wait as long. What it has read it keeps: the
// reset is behind the FIN, or where the words were due.
void Inspector::Impl::end_told() {
  constexpr std::uint32_t kFin = 1;
  constexpr std::size_t kResets = 2;
  for (const LastWords* told = last_words_.due(now_); told != nullptr; told = last_words_.due(now_)) {
    const bool room = injections.capacity() - injections.size() >= kResets &&
                      injected_.size() - injected_size() >= kResets * refusal::kRefusalHeadersMax;
    if (!room) return;  // The others' turn comes with the next call.
    refusal::TcpSegment reset;
    reset.from = told->key.server;
    reset.to = told->key.client;
    reset.rst = true;
    for (const std::uint32_t behind : std::array<std::uint32_t, kResets>{told->size + kFin, 0}) {
      reset.sequence = told->sequence + behind;
      (void)inject(refusal::tcp_segment(std::span(injected_).subspan(injected_size()), reset), true);
    }
    last_words_.pop();
  }
}

// tell_server ends the server's side, which has nothing of what was refused: its next expected byte is the one behind what
// was let go, and only a RST exactly there counts (RFC 5961 §3.2).
void Inspector::Impl::tell_server(const Flow& flow) {
  refusal::TcpSegment segment;
  segment.from = flow.key.client;
  segment.to = flow.key.server;
  segment.sequence = flow.client_base + static_cast<std::uint32_t>(flow.left);
  segment.rst = true;
  (void)inject(refusal::tcp_segment(std::span(injected_).subspan(injected_size()), segment), false);
}

std::size_t Inspector::Impl::injected_size() const {
  if (injections.empty()) return 0;
  const ByteSpan last = injections.back().packet;
  return static_cast<std::size_t>(last.data() - injected_.data()) + last.size();
}

bool Inspector::Impl::inject(std::size_t size, bool to_client) {
  if (size == 0 || injections.size() == injections.capacity()) return false;
  injections.push_back({ByteSpan(injected_).subspan(injected_size(), size), to_client});
  return true;
}

// heard_server tells whether the client has bytes of the server. Where neither the SYN-ACK nor the ACK behind it came to the queue,
// the protocol tells: the client of one whose server greets has waited for that, that of SSH speaks at once.
bool Inspector::Impl::heard_server(const Flow& flow) const {
  if (flow.server_first_known || flow.server_next != flow.server_first) return flow.server_next != flow.server_first;
  switch (flow.stage) {
    case Protocol::kFtp:
    case Protocol::kSmtp:
    case Protocol::kImap:
    case Protocol::kPop3:
    case Protocol::kMysql:
      return true;
    default:
      return false;
  }
}

// tcp_words writes what the client reads next in its own protocol; 0: nothing that it would understand.
std::size_t Inspector::Impl::tcp_words(Flow& flow, refusal::Buffer out) {
  const ByteSpan unread = flow.client == nullptr ? ByteSpan{} : flow.client->contiguous();
  const bool server_spoke = heard_server(flow);
  const refusal::Notice notice = notice_of(flow);
  // Behind the server's word that TLS may begin, until the client's hello, the client still reads the session's lines.
  const bool session = flow.stage == Protocol::kTls && flow.session.upgraded && flow.client_seen <= flow.left;
  switch (session ? flow.session.read.protocol : flow.stage) {
    case Protocol::kTls:
      return refusal::tls_alert(out, static_cast<refusal::TlsAlert>(policy_->refusals().tls_alert));
    case Protocol::kHttp:
      if (flow.http_phase == HttpPhase::kWebSocket || answer_is_due(flow)) return 0;
      return refusal::http1_forbidden(out, notice, http_refusal(as_text(unread), flow.reason));
    case Protocol::kHttp2: {
      // Words inside a frame of the server's would be read as the stream's that it is of.
      if (server_spoke && !(flow.server_frames.begun() && flow.server_frames.whole())) return 0;
      const bool bad = flow.reason == Reason::kMalformed || flow.reason == Reason::kAmbiguous || flow.reason == Reason::kTooLong;
      const std::uint32_t stream = flow.http2 == nullptr || bad ? 0 : flow.http2->last_stream();
      std::size_t size = 0;
      if (stream != 0) {
        refusal::HttpRefusal form;
        form.head = flow.http2->last_request().method == "HEAD";
        size = refusal::http2_forbidden(out, notice, form, stream, !server_spoke);
      }
      // The connection ends with it: the streams above were not processed, and a client may send them again elsewhere.
      return size + refusal::http2_goaway(out.subspan(size), notice, stream, !server_spoke && size == 0);
    }
    case Protocol::kSsh:
      return refusal::ssh_disconnect(out, notice, !server_spoke);
    case Protocol::kFtp:
    case Protocol::kSmtp:
    case Protocol::kImap:
    case Protocol::kPop3:
    case Protocol::kRedis:
      return refusal::line_refusal(out, notice, {session ? flow.session.read.protocol : flow.stage, !server_spoke, imap_tag(as_text(unread)),
                                                 is_ehlo(as_text(unread))});
    case Protocol::kPostgresql:
      return refusal::postgresql_error(out, notice, unread);
    case Protocol::kMysql: {
      constexpr std::size_t kSequenceOffset = 3;
      const bool numbered = server_spoke && unread.size() > kSequenceOffset;
      return refusal::mysql_error(out, notice, numbered ? static_cast<std::uint8_t>(unread[kSequenceOffset] + 1) : std::uint8_t{0});
    }
    case Protocol::kMqtt:
      return refusal::mqtt_refusal(out, notice, unread);
    case Protocol::kAmqp:
      return refusal::amqp_refusal(out, notice, unread);
    case Protocol::kSocks:
      if (awaits_socks_answer(flow.socks_phase)) return 0;  // What is unread is no request.
      return refusal::socks_refusal(out, unread, flow.socks_phase == SocksPhase::kRequest5);
    case Protocol::kDns:
      return dns_words(out, notice, refused_query(flow), true);
    default:
      return 0;
  }
}

std::size_t Inspector::Impl::dns_words(refusal::Buffer out, const refusal::Notice& notice, ByteSpan query, bool over_tcp) {
  if (query.empty()) return 0;
  const policy::Refusals& wanted = policy_->refusals();
  refusal::DnsRefusal form;
  form.rcode = wanted.dns_nxdomain ? refusal::DnsRcode::kNxDomain : refusal::DnsRcode::kRefused;
  form.error = static_cast<refusal::DnsErrorCode>(wanted.dns_error);
  form.over_tcp = over_tcp;
  form.size_max = over_tcp ? out.size() - sizeof(std::uint16_t) : query.size();
  return refusal::dns_refusal(out, notice, query, form);
}

std::size_t Inspector::Impl::udp_words(Flow& flow, refusal::Buffer out) {
  const refusal::Notice notice = notice_of(flow);
  switch (flow.stage) {
    case Protocol::kDns:
      return dns_words(out, notice, datagram_, false);
    case Protocol::kStun:
      return datagram_.empty() ? 0 : refusal::stun_forbidden(out, notice, datagram_, datagram_.size());
    case Protocol::kQuic: {
      refusal::QuicRefusal form;
      const QuicState& quic = flow.quic;
      if (quic.hellos != 0) return 0;  // By now the client goes by the connection id that the server chose (RFC 9000 §7.2).
      if (quic.has_keys) {
        form.version = quic.keys.version;
        form.key_connection_id = ByteSpan(quic.connection_id).first(quic.connection_id_size);
        form.client_connection_id = ByteSpan(quic.client_connection_id).first(quic.client_connection_id_size);
      } else {  // Refused before anything of it was opened: `quic = "deny"`.
        const auto header = parsers::parse_quic_long_header(datagram_);
        if (!header || header->type != parsers::QuicPacketType::kInitial) return 0;
        form.version = header->version;
        form.key_connection_id = header->destination_connection_id;
        form.client_connection_id = header->source_connection_id;
      }
      form.server_connection_id = form.key_connection_id;
      form.error_code = 0x100u + policy_->refusals().tls_alert;  // RFC 9001 §4.8
      // What waited for a binding came in a datagram of this size at least.
      form.provoked_by = datagram_.empty() ? parsers::kQuicMinInitialDatagram : datagram_.size();
      return quic_closer_.close(out, notice, form);
    }
    default:
      return 0;
  }
}

// note_acknowledged: what the client acknowledges it has; whatever comes next for it begins there.
void Inspector::Impl::note_acknowledged(Flow& flow, const parsers::IpPacket& ip) {
  if (!ip.tcp.ack || ip.tcp.rst) return;
  const auto ahead = static_cast<std::int32_t>(ip.tcp.acknowledgment - flow.server_next);
  if (flow.server_next_known && ahead <= 0) return;
  flow.server_next = ip.tcp.acknowledgment;
  flow.server_first_known = flow.server_first_known || (!flow.server_next_known && ip.payload.empty());
  if (!flow.server_next_known) flow.server_first = flow.server_next;
  flow.server_next_known = true;
}

// answer_is_due tells that the client asked again before a byte of the last answer came: the words would be taken for that answer.
// A request that stands in one segment with the refused one does not leave, and they are the answer to it, too.
bool Inspector::Impl::answer_is_due(const Flow& flow) {
  const bool left = flow.client != nullptr && flow.left >= flow.client->base();
  return left && flow.http_requests > 1 && flow.asked_at_known && flow.asked_at == flow.server_next;
}

// note_delivered: what the client gets is behind it, whether it has said so or not. Behind a gap nothing can be said.
void Inspector::Impl::note_delivered(Flow& flow, const parsers::IpPacket& ip) {
  const std::uint32_t end = ip.tcp.sequence + static_cast<std::uint32_t>(ip.payload.size());
  if (!flow.server_next_known || static_cast<std::int32_t>(end - flow.server_next) <= 0) return;
  const auto known = static_cast<std::int32_t>(flow.server_next - ip.tcp.sequence);
  if (flow.stage == Protocol::kHttp2) {
    if (!flow.server_frames.begun() && flow.server_next != flow.server_first) flow.server_frames.lose();
    flow.server_frames.begin();
    if (known < 0) {
      flow.server_frames.lose();
    } else {
      flow.server_frames.take(ip.payload.subspan(static_cast<std::size_t>(known)));
    }
  }
  if (known >= 0) flow.server_next = end;
}

}  // namespace sallyport::engine
