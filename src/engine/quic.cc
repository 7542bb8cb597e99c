// QUIC: the CRYPTO stream of the Initial packets carries the hello; packets are held until it is whole.
// Every long header packet of the tuple is judged for the flow's whole life (R5).
#include <algorithm>
#include <span>
#include <tuple>

#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

// hides_long_header tells whether a long header of a known version begins in `rest`, which is read no further. A
// datagram with room for two Initials may be several of them that segmentation offload will cut apart (UDP_SEGMENT),
// so a short header packet does not take up all of it. Ciphertext looks so once in ten million bytes or less.
bool hides_long_header(ByteSpan datagram, ByteSpan rest) {
  if (datagram.size() < 2 * parsers::kQuicMinInitialDatagram) return false;
  ByteReader in(rest);
  for (std::uint8_t first = 0; in.read_u8(first);) {
    std::uint32_t version = 0;
    ByteReader look = in;
    if ((first & 0x80) != 0 && look.read_u32(version) && parsers::quic_version_is_known(version)) return true;
  }
  return false;
}

}  // namespace

Decision Inspector::Impl::quic_datagram(Flow& flow, const Packet& packet, ByteSpan datagram) {
  if (parsers::looks_like_gquic(datagram)) {
    const parsers::GquicHello hello = parsers::read_gquic_hello(datagram);
    report_quic_version(flow, hello.version);
    if (!parsers::quic_version_is_google(hello.version)) {
      refuse_google(flow, hello.server_name);
      return refusal_of(flow);
    }
  }
  QuicRead result = flow.quic.hello_judged && !half_read(flow) ? QuicRead::kJudged : QuicRead::kIncomplete;
  ByteSpan rest = datagram;
  std::optional<ByteSpan> connection_id;
  for (std::size_t i = 0; parsers::has_quic_long_header(rest); ++i) {
    if (i == kQuicPacketsPerDatagramMax) {
      result = QuicRead::kDropPacket;  // The rest may be another hello.
      break;
    }
    const auto header = parsers::parse_quic_long_header(rest);
    if (!header) {
      if (i == 0) refuse(flow, Reason::kMalformed);
      break;  // Behind a whole packet: padding that the receiver ignores too (RFC 9000 §12.2).
    }
    // Packets of two connections in one datagram: the server reads those of the first only (RFC 9000 §12.2),
    // and the judgement of the second would stand for both.
    if (!connection_id) connection_id = header->destination_connection_id;
    if (!std::ranges::equal(*connection_id, header->destination_connection_id)) {
      refuse(flow, Reason::kAmbiguous);
      break;
    }
    if (header->version != parsers::kQuicVersionNegotiation) report_quic_version(flow, header->version);
    result = read_quic_packet(flow, *header);
    const bool goes_on = result == QuicRead::kIncomplete || result == QuicRead::kJudged;
    if (!goes_on) break;
    rest = rest.subspan(header->packet.size());
  }
  const bool passes = result == QuicRead::kIncomplete || result == QuicRead::kJudged;
  if (passes && hides_long_header(datagram, rest)) result = QuicRead::kDropPacket;
  if (flow.state == FlowState::kDenied) return refusal_of(flow);
  if (result == QuicRead::kUnknownVersion) return refuse_quic_version(flow, datagram);
  if (result == QuicRead::kDropPacket) return {.reason = Reason::kQuicInitialUndecryptable};
  if (result == QuicRead::kIncomplete) {
    if (flow.binding_wait != BindingWait::kNone) return hold_unbound(flow, packet);
    if (flow.held.count >= kQuicInitialsPerFlowMax) return deny_flow(flow, Reason::kHoldLimit);
    return hold(flow, packet, 0);
  }
  flow.state = FlowState::kFinal;
  if (windows_.scarce()) windows_.release(flow.client);
  release_held(flow, UINT64_MAX);
  return pass(flow, flow.reason);
}

// refuse_quic_version answers a version that is not read. It does not condemn the flow: the client may come
// back with another version on the same port (RFC 9000 §6), and that hello is judged for itself.
Decision Inspector::Impl::refuse_quic_version(Flow& flow, ByteSpan datagram) {
  if (flow.verdict != FlowVerdict::kDeny) {
    name_unknown_version(flow, datagram);
    deny_flow(flow, Reason::kUnsupportedVersion);
  }
  drop_held(flow, Reason::kUnsupportedVersion);
  const Decision decision = refusal_of(flow);
  flow.state = FlowState::kUndecided;
  return decision;
}

