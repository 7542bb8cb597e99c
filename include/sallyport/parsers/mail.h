// Recognisers of the protocols whose server greets first: SMTP, FTP, IMAP, POP3. Two of them greet alike
// ("220"), so both directions' first bytes are looked at; either may still be empty. After an upgrade to TLS
// (STARTTLS and its kin) the flow keeps the protocol that it began with.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

Likeness looks_like_smtp(ByteSpan client, ByteSpan server);  // RFC 5321 §3.1; LMTP too.
Likeness looks_like_ftp(ByteSpan client, ByteSpan server);   // RFC 959 §5.4
Likeness looks_like_imap(ByteSpan client, ByteSpan server);  // RFC 9051 §7.1
Likeness looks_like_pop3(ByteSpan client, ByteSpan server);  // RFC 1939 §4

}  // namespace sallyport::parsers
