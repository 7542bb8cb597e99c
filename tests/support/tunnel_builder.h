// Puts packets into tunnels for tests: what stands behind the outer IP or UDP header.
#pragma once

#include <cstdint>
#include <optional>

#include "support/packet_builder.h"

namespace sallyport::testing {

inline Bytes joined_bytes(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

// frame_of puts an IP packet into an Ethernet frame, without padding.
inline Bytes frame_of(const Bytes& packet) {
  const bool is_v6 = !packet.empty() && packet[0] >> 4 == 6;
  return joined_bytes({{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, is_v6 ? Bytes{0x86, 0xdd} : Bytes{0x08, 0x00}, packet});
}

inline Bytes network_identifier(std::uint32_t vni) {
  return {static_cast<std::uint8_t>(vni >> 16), static_cast<std::uint8_t>(vni >> 8), static_cast<std::uint8_t>(vni), 0};
}

inline Bytes vxlan(const Bytes& frame, std::uint32_t vni = 7) {
  return joined_bytes({{0x08, 0, 0, 0}, network_identifier(vni), frame});
}

inline Bytes geneve(const Bytes& frame, std::uint32_t vni = 7) {
  return joined_bytes({{0x01, 0, 0x65, 0x58}, network_identifier(vni), {0x01, 0x02, 0, 0}, frame});
}

// gre carries a bare packet, with a key if there is one.
inline Bytes gre(const Bytes& packet, std::optional<std::uint32_t> key = {}) {
  const bool is_v6 = !packet.empty() && packet[0] >> 4 == 6;
  Bytes header = {static_cast<std::uint8_t>(key ? 0x20 : 0), 0};
  header = joined_bytes({header, is_v6 ? Bytes{0x86, 0xdd} : Bytes{0x08, 0x00}});
  if (key) {
    for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(*key >> shift));
  }
  return joined_bytes({header, packet});
}

inline Bytes gre_bridged(const Bytes& frame, std::uint32_t key) {
  Bytes header = {0x20, 0, 0x65, 0x58};
  for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(key >> shift));
  return joined_bytes({header, frame});
}

// arp asks for an address.
inline Bytes arp() {
  return joined_bytes({{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06},
                       {0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2}});
}

}  // namespace sallyport::testing
