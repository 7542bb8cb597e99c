// What a loaded policy answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

TEST(PolicyMatchTest, DefaultMadePolicyDenies) {
  const Policy policy;
  EXPECT_FALSE(allows(policy, {"a.example"}));
  EXPECT_EQ(policy.match_early(0, Transport::kTcp, IpAddress::v4(1), 443, {}).match, EarlyMatch::kDeny);
  EXPECT_EQ(policy.location(kNoRule), "default");
}

TEST(PolicyMatchTest, ExactNameMatchesItselfOnly) {
  const auto policy = load("[[rules]]\nto = \"A.Example.\"\n");
  EXPECT_TRUE(allows(*policy, {"a.example"}));
  EXPECT_FALSE(allows(*policy, {"b.a.example"}));
  EXPECT_FALSE(allows(*policy, {"example"}));
  EXPECT_FALSE(allows(*policy, {"xa.example"}));
  EXPECT_FALSE(allows(*policy, {""}));
}

TEST(PolicyMatchTest, WildcardMatchesAnyDepthBelowAndNotTheApex) {
  const auto policy = load("[[rules]]\nto = \"*.x.example\"\n");
  EXPECT_TRUE(allows(*policy, {"a.x.example"}));
  EXPECT_TRUE(allows(*policy, {"a.b.c.d.e.x.example"}));
  EXPECT_FALSE(allows(*policy, {"x.example"}));
  EXPECT_FALSE(allows(*policy, {"ax.example"}));
  EXPECT_FALSE(allows(*policy, {"x.example.evil.example"}));
}

TEST(PolicyMatchTest, LeadingDotMatchesTheApexAndBelow) {
  const auto policy = load("[[rules]]\nto = \".x.example\"\n");
  EXPECT_TRUE(allows(*policy, {"x.example"}));
  EXPECT_TRUE(allows(*policy, {"a.b.x.example"}));
  EXPECT_FALSE(allows(*policy, {"ax.example"}));
}

TEST(PolicyMatchTest, NameOfMaximalLengthAndDepthIsFound) {
  std::string name = "a";
  while (name.size() + 2 <= DomainName::kMaxLength) name = "a." + name;
  const auto policy = load("[[rules]]\nto = [\"" + name + "\", \"*.a.a\"]\n");
  EXPECT_TRUE(allows(*policy, {name}));
  EXPECT_TRUE(allows(*policy, {"a.a.a"}));
  EXPECT_FALSE(allows(*policy, {"a.a"}));
}

TEST(PolicyMatchTest, ULabelsAreTheirALabels) {
  const auto policy = load("[[rules]]\nto = [\"Bücher.example\", \"*.例え.example\", \"straße.example\"]\n");
  EXPECT_TRUE(allows(*policy, {"xn--bcher-kva.example"}));
  EXPECT_TRUE(allows(*policy, {"a.xn--r8jz45g.example"}));
  EXPECT_TRUE(allows(*policy, {"xn--strae-oqa.example"}));
  EXPECT_FALSE(allows(*policy, {"strasse.example"}));
}

TEST(PolicyMatchTest, FullStopsOfOtherScriptsSeparateLabels) {
  const auto policy = load("[[rules]]\nto = \"a。example\"\n");
  EXPECT_TRUE(allows(*policy, {"a.example"}));
}

TEST(PolicyMatchTest, PrefixesMatchTheirFamilyOnly) {
  const auto policy =
      load("[[rules]]\nto = [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::/33\", \"::/128\"]\n");
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "10.255.255.255"}));
  EXPECT_TRUE(allows(*policy, {"any.example", Protocol::kTls, 443, "10.0.0.0"}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "11.0.0.0"}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "192.0.2.1"}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "192.0.2.0"}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "2001:db8:7fff::1"}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "2001:db8:8000::1"}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "::"}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "0.0.0.0"}));
}

