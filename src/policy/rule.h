// A rule in the forms that the loader and the matcher share.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"
#include "toml_document.h"

namespace sallyport::policy {

// RuleProtocols is a set of the words that `protocols` may hold.
using RuleProtocols = std::uint16_t;
inline constexpr RuleProtocols kTlsBit = 1, kQuicBit = 2, kHttpBit = 4, kSshBit = 8, kDnsBit = 16,
                               kTcpBit = 32, kUdpBit = 64, kGreBit = 128, kIpipBit = 256, kSixInFourBit = 512,
                               kVxlanBit = 1024, kGeneveBit = 2048, kTeredoBit = 4096;
inline constexpr RuleProtocols kNamedProtocols = kTlsBit | kQuicBit | kHttpBit | kDnsBit;
inline constexpr RuleProtocols kTransportProtocols = kTcpBit | kUdpBit;
// IP protocols of their own, without ports, and their numbers; ascending.
inline constexpr RuleProtocols kPortlessProtocols = kGreBit | kIpipBit | kSixInFourBit;
inline constexpr std::array<std::pair<RuleProtocols, std::uint8_t>, 3> kIpProtocolBits = {
    {{kIpipBit, 4}, {kSixInFourBit, 41}, {kGreBit, 47}}};
inline constexpr RuleProtocols kDefaultProtocols = kTlsBit | kQuicBit | kHttpBit;
inline constexpr std::array<std::string_view, 13> kRuleProtocolNames = {
    "tls", "quic", "http", "ssh", "dns", "tcp", "udp", "gre", "ipip", "6in4", "vxlan", "geneve", "teredo"};

// protocols_on returns what can be seen on a transport.
constexpr RuleProtocols protocols_on(Transport transport) {
  switch (transport) {
    case Transport::kTcp:
      return kTlsBit | kHttpBit | kSshBit | kDnsBit | kTcpBit;
    case Transport::kUdp:
      return kQuicBit | kDnsBit | kUdpBit | kVxlanBit | kGeneveBit | kTeredoBit;
    case Transport::kOther:
      return kPortlessProtocols;
    case Transport::kIcmp:
    case Transport::kIcmpv6:
      return 0;
  }
  return 0;
}

// protocols_of_flow returns the words that a flow answers to: its protocol's own, if that can be on this
// transport, and its transport's.
constexpr RuleProtocols protocols_of_flow(Transport transport, Protocol protocol) {
  RuleProtocols bits = kTransportProtocols;
  if (protocol == Protocol::kTls) bits |= kTlsBit;
  if (protocol == Protocol::kQuic) bits |= kQuicBit;
  if (protocol == Protocol::kHttp) bits |= kHttpBit;
  if (protocol == Protocol::kSsh) bits |= kSshBit;
  if (protocol == Protocol::kDns) bits |= kDnsBit;
  if (protocol == Protocol::kGre || protocol == Protocol::kNvgre || protocol == Protocol::kErspan) bits |= kGreBit;
  if (protocol == Protocol::kIpip) bits |= kIpipBit;
  if (protocol == Protocol::kSixInFour) bits |= kSixInFourBit;
  if (protocol == Protocol::kVxlan) bits |= kVxlanBit;
  if (protocol == Protocol::kGeneve) bits |= kGeneveBit;
  if (protocol == Protocol::kTeredo) bits |= kTeredoBit;
  return bits & protocols_on(transport);
}

// protocols_at_home returns the protocols whose own port this is; tcp and udp have none. What has no ports is at 0.
constexpr RuleProtocols protocols_at_home(std::uint16_t port) {
  switch (port) {
    case 0:
      return kPortlessProtocols;
    case 443:
      return kTlsBit | kQuicBit;
    case 80:
      return kHttpBit;
    case 22:
      return kSshBit;
    case 53:
      return kDnsBit;
    case 3544:
      return kTeredoBit;
    case 4789:
      return kVxlanBit;
    case 6081:
      return kGeneveBit;
    default:
      return 0;
  }
}
inline constexpr std::array<std::uint16_t, 8> kHomePorts = {0, 22, 53, 80, 443, 3544, 4789, 6081};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  friend constexpr auto operator<=>(const PortRange&, const PortRange&) = default;
};

enum class NameForm : std::uint8_t {
  kExact,         // "a.example"
  kBelow,         // "*.a.example": any depth below, not itself.
  kApexAndBelow,  // ".a.example": both.
};

struct NameTarget {
  std::string_view name;  // Canonical; in the policy's NameArena.
  NameForm form = NameForm::kExact;

  friend constexpr auto operator<=>(const NameTarget&, const NameTarget&) = default;
};

inline constexpr Timestamp kNever = Timestamp::max();

// RuleTerms is a rule without its targets.
struct RuleTerms {
  Action action = Action::kAllow;
  RuleProtocols protocols = kDefaultProtocols;
  std::vector<PortRange> ports;  // Sorted, disjoint, not adjacent. Empty: each protocol's own port.
  ScopeSet scopes = 0;           // 0: every flow.
  Timestamp expires = kNever;
};

// RuleDraft is a rule as read, its words checked and canonical.
struct RuleDraft {
  RuleInfo info;
  Position position;
  std::string path;  // "rules[3]", for messages.
  RuleTerms terms;
  std::vector<NameTarget> names;
  std::vector<IpPrefix> prefixes;
  bool any = false;
};

}  // namespace sallyport::policy
