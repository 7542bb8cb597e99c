// What a report tells of a flow beside its verdict. All of this runs with options.read_details alone, where
// both directions are at hand and the flow may be decided already; nothing of it changes a verdict.
#include <algorithm>

#include "detector.h"
#include "inspector_impl.h"
#include "sallyport/parsers/mail.h"
#include "sallyport/parsers/realtime.h"

namespace sallyport::engine {
namespace {

bool has_tls_upgrade(Protocol protocol) {
  return protocol == Protocol::kSmtp || protocol == Protocol::kImap || protocol == Protocol::kPop3 ||
         protocol == Protocol::kFtp;
}

}  // namespace

// read_details looks at both streams of a TCP flow again, after either of them has grown.
void Inspector::Impl::read_details(Flow& flow) {
  if (!options_.read_details) return;
  const ByteSpan server = flow.server == nullptr ? ByteSpan{} : flow.server->contiguous();
  if (flow.protocol == Protocol::kUnknown && !server.empty()) {
    // A server that speaks first: the live queue does not see it.
    const ByteSpan client = flow.ssh_client == nullptr ? ByteSpan{} : flow.ssh_client->contiguous();
    flow.protocol = detect_server(client, server);
  }
  if (flow.stage == Protocol::kSsh) read_ssh_details(flow);
  if (has_tls_upgrade(flow.protocol)) read_mail_upgrade(flow);
}

// read_mail_upgrade follows the client's commands to the one that asks for TLS, and reads the hello behind.
void Inspector::Impl::read_mail_upgrade(Flow& flow) {
  UpgradeState& upgrade = flow.upgrade;
  if (upgrade.done || flow.ssh_client == nullptr) return;
  const ByteSpan client = flow.ssh_client->contiguous();
  if (!upgrade.asked || parsers::looks_like_tls(client.subspan(upgrade.read)) == parsers::Likeness::kNo) {
    // Also when the server refused, and the session goes on.
    const parsers::TlsRequest request = parsers::find_tls_request(flow.protocol, client.subspan(upgrade.read));
    if (request.read != 0) upgrade.asked = request.asked;
    upgrade.read += request.read;
  }
  const ByteSpan hello_bytes = client.subspan(upgrade.read);
  if (!upgrade.asked || parsers::looks_like_tls(hello_bytes) != parsers::Likeness::kYes) return;
  const parsers::TlsMessage message = parsers::read_tls_handshake_message(hello_bytes, scratch_);
  if (message.framing == Framing::kNeedMore) return;
  upgrade.done = true;
  if (message.framing != Framing::kComplete || message.type != parsers::kTlsClientHello) return;
  const auto hello = parsers::parse_client_hello(message.body);
  if (!hello) return;
  report_hello(flow, *hello, parsers::HelloTransport::kTcp);
  DomainName name;
  report_claim(flow, claim_of(flow, *hello, name));
}

// read_last_details names a request whose head never became whole, by the Host field if that is.
void Inspector::Impl::read_last_details(Flow& flow) {
  if (flow.stage != Protocol::kHttp || flow.http_requests != 0 || flow.client == nullptr) return;
  const ByteSpan stream = flow.client->contiguous();
  const std::size_t lines_end = as_text(stream).rfind('\n');
  if (lines_end == std::string_view::npos) return;
  const parsers::HttpRequestHead head = parsers::read_refused_http_head(stream.first(lines_end + 1));
  if (!head.host) return;
  const auto name = DomainName::parse(head.host->host);
  report_name(flow, name ? name->text() : head.host->host);
}

// read_two_datagrams knows RTP, of which one datagram says too little.
void Inspector::Impl::read_two_datagrams(Flow& flow, ByteSpan datagram) {
  if (!options_.read_details || flow.protocol != Protocol::kUnknown) return;
  const ByteSpan last = ByteSpan(flow.last_begin).first(flow.last_begin_size);
  if (!last.empty() && parsers::looks_like_rtp(last, datagram) == parsers::Likeness::kYes) flow.protocol = Protocol::kRtp;
  const ByteSpan begin = datagram.first(std::min(datagram.size(), flow.last_begin.size()));
  std::copy(begin.begin(), begin.end(), flow.last_begin.begin());
  flow.last_begin_size = static_cast<std::uint8_t>(begin.size());
}

void Inspector::Impl::report_claim(Flow& flow, const NameClaim& claim) {
  if (!claim.text.empty()) report_name(flow, claim.name != nullptr ? claim.name->text() : claim.text);
}

}  // namespace sallyport::engine
