// TLS over TCP: the first ClientHello, the server's first flight, and the second ClientHello that a
// HelloRetryRequest asks for (RFC 8446 §4.1.4). The kernel gets the flow only after a ServerHello (R5).
#include "inspector_impl.h"
#include "sallyport/parsers/server_flight.h"

namespace sallyport::engine {

using parsers::kTlsHandshake;

namespace {

// version_text names the highest version that a hello offers; empty for one that has no name.
std::string_view version_text(std::uint16_t version) {
  switch (version) {
    case 0x0304: return "TLS 1.3";
    case 0x0303: return "TLS 1.2";
    case 0x0302: return "TLS 1.1";
    case 0x0301: return "TLS 1.0";
    case 0x0300: return "SSL 3.0";
    case 0xfefc: return "DTLS 1.3";
    case 0xfefd: return "DTLS 1.2";
    case 0xfeff: return "DTLS 1.0";
    default: return {};
  }
}

bool begins_with_hello(ByteSpan records) {
  return records.size() > parsers::kTlsRecordHeaderSize && records[0] == kTlsHandshake &&
         records[parsers::kTlsRecordHeaderSize] == parsers::kTlsClientHello;
}

}  // namespace

void Inspector::Impl::read_tls(Flow& flow) {
  if (flow.tls_phase == TlsPhase::kFirstHello && !read_tls_hello(flow)) return;
  if (flow.tls_phase == TlsPhase::kServerFlight || flow.tls_phase == TlsPhase::kSecondServerFlight) {
    skip_tls_records(flow);
    const bool refused = flow.client == nullptr;
    if (!refused && flow.key.tunnel != 0 && begins_with_hello(flow.client->contiguous())) read_tls_hello(flow);
    return;
  }
  if (flow.tls_phase == TlsPhase::kSecondHello) {
    skip_tls_records(flow);
    // Refused by then, the flow has no window any more.
    if (flow.client != nullptr && !flow.client->contiguous().empty()) read_tls_hello(flow);
  }
}

// read_tls_hello reads a first or second hello. True: it was whole and is allowed.
bool Inspector::Impl::read_tls_hello(Flow& flow) {
  const ByteSpan stream = flow.client->contiguous();
  if (parsers::looks_like_sslv2_hello(stream)) {
    refuse(flow, Reason::kUnsupportedVersion);
    return false;
  }
  const parsers::TlsMessage message = parsers::read_tls_handshake_message(stream, scratch_);
  if (message.framing == Framing::kNeedMore) return false;
  if (message.framing != Framing::kComplete || message.type != parsers::kTlsClientHello || message.trailing != 0) {
    refuse(flow, message.framing == Framing::kTooLong ? Reason::kTooLong
                 : message.trailing != 0              ? Reason::kTrailingData
                                                      : Reason::kMalformed);
    return false;
  }
  const auto hello = parsers::parse_client_hello(message.body);
  if (!hello || hello->ech_kind == parsers::EchKind::kInner) {
    refuse(flow, Reason::kMalformed);
    return false;
  }
  const bool first = flow.tls_phase == TlsPhase::kFirstHello;
  if (first) {
    report_hello(flow, *hello, parsers::HelloTransport::kTcp);
    DomainName name;
    const NameClaim claim = claim_of(flow, *hello, name);
    if (!judge(flow, Protocol::kTls, claim)) return false;
  } else if (!same_name(flow, *hello)) {
    refuse(flow, Reason::kHelloChanged);
    return false;
  } else if (denies_ech(*hello, flow.rule)) {
    refuse(flow, Reason::kEchDenied);
    return false;
  }
  flow.early_data_offered = hello->early_data;
  flow.client->consume(message.consumed);
  flow.final_after = flow.client->base();
  flow.watch = true;
  flow.tls_phase = first ? TlsPhase::kServerFlight : TlsPhase::kSecondServerFlight;
  return true;
}

NameClaim Inspector::Impl::claim_of(const Flow& flow, const parsers::ClientHello& hello, DomainName& storage) {
  if (!hello.server_name) return {{}, nullptr, false, hello.ech};
  const auto name = DomainName::parse(*hello.server_name);
  if (!name) return {*hello.server_name, nullptr, !names_own_address(flow, *hello.server_name), hello.ech};
  storage = *name;
  return {*hello.server_name, &storage, false, hello.ech};
}

bool Inspector::Impl::same_name(const Flow& flow, const parsers::ClientHello& hello) const {
  if (!hello.server_name) return !flow.hello_named;
  const auto name = DomainName::parse(*hello.server_name);
  if (!name) return !flow.hello_named && names_own_address(flow, *hello.server_name);
  return flow.hello_named && *name == flow.name;
}

// names_own_address tells the server name of clients that go by address: where TLS begins inside of another protocol
// they write it there, against RFC 6066 §3, and it says no more than no name.
bool Inspector::Impl::names_own_address(const Flow& flow, std::string_view text) {
  const auto address = IpAddress::parse(text);
  return flow.session.upgraded && address && address->unmapped() == flow.key.server.address.unmapped();
}

// denies_ech tells whether a later hello has come to carry what the rule of the first denies.
bool Inspector::Impl::denies_ech(const parsers::ClientHello& hello, RuleId rule) const {
  return hello.ech && policy_->ech_of(rule) == policy::Ech::kDeny;
}

// skip_tls_records lets go what names nothing: early data, ChangeCipherSpec and alerts. A handshake
// record stays, held, until the server's flight says what it is.
void Inspector::Impl::skip_tls_records(Flow& flow) {
  while (true) {
    // Nothing that could come names anything: only the acknowledgement of the hello is awaited.
    if (flow.no_second_hello) return flow.client->skip(flow.client->contiguous().size());
    const parsers::TlsRecord record = parsers::read_tls_record(flow.client->contiguous());
    if (record.framing == Framing::kNeedMore) return;
    if (record.framing != Framing::kComplete) return refuse(flow, Reason::kMalformed);
    // The server's answers may come another way than this tunnel and never be seen: then every handshake record
    // that is no hello goes, and every hello is compared with the first.
    const bool stays = flow.key.tunnel == 0 || begins_with_hello(flow.client->contiguous());
    if (record.content_type == kTlsHandshake && (stays || flow.tls_phase == TlsPhase::kSecondHello)) return;
    // Application data that was not announced as early ends every honest handshake but a finished one
    // (RFC 8446 §4.2.10), so a server that goes on will not ask for a second hello.
    if (record.content_type == parsers::kTlsApplicationData && flow.tls_phase == TlsPhase::kServerFlight &&
        !flow.early_data_offered) {
      flow.no_second_hello = true;
    }
    // The header stays known: with another one in its place, the bytes skipped could be a second hello.
    flow.client->consume(parsers::kTlsRecordHeaderSize);
    flow.client->skip(record.payload_size);
  }
}

void Inspector::Impl::read_tls_server(Flow& flow) {
  const bool before_hello = flow.session.upgraded && flow.tls_phase == TlsPhase::kFirstHello;
  if (before_hello && flow.server->received_end() > flow.server->base()) return refuse(flow, Reason::kAmbiguous);
  if (flow.no_second_hello) return;
  if (flow.tls_phase == TlsPhase::kSecondServerFlight && !flow.hello_retry_read) {
    const parsers::TlsMessage retry = parsers::read_tls_handshake_message(flow.server->contiguous(), scratch_);
    if (retry.framing != Framing::kComplete) return;
    flow.server->consume(retry.consumed);
    flow.hello_retry_read = true;
  }
  if (flow.tls_phase == TlsPhase::kSecondServerFlight) {
    const ByteSpan rest = flow.server->contiguous();
    const std::size_t change_cipher_spec = parsers::skip_change_cipher_spec(rest);
    if (change_cipher_spec != 0) flow.server->consume(change_cipher_spec);
  }
  switch (parsers::read_server_flight(flow.server->contiguous()).kind) {
    case parsers::ServerFlight::kNeedMore:
    case parsers::ServerFlight::kAlert:
      return;
    case parsers::ServerFlight::kNotTls:
      return;  // Not handed over: what the client sends next stays under judgement.
    case parsers::ServerFlight::kServerHello:
      flow.no_second_hello = true;
      return;
    case parsers::ServerFlight::kHelloRetryRequest:
      if (flow.tls_phase == TlsPhase::kSecondServerFlight) return refuse(flow, Reason::kMalformed);
      if (flow.tls_phase != TlsPhase::kServerFlight) return;  // No hello has left that it could be about; or it is known.
      flow.tls_phase = TlsPhase::kSecondHello;
      read_client_stream(flow);  // The second hello may be here already.
      if (flow.client != nullptr && flow.state == FlowState::kJudged) release_held(flow, flow.client->base());
      return;
  }
}

void Inspector::Impl::report_hello(Flow& flow, const parsers::ClientHello& hello,
                                   parsers::HelloTransport transport) {
  constexpr int kAlpnMax = 16;
  parsers::AlpnReader alpn(hello.alpn_list);
  std::string_view protocol;
  for (int i = 0; i < kAlpnMax && alpn.next(protocol); ++i) report_detail(flow, Detail::kAlpn, protocol);
  if (hello.ech) report_detail(flow, Detail::kEch, "outer");
  if (!options_.read_details) return;  // Fingerprints cost two digests; the live path does not use them.
  report_detail(flow, Detail::kTlsVersion, version_text(hello.highest_version()));
  parsers::Ja3Text ja3;
  if (fingerprinter_.ja3(hello, ja3)) report_detail(flow, Detail::kJa3, parsers::text_of(ja3));
  parsers::Ja4Text ja4;
  if (fingerprinter_.ja4(hello, transport, ja4)) report_detail(flow, Detail::kJa4, parsers::text_of(ja4));
}

}  // namespace sallyport::engine