// name_unknown_version tells what the refused datagram is for, if its hello is whole and opens with the keys
// of a version that is known: a client that provokes a negotiation has no others.
void Inspector::Impl::name_unknown_version(Flow& flow, ByteSpan datagram) {
  for (const std::uint32_t version : {parsers::kQuicV1, parsers::kQuicDraft29, parsers::kQuicDraft23}) {
    const auto header = parsers::parse_quic_long_header_as(datagram, version);
    parsers::QuicInitialKeys keys;
    if (!header || !quic_opener_.derive(version, header->destination_connection_id, keys)) continue;
    const auto plaintext = quic_opener_.open(keys, true, *header);
    if (!plaintext) continue;
    StreamWindow* window = windows_.acquire(0);
    if (window == nullptr) return;
    parsers::QuicFrameReader frames(plaintext->frames);
    for (auto frame = frames.next(); frame.kind == parsers::QuicFrame::Kind::kCrypto ||
                                     frame.kind == parsers::QuicFrame::Kind::kOther;
         frame = frames.next()) {
      if (!frame.data.empty()) (void)window->put(frame.offset, frame.data);
    }
    const parsers::TlsMessage message = parsers::read_crypto_handshake_message(window->contiguous());
    if (message.framing == Framing::kComplete && message.type == parsers::kTlsClientHello) {
      if (const auto hello = parsers::parse_client_hello(message.body)) {
        report_hello(flow, *hello, parsers::HelloTransport::kQuic);
        DomainName name;
        report_claim(flow, claim_of(flow, *hello, name));
      }
    }
    windows_.release(window);
    return;
  }
}

// refuse_google refuses Google's own QUIC, under the name that it is for as far as it is known yet.
void Inspector::Impl::refuse_google(Flow& flow, const std::optional<std::string_view>& server_name) {
  if (server_name) {
    const auto name = DomainName::parse(*server_name);
    report_name(flow, name ? name->text() : *server_name);
  }
  refuse(flow, Reason::kUnsupportedVersion);
}

void Inspector::Impl::report_quic_version(Flow& flow, std::uint32_t version) {
  if (flow.quic.version_told) return;
  flow.quic.version_told = true;
  constexpr char kDigits[] = "0123456789abcdef";
  char text[10] = {'0', 'x'};
  for (int i = 0; i < 8; ++i) text[2 + i] = kDigits[version >> (28 - 4 * i) & 0xf];
  report_detail(flow, Detail::kQuicVersion, {text, sizeof text});
}

