// All recognisers of protocols that have no parser of their own, in one question. TLS, QUIC, HTTP, SSH and
// DNS are asked for elsewhere, and before. A wrong answer is worse than none: where two recognisers claim
// the same bytes, the answer is kUnknown.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/core/protocol.h"

namespace sallyport::parsers {

struct Recognition {
  Protocol protocol = Protocol::kUnknown;
  bool undecided = false;  // More bytes may tell. Never with a known protocol.
};

// recognise_tcp takes what each side has sent so far, from the beginning of its stream; either may be empty.
Recognition recognise_tcp(ByteSpan client, ByteSpan server);

// recognise_tcp_client goes by the client's bytes alone, which must tell before the server has said anything: undecided only as
// long as more of them may. FTP, IMAP, POP3 and MySQL are unknown to it, since their servers' greetings tell them.
Recognition recognise_tcp_client(ByteSpan client);

// recognise_udp takes a datagram and, if there was one, the one before it in the same direction.
Recognition recognise_udp(ByteSpan datagram, ByteSpan previous = {});

}  // namespace sallyport::parsers
