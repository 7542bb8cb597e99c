// Makes a packet right whose payload was rewritten.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sallyport/parsers/ip_packet.h"

namespace sallyport::engine {

// write_checksum computes the TCP or UDP checksum of `packet`, of which `ip` tells where its parts are (it may have been
// read from another copy). Whole, not as a difference: the kernel takes it as it is, also where it had left it to the
// hardware. A UDP datagram without a checksum (IPv4 alone) stays without. Bad checksums of packets from the wire do not
// come here: connection tracking has refused them.
void write_checksum(std::span<std::uint8_t> packet, const parsers::IpPacket& ip);

// replace_datagram makes `out` the UDP packet `packet`, of which `ip` tells where its parts are, with another payload: lengths and
// checksums are made anew. It takes no memory where `out` has the capacity. False: no UDP, or the packet would be too long.
bool replace_datagram(std::vector<std::uint8_t>& out, ByteSpan packet, const parsers::IpPacket& ip, ByteSpan payload);

}  // namespace sallyport::engine
