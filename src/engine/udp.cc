// UDP: QUIC Initials, DNS messages, and everything else by address.
#include <algorithm>

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
  return !looks_like_dns_answer(ip.payload) || ip.destination.is_multicast_or_broadcast();
}

}  // namespace

Decision Inspector::Impl::udp(const Packet& packet, const parsers::IpPacket& ip) {
  const Endpoint source{ip.source, ip.source_port};
  FlowKey key{Transport::kUdp, ip.ip_protocol, source, {ip.destination, ip.destination_port}};
  Flow* flow = table_.find(key);
  if (flow == nullptr) {
    if (packet.origin == Origin::kReply) return {.reason = Reason::kReplyWithoutFlow};
    if (!client_is_source(packet, ip)) key = key.reversed();
    flow = open_flow(packet, key);
    if (flow == nullptr) return {.reason = Reason::kFlowTableFull};
  }
  last_flow = flow->number;
  touch(*flow);
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
  return from_client ? udp_from_client(*flow, packet, ip) : udp_from_server(*flow, ip);
}

Decision Inspector::Impl::udp_from_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  ++flow.datagrams;
  if (flow.state == FlowState::kDenied && !options_.read_details) return denied(flow);
  if (flow.datagrams == 1 && judge_early(flow)) {
    if (flow.state == FlowState::kDenied) return refusal_of(flow);
    flow.by_address = flow.watch = true;
  }
  if (flow.by_address && !options_.read_details) return opaque_datagram(flow);
  const Protocol protocol = detect_datagram(ip.payload, flow.key);
  if (!flow.stage_known || (protocol == Protocol::kQuic && flow.stage != Protocol::kQuic)) set_protocol(flow, protocol);
  if (flow.by_address) return opaque_datagram(flow);
  if (flow.stage == Protocol::kQuic) return quic_datagram(flow, packet, ip.payload);
  if (is_dns_like(flow.stage)) return dns_datagram(flow, ip);
  if (flow.state == FlowState::kDenied) return denied(flow);
  if (flow.state == FlowState::kUndecided) {
    // A short header where no Initial was seen: a migrated or forgotten QUIC connection (RFC 9000 §17.3).
    constexpr std::uint8_t kFixedBit = 0x40;
    const bool short_header = flow.key.server.port == 443 && !ip.payload.empty() && (ip.payload[0] & 0xc0) == kFixedBit;
    if (!judge(flow, flow.stage, {})) {
      if (short_header && flow.rule == kNoRule) flow.reason = Reason::kQuicShortHeader;
      return refusal_of(flow);
    }
    flow.watch = true;
  }
  return opaque_datagram(flow);
}

// opaque_datagram passes a datagram that the address alone allows. The kernel takes over at the first
// answer: handing over at once would let the rest of a burst overtake what is still queued.
Decision Inspector::Impl::opaque_datagram(Flow& flow) {
  if (flow.state == FlowState::kJudged && flow.datagrams >= kDatagramsWithoutAnswer) become_final(flow);
  return pass(flow, flow.reason);
}

Decision Inspector::Impl::udp_from_server(Flow& flow, const parsers::IpPacket& ip) {
  if (is_dns_like(flow.stage) || (flow.stage == Protocol::kUnknown && looks_like_dns_answer(ip.payload))) {
    if (!flow.stage_known) set_protocol(flow, detect_datagram(ip.payload, flow.key));
    report_dns(flow, ip.payload);
  } else if (flow.state == FlowState::kJudged && flow.stage != Protocol::kQuic) {
    become_final(flow);
  }
  if (flow.state == FlowState::kDenied) return denied(flow);
  return pass(flow, Reason::kReply);
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
  if (answered_before) decision.mark.reset();
  flow.state = answered_before ? FlowState::kJudged : FlowState::kUndecided;
  return decision;
}

Decision Inspector::Impl::quic_datagram(Flow& flow, const Packet& packet, ByteSpan datagram) {
  constexpr int kPacketsPerDatagram = 16;
  QuicRead result = flow.quic.hello_judged ? QuicRead::kJudged : QuicRead::kIncomplete;
  ByteSpan rest = datagram;
  for (int i = 0; i < kPacketsPerDatagram && parsers::has_quic_long_header(rest); ++i) {
    const auto header = parsers::parse_quic_long_header(rest);
    if (!header) {
      if (i == 0) refuse(flow, Reason::kMalformed);
      break;  // Behind a whole packet: padding that the receiver ignores too (RFC 9000 §12.2).
    }
    result = read_quic_packet(flow, *header);
    if (result == QuicRead::kDropPacket || result == QuicRead::kDenied) break;
    rest = rest.subspan(header->packet.size());
  }
  if (flow.state == FlowState::kDenied) return refusal_of(flow);
  if (result == QuicRead::kDropPacket) return {.reason = Reason::kQuicInitialUndecryptable};
  if (result == QuicRead::kIncomplete) {
    if (flow.held.count >= kQuicInitialsPerFlowMax) return deny_flow(flow, Reason::kHoldLimit);
    return hold(flow, packet, 0);
  }
  flow.state = FlowState::kFinal;
  if (windows_.scarce()) windows_.release(flow.client);
  release_held(flow, UINT64_MAX);
  return pass(flow, flow.reason);
}

