// Recognisers of STUN and RTP.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_stun takes a datagram: a header with the magic cookie (RFC 8489 §5) and attributes that fill
// the message. Without the cookie (RFC 3489) only a known method with known attributes is taken.
Likeness looks_like_stun(ByteSpan datagram);
// looks_like_stun_tcp takes the first bytes of a stream; the cookie is needed.
Likeness looks_like_stun_tcp(ByteSpan stream);

// looks_like_rtp takes two datagrams that follow each other in one direction: one alone says too little.
// Both are of one source, or the first is a whole compound RTCP packet (RFC 3550 §5.1, §6.1).
Likeness looks_like_rtp(ByteSpan first, ByteSpan second);

}  // namespace sallyport::parsers
