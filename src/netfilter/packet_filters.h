// Classic BPF programs for the xt_bpf match, which see a packet from its IP header on. A load beyond the
// end of the packet ends a program with "no match".
#pragma once

#include <string>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

// pure_ack_filter matches a TCP segment that carries nothing: of the flags only ACK (ECE and CWR may be
// set), no payload. Anything uncertain does not match and goes to the queue: a length field of zero (an
// aggregate above 64 kB), IPv6 extension headers.
std::string pure_ack_filter(Family family);

// long_header_filter matches a UDP datagram whose payload begins with both high bits set, a QUIC long header
// (RFC 8999 §5.1) with its fixed bit (RFC 9000 §17.2), or with the high bit alone and a version that is read: a
// client may clear the fixed bit (RFC 9287). The version keeps RTP, whose first byte is 0x80, out of the queue.
std::string long_header_filter(Family family);

}  // namespace sallyport::netfilter
