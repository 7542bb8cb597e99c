// Rules for ICMP and IP protocols, metadata addresses, the local network, NAT64, and flows in no scope.
#include <gmock/gmock.h>

#include "policy_support.h"
#include "sallyport/core/special_addresses.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PolicyMatch ask_ip(const Policy& policy, std::string_view address, Transport transport, Protocol protocol, std::uint8_t number,
                   std::uint32_t size = 0) {
  FlowQuery query;
  query.transport = transport;
  query.protocol = protocol;
  query.destination = IpAddress::parse(address).value();
  query.claimed = true;
  query.number = number;
  query.size = size;
  return policy.match(query);
}
bool pings(const Policy& policy, std::string_view address, std::uint8_t type, std::uint32_t size = 56) {
  const Transport transport = address.find(':') == std::string_view::npos ? Transport::kIcmp : Transport::kIcmpv6;
  return ask_ip(policy, address, transport, Protocol::kIcmp, type, size).action == Action::kAllow;
}
bool passes(const Policy& policy, std::string_view address, std::uint8_t number, Protocol protocol = Protocol::kUnknown) {
  return ask_ip(policy, address, Transport::kOther, protocol, number).action == Action::kAllow;
}
bool reaches(const Policy& policy, std::string_view address, std::uint16_t port = 80) {
  return allows(policy, {.name = "", .protocol = Protocol::kHttp, .port = port, .address = address});
}
std::string rule(std::string_view to, std::string_view more) {
  return "[[rules]]\nto = [" + std::string(to) + "]\n" + std::string(more) + "\n";
}

TEST(IcmpRuleTest, AllowsEchoOfOrdinarySizeAndNothingElse) {
  const auto policy = load(rule("\"192.0.2.0/24\", \"2001:db8::/32\"", "protocols = \"icmp\""));
  EXPECT_TRUE(pings(*policy, "192.0.2.1", 8));
  EXPECT_TRUE(pings(*policy, "2001:db8::1", 128));
  EXPECT_FALSE(pings(*policy, "192.0.2.1", 8, 57));
  EXPECT_FALSE(pings(*policy, "2001:db8::1", 128, 57));
  for (const unsigned type : {13U, 15U, 17U}) EXPECT_FALSE(pings(*policy, "192.0.2.1", static_cast<std::uint8_t>(type), 4));
  EXPECT_FALSE(pings(*policy, "198.51.100.1", 8));
  EXPECT_THAT(policy->ip_protocols(), ElementsAre(1, 58));
  EXPECT_THAT(policy->icmp_types(), ElementsAre(8, 128));
}