TEST(PolicyMatchTest, MappedAddressMatchesRulesForItsIpv4Form) {
  const auto policy = load("[[rules]]\nto = \"any\"\n[[rules]]\nto = \"10.0.0.0/8\"\naction = \"deny\"\n");
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "::ffff:10.1.2.3"}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "::ffff:11.1.2.3"}));
}

TEST(PolicyMatchTest, PrefixOfLengthZeroIsAFamily) {
  const auto policy = load("[[rules]]\nto = \"0.0.0.0/0\"\n");
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 443, "203.0.113.9"}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "2001:db8::1"}));
}

TEST(PolicyMatchTest, AnyMatchesFlowsWithAndWithoutAName) {
  const auto policy = load("[[rules]]\nto = \"any\"\n");
  EXPECT_TRUE(allows(*policy, {""}));
  EXPECT_TRUE(allows(*policy, {"a.example", Protocol::kTls, 443, "2001:db8::1"}));
}

TEST(PolicyMatchTest, DenyWinsWhateverTheOrder) {
  const std::string allow = "[[rules]]\nto = [\"*.x.example\", \"10.0.0.0/8\"]\n";
  const std::string deny = "[[rules]]\nto = \"bad.x.example\"\naction = \"deny\"\n";
  for (const std::string& text : {allow + deny, deny + allow}) {
    const auto policy = load(text);
    EXPECT_TRUE(allows(*policy, {"good.x.example"}));
    EXPECT_FALSE(allows(*policy, {"bad.x.example"}));
    EXPECT_FALSE(allows(*policy, {"bad.x.example", Protocol::kTls, 443, "10.0.0.1"}));
    EXPECT_EQ(policy->rules()[ask(*policy, {"bad.x.example"}).rule].action, Action::kDeny);
  }
}

TEST(PolicyMatchTest, FirstMatchingRuleOfTheWinningActionIsNamed) {
  const auto policy = load(
      "[[rules]]\nto = \"10.0.0.0/8\"\n"
      "[[rules]]\nto = \"any\"\n"
      "[[rules]]\nto = \"a.example\"\n"
      "[[rules]]\nto = \"*.evil.example\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"a.evil.example\"\naction = \"deny\"\nprotocols = [\"tls\"]\n");
  EXPECT_EQ(ask(*policy, {"a.example"}).rule, 1u);
  EXPECT_EQ(ask(*policy, {"a.example", Protocol::kTls, 443, "10.0.0.1"}).rule, 0u);
  EXPECT_EQ(ask(*policy, {"a.evil.example"}).rule, 3u);
  EXPECT_EQ(policy->location(3), "p.toml:8");
}

TEST(PolicyMatchTest, ProtocolsHaveTheirOwnPorts) {
  const auto policy =
      load("[[rules]]\nto = \"any\"\nprotocols = [\"tls\", \"quic\", \"http\", \"ssh\", \"dns\"]\n");
  struct {
    Protocol protocol;
    Transport transport;
    std::uint16_t home;
  } const kCases[] = {{Protocol::kTls, Transport::kTcp, 443}, {Protocol::kQuic, Transport::kUdp, 443},
                      {Protocol::kHttp, Transport::kTcp, 80}, {Protocol::kSsh, Transport::kTcp, 22},
                      {Protocol::kDns, Transport::kTcp, 53},  {Protocol::kDns, Transport::kUdp, 53}};
  for (const auto& c : kCases) {
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{22, 53, 80, 443, 8443}) {
      EXPECT_EQ(allows(*policy, {"", c.protocol, port, "192.0.2.1", 0, c.transport}), port == c.home)
          << to_string(c.protocol) << " " << port;
    }
  }
}

TEST(PolicyMatchTest, DefaultProtocolsAreTlsQuicAndHttp) {
  const auto policy = load("[[rules]]\nto = \"any\"\nports = \"any\"\n");
  EXPECT_TRUE(allows(*policy, {"", Protocol::kTls, 1}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kHttp, 65'535}));
  EXPECT_TRUE(allows(*policy, {"", Protocol::kQuic, 1, "192.0.2.1", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kSsh, 1}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kDns, 1}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kUnknown, 1}));
}

