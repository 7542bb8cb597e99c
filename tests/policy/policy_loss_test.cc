#include "sallyport/policy/policy_loss.h"

#include <gtest/gtest.h>

#include "policy_support.h"
#include "sallyport/policy/overlay.h"

namespace sallyport::policy {
namespace {

constexpr Timestamp kNow{std::chrono::seconds(1'800'000'000)};
constexpr const char* kBase = R"([[rules]]
to = ["a.example", "*.w.example"]
[[rules]]
to = ["b.example"]
protocols = ["ssh"]
[[rules]]
to = ["192.0.2.0/24"]
protocols = ["tcp"]
ports = [5000]
)";

bool may_have(const PolicyLoss& loss, std::uint16_t port, std::string_view address, Transport transport = Transport::kTcp) {
  return loss.may_lose(transport, *IpAddress::parse(address), port);
}

PolicyLoss loss_of(const std::string& before, const std::string& after) { return {load(before), kNow, load(after), kNow}; }

TEST(PolicyLossTest, TheSameRulesInAnyOrderAndMoreThatAllowAreNoLoss) {
  EXPECT_TRUE(PolicyLoss().empty());
  EXPECT_FALSE(may_have(PolicyLoss(), 443, "192.0.2.1"));
  EXPECT_TRUE(loss_of(kBase, kBase).empty());
  EXPECT_TRUE(loss_of(kBase, std::string("[[rules]]\nto = \"new.example\"\n") + kBase).empty());
  EXPECT_TRUE(loss_of(std::string(kBase) + "[[rules]]\nto = \"a.example\"\naction = \"deny\"\n", kBase).empty()) << "a deny rule went";
}

TEST(PolicyLossTest, ARuleThatWentIsAboutItsPrefixesAndPortsAlone) {
  const std::string all = kBase;
  const PolicyLoss prefix = loss_of(all, all.substr(0, all.rfind("[[rules]]")));
  EXPECT_TRUE(may_have(prefix, 5000, "192.0.2.7"));
  EXPECT_FALSE(may_have(prefix, 5001, "192.0.2.7"));
  EXPECT_FALSE(may_have(prefix, 5000, "192.0.3.7"));
  EXPECT_FALSE(may_have(prefix, 5000, "192.0.2.7", Transport::kUdp));
}

// The name that the flow was for may have run out since, and other names of its address live on.
TEST(PolicyLossTest, ARuleWithNamesIsAboutEveryAddressAtItsPorts) {
  const std::string all = kBase;
  const PolicyLoss names = loss_of(all, all.substr(all.find("[[rules]]", 1)));
  EXPECT_TRUE(may_have(names, 443, "198.51.100.1"));
  EXPECT_TRUE(may_have(names, 443, "198.51.100.1", Transport::kUdp)) << "quic";
  EXPECT_FALSE(may_have(names, 22, "198.51.100.1"));
  const std::string any = "[[rules]]\nto = \"x.example\"\nbind = \"any\"\n";
  EXPECT_TRUE(may_have(loss_of(any, kBase), 443, "198.51.100.1"));
  EXPECT_FALSE(may_have(loss_of(any, kBase), 22, "198.51.100.1"));
  EXPECT_TRUE(may_have(loss_of("[[rules]]\nto = \"*.example\"\n", any), 443, "198.51.100.1"));
}

TEST(PolicyLossTest, ADenyRuleWithNamesIsAboutWhateverTheFlowSaid) {
  for (const char* protocols : {"", "protocols = [\"tcp\"]\nports = [443]\n", "protocols = [\"smtp\"]\nports = [443]\n"}) {
    const std::string deny = std::string("[[rules]]\nto = \"bad.example\"\naction = \"deny\"\n") + protocols;
    EXPECT_TRUE(may_have(loss_of(kBase, kBase + deny), 443, "198.51.100.1")) << deny;
    EXPECT_FALSE(may_have(loss_of(kBase, kBase + deny), 22, "198.51.100.1")) << deny;
  }
  const std::string address = "[[rules]]\nto = \"203.0.113.0/24\"\nprotocols = [\"ssh\"]\naction = \"deny\"\n";
  EXPECT_TRUE(may_have(loss_of(kBase, kBase + address), 22, "203.0.113.9"));
  EXPECT_FALSE(may_have(loss_of(kBase, kBase + address), 22, "198.51.100.1"));
}

const std::string kScopes = "[scopes.ci]\nsources = [\"10.9.0.0/16\"]\n";
const std::string kAnywhere = "[[rules]]\nto = \"0.0.0.0/0\"\nprotocols = [\"tcp\"]\nports = [443]\n";

TEST(PolicyLossTest, WhatStandsForEveryScopeIsNoLoss) {
  const std::string lost = "[[rules]]\nto = \"203.0.113.5\"\nprotocols = [\"tcp\"]\nports = [443]\n";
  EXPECT_FALSE(may_have(loss_of(kScopes + kAnywhere + lost, kScopes + kAnywhere), 443, "203.0.113.5"));
  for (const char* scope : {"scope = [\"none\"]\n", "scope = [\"ci\"]\n"}) {
    EXPECT_TRUE(may_have(loss_of(kScopes + kAnywhere + scope + lost, kScopes + kAnywhere + scope), 443, "203.0.113.5")) << scope;
  }
  const std::string denies = kAnywhere + "[[rules]]\nto = \"203.0.113.0/24\"\nprotocols = [\"tcp\"]\nports = [443]\naction = \"deny\"\nscope = [\"ci\"]\n";
  const std::string wider = "[scopes.ci]\nsources = [\"10.9.0.0/16\", \"10.8.0.0/16\"]\n";
  EXPECT_TRUE(may_have(loss_of(kScopes + denies, wider + denies), 443, "203.0.113.5")) << "more flows are the scope's now";
  EXPECT_FALSE(may_have(loss_of(kScopes + denies, wider + denies), 443, "198.51.100.1"));
}

TEST(PolicyLossTest, ATunnelThatIsLookedIntoNowStandsByNoAddress) {
  const std::string rules = "[[rules]]\nto = \"203.0.113.0/24\"\nprotocols = [\"udp\"]\nports = [4789]\n" + kAnywhere;
  const std::string inspect = "[inspect]\ntunnels = [\"vxlan\"]\n";
  EXPECT_TRUE(may_have(loss_of(rules, inspect + rules), 4789, "203.0.113.5", Transport::kUdp));
  EXPECT_FALSE(may_have(loss_of(rules, inspect + rules), 443, "203.0.113.5"));
  EXPECT_FALSE(may_have(loss_of(inspect + rules, rules), 4789, "203.0.113.5", Transport::kUdp));
}

TEST(PolicyLossTest, WhatIsNoRuleIsAboutEverything) {
  EXPECT_TRUE(may_have(loss_of(kBase, std::string("[defaults]\nquic = \"deny\"\n") + kBase), 22, "198.51.100.1"));
}

TEST(PolicyLossTest, ARuleThatOpensOtherPortsIsAboutThem) {
  const std::string base = kBase;
  const PolicyLoss ftp = loss_of("[[rules]]\nto = \"f.example\"\nprotocols = [\"ftp\"]\n" + base, base);
  EXPECT_TRUE(may_have(ftp, 40'000, "198.51.100.1"));
  EXPECT_FALSE(may_have(ftp, 40'000, "198.51.100.1", Transport::kUdp));
  const PolicyLoss no_ftp = loss_of(base, base + "[[rules]]\nto = \"192.0.2.21\"\nprotocols = [\"ftp\"]\naction = \"deny\"\n");
  EXPECT_TRUE(may_have(no_ftp, 40'000, "192.0.2.21"));
  EXPECT_FALSE(may_have(no_ftp, 40'000, "192.0.2.22"));
  const PolicyLoss ice = loss_of("[[rules]]\nto = \"s.example\"\nprotocols = [\"stun\"]\nice = \"allow\"\n" + base, base);
  EXPECT_TRUE(may_have(ice, 40'000, "198.51.100.1", Transport::kUdp));
  EXPECT_FALSE(may_have(ice, 40'000, "198.51.100.1"));
  const std::string proxy = "[[rules]]\nto = \"192.0.2.80\"\nprotocols = [\"http\"]\nports = [3128]\nproxy = true\n";
  EXPECT_TRUE(may_have(loss_of(proxy + base, proxy + base.substr(base.find("[[rules]]", 1))), 3128, "192.0.2.80")) << "what it was asked for may be what went";
  EXPECT_FALSE(may_have(loss_of(proxy + base, proxy + base.substr(base.find("[[rules]]", 1))), 3128, "192.0.2.81"));
  EXPECT_FALSE(may_have(loss_of(proxy + base, proxy + base), 3128, "192.0.2.80"));
}

TEST(PolicyLossTest, ARuleThatHasExpiredSinceIsLost) {
  const auto policy = load(std::string(kBase) + "[[rules]]\nto = \"203.0.113.1\"\nprotocols = [\"ssh\"]\nexpires = 2027-01-15T08:00:00Z\n");
  const Timestamp end{std::chrono::sys_days(std::chrono::year(2027) / 1 / 15) + std::chrono::hours(8)};
  const auto hour = std::chrono::hours(1);
  EXPECT_TRUE(PolicyLoss(policy, end - 2 * hour, policy, end - hour).empty());
  EXPECT_TRUE(PolicyLoss(policy, end, policy, end + hour).empty()) << "it was judged without it";
  const PolicyLoss loss(policy, end - hour, policy, end);
  EXPECT_TRUE(may_have(loss, 22, "203.0.113.1"));
  EXPECT_FALSE(may_have(loss, 22, "203.0.113.2"));
}

TEST(PolicyLossTest, ABypassThatEndsIsAboutEverything) {
  Overlay overlay;
  overlay.bypasses.push_back({.id = 1, .scope = "", .expires = kNow + std::chrono::hours(1)});
  const std::string text = std::string("version = 1\n") + kBase;
  const auto bypassed = load_policy_text(text, "p.toml", overlay).value();
  EXPECT_TRUE(may_have(PolicyLoss(bypassed, kNow, load(kBase), kNow), 9, "198.51.100.1"));
  EXPECT_TRUE(PolicyLoss(load(kBase), kNow, bypassed, kNow).empty());
}

}  // namespace
}  // namespace sallyport::policy
