// What a policy says before any byte is seen must agree with what it says of every possible byte.
#include <gtest/gtest.h>

#include <random>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

EarlyResult early(const Policy& policy, const Ask& flow) {
  return policy.match_early(flow.scopes, flow.transport, IpAddress::parse(flow.address).value(), flow.port,
                            flow.now);
}

Ask flow_to(std::string_view address, std::uint16_t port, Transport transport = Transport::kTcp) {
  return {"", Protocol::kUnknown, port, address, 0, transport};
}

TEST(PolicyEarlyTest, NothingCouldAllow) {
  const auto policy =
      load("[[rules]]\nto = \"a.example\"\n[[rules]]\nto = \"10.0.0.0/8\"\nprotocols = \"ssh\"\n");
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 25)).match, EarlyMatch::kDeny);
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 22)).match, EarlyMatch::kDeny);
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 80, Transport::kUdp)).match, EarlyMatch::kDeny);
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 443)).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 443, Transport::kUdp)).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 22)).match, EarlyMatch::kUndecided);
}

TEST(PolicyEarlyTest, AddressRuleForATransportDecides) {
  const auto policy = load(
      "[[rules]]\nto = \"10.0.0.0/8\"\nprotocols = [\"tcp\"]\nports = \"any\"\n"
      "[[rules]]\nto = \"10.9.0.0/16\"\nprotocols = [\"tcp\"]\nports = \"any\"\naction = \"deny\"\n");
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 9)).match, EarlyMatch::kAllow);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 9)).rule, 0u);
  EXPECT_EQ(early(*policy, flow_to("10.9.0.1", 9)).match, EarlyMatch::kDeny);
  EXPECT_EQ(early(*policy, flow_to("10.9.0.1", 9)).rule, 1u);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 9, Transport::kUdp)).match, EarlyMatch::kDeny);
}

TEST(PolicyEarlyTest, DenyRuleByNameKeepsItsPortsUndecided) {
  const auto policy = load(
      "[[rules]]\nto = \"10.0.0.0/8\"\nprotocols = [\"tcp\"]\nports = \"any\"\n"
      "[[rules]]\nto = \"evil.example\"\naction = \"deny\"\nprotocols = \"tls\"\nports = [\"440-450\"]\n");
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 439)).match, EarlyMatch::kAllow);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 440)).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 450)).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early(*policy, flow_to("10.0.0.1", 451)).match, EarlyMatch::kAllow);
}

TEST(PolicyEarlyTest, DefaultThatAllowsDecidesWhereNoDenyRuleReaches) {
  const auto policy =
      load("[defaults]\naction = \"allow\"\n[[rules]]\nto = \"evil.example\"\naction = \"deny\"\n");
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 22)).match, EarlyMatch::kAllow);
  EXPECT_EQ(early(*policy, flow_to("192.0.2.1", 443)).match, EarlyMatch::kUndecided);
}

TEST(PolicyEarlyTest, OtherTransportsGetTheDefault) {
  const auto deny = load("[[rules]]\nto = \"any\"\nprotocols = [\"tcp\", \"udp\"]\nports = \"any\"\n");
  EXPECT_EQ(early(*deny, flow_to("192.0.2.1", 0, Transport::kIcmp)).match, EarlyMatch::kDeny);
  const auto allow = load("[defaults]\naction = \"allow\"\n");
  EXPECT_EQ(early(*allow, flow_to("192.0.2.1", 0, Transport::kIcmp)).match, EarlyMatch::kAllow);
}

// RandomPolicy writes policies whose rules overlap often.
class RandomPolicy {
 public:
  explicit RandomPolicy(unsigned seed) : random_(seed) {}

