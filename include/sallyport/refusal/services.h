// Errors of databases, brokers and proxies, in the form that their clients read before anything was agreed.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

// postgresql_error answers the client's first message, which `first` begins: ErrorResponse with SQLSTATE 28000, severity FATAL
// (PostgreSQL 53.7). SSLRequest and GSSENCRequest get it too. libpq prints the text in answer to a startup message; since
// CVE-2024-10977 (17.1, 16.5, 15.9, 14.14, 13.17, 12.21), to SSLRequest, only that the server sent an error response. "N" instead
// would make it send its startup message in the clear, and tell of a server without TLS where it wants TLS.
// 0 for CancelRequest, which no server answers, and where `first` is too short to tell.
std::size_t postgresql_error(Buffer out, const Notice& notice, ByteSpan first);

// mysql_error writes an ERR packet, 1130 (host not allowed), in place of the server's greeting (`sequence` 0, no SQL state) or
// in answer to the login packet (`sequence` 1 or higher, SQL state 28000).
std::size_t mysql_error(Buffer out, const Notice& notice, std::uint8_t sequence);

// mqtt_refusal answers a CONNECT packet, which `connect` begins: CONNACK with return code 5 (MQTT 3.1, 3.1.1 §3.2.2.3) or reason
// code 0x87 and a reason string (MQTT 5 §3.2.2.2); no string where it exceeds the client's Maximum Packet Size, or `connect` ends
// before that is known. 0 where `connect` is not a CONNECT's beginning with a known version.
std::size_t mqtt_refusal(Buffer out, const Notice& notice, ByteSpan connect);

// amqp_refusal answers a protocol header. AMQP 0-9-1 gets connection.start and behind it connection.close on channel 0 with reply
// code 403: without the first, clients tell only of an unexpected method. They answer the first with their login, in the clear:
// THE CALLER MUST DROP WHAT THE CLIENT SENDS AFTERWARDS. AMQP 1.0 gets open and close with amqp:unauthorized-access, with SASL behind
// a layer that accepts ANONYMOUS. 0 where the header is of neither.
std::size_t amqp_refusal(Buffer out, const Notice& notice, ByteSpan header);

// socks_refusal answers what the client sent last, which `message` is: SOCKS 4 a reply 91, SOCKS 5 a greeting with method 0xff
// (RFC 1928 §3) or a request with reply 0x02, not allowed by ruleset (§6). `request` tells the two of version 5 apart.
// 0 where `message` begins with no version of SOCKS.
std::size_t socks_refusal(Buffer out, ByteSpan message, bool request);

}  // namespace sallyport::refusal
