// A rule in the forms that the loader and the matcher share.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host_keys.h"
#include "http_terms.h"
#include "ip_terms.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"
#include "toml_document.h"

namespace sallyport::policy {

// RuleProtocols is a set of the words that `protocols` may hold: bit i stands for kRuleWords[i].
using RuleProtocols = std::uint64_t;

// RuleWord is one of these words. RTP is not among them: one datagram does not show it.
struct RuleWord {
  std::string_view word;
  Protocol protocol = Protocol::kUnknown;  // kUnknown: whatever the bytes are.
  bool on_tcp = false;
  bool on_udp = false;
  bool carries_name = false;
  std::array<std::uint16_t, 4> ports{};  // Its own ones (IANA); 0: no more.
  std::uint8_t ip_protocol = 0;  // Of what goes over IP itself and has no ports.
  bool server_greets = false;    // The server speaks first, and is waited for.
};
inline constexpr std::array<RuleWord, 47> kRuleWords = {{
    {"tls", Protocol::kTls, true, false, true, {443}},
    {"quic", Protocol::kQuic, false, true, true, {443}},
    {"http", Protocol::kHttp, true, false, true, {80}},
    {"ssh", Protocol::kSsh, true, false, false, {22}},
    {"dns", Protocol::kDns, true, true, true, {53}},
    {"tcp", Protocol::kUnknown, true, false, false, {}},
    {"udp", Protocol::kUnknown, false, true, false, {}},
    {"gre", Protocol::kGre, false, false, false, {}, 47},
    {"ipip", Protocol::kIpip, false, false, false, {}, 4},
    {"6in4", Protocol::kSixInFour, false, false, false, {}, 41},
    {"vxlan", Protocol::kVxlan, false, true, false, {4789}},
    {"geneve", Protocol::kGeneve, false, true, false, {6081}},
    {"teredo", Protocol::kTeredo, false, true, false, {3544}},
    {"dtls", Protocol::kDtls, false, true, true, {}},
    {"smtp", Protocol::kSmtp, true, false, false, {25, 587}, 0, true},
    {"stun", Protocol::kStun, true, true, false, {3478}},
    {"ntp", Protocol::kNtp, false, true, false, {123}},
    {"dhcp", Protocol::kDhcp, false, true, false, {67, 68, 546, 547}},
    {"wireguard", Protocol::kWireguard, false, true, false, {51820}},
    {"openvpn", Protocol::kOpenvpn, true, true, false, {1194}},
    {"ike", Protocol::kIke, false, true, false, {500, 4500}},
    {"bittorrent", Protocol::kBittorrent, true, true, false, {}},
    {"mqtt", Protocol::kMqtt, true, false, false, {1883}},
    {"amqp", Protocol::kAmqp, true, false, false, {5672}},
    {"redis", Protocol::kRedis, true, false, false, {6379}},
    {"postgresql", Protocol::kPostgresql, true, false, false, {5432}},
    {"smb", Protocol::kSmb, true, false, false, {445}},
    {"rdp", Protocol::kRdp, true, false, false, {3389}},
    {"socks", Protocol::kSocks, true, false, false, {1080}},
    {"sip", Protocol::kSip, true, true, false, {5060}},
    {"snmp", Protocol::kSnmp, false, true, false, {161, 162}},
    {"syslog", Protocol::kSyslog, true, true, false, {514, 601}},
    {"netbios", Protocol::kNetbios, true, true, false, {137, 138, 139}},
    {"ssdp", Protocol::kSsdp, false, true, false, {1900}},
    {"ldap", Protocol::kLdap, true, true, false, {389}},
    {"xmpp", Protocol::kXmpp, true, false, false, {5222, 5269}},
    {"ftp", Protocol::kFtp, true, false, false, {21}, 0, true},
    {"imap", Protocol::kImap, true, false, false, {143}, 0, true},
    {"pop3", Protocol::kPop3, true, false, false, {110}, 0, true},
    {"mysql", Protocol::kMysql, true, false, false, {3306}, 0, true},
    {"icmp", Protocol::kIcmp, false, false, false, {}, 1},  // And ICMPv6, which is 58.
    {"sctp", Protocol::kSctp, false, false, false, {}, 132},
    {"esp", Protocol::kEsp, false, false, false, {}, 50},
    {"ah", Protocol::kAh, false, false, false, {}, 51},
    {"ip-proto", Protocol::kUnknown, false, false, false, {}, 255},  // Those of IpTerms::numbers.
    {"mdns", Protocol::kMdns, false, true, false, {5353}},
    {"llmnr", Protocol::kLlmnr, false, true, false, {5355}},
}};
static_assert(kRuleWords.size() <= 64);

inline constexpr std::array<std::string_view, kRuleWords.size()> kRuleProtocolNames = [] {
  std::array<std::string_view, kRuleWords.size()> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kRuleWords[i].word;
  return names;
}();

// bits_of_words returns the bits of the words that `chosen` answers yes for.
template <typename Chosen>
constexpr RuleProtocols bits_of_words(Chosen&& chosen) {
  RuleProtocols bits = 0;
  for (std::size_t i = 0; i < kRuleWords.size(); ++i) bits |= RuleProtocols{chosen(kRuleWords[i])} << i;
  return bits;
}
constexpr RuleProtocols bit_of_word(std::string_view word) {
  return bits_of_words([word](const RuleWord& known) { return known.word == word; });
}
inline constexpr RuleProtocols kTcpBit = bit_of_word("tcp"), kUdpBit = bit_of_word("udp"), kSshBit = bit_of_word("ssh"),
                               kDnsBit = bit_of_word("dns"), kTlsBit = bit_of_word("tls"), kStunBit = bit_of_word("stun"),
                               kIcmpBit = bit_of_word("icmp"), kIpProtoBit = bit_of_word("ip-proto");
inline constexpr RuleProtocols kHelloProtocols = bit_of_word("tls") | bit_of_word("quic") | bit_of_word("dtls");
inline constexpr RuleProtocols kNamedProtocols = bits_of_words([](const RuleWord& word) { return word.carries_name; });
inline constexpr RuleProtocols kGreetingProtocols = bits_of_words([](const RuleWord& word) { return word.server_greets; });
// What a datagram in the middle of a flow is asked for where a deny rule has it; QUIC's hellos are judged anyway.
inline constexpr RuleProtocols kDatagramProtocols =
    bits_of_words([](const RuleWord& word) { return word.on_udp && word.protocol != Protocol::kUnknown && word.protocol != Protocol::kQuic; });
// Those that TLS may begin in, and whose hello then has a name (STARTTLS and its kin).
inline constexpr RuleProtocols kUpgradeProtocols = bit_of_word("smtp") | bit_of_word("imap") | bit_of_word("pop3") | bit_of_word("ftp") |
                                                   bit_of_word("xmpp") | bit_of_word("ldap") | bit_of_word("postgresql") | bit_of_word("mysql");
inline constexpr RuleProtocols kTransportProtocols = kTcpBit | kUdpBit;
// IP protocols of their own, without ports, and their numbers; ascending.
inline constexpr RuleProtocols kPortlessProtocols = bits_of_words([](const RuleWord& word) { return word.ip_protocol != 0; });
inline constexpr std::array<std::pair<RuleProtocols, std::uint8_t>, 8> kIpProtocolBits = {{{kIcmpBit, 1},
                                                                                          {bit_of_word("ipip"), 4},
                                                                                          {bit_of_word("6in4"), 41},
                                                                                          {bit_of_word("gre"), 47},
                                                                                          {bit_of_word("esp"), 50},
                                                                                          {bit_of_word("ah"), 51},
                                                                                          {kIcmpBit, 58},
                                                                                          {bit_of_word("sctp"), 132}}};
inline constexpr RuleProtocols kDefaultProtocols = bit_of_word("tls") | bit_of_word("quic") | bit_of_word("http");

// protocols_on returns what can be seen on a transport.
constexpr RuleProtocols protocols_on(Transport transport) {
  constexpr RuleProtocols kOnTcp = bits_of_words([](const RuleWord& word) { return word.on_tcp; });
  constexpr RuleProtocols kOnUdp = bits_of_words([](const RuleWord& word) { return word.on_udp; });
  switch (transport) {
    case Transport::kTcp:
      return kOnTcp;
    case Transport::kUdp:
      return kOnUdp;
    case Transport::kOther:
      return kPortlessProtocols & ~kIcmpBit;
    case Transport::kIcmp:
    case Transport::kIcmpv6:
      return kIcmpBit;
  }
  return 0;
}

// bound_protocols_on returns those whose names belong to the destination: a rule for dns has the names asked for.
constexpr RuleProtocols bound_protocols_on(Transport transport) {
  return static_cast<RuleProtocols>(protocols_on(transport) & ~kDnsBit);
}

// protocols_of_flow returns the words that a flow answers to: its protocol's own, if that can be on this
// transport, and its transport's.
constexpr RuleProtocols protocols_of_flow(Transport transport, Protocol protocol) {
  constexpr auto kOwn = [] {
    std::array<RuleProtocols, kProtocolCount> own{};
    for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
      if (kRuleWords[i].protocol != Protocol::kUnknown) own[static_cast<std::size_t>(kRuleWords[i].protocol)] |= RuleProtocols{1} << i;
    }
    own[static_cast<std::size_t>(Protocol::kNvgre)] = own[static_cast<std::size_t>(Protocol::kErspan)] = bit_of_word("gre");
    own[static_cast<std::size_t>(Protocol::kUnknown)] = kIpProtoBit;  // Over IP itself; masked out elsewhere.
    return own;
  }();
  return (kTransportProtocols | kOwn[static_cast<std::size_t>(protocol)]) & protocols_on(transport);
}