Inspector::Impl::QuicRead Inspector::Impl::read_quic_packet(Flow& flow, const parsers::QuicLongHeader& header) {
  using Type = parsers::QuicPacketType;
  switch (header.type) {
    case Type::kInitial:
      break;
    case Type::kZeroRtt:
      return flow.quic.hello_judged && !half_read(flow) ? QuicRead::kJudged : QuicRead::kIncomplete;
    case Type::kHandshake:
      if (!flow.quic.hello_judged || half_read(flow)) return QuicRead::kDropPacket;
      // The client has thrown its Initial keys away (RFC 9001 §4.9.1): its hello cannot change any more.
      windows_.release(flow.client);
      return QuicRead::kJudged;
    case Type::kRetry:
    case Type::kVersionNegotiation:
      refuse(flow, Reason::kMalformed);  // Only servers send these.
      return QuicRead::kDenied;
    case Type::kUnknownVersion:
      if (!flow.quic.hello_judged) return QuicRead::kUnknownVersion;
      refuse(flow, Reason::kUnsupportedVersion);
      return QuicRead::kDenied;
  }
  parsers::QuicPlaintext plaintext;
  if (!open_initial(flow, header, plaintext)) {
    if (flow.state == FlowState::kUndecided) refuse(flow, Reason::kQuicInitialUndecryptable);
    return QuicRead::kDropPacket;
  }
  if (header.version == parsers::kGquicQ050) {
    refuse_google(flow, parsers::gquic_server_name(plaintext.frames));
    return QuicRead::kDenied;
  }
  parsers::QuicFrameReader frames(plaintext.frames, header.version);
  while (true) {
    const parsers::QuicFrame frame = frames.next();
    if (frame.kind == parsers::QuicFrame::Kind::kEnd) break;
    if (frame.kind == parsers::QuicFrame::Kind::kMalformed) {
      refuse(flow, Reason::kMalformed);
      return QuicRead::kDenied;
    }
    if (frame.kind != parsers::QuicFrame::Kind::kCrypto || frame.data.empty()) continue;
    if (flow.client == nullptr) {
      // A first Initial, or one whose history is gone: a hello must be seen in full.
      flow.client = windows_.acquire(0);
      flow.quic.hello_judged = false;
      flow.quic.hellos = 0;
    }
    if (flow.client == nullptr) {
      refuse(flow, Reason::kStreamLimit);
      return QuicRead::kDenied;
    }
    const auto put = flow.client->put(frame.offset, frame.data);
    if (put.put != StreamWindow::Put::kOk || put.stored_end != frame.offset + frame.data.size()) {
      refuse(flow, put.put == StreamWindow::Put::kConflict ? Reason::kRetransmissionDiffers : Reason::kStreamLimit);
      return QuicRead::kDenied;
    }
  }
  if (flow.client == nullptr) return flow.quic.hello_judged ? QuicRead::kJudged : QuicRead::kIncomplete;
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
  // Other keys are another connection, or one after a Retry: its CRYPTO stream begins anew, and what is held
  // of the former one must not leave on its judgement.
  if (quic.has_keys || half_read(flow)) drop_held(flow, Reason::kQuicInitialUndecryptable);
  windows_.release(flow.client);
  quic.hello_judged = false;
  quic.keys = keys;
  quic.has_keys = true;
  quic.largest_packet_number = plaintext.packet_number;
  quic.client_connection_id_size = static_cast<std::uint8_t>(header.source_connection_id.size());
  std::copy(header.source_connection_id.begin(), header.source_connection_id.end(), quic.client_connection_id.begin());
  quic.connection_id_size = static_cast<std::uint8_t>(header.destination_connection_id.size());
  std::copy(header.destination_connection_id.begin(), header.destination_connection_id.end(), quic.connection_id.begin());
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
    if (const QuicRead known = compare_with_memory(flow, stream.first(message.consumed)); known != QuicRead::kJudged) {
      return known;
    }
    if (!flow.quic.hello_judged) {
      report_hello(flow, *hello, parsers::HelloTransport::kQuic);
      if (parsers::quic_version_is_google(flow.quic.keys.version)) {
        refuse_google(flow, hello->server_name);
        flow.quic.hello_judged = true;
        return QuicRead::kDenied;
      }
      DomainName name;
      if (!judge(flow, Protocol::kQuic, claim_of(flow, *hello, name))) {
        return flow.binding_wait == BindingWait::kNone ? QuicRead::kDenied : QuicRead::kIncomplete;
      }
    } else if (!same_name(flow, *hello)) {
      refuse(flow, Reason::kHelloChanged);
      return QuicRead::kDenied;
    } else if (denies_ech(*hello, flow.rule)) {
      refuse(flow, Reason::kEchDenied);
      return QuicRead::kDenied;
    }
    flow.quic.hello_judged = true;
    ++flow.quic.hellos;
    flow.client->consume(message.consumed);
  }
}

// half_read tells that bytes of a hello are there which are not judged.
bool Inspector::Impl::half_read(const Flow& flow) {
  return flow.client != nullptr && flow.client->received_end() > flow.client->base();
}

// compare_with_memory tells whether a connection that was read before says what it said then. kJudged: it does,
// or is new and remembered now. Too many connections in too short a time wait for room: their packets are dropped.
Inspector::Impl::QuicRead Inspector::Impl::compare_with_memory(Flow& flow, ByteSpan hello) {
  QuicState& quic = flow.quic;
  if (shadow(flow)) return QuicRead::kJudged;
  if (quic.hellos >= std::tuple_size_v<decltype(QuicConnection::hello_hashes)>) {
    refuse(flow, Reason::kMalformed);  // RFC 8446 §4.1.4: one retry.
    return QuicRead::kDenied;
  }
  const std::uint64_t id_hash = keyed_hash(options_.hash_key, quic.connection_id.data(), quic.connection_id_size);
  const auto known = std::span(quic.connections).first(quic.connection_count);
  auto place = std::ranges::find(known, id_hash, &QuicConnection::id_hash);
  if (place == known.end()) {
    if (quic.connection_count < kQuicConnectionsPerFlow) {
      place = known.begin() + quic.connection_count++;
    } else {
      place = std::ranges::min_element(known, {}, &QuicConnection::begun);
      if (place->begun + kQuicConnectionMemory > now_) return QuicRead::kDropPacket;
    }
    *place = {id_hash, {}, now_};
  }
  const std::uint64_t hash = keyed_hash(options_.hash_key, hello.data(), hello.size()) | 1;
  std::uint64_t& before = place->hello_hashes[quic.hellos];
  if (before == 0) before = hash;
  if (before == hash) return QuicRead::kJudged;
  refuse(flow, Reason::kHelloChanged);
  return QuicRead::kDenied;
}

}  // namespace sallyport::engine
