// Recognisers of encrypted tunnels: WireGuard, OpenVPN, IKE. Those in clear are in tunnel.h.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_wireguard takes a datagram: each message type has its size (WireGuard whitepaper §5.4).
Likeness looks_like_wireguard(ByteSpan datagram);

// looks_like_openvpn takes a datagram with the client's or server's first packet, a hard reset: plain, with
// tls-auth, tls-crypt or tls-crypt-v2. The TCP form has two bytes of length before it.
Likeness looks_like_openvpn(ByteSpan datagram);
Likeness looks_like_openvpn_tcp(ByteSpan stream);

// looks_like_ike takes a datagram with an IKEv1 (RFC 2408 §3.1) or IKEv2 (RFC 7296 §3.1) header, with or
// without the non-ESP marker of RFC 3948 §2.2.
Likeness looks_like_ike(ByteSpan datagram);

}  // namespace sallyport::parsers
