// The application protocols that are told apart by their bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sallyport {

// Transport is the IP protocol that carries a flow (IANA protocol numbers where they have one).
enum class Transport : std::uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kOther = 255 };

constexpr std::string_view to_string(Transport transport) {
  switch (transport) {
    case Transport::kIcmp: return "icmp";
    case Transport::kTcp: return "tcp";
    case Transport::kUdp: return "udp";
    case Transport::kIcmpv6: return "icmpv6";
    case Transport::kOther: return "other";
  }
  return "other";
}

// Protocol is what the first bytes of a flow are. The order is stable only within one build.
enum class Protocol : std::uint8_t {
  kUnknown,
  kTls, kQuic, kDtls, kHttp, kHttp2, kSsh, kDns, kMdns, kLlmnr,
  kFtp, kSmtp, kImap, kPop3,
  kStun, kNtp, kDhcp, kWireguard, kOpenvpn, kIke, kRtp, kBittorrent,
  kMqtt, kAmqp, kRedis, kPostgresql, kMysql, kSmb, kRdp, kSocks, kSip, kSnmp, kSyslog, kNetbios, kSsdp,
  kLdap, kXmpp,
  kGre, kNvgre, kErspan, kIpip, kSixInFour, kVxlan, kGeneve, kTeredo,
  kIcmp, kSctp, kEsp, kAh,
};
inline constexpr std::size_t kProtocolCount = static_cast<std::size_t>(Protocol::kAh) + 1;

inline constexpr std::array<std::string_view, kProtocolCount> kProtocolNames = {
    "unknown", "tls", "quic", "dtls", "http", "http2", "ssh", "dns", "mdns", "llmnr",
    "ftp", "smtp", "imap", "pop3",
    "stun", "ntp", "dhcp", "wireguard", "openvpn", "ike", "rtp", "bittorrent",
    "mqtt", "amqp", "redis", "postgresql", "mysql", "smb", "rdp", "socks", "sip", "snmp", "syslog",
    "netbios", "ssdp", "ldap", "xmpp",
    "gre", "nvgre", "erspan", "ipip", "6in4", "vxlan", "geneve", "teredo",
    "icmp", "sctp", "esp", "ah",
};

constexpr std::string_view to_string(Protocol protocol) {
  return kProtocolNames[static_cast<std::size_t>(protocol)];
}

constexpr std::optional<Protocol> protocol_from_string(std::string_view text) {
  for (std::size_t i = 0; i < kProtocolCount; ++i) {
    if (kProtocolNames[i] == text) return static_cast<Protocol>(i);
  }
  return std::nullopt;
}

}  // namespace sallyport
