// The detector tells by the first bytes what protocol a stream or datagram is; ports play no part.
#pragma once

#include <optional>

#include "sallyport/core/bytes.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/protocol.h"

namespace sallyport::engine {

struct Detection {
  bool known = false;  // False: more bytes could still make it one of several protocols.
  Protocol protocol = Protocol::kUnknown;
};

// detect_stream reads the client's first bytes of a TCP connection. `server` is what the server has said so far, where that
// is waited for.
Detection detect_stream(ByteSpan bytes, std::optional<ByteSpan> server = {});

// detect_server names a connection by what both sides have sent, for servers that speak first.
Protocol detect_server(ByteSpan client, ByteSpan server);

// detect_prefix names what a cut-off stream probably is, for reports only.
Protocol detect_prefix(ByteSpan bytes);

// detect_datagram names a UDP datagram. `key` tells mDNS and LLMNR from DNS, whose form they share.
Protocol detect_datagram(ByteSpan datagram, const FlowKey& key);

// looks_like_dns_answer tells that a datagram is a DNS message with the QR bit set.
bool looks_like_dns_answer(ByteSpan datagram);

// looks_like_client and looks_like_server tell who sent the first bytes seen of a connection, where the
// bytes say so. Both may be false.
bool looks_like_client(ByteSpan bytes);
bool looks_like_server(ByteSpan bytes);

}  // namespace sallyport::engine