  std::string text() {
    std::string out = "version = 1\n[defaults]\naction = \"" + one({"deny", "deny", "allow"}) +
                      "\"\n[scopes.s]\nusers = 1\n[scopes.t]\nusers = 2\n";
    const unsigned rules = below(7);
    for (unsigned i = 0; i < rules; ++i) out += rule();
    return out;
  }
  unsigned below(unsigned bound) { return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_); }
  std::string one(std::initializer_list<const char*> words) {
    return *(words.begin() + below(static_cast<unsigned>(words.size())));
  }

 private:
  std::string rule() {
    const bool named = below(2) == 0;
    std::string out = "[[rules]]\nto = ";
    out += named ? one({"\"a.example\"", "\"*.example.org\"", "[\".a.example\", \"10.0.0.0/8\"]"})
                 : one({"\"any\"", "\"10.0.0.0/8\"", "\"10.1.0.0/16\"", "\"2001:db8::/32\"",
                        "[\"10.1.0.1\", \"192.0.2.0/24\"]"});
    out += "\nprotocols = ";
    const bool transport = below(named ? 4 : 2) == 0;
    out += transport ? one({"\"tcp\"", "\"udp\"", "[\"tcp\", \"udp\"]", "[\"tls\", \"udp\"]"})
                     : (named ? one({"\"tls\"", "\"quic\"", "[\"http\", \"dns\"]", "[\"tls\", \"quic\"]", "\"ssh\"", "[\"tls\", \"ssh\"]"})
                              : one({"\"tls\"", "\"ssh\"", "[\"quic\", \"dns\"]", "\"http\"", "\"ntp\"", "[\"stun\", \"mqtt\"]", "[\"vxlan\", \"teredo\"]"}));
    if (transport || below(2) == 0)
      out += "\nports = " + one({"\"any\"", "443", "[\"20-60\", 443]", "[53, 80]"});
    if (below(3) == 0) out += "\nscope = " + one({"\"s\"", "\"t\"", "[\"s\", \"t\"]"});
    if (below(4) == 0) out += "\nexpires = " + one({"2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"});
    const std::string action = one({"allow", "allow", "deny"});
    if (action == "allow" && named && below(3) == 0) out += "\nbind = " + one({"\"any\"", "\"strict\""});
    return out + "\naction = \"" + action + "\"\n";
  }

  std::mt19937 random_;
};

TEST(PolicyEarlyTest, NeverContradictsWhatIsSaidLater) {
  unsigned loaded = 0;
  unsigned decided[3] = {};
  unsigned needs_binding = 0;
  for (unsigned seed = 0; seed < 1'500; ++seed) {
    RandomPolicy random(seed);
    const std::string text = random.text();
    const auto policy = load_policy_text(text, "random");
    if (!policy) continue;  // Rules without effect.
    ++loaded;
    for (const Transport transport : {Transport::kTcp, Transport::kUdp, Transport::kIcmp}) {
      for (const std::uint16_t port : std::initializer_list<std::uint16_t>{22, 53, 80, 443, 444, 4789}) {
        const std::string address =
            random.one({"10.1.0.1", "10.2.0.1", "192.0.2.9", "2001:db8::1", "203.0.113.1"});
        Ask flow{"", Protocol::kUnknown, port, address, random.below(4), transport};
        const EarlyResult result = early(**policy, flow);
        ++decided[static_cast<std::size_t>(result.match)];
        needs_binding += result.needs_binding ? 1 : 0;
        if (result.match == EarlyMatch::kUndecided && !result.needs_binding) continue;
        for (std::size_t i = 0; i < kProtocolCount * 4; ++i) {
          for (const char* name : {"", "a.example", "b.a.example", "x.example.org", "other.example"}) {
            flow.protocol = static_cast<Protocol>(i / 4);
            flow.name = name;
            flow.bound = i % 2 != 0;
            flow.claimed = i / 2 % 2 != 0;
            if (result.needs_binding) {
              const auto parsed = DomainName::parse(name);
              const bool covered = parsed && (*policy)->names_cover(flow.scopes, transport, port, *parsed, flow.now);
              const bool asks = flow.protocol == Protocol::kDns && flow.claimed;
              if (flow.bound && (covered || asks)) continue;
              ASSERT_FALSE(allows(**policy, flow)) << text << to_string(flow.protocol) << " " << name << " " << address << ":" << port;
              continue;
            }
            ASSERT_EQ(allows(**policy, flow), result.match == EarlyMatch::kAllow)
                << text << to_string(transport) << " " << to_string(flow.protocol) << " " << name << " "
                << address << ":" << port << " scopes " << flow.scopes;
          }
        }
      }
    }
  }
  // The property must not hold for want of cases.
  EXPECT_GT(loaded, 500u);
  for (const unsigned count : decided) EXPECT_GT(count, 1'000u);
  EXPECT_GT(needs_binding, 500u);
}

}  // namespace
}  // namespace sallyport::policy
