// Recognisers of what hosts and networks say about themselves, of file and desktop sharing, and the rest.
// "datagram" is a whole UDP payload, "client" the first bytes of a TCP client.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

Likeness looks_like_ntp(ByteSpan datagram);      // RFC 5905 §7.3, modes 1 to 5; queries of modes 6 and 7.
Likeness looks_like_dhcp(ByteSpan datagram);     // RFC 2131 §2, and DHCPv6 (RFC 8415 §8).
Likeness looks_like_snmp(ByteSpan datagram);     // Versions 1, 2c, 3.
Likeness looks_like_syslog(ByteSpan datagram);   // RFC 5424, RFC 3164.
Likeness looks_like_netbios(ByteSpan datagram);  // Name and datagram service (RFC 1002 §4.2, §4.4).
Likeness looks_like_ssdp(ByteSpan datagram);     // UPnP Device Architecture §1.

Likeness looks_like_syslog_tcp(ByteSpan stream);       // RFC 6587, with and without octet counts.
Likeness looks_like_netbios_session(ByteSpan client);  // RFC 1002 §4.3.2
Likeness looks_like_smb(ByteSpan client);              // SMB1 and SMB2 over TCP (MS-SMB2 §2.1).
Likeness looks_like_ldap(ByteSpan client);             // RFC 4511 §4.1.1; a stream or a datagram.

// Clients of these two wait for an answer, so nothing follows their first message until the server's answer
// is there too.
Likeness looks_like_rdp(ByteSpan client, ByteSpan server);    // X.224 connection (MS-RDPBCGR §2.2.1.1).
Likeness looks_like_socks(ByteSpan client, ByteSpan server);  // SOCKS4, 4a, 5 (RFC 1928 §3).

Likeness looks_like_bittorrent(ByteSpan client);  // Peer handshake (BEP 3).
Likeness looks_like_bittorrent_udp(
    ByteSpan datagram);  // DHT (BEP 5), uTP SYN (BEP 29), tracker (BEP 15), LSD.

}  // namespace sallyport::parsers
