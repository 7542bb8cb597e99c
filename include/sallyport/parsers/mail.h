// Recognisers of the protocols whose server greets first: SMTP, FTP, IMAP, POP3. Two of them greet alike
// ("220"), so both directions' first bytes are looked at; either may still be empty. After an upgrade to TLS
// (STARTTLS and its kin) the flow keeps the protocol that it began with.
#pragma once

#include <cstddef>

#include "sallyport/core/bytes.h"
#include "sallyport/core/protocol.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

Likeness looks_like_smtp(ByteSpan client, ByteSpan server);  // RFC 5321 §3.1; LMTP too.
Likeness looks_like_ftp(ByteSpan client, ByteSpan server);   // RFC 959 §5.4
Likeness looks_like_imap(ByteSpan client, ByteSpan server);  // RFC 9051 §7.1
Likeness looks_like_pop3(ByteSpan client, ByteSpan server);  // RFC 1939 §4

// TlsRequest is what find_tls_request found.
struct TlsRequest {
  std::size_t read = 0;  // Bytes of whole lines that were read.
  bool asked = false;    // The last of them asks for TLS: behind it a ClientHello follows, or more lines.
};

// find_tls_request reads a client's lines, from the beginning of one, up to the first that asks for TLS:
// STARTTLS of SMTP (RFC 3207) and IMAP (RFC 9051 §6.2.1), STLS of POP3 (RFC 2595 §4), AUTH TLS of FTP
// (RFC 4217 §4). It judges nothing: whether the server agrees is not asked.
TlsRequest find_tls_request(Protocol protocol, ByteSpan client);

}  // namespace sallyport::parsers