// has_home tells whether a word has ports of its own, or needs none.
constexpr bool has_home(const RuleWord& word) { return word.ports[0] != 0 || word.ip_protocol != 0; }

// protocols_at_home returns the protocols whose own port this is; tcp and udp have none. What has no ports is at 0.
constexpr RuleProtocols protocols_at_home(std::uint16_t port) {
  constexpr RuleProtocols kAt443 = bit_of_word("tls") | bit_of_word("quic");  // By far the most flows.
  if (port == 443) return kAt443;
  return port == 0 ? kPortlessProtocols : bits_of_words([port](const RuleWord& word) {
    for (const std::uint16_t own : word.ports) {
      if (own == port) return true;
    }
    return false;
  });
}

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  friend constexpr auto operator<=>(const PortRange&, const PortRange&) = default;
};

inline constexpr std::array<std::string_view, 3> kEchWords = {"strip", "deny", "allow"};   // In the order of Ech.
inline constexpr std::array<std::string_view, 2> kIceWords = {"deny", "allow"};
inline constexpr std::array<std::string_view, 2> kStarttlsWords = {"allow", "require"};  // In the order of Starttls.
inline constexpr std::array<std::string_view, 2> kBindWords = {"strict", "any"};  // In the order of Bind.

inline constexpr std::string_view kNoScopeWord = "none";  // kNoScope

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
  Bind bind = Bind::kStrict;                   // Of the names among its targets.
  std::shared_ptr<const HostKeys> host_keys;  // Null: any key.
  bool ice = false;                            // Sockets that a STUN server answered may go on to peers.
  std::shared_ptr<const HttpTerms> http;      // Null: every request.
  bool proxy = false;  // The targets are proxies: it lets them be asked, for what other rules allow.
  Starttls starttls = Starttls::kAllow;
  std::shared_ptr<const IpTerms> ip;          // Set where `protocols` has icmp or ip-proto.
};

// needs_addresses tells the rules whose names count only at addresses that are known to have them.
inline bool needs_addresses(const RuleTerms& terms) {
  if (terms.action == Action::kDeny) return (terms.protocols & ~kNamedProtocols) != 0;
  return terms.bind == Bind::kStrict && terms.protocols != kDnsBit;
}

// RuleDraft is a rule as read, its words checked and canonical.
struct RuleDraft {
  RuleInfo info;
  Position position;
  std::string path;  // "rules[3]", for messages.
  RuleTerms terms;
  std::vector<NameTarget> names;
  std::vector<IpPrefix> prefixes;
  bool any = false;
  bool is_grant = false;  // Of an overlay.
};

}  // namespace sallyport::policy
