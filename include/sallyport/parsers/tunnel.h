// Tunnels: recognises their packets and finds the packet inside. GRE (RFC 2784, RFC 2890; NVGRE, RFC 7637; ERSPAN),
// IP in IP (RFC 2003, RFC 2473, RFC 4213), VXLAN (RFC 7348), GENEVE (RFC 8926), Teredo (RFC 4380).
#pragma once

#include <cstdint>
#include <expected>

#include "sallyport/core/bytes.h"
#include "sallyport/core/protocol.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// IANA protocol and port numbers.
inline constexpr std::uint8_t kIpipProtocol = 4;
inline constexpr std::uint8_t kSixInFourProtocol = 41;
inline constexpr std::uint8_t kGreProtocol = 47;
inline constexpr std::uint16_t kTeredoPort = 3544;
inline constexpr std::uint16_t kVxlanPort = 4789;
inline constexpr std::uint16_t kGenevePort = 6081;

// The recognisers take a datagram and go by its structure: the tunnel's header with every reserved bit zero, and
// inside it a frame or packet whose own headers and lengths make sense. A datagram that a capture has cut is
// recognised by what is there.
Likeness looks_like_vxlan(ByteSpan datagram);
Likeness looks_like_geneve(ByteSpan datagram);
Likeness looks_like_teredo(ByteSpan datagram);

// name_raw_tunnel names what an IP packet of this protocol number carries, or kUnknown for every other number.
Protocol name_raw_tunnel(std::uint8_t ip_protocol, ByteSpan payload);
// name_ip_protocol does the same for all protocol numbers that have a name here: SCTP, ESP and AH too.
Protocol name_ip_protocol(std::uint8_t ip_protocol, ByteSpan payload);

// tunnel_at_home returns the tunnel whose own UDP port this is, or kUnknown.
Protocol tunnel_at_home(std::uint16_t port);

// tunnel_family returns the tunnel whose format this is: kGre for kNvgre and kErspan. kUnknown for no tunnel.
Protocol tunnel_family(Protocol protocol);

enum class TunnelError : std::uint8_t {
  kCut,        // The capture ends before the inner packet's header does.
  kMalformed,  // Headers that contradict themselves, or that receivers read differently.
  kNotRead,    // Not an IP packet: compressed, encrypted, mirrored, tagged, or of another protocol.
  kTrailing,   // Bytes behind the inner packet: another datagram of an aggregate may hide there.
};

struct TunnelContent {
  bool control = false;       // ARP, neighbour discovery on the link, a Teredo bubble: no packet of a flow.
  ByteSpan packet;            // The inner packet from its IP header on; a view into the input.
  std::size_t wire_size = 0;  // Its length before capture truncation; >= packet.size().
  // What keeps apart the networks that one tunnel carries: GRE's key, VXLAN's or GENEVE's network identifier, and
  // whether frames or bare packets are carried.
  std::uint64_t segment = 0;
};

// open_tunnel reads `payload`, which is what stands behind the outer IP or UDP header, as a packet of the tunnel
// `family` (a value of tunnel_family). `size` is the payload's length before capture truncation. Pure; one level.
std::expected<TunnelContent, TunnelError> open_tunnel(Protocol family, ByteSpan payload, std::size_t size);

}  // namespace sallyport::parsers
