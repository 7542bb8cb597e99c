// FlowKey names a flow: client first, as far as that is known.
#pragma once

#include <compare>
#include <cstdint>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"

namespace sallyport {

inline constexpr std::uint16_t kDnsPort = 53;  // RFC 1035 §4.2

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;  // ICMP: the identifier at the client, 0 at the server.

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

struct FlowKey {
  Transport transport = Transport::kOther;
  std::uint8_t ip_protocol = 0;  // IANA number; tells the flows of Transport::kOther apart.
  Endpoint client;
  Endpoint server;
  // Tells the tunnel that the flow is in (its ends and its segment), so that two tunnels may carry the same
  // addresses and ports. 0: in none.
  std::uint64_t tunnel = 0;

  FlowKey reversed() const { return {transport, ip_protocol, server, client, tunnel}; }
  friend constexpr auto operator<=>(const FlowKey&, const FlowKey&) = default;
};

}  // namespace sallyport