TEST(IcmpRuleTest, TypesAndPayloadAreTheRules) {
  const auto policy = load(rule("\"192.0.2.1\", \"2001:db8::1\"", "protocols = \"icmp\"\nicmp_types = [\"timestamp-request\", 128]\nicmp_payload = 1400"));
  EXPECT_FALSE(pings(*policy, "192.0.2.1", 8));
  EXPECT_TRUE(pings(*policy, "192.0.2.1", 13, 12));
  EXPECT_TRUE(pings(*policy, "2001:db8::1", 128, 1'400));
  EXPECT_FALSE(pings(*policy, "2001:db8::1", 128, 1'401));
  EXPECT_THAT(policy->icmp_types(), ElementsAre(13, 128));
}

TEST(IcmpRuleTest, ADenyRuleDeniesEveryRequestOfEverySize) {
  const auto policy = load(rule("\"any\"", "protocols = \"icmp\"\nicmp_types = [8, 13, 128]\nicmp_payload = 1000") +
                           rule("\"192.0.2.0/24\"", "protocols = \"icmp\"\naction = \"deny\""));
  EXPECT_FALSE(pings(*policy, "192.0.2.1", 8));
  EXPECT_FALSE(pings(*policy, "192.0.2.1", 13, 12));
  EXPECT_TRUE(pings(*policy, "198.51.100.1", 13, 12));
}

TEST(IcmpRuleTest, RulesThatDifferInTypesOrSizeAreNoDuplicates) {
  const std::string echo = rule("\"192.0.2.1\"", "protocols = \"icmp\"");
  EXPECT_THAT(problems("version = 1\n" + echo + echo), testing::SizeIs(1));
  EXPECT_THAT(problems("version = 1\n" + echo + rule("\"192.0.2.1\"", "protocols = \"icmp\"\nicmp_payload = 100")), IsEmpty());
  EXPECT_THAT(problems("version = 1\n" + echo + rule("\"192.0.2.1\"", "protocols = \"icmp\"\nicmp_types = 13\naction = \"deny\"")), IsEmpty());
  EXPECT_THAT(problems("version = 1\n" + echo + rule("\"192.0.2.1\"", "protocols = \"icmp\"\naction = \"deny\"")),
              ElementsAre(HasSubstr("never allows anything")));
  EXPECT_NE(load(echo)->fingerprint(), load(rule("\"192.0.2.1\"", "protocols = \"icmp\"\nicmp_payload = 100"))->fingerprint());
}

TEST(IcmpRuleTest, ErrorsRepliesAndTheLinkAreNoTypesOfARule) {
  const auto said = [](std::string_view types) {
    const auto lines = problems("version = 1\n" + rule("\"192.0.2.1\"", "protocols = \"icmp\"\nicmp_types = [" + std::string(types) + "]"));
    return lines.size() == 1 ? lines[0] : std::string("not one problem");
  };
  for (const char* error : {"\"destination-unreachable\"", "\"redirect\"", "\"packet-too-big\"", "3", "11", "5", "2", "137"})
    EXPECT_THAT(said(error), HasSubstr("are always dropped")) << error;
  for (const char* reply : {"\"echo-reply\"", "0", "129"}) EXPECT_THAT(said(reply), HasSubstr("replies to what is allowed pass")) << reply;
  for (const char* link : {"\"router-advertisement\"", "135"}) EXPECT_THAT(said(link), HasSubstr("link alone")) << link;
  EXPECT_THAT(said("\"echo-reqest\""), HasSubstr("did you mean \"echo-request\""));
  EXPECT_THAT(said("\"echo-request\", 300"), HasSubstr("p.toml:5:31: rules[0].icmp_types: 300: expected"));
}

TEST(IcmpRuleTest, KeysThatSayNothingAreErrors) {
  const auto count = [](std::string_view more) { return problems("version = 1\n" + rule("\"192.0.2.1\"", more)).size(); };
  EXPECT_EQ(count("icmp_types = 8"), 1u);
  EXPECT_EQ(count("icmp_payload = 8"), 1u);
  EXPECT_EQ(count("ip_protos = 89"), 1u);
  EXPECT_EQ(count("protocols = \"icmp\"\nicmp_payload = 100\naction = \"deny\""), 1u);
  EXPECT_EQ(count("protocols = \"icmp\"\nicmp_payload = 65508"), 1u);
  EXPECT_EQ(count("protocols = \"icmp\"\nports = 7"), 1u);
  EXPECT_EQ(count("protocols = \"icmp\"\nicmp_types = []"), 1u);
}

TEST(IpProtocolRuleTest, AllowsItsNumbersAtItsAddresses) {
  const auto policy = load(rule("\"192.0.2.0/24\", \"2001:db8::1\"", "protocols = \"ip-proto\"\nip_protos = [89, 112]"));
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    EXPECT_TRUE(passes(*policy, address, 89));
    EXPECT_TRUE(passes(*policy, address, 112));
    EXPECT_FALSE(passes(*policy, address, 88));
    EXPECT_FALSE(passes(*policy, address, 47, Protocol::kGre));
    EXPECT_FALSE(passes(*policy, address, 132, Protocol::kSctp));
  }
  EXPECT_FALSE(passes(*policy, "198.51.100.1", 89));
  EXPECT_THAT(policy->ip_protocols(), ElementsAre(89, 112));
}

TEST(IpProtocolRuleTest, WordsAreTheirNumbers) {
  const auto policy = load(rule("\"192.0.2.1\"", "protocols = [\"sctp\", \"esp\", \"ah\"]"));
  EXPECT_TRUE(passes(*policy, "192.0.2.1", 132, Protocol::kSctp));
  EXPECT_TRUE(passes(*policy, "192.0.2.1", 50, Protocol::kEsp));
  EXPECT_TRUE(passes(*policy, "192.0.2.1", 51, Protocol::kAh));
  EXPECT_FALSE(passes(*policy, "192.0.2.1", 89));
  EXPECT_THAT(policy->ip_protocols(), ElementsAre(50, 51, 132));
}

TEST(IpProtocolRuleTest, NumbersThatAreNoProtocolOfTheirOwnAreErrors) {
  for (const int number : {0, 43, 44, 59, 60, 135, 1, 58, 6, 17, 47, 50, 51, 132, 256, -1}) {
    const auto lines = problems("version = 1\n" + rule("\"192.0.2.1\"", "protocols = \"ip-proto\"\nip_protos = [" + std::to_string(number) + "]"));
    ASSERT_EQ(lines.size(), 1u) << number;
    EXPECT_THAT(lines[0], HasSubstr("p.toml:5:14: rules[0].ip_protos: " + std::to_string(number) + ": "));
  }
  EXPECT_THAT(problems("version = 1\n" + rule("\"192.0.2.1\"", "protocols = \"ip-proto\"")),
              ElementsAre(HasSubstr("ip-proto needs \"ip_protos\"")));
}

TEST(MetadataTest, NothingButARuleForTheVeryAddressReachesIt) {
  const std::string ways[] = {"[defaults]\naction = \"allow\"\n", rule("\"any\"", ""), rule("\"0.0.0.0/0\", \"::/0\"", ""),
                              rule("\"169.254.0.0/16\", \"fd00::/8\"", ""), rule("\"169.254.169.254/31\", \"fd00:ec2::254/127\"", "")};
  for (const std::string& text : ways) {
    const auto policy = load(text);
    for (const char* address : {"169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"}) {
      EXPECT_FALSE(reaches(*policy, address)) << address << "\n" << text;
      const EarlyResult early = policy->match_early(0, Transport::kTcp, *IpAddress::parse(address), 80, {});
      EXPECT_EQ(early.match, EarlyMatch::kDeny) << address << "\n" << text;
      EXPECT_TRUE(early.metadata);
    }
  }
}

TEST(MetadataTest, ARuleForTheVeryAddressOpensIt) {
  const auto policy = load("[defaults]\naction = \"allow\"\n" + rule("\"169.254.169.254\", \"fd00:ec2::254/128\"", "protocols = \"http\""));
  EXPECT_TRUE(reaches(*policy, "169.254.169.254"));
  EXPECT_TRUE(reaches(*policy, "fd00:ec2::254"));
  EXPECT_TRUE(reaches(*policy, "::ffff:169.254.169.254"));
  EXPECT_FALSE(reaches(*policy, "169.254.169.254", 81)) << "on the rule's ports alone";
  EXPECT_FALSE(reaches(*policy, "169.254.170.2"));
}

TEST(MetadataTest, ANameThatHasTheAddressDoesNotOpenIt) {
  const auto policy = load(rule("\"good.example\"", "protocols = \"http\""));
  EXPECT_FALSE(allows(*policy, {.name = "good.example", .protocol = Protocol::kHttp, .port = 80, .address = "168.63.129.16"}));
  EXPECT_TRUE(allows(*policy, {.name = "good.example", .protocol = Protocol::kHttp, .port = 80, .address = "168.63.129.17"}));
}

TEST(MetadataTest, ADenyRuleStillWins) {
  const auto policy = load(rule("\"169.254.169.254\"", "") + rule("\"169.254.0.0/16\"", "protocols = \"http\"\naction = \"deny\""));
  EXPECT_FALSE(reaches(*policy, "169.254.169.254"));
}

TEST(Nat64Test, EveryPrefixLengthIsRead) {
  // RFC 6052 §2.4, table 2.
  for (const auto& [prefix, address] : {std::pair{"2001:db8::/32", "2001:db8:c000:221::"},
                                        {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
                                        {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
                                        {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
                                        {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
                                        {"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"}}) {
    EXPECT_EQ(embedded_v4(*IpPrefix::parse(prefix), *IpAddress::parse(address)), IpAddress::parse("192.0.2.33")) << prefix;
    const auto policy = load("[dns]\nnat64 = \"" + std::string(prefix) + "\"\n" + rule("\"192.0.2.33\"", "protocols = \"http\""));
    EXPECT_TRUE(reaches(*policy, address)) << prefix;
    EXPECT_FALSE(reaches(*policy, "64:ff9b::192.0.2.33")) << "not among the prefixes any more";
  }
}

TEST(Nat64Test, RulesForIpv4HoldForWhatIsTranslated) {
  const auto policy = load(rule("\"192.0.2.0/24\", \"64:ff9b::/96\"", "") + rule("\"192.0.2.7\", \"10.0.0.0/8\"", "protocols = \"http\"\naction = \"deny\""));
  EXPECT_TRUE(reaches(*policy, "64:ff9b::192.0.2.1"));
  EXPECT_FALSE(reaches(*policy, "64:ff9b::192.0.2.7"));
  EXPECT_FALSE(reaches(*policy, "64:ff9b::10.1.2.3"));
  EXPECT_TRUE(reaches(*policy, "64:ff9b::198.51.100.1")) << "as the IPv6 address that it is";
  EXPECT_EQ(policy->plain(*IpAddress::parse("64:ff9b::1.2.3.4")), IpAddress::parse("1.2.3.4"));
  EXPECT_EQ(policy->plain(*IpAddress::parse("64:ff9b:1::1.2.3.4")), IpAddress::parse("64:ff9b:1::1.2.3.4"));
}

TEST(Nat64Test, OtherPrefixesAreErrors) {
  for (const char* prefix : {"2001:db8::/33", "2001:db8::/72", "192.0.2.0/24", "2001:db8::1"})
    EXPECT_THAT(problems("version = 1\n[dns]\nnat64 = \"" + std::string(prefix) + "\"\n"), testing::SizeIs(1)) << prefix;
  EXPECT_NE(load("[dns]\nnat64 = []\n")->fingerprint(), load("")->fingerprint());
}

TEST(MetadataTest, ALocalNat64PrefixDoesNotOpenThemWhateverThePolicySays) {
  // 169.254.169.254 and 169.254.170.2 behind 48, 56, 64 and 96 bits of 64:ff9b:1::/48.
  for (const char* nat64 : {"", "[dns]\nnat64 = []\n", "[dns]\nnat64 = [\"2001:db8:64::/96\"]\n"}) {
    const auto policy = load(nat64 + rule("\"any\"", "") + rule("\"64:ff9b:1::9\"", ""));
    for (const char* address : {"64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:ab:a9:fea9:fe00::", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:2::a9fe:aa02"}) {
      EXPECT_FALSE(reaches(*policy, address)) << address << ' ' << nat64;
    }
    EXPECT_TRUE(reaches(*policy, "64:ff9b:1::c000:201")) << nat64;
    EXPECT_TRUE(reaches(*policy, "64:ff9b:2::a9fe:a9fe")) << nat64;
  }
  EXPECT_TRUE(reaches(*load(rule("\"64:ff9b:1::a9fe:a9fe\"", "")), "64:ff9b:1::a9fe:a9fe")) << "the very address";
}

TEST(LocalNetworkTest, RulesForItLeadNowhereElse) {
  for (const char* to : {"\"any\"", "\"printer.example\"", "\"192.0.2.1\"", "\"0.0.0.0/0\"", "\"2001:db8::1\"", "\"224.0.0.251\", \"8.0.0.0/7\""}) {
    EXPECT_THAT(problems("version = 1\n" + rule(to, "protocols = \"mdns\"")), ElementsAre(HasSubstr("stays on the local network"))) << to;
    EXPECT_THAT(problems("version = 1\n" + rule(to, "protocols = \"llmnr\"")), ElementsAre(HasSubstr("stays on the local network"))) << to;
  }
  EXPECT_THAT(problems("version = 1\n" + rule("\"any\"", "protocols = \"mdns\"\naction = \"deny\"")), IsEmpty());
}

TEST(LocalNetworkTest, ThePresetIsForFlowsInNoScope) {
  const auto policy = load("include = \"preset:lan\"\n[scopes.worker]\nusers = 1000\n");
  const auto mdns = [&](ScopeSet scopes, std::string_view address) {
    return allows(*policy, {.name = "", .protocol = Protocol::kMdns, .port = 5353, .address = address, .scopes = scopes, .transport = Transport::kUdp});
  };
  for (const char* group : {"224.0.0.251", "ff02::fb", "192.168.1.7", "fe80::1"}) {
    EXPECT_TRUE(mdns(0, group)) << group;
    EXPECT_FALSE(mdns(1, group)) << group;
    EXPECT_NE(policy->match_early(1, Transport::kUdp, *IpAddress::parse(group), 5353, {}).match, EarlyMatch::kUndecided) << group;
  }
  EXPECT_FALSE(mdns(0, "192.0.2.1"));
  EXPECT_FALSE(mdns(0, "2001:db8::1"));
}

TEST(NoScopeTest, NoneIsForFlowsInNoScope) {
  const std::string scopes = "[scopes.a]\nusers = 1\n[scopes.b]\nusers = 2\n";
  const auto policy = load(scopes + rule("\"192.0.2.1\"", "scope = \"none\"") + rule("\"192.0.2.2\"", "scope = [\"none\", \"b\"]") +
                           rule("\"192.0.2.3\"", "scope = \"none\"\naction = \"deny\"\nprotocols = \"http\"") + rule("\"192.0.2.3\"", ""));
  const auto in = [&](ScopeSet flow, std::string_view address) {
    return allows(*policy, {.name = "", .protocol = Protocol::kHttp, .port = 80, .address = address, .scopes = flow});
  };
  EXPECT_TRUE(in(0, "192.0.2.1"));
  EXPECT_FALSE(in(1, "192.0.2.1"));
  EXPECT_TRUE(in(0, "192.0.2.2"));
  EXPECT_FALSE(in(1, "192.0.2.2"));
  EXPECT_TRUE(in(2, "192.0.2.2"));
  EXPECT_FALSE(in(0, "192.0.2.3"));
  EXPECT_TRUE(in(3, "192.0.2.3"));
  EXPECT_NE(load(rule("\"192.0.2.1\"", "scope = \"none\""))->fingerprint(), load(rule("\"192.0.2.1\"", ""))->fingerprint());
  // Nor is a workload's flow that no scope names one of the host's own; a deny rule for those holds for it.
  EXPECT_EQ(policy->scopes_of(ScopeFacts{}), 0u);
  ScopeFacts forwarded, command;
  forwarded.interface = "inside0";
  command.uid = 9;
  command.workload = true;
  for (const ScopeFacts& facts : {forwarded, command}) {
    const ScopeSet workload = policy->scopes_of(facts);
    EXPECT_FALSE(in(workload, "192.0.2.1"));
    EXPECT_FALSE(in(workload, "192.0.2.2"));
    EXPECT_FALSE(in(workload, "192.0.2.3"));
  }
  command.uid = 2;
  EXPECT_EQ(policy->scopes_of(command), 2u);
  EXPECT_THAT(problems("version = 1\n[scopes.none]\nusers = 1\n"), ElementsAre(HasSubstr("scopes.none")));
}

}  // namespace
}  // namespace sallyport::policy
