#include "detector.h"

#include "sallyport/core/limits.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/recognisers.h"
#include "sallyport/parsers/ssh.h"
#include "sallyport/parsers/tls_handshake.h"

namespace sallyport::engine {
namespace {

using parsers::Likeness;

struct Candidate {
  Protocol protocol;
  Likeness likeness;
};

// begins_like_sslv2 tells the first bytes of an SSLv2-compatible ClientHello: the high bit and a length that one has, then its
// type and the version.
bool begins_like_sslv2(ByteSpan bytes) {
  constexpr std::size_t kWhole = 5;
  constexpr std::uint8_t kFirstMin = 0x80, kFirstMax = 0x83;  // 1 kB; they have some dozen bytes.
  if (bytes.size() >= kWhole) return false;
  const bool length = bytes.empty() || (bytes[0] >= kFirstMin && bytes[0] <= kFirstMax);
  return length && (bytes.size() < 3 || bytes[2] == 1) && (bytes.size() < 4 || bytes[3] == 0 || bytes[3] == 3);
}

}  // namespace

Detection detect_stream(ByteSpan bytes, std::optional<ByteSpan> server) {
  if (parsers::looks_like_sslv2_hello(bytes)) return {true, Protocol::kTls};
  // The HTTP/2 preface stands before HTTP/1, whose request line it imitates.
  const Candidate candidates[] = {
      {Protocol::kTls, begins_like_sslv2(bytes) ? Likeness::kMaybe : Likeness::kNo},
      {Protocol::kTls, parsers::looks_like_tls(bytes)},
      {Protocol::kHttp2, parsers::looks_like_http2(bytes)},
      {Protocol::kSsh, parsers::looks_like_ssh(bytes)},
      {Protocol::kHttp, parsers::looks_like_http1(bytes)},
      {Protocol::kDns, parsers::looks_like_dns_tcp(bytes, kDnsQueryMax)},
  };
  bool open = false;
  bool only_dns = true;
  for (const Candidate& candidate : candidates) {
    if (candidate.likeness == Likeness::kYes && !open) return {true, candidate.protocol};
    if (candidate.likeness == Likeness::kNo) continue;
    open = true;
    only_dns = only_dns && candidate.protocol == Protocol::kDns;
  }
  if (open && !only_dns) return {};
  // Not by what a server's greeting may tell, where that is not read: its client waits for an answer to these bytes, which
  // wait for the verdict.
  const parsers::Recognition recognition =
      server ? parsers::recognise_tcp(bytes, *server) : parsers::recognise_tcp_client(bytes);
  // A SOCKS5 greeting is whole, its client waits; read as DNS it is the length of a message of 1.3 kB that stops
  // behind its first bytes. Any further byte rules the greeting out.
  if (open) return {recognition.protocol == Protocol::kSocks, recognition.protocol};
  return {!recognition.undecided, recognition.protocol};
}

Protocol detect_server(ByteSpan client, ByteSpan server) {
  if (parsers::looks_like_ssh(server) == Likeness::kYes) return Protocol::kSsh;
  if (parsers::read_ssh_identification(server, true).framing == Framing::kComplete) return Protocol::kSsh;
  if (parsers::looks_like_http1_response(server) == Likeness::kYes) return Protocol::kHttp;
  if (looks_like_server(server)) return Protocol::kTls;
  if (client.empty() && parsers::looks_like_dns_tcp(server, parsers::kDnsMessageMax) == Likeness::kYes) {
    return Protocol::kDns;
  }
  return parsers::recognise_tcp(client, server).protocol;
}

Protocol detect_prefix(ByteSpan bytes) {
  const Detection detection = detect_stream(bytes);
  return detection.known ? detection.protocol : Protocol::kUnknown;
}

Protocol detect_datagram(ByteSpan datagram, const FlowKey& key) {
  constexpr std::uint16_t kMdnsPort = 5353, kLlmnrPort = 5355;  // RFC 6762, RFC 4795
  if (parsers::looks_like_quic(datagram) == Likeness::kYes || parsers::looks_like_gquic(datagram)) return Protocol::kQuic;
  if (parsers::looks_like_dns(datagram) != Likeness::kNo) {
    const auto either = [&key](std::uint16_t port) { return key.client.port == port || key.server.port == port; };
    return either(kMdnsPort) ? Protocol::kMdns : either(kLlmnrPort) ? Protocol::kLlmnr : Protocol::kDns;
  }
  return parsers::recognise_udp(datagram).protocol;
}

bool looks_like_dns_answer(ByteSpan datagram) {
  constexpr std::size_t kFlagsOffset = 2;
  return datagram.size() > kFlagsOffset && (datagram[kFlagsOffset] & 0x80) != 0 &&
         parsers::looks_like_dns(datagram) == Likeness::kYes;
}

bool looks_like_client(ByteSpan bytes) {
  return parsers::looks_like_tls(bytes) == Likeness::kYes || parsers::looks_like_http1(bytes) == Likeness::kYes ||
         parsers::looks_like_http2(bytes) == Likeness::kYes;
}

bool looks_like_server(ByteSpan bytes) {
  constexpr std::size_t kTypeOffset = 5;
  const bool server_hello = bytes.size() > kTypeOffset && bytes[0] == parsers::kTlsHandshake && bytes[1] == 3 &&
                            bytes[kTypeOffset] == parsers::kTlsServerHello;
  return server_hello || parsers::looks_like_http1_response(bytes) == Likeness::kYes;
}

}  // namespace sallyport::engine