Inspector::Impl::QuicRead Inspector::Impl::read_quic_packet(Flow& flow, const parsers::QuicLongHeader& header) {
  using Type = parsers::QuicPacketType;
  switch (header.type) {
    case Type::kInitial:
      break;
    case Type::kZeroRtt:
      return flow.quic.hello_judged ? QuicRead::kJudged : QuicRead::kIncomplete;
    case Type::kHandshake:
      if (!flow.quic.hello_judged) return QuicRead::kDropPacket;
      // The client has thrown its Initial keys away (RFC 9001 §4.9.1): its hello cannot change any more.
      windows_.release(flow.client);
      return QuicRead::kJudged;
    case Type::kRetry:
    case Type::kVersionNegotiation:
      refuse(flow, Reason::kMalformed);  // Only servers send these.
      return QuicRead::kDenied;
    case Type::kUnknownVersion:
      refuse(flow, Reason::kUnsupportedVersion);
      return QuicRead::kDenied;
  }
  parsers::QuicPlaintext plaintext;
  if (!open_initial(flow, header, plaintext)) {
    if (flow.state == FlowState::kUndecided) refuse(flow, Reason::kQuicInitialUndecryptable);
    return QuicRead::kDropPacket;
  }
  if (flow.client == nullptr) {
    // A first Initial, or one whose history is gone: a hello must be seen in full.
    flow.client = windows_.acquire(0);
    flow.quic.hello_judged = false;
  }
  if (flow.client == nullptr) {
    refuse(flow, Reason::kStreamLimit);
    return QuicRead::kDenied;
  }
  parsers::QuicFrameReader frames(plaintext.frames);
  while (true) {
    const parsers::QuicFrame frame = frames.next();
    if (frame.kind == parsers::QuicFrame::Kind::kEnd) break;
    if (frame.kind == parsers::QuicFrame::Kind::kMalformed) {
      refuse(flow, Reason::kMalformed);
      return QuicRead::kDenied;
    }
    if (frame.kind != parsers::QuicFrame::Kind::kCrypto || frame.data.empty()) continue;
    const auto put = flow.client->put(frame.offset, frame.data);
    if (put.put != StreamWindow::Put::kOk || put.stored_end != frame.offset + frame.data.size()) {
      refuse(flow, put.put == StreamWindow::Put::kConflict ? Reason::kRetransmissionDiffers : Reason::kStreamLimit);
      return QuicRead::kDenied;
    }
  }
  return read_crypto_stream(flow);
}

// open_initial opens the packet with the keys in use; with keys from its own connection id (a first
// Initial, the answer to a Retry, another connection on the tuple); or with those of the first connection
// id in another version (compatible version negotiation, RFC 9368 §2.3).
bool Inspector::Impl::open_initial(Flow& flow, const parsers::QuicLongHeader& header,
                                   parsers::QuicPlaintext& plaintext) {
  QuicState& quic = flow.quic;
  const auto opens_with = [&](const parsers::QuicInitialKeys& keys, std::optional<std::uint64_t> largest) {
    const auto opened = quic_opener_.open(keys, true, header, largest);
    if (opened) plaintext = *opened;
    return opened.has_value();
  };
  if (quic.has_keys && quic.keys.version == header.version && opens_with(quic.keys, quic.largest_packet_number)) {
    quic.largest_packet_number = std::max(quic.largest_packet_number.value_or(0), plaintext.packet_number);
    return true;
  }
  parsers::QuicInitialKeys keys;
  if (quic.has_keys && quic.keys.version != header.version &&
      quic_opener_.derive(header.version, ByteSpan(quic.connection_id).first(quic.connection_id_size), keys) &&
      opens_with(keys, quic.largest_packet_number)) {
    quic.keys = keys;
    return true;
  }
  if (!quic_opener_.derive(header.version, header.destination_connection_id, keys) || !opens_with(keys, std::nullopt)) {
    return false;
  }
  if (!quic.has_keys) {
    constexpr char kDigits[] = "0123456789abcdef";
    char text[10] = {'0', 'x'};
    for (int i = 0; i < 8; ++i) text[2 + i] = kDigits[header.version >> (28 - 4 * i) & 0xf];
    report_detail(flow, Detail::kQuicVersion, {text, sizeof text});
  }
  quic.keys = keys;
  quic.has_keys = true;
  quic.largest_packet_number = plaintext.packet_number;
  quic.connection_id_size = static_cast<std::uint8_t>(header.destination_connection_id.size());
  std::copy(header.destination_connection_id.begin(), header.destination_connection_id.end(), quic.connection_id.begin());
  windows_.release(flow.client);  // Other keys are another CRYPTO stream.
  return true;
}

// read_crypto_stream judges each ClientHello of the Initial packets: the first, and the second that a
// HelloRetryRequest asks for.
Inspector::Impl::QuicRead Inspector::Impl::read_crypto_stream(Flow& flow) {
  while (true) {
    const ByteSpan stream = flow.client->contiguous();
    const bool gap = stream.empty() && flow.client->received_end() > flow.client->base();
    if (stream.empty() && !gap && flow.quic.hello_judged) return QuicRead::kJudged;
    const parsers::TlsMessage message = parsers::read_crypto_handshake_message(stream);
    if (message.framing == Framing::kNeedMore) return QuicRead::kIncomplete;
    if (message.framing != Framing::kComplete || message.type != parsers::kTlsClientHello) {
      refuse(flow, message.framing == Framing::kTooLong ? Reason::kTooLong : Reason::kMalformed);
      return QuicRead::kDenied;
    }
    const auto hello = parsers::parse_client_hello(message.body);
    if (!hello || hello->ech_kind == parsers::EchKind::kInner) {
      refuse(flow, Reason::kMalformed);
      return QuicRead::kDenied;
    }
    if (!flow.quic.hello_judged) {
      report_hello(flow, *hello, true);
      DomainName name;
      if (!judge(flow, Protocol::kQuic, claim_of(*hello, name))) return QuicRead::kDenied;
    } else if (!same_name(flow, *hello)) {
      refuse(flow, Reason::kHelloChanged);
      return QuicRead::kDenied;
    }
    flow.quic.hello_judged = true;
    flow.client->consume(message.consumed);
  }
}

}  // namespace sallyport::engine