TEST(PolicyMatchTest, ProtocolOnAnImpossibleTransportDoesNotMatch) {
  const auto policy = load("[[rules]]\nto = \"any\"\nports = \"any\"\n");
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "192.0.2.1", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kQuic, 443, "192.0.2.1", 0, Transport::kTcp}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 443, "192.0.2.1", 0, Transport::kOther}));
}

TEST(PolicyMatchTest, PortListsAreExact) {
  const auto policy =
      load("[[rules]]\nto = \"any\"\nprotocols = \"ssh\"\nports = [22, \"2200-2299\", \"80\", 81, 65535]\n");
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{22, 80, 81, 2200, 2250, 2299, 65'535})
    EXPECT_TRUE(allows(*policy, {"", Protocol::kSsh, port})) << port;
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1, 21, 23, 79, 82, 2199, 2300, 65'534})
    EXPECT_FALSE(allows(*policy, {"", Protocol::kSsh, port})) << port;
}

TEST(PolicyMatchTest, EveryProtocolOfARuleIsMatchedAtItsOwnPortAndByItsOwnBytesAlone) {
  struct Word {
    const char* word;
    Protocol protocol;
    std::uint16_t port;
    Transport transport;
  };
  using enum Transport;
  constexpr Word kWords[] = {
      {"smtp", Protocol::kSmtp, 25, kTcp},         {"smtp", Protocol::kSmtp, 587, kTcp},
      {"stun", Protocol::kStun, 3478, kUdp},       {"stun", Protocol::kStun, 3478, kTcp},
      {"ntp", Protocol::kNtp, 123, kUdp},          {"dhcp", Protocol::kDhcp, 547, kUdp},
      {"wireguard", Protocol::kWireguard, 51820, kUdp}, {"openvpn", Protocol::kOpenvpn, 1194, kUdp},
      {"ike", Protocol::kIke, 4500, kUdp},         {"mqtt", Protocol::kMqtt, 1883, kTcp},
      {"amqp", Protocol::kAmqp, 5672, kTcp},       {"redis", Protocol::kRedis, 6379, kTcp},
      {"postgresql", Protocol::kPostgresql, 5432, kTcp}, {"smb", Protocol::kSmb, 445, kTcp},
      {"rdp", Protocol::kRdp, 3389, kTcp},         {"socks", Protocol::kSocks, 1080, kTcp},
      {"sip", Protocol::kSip, 5060, kUdp},         {"snmp", Protocol::kSnmp, 161, kUdp},
      {"syslog", Protocol::kSyslog, 514, kUdp},    {"netbios", Protocol::kNetbios, 138, kUdp},
      {"ssdp", Protocol::kSsdp, 1900, kUdp},       {"ldap", Protocol::kLdap, 389, kTcp},
      {"xmpp", Protocol::kXmpp, 5222, kTcp},       {"ftp", Protocol::kFtp, 21, kTcp},
      {"imap", Protocol::kImap, 143, kTcp},        {"pop3", Protocol::kPop3, 110, kTcp},
      {"mysql", Protocol::kMysql, 3306, kTcp}};
  for (const Word& word : kWords) {
    const auto policy = load("[[rules]]\nto = \"192.0.2.0/24\"\nprotocols = \"" + std::string(word.word) + "\"\n");
    for (std::size_t i = 0; i < kProtocolCount; ++i) {
      const auto protocol = static_cast<Protocol>(i);
      EXPECT_EQ(allows(*policy, {"", protocol, word.port, "192.0.2.1", 0, word.transport}), protocol == word.protocol)
          << word.word << " and " << to_string(protocol);
    }
    EXPECT_FALSE(allows(*policy, {"", word.protocol, 9, "192.0.2.1", 0, word.transport})) << word.word;
  }
}

TEST(PolicyMatchTest, DtlsGoesByItsServerName) {
  const auto policy = load("[[rules]]\nto = \"turn.example\"\nprotocols = \"dtls\"\nports = \"any\"\n");
  EXPECT_TRUE(allows(*policy, {"turn.example", Protocol::kDtls, 5349, "192.0.2.1", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*policy, {"evil.example", Protocol::kDtls, 5349, "192.0.2.1", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*policy, {"turn.example", Protocol::kTls, 5349, "192.0.2.1"}));
}

TEST(PolicyMatchTest, TcpAndUdpMatchWhateverTheBytesAre) {
  const auto policy = load("[[rules]]\nto = \"192.0.2.0/24\"\nprotocols = \"tcp\"\nports = 7000\n");
  for (std::size_t i = 0; i < kProtocolCount; ++i) {
    const auto protocol = static_cast<Protocol>(i);
    EXPECT_TRUE(allows(*policy, {"x.example", protocol, 7000, "192.0.2.1"}));
    EXPECT_FALSE(allows(*policy, {"x.example", protocol, 7001, "192.0.2.1"}));
    EXPECT_FALSE(allows(*policy, {"x.example", protocol, 7000, "192.0.2.1", 0, Transport::kUdp}));
    EXPECT_FALSE(allows(*policy, {"x.example", protocol, 7000, "192.0.3.1"}));
  }
}

TEST(PolicyMatchTest, TunnelsAreAllowedByTheirWords) {
  struct Tunnel {
    const char* word;
    Protocol protocol;
    Transport transport;
    std::uint16_t port;
  };
  const Tunnel kTunnels[] = {{"gre", Protocol::kGre, Transport::kOther, 0},         {"gre", Protocol::kNvgre, Transport::kOther, 0},
                             {"gre", Protocol::kErspan, Transport::kOther, 0},      {"ipip", Protocol::kIpip, Transport::kOther, 0},
                             {"6in4", Protocol::kSixInFour, Transport::kOther, 0},  {"vxlan", Protocol::kVxlan, Transport::kUdp, 4789},
                             {"geneve", Protocol::kGeneve, Transport::kUdp, 6081}, {"teredo", Protocol::kTeredo, Transport::kUdp, 3544}};
  for (const Tunnel& rule : kTunnels) {
    for (const char* ports : {"", "\nports = \"any\""}) {
      const auto policy = load("[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"" + std::string(rule.word) + "\"" + ports + "\n");
      for (const Tunnel& flow : kTunnels) {
        EXPECT_EQ(allows(*policy, {"", flow.protocol, flow.port, "192.0.2.1", 0, flow.transport}), std::string_view(rule.word) == flow.word)
            << rule.word << " " << to_string(flow.protocol);
        EXPECT_FALSE(allows(*policy, {"", flow.protocol, flow.port, "192.0.2.2", 0, flow.transport}));
      }
      EXPECT_FALSE(allows(*policy, {"", Protocol::kUnknown, 0, "192.0.2.1", 0, Transport::kOther})) << "ESP, SCTP, ...";
      EXPECT_FALSE(allows(*policy, {"", Protocol::kUnknown, 0, "192.0.2.1", 0, Transport::kIcmp}));
    }
  }
  const auto ports = load("[[rules]]\nto = \"any\"\nprotocols = \"vxlan\"\nports = 8472\n");
  EXPECT_TRUE(allows(*ports, {"", Protocol::kVxlan, 8472, "192.0.2.1", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*ports, {"", Protocol::kVxlan, 4789, "192.0.2.1", 0, Transport::kUdp}));
}

TEST(PolicyMatchTest, ADenyRuleForTcpAndUdpDoesNotCoverATunnel) {
  const auto policy = load(
      "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"gre\"\n[[rules]]\nto = \"any\"\nprotocols = [\"tcp\", \"udp\"]\nports = \"any\"\n"
      "action = \"deny\"\n");
  EXPECT_TRUE(allows(*policy, {"", Protocol::kGre, 0, "192.0.2.1", 0, Transport::kOther}));
}

TEST(PolicyInspectTest, TunnelsAreThoseOfTheKey) {
  const auto none = load("");
  EXPECT_FALSE(none->looks_into_any());
  const auto some = load("[inspect]\ntunnels = [\"6in4\", \"vxlan\"]\n");
  EXPECT_TRUE(some->looks_into(Protocol::kSixInFour));
  EXPECT_TRUE(some->looks_into(Protocol::kVxlan));
  EXPECT_FALSE(some->looks_into(Protocol::kGre));
  EXPECT_FALSE(some->looks_into(Protocol::kUnknown));
  EXPECT_NE(some->fingerprint(), none->fingerprint()) << "flows that were allowed unread must be judged again";
}

TEST(PolicyInspectTest, IpProtocolsAreThoseOfAllowRules) {
  const std::vector<std::uint8_t> expected = {41, 47};
  const auto policy = load(
      "[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"gre\", \"6in4\", \"tls\"]\n[[rules]]\nto = \"any\"\nprotocols = \"ipip\"\naction = \"deny\"\n");
  EXPECT_EQ(std::vector<std::uint8_t>(policy->ip_protocols().begin(), policy->ip_protocols().end()), expected);
  EXPECT_TRUE(load("")->ip_protocols().empty());
}

TEST(PolicyMatchTest, DnsNamesAreTheQuestionAndAddressesTheResolver) {
  const auto policy = load("[[rules]]\nto = [\"*.x.example\", \"192.0.2.53\"]\nprotocols = \"dns\"\n");
  EXPECT_TRUE(allows(*policy, {"a.x.example", Protocol::kDns, 53, "203.0.113.1", 0, Transport::kUdp}));
  EXPECT_TRUE(allows(*policy, {"other.example", Protocol::kDns, 53, "192.0.2.53", 0, Transport::kUdp}));
  EXPECT_FALSE(allows(*policy, {"other.example", Protocol::kDns, 53, "203.0.113.1", 0, Transport::kUdp}));
}

TEST(PolicyMatchTest, RuleExpiresAtItsMoment) {
  const auto policy = load("[[rules]]\nto = \"a.example\"\nexpires = 2027-01-01T02:00:00+02:00\n");
  const Timestamp moment(std::chrono::sys_days(std::chrono::January / 1 / 2027));
  EXPECT_TRUE(allows(
      *policy, {"a.example", Protocol::kTls, 443, "192.0.2.1", 0, Transport::kTcp, moment - Duration(1)}));
  EXPECT_FALSE(allows(*policy, {"a.example", Protocol::kTls, 443, "192.0.2.1", 0, Transport::kTcp, moment}));
}

TEST(PolicyMatchTest, ExpiredDenyRuleLetsTheAllowRuleStand) {
  const auto policy = load(
      "[[rules]]\nto = \"any\"\n[[rules]]\nto = \"a.example\"\naction = \"deny\"\nexpires = "
      "1999-01-01T00:00:00Z\n");
  EXPECT_TRUE(allows(*policy, {"a.example"}));
}

TEST(PolicyMatchTest, DatesBeyondTheClockSaturate) {
  const auto policy = load(
      "[[rules]]\nto = \"a.example\"\nexpires = 9999-01-01T00:00:00Z\n[[rules]]\nto = \"b.example\"\nexpires "
      "= 0001-01-01T00:00:00Z\n");
  EXPECT_TRUE(allows(*policy, {"a.example"}));
  EXPECT_FALSE(allows(*policy, {"b.example"}));
}

TEST(PolicyMatchTest, DefaultActionNamesNoRule) {
  const auto policy =
      load("[defaults]\naction = \"allow\"\n[[rules]]\nto = \"bad.example\"\naction = \"deny\"\n");
  EXPECT_TRUE(allows(*policy, {"a.example"}));
  EXPECT_EQ(ask(*policy, {"a.example"}).rule, kNoRule);
  EXPECT_FALSE(allows(*policy, {"bad.example"}));
}

TEST(PolicyMatchTest, NearestIsTheRuleThatFailsByProtocolOrPort) {
  const auto policy = load(
      "[scopes.s]\nusers = 0\n"
      "[[rules]]\nto = \"a.example\"\nprotocols = \"tls\"\nscope = \"s\"\n"
      "[[rules]]\nto = \"a.example\"\nprotocols = \"tls\"\nports = 8443\n"
      "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\n");
  EXPECT_EQ(ask(*policy, {"a.example"}).nearest, 1u);
  EXPECT_EQ(ask(*policy, {"a.example", Protocol::kTls, 444, "198.51.100.7", 1}).nearest, 0u);
  EXPECT_EQ(ask(*policy, {"b.example", Protocol::kTls, 22, "192.0.2.1"}).nearest, 2u);
  EXPECT_EQ(ask(*policy, {"b.example"}).nearest, kNoRule);
  EXPECT_EQ(ask(*policy, {"a.example", Protocol::kTls, 8443}).nearest, kNoRule);
}

TEST(PolicyScopeTest, FlowIsInEveryScopeThatMatchesAnyFact) {
  const auto policy = load(
      "[scopes.agent]\nsources = [\"172.17.0.0/16\", \"fd00:17::/64\"]\ninterfaces = \"docker0\"\nusers = "
      "[1000, \"nobody\"]\n"
      "[scopes.boss]\nusers = [0, \"1000\"]\nsources = \"172.17.0.1\"\n");
  ASSERT_THAT(policy->scope_names(), testing::ElementsAre("agent", "boss"));
  const auto scopes = [&](std::string_view source, std::string_view interface,
                          std::optional<std::uint32_t> uid) {
    return policy->scopes_of({IpAddress::parse(source).value(), interface, uid, std::nullopt});
  };
  EXPECT_EQ(scopes("192.0.2.1", "eth0", std::nullopt), kUnnamedWorkload);
  EXPECT_EQ(scopes("172.17.9.9", "", std::nullopt), 1u);
  EXPECT_EQ(scopes("172.17.0.1", "", std::nullopt), 3u);
  EXPECT_EQ(scopes("fd00:17::9", "", std::nullopt), 1u);
  EXPECT_EQ(scopes("192.0.2.1", "docker0", 0), 3u);
  EXPECT_EQ(scopes("192.0.2.1", "docker", 7), kUnnamedWorkload);
  EXPECT_EQ(scopes("192.0.2.1", "", 65'534), 1u);
}

TEST(PolicyScopeTest, RuleIsForItsScopesOnly) {
  const auto policy = load(
      "[scopes.a]\nusers = 1\n[scopes.b]\nusers = 2\n[scopes.c]\nusers = 3\n"
      "[[rules]]\nto = \"x.example\"\nscope = [\"a\", \"c\"]\n"
      "[[rules]]\nto = \"y.example\"\n");
  for (ScopeSet scopes = 0; scopes < 8; ++scopes) {
    EXPECT_EQ(allows(*policy, {"x.example", Protocol::kTls, 443, "192.0.2.1", scopes}), (scopes & 0b101) != 0)
        << scopes;
    EXPECT_TRUE(allows(*policy, {"y.example", Protocol::kTls, 443, "192.0.2.1", scopes}));
  }
}

TEST(PolicySettingsTest, ExistingIsJudgeUnlessItSays) {
  EXPECT_EQ(load("")->defaults().existing, Existing::kJudge);
  EXPECT_EQ(load("[defaults]\nexisting = \"judge\"\n")->defaults().existing, Existing::kJudge);
  EXPECT_EQ(load("[defaults]\nexisting = \"allow\"\n")->defaults().existing, Existing::kAllow);
  EXPECT_EQ(load("[defaults]\nexisting = \"kill\"\n")->defaults().existing, Existing::kKill);
}

TEST(PolicySettingsTest, AreReadAsWritten) {
  const auto policy = load(
      "[defaults]\naction = \"allow\"\nmode = \"observe\"\nrefuse = \"drop\"\nexisting = \"judge\"\n"
      "[deploy]\nhooks = [\"forward\"]\ninside = [\"docker0\", \"br-1\"]\nqueues = 4\non_exit = \"open\"\n"
      "ct_mark_mask = 0x0ff0\ncontrol = \"/run/x.sock\"\n"
      "[[rules]]\nto = \"a.example\"\nname = \"first\"\nrefuse = \"reset\"\n[[rules]]\nto = \"b.example\"\n");
  EXPECT_EQ(policy->defaults().action, Action::kAllow);
  EXPECT_EQ(policy->defaults().mode, Mode::kObserve);
  EXPECT_FALSE(policy->deploy().hook_output);
  EXPECT_TRUE(policy->deploy().hook_forward);
  EXPECT_THAT(policy->deploy().inside, testing::ElementsAre("docker0", "br-1"));
  EXPECT_EQ(policy->deploy().queues, 4u);
  EXPECT_EQ(policy->deploy().on_exit, OnExit::kOpen);
  EXPECT_EQ(policy->deploy().ct_mark_mask, 0x0ff0u);
  EXPECT_EQ(policy->deploy().control, "/run/x.sock");
  EXPECT_EQ(policy->rules()[0].name, "first");
  EXPECT_EQ(policy->refuse_of(0), Refuse::kReset);
  EXPECT_EQ(policy->refuse_of(1), Refuse::kDrop);
  EXPECT_EQ(policy->refuse_of(kNoRule), Refuse::kDrop);
}

TEST(PolicySettingsTest, HaveDefaults) {
  const auto policy = load("");
  EXPECT_EQ(policy->defaults().action, Action::kDeny);
  EXPECT_EQ(policy->defaults().mode, Mode::kEnforce);
  EXPECT_EQ(policy->defaults().refuse, Refuse::kSpeak);
  EXPECT_TRUE(policy->refusals().show_rule);
  EXPECT_EQ(policy->refusals().tls_alert, 49);
  EXPECT_TRUE(policy->deploy().hook_output);
  EXPECT_FALSE(policy->deploy().hook_forward);
  EXPECT_EQ(policy->deploy().queues, std::nullopt);
  EXPECT_EQ(policy->deploy().on_exit, OnExit::kClosed);
  EXPECT_EQ(policy->deploy().ct_mark_mask, 0xff000000u);
}

TEST(PolicyFingerprintTest, IsOfWhatDecidesAndNotOfItsWording) {
  const std::string a = "[[rules]]\nto = [\"a.example\", \"b.example\"]\n";
  const std::string b = "[[rules]]\nto = \"10.0.0.0/8\"\nprotocols = \"ssh\"\n";
  const std::uint64_t first = load(a + b)->fingerprint();
  EXPECT_EQ(load("# comment\n" + b + a)->fingerprint(), first);
  EXPECT_EQ(load("[[rules]]\nname = \"n\"\nto = [\"B.example\", \"a.example.\", \"a.example\"]\n" + b)
                ->fingerprint(),
            first);
  for (const std::string& other :
       {a, b, std::string(), a + b + "refuse = \"drop\"\n", a + b + "ports = 23\n",
        a + b + "action = \"deny\"\n", a + "expires = 2030-01-01T00:00:00Z\n" + b,
        "[defaults]\naction = \"allow\"\n" + a + b, "[defaults]\nmode = \"observe\"\n" + a + b,
        "[scopes.s]\nusers = 1\n" + a + b,
        std::string("[[rules]]\nto = [\"a.example\", \"*.b.example\"]\n") + b}) {
    EXPECT_NE(load(other)->fingerprint(), first) << other;
  }
  EXPECT_EQ(load("[[rules]]\nto = \"a.example\"\n")->fingerprint(), 2207089734666779913u)
      << "stable between builds and hosts";
}

}  // namespace
}  // namespace sallyport::policy
