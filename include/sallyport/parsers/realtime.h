// Recognisers of STUN, DTLS and RTP, and the server name of a DTLS ClientHello.
#pragma once

#include <expected>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_stun takes a datagram: a header with the magic cookie (RFC 8489 §5) and attributes that fill
// the message. Without the cookie (RFC 3489) only a known method with known attributes is taken.
Likeness looks_like_stun(ByteSpan datagram);
// looks_like_stun_tcp takes the first bytes of a stream; the cookie is needed.
Likeness looks_like_stun_tcp(ByteSpan stream);

// looks_like_dtls takes a datagram that begins with a record of a handshake (RFC 6347 §4.1, RFC 9147 §4).
Likeness looks_like_dtls(ByteSpan datagram);

// DtlsClientHello is the first handshake message of a DTLS flow. Views into the datagram.
struct DtlsClientHello {
  bool has_cookie = false;                      // The second hello, after a HelloVerifyRequest.
  std::optional<std::string_view> server_name;  // As sent.
};

// parse_dtls_client_hello reads a datagram whose first record holds a whole ClientHello. kUnsupported: the
// first message is another one, or a fragment. kMalformed: two server names, two server_name extensions, a
// NUL in the name, or lengths that do not fit.
std::expected<DtlsClientHello, ParseError> parse_dtls_client_hello(ByteSpan datagram);

// looks_like_rtp takes two datagrams that follow each other in one direction: one alone says too little.
// Both are of one source, or the first is a whole compound RTCP packet (RFC 3550 §5.1, §6.1).
Likeness looks_like_rtp(ByteSpan first, ByteSpan second);

}  // namespace sallyport::parsers
