// What a policy says of UDP as a whole: no QUIC, and where a deny rule has a protocol that a datagram shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

constexpr Timestamp kNow{std::chrono::seconds(1'800'000'000)};

EarlyMatch early(const Policy& policy, Transport transport, std::string_view address = "192.0.2.1") {
  return policy.match_early(0, transport, IpAddress::parse(address).value(), 9'999, kNow).match;
}
bool denies(const Policy& policy, std::string_view address, std::uint16_t port, ScopeSet scopes = 0) {
  return policy.denies_datagrams_at(scopes, IpAddress::parse(address).value(), port, kNow);
}

constexpr const char* kUdp = "[[rules]]\nto = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nprotocols = [\"tcp\", \"udp\"]\nports = \"any\"\n";

TEST(PolicyQuicTest, DeniedQuicLeavesUdpUndecidedUntilItsBytesAreSeen) {
  const auto allowed = load(kUdp);
  const auto denied = load(std::string("[defaults]\nquic = \"deny\"\n") + kUdp);
  const auto said = load(std::string("[defaults]\nquic = \"allow\"\n") + kUdp);
  for (const std::string_view address : {"192.0.2.1", "2001:db8::1"}) {
    EXPECT_EQ(early(*allowed, Transport::kUdp, address), EarlyMatch::kAllow);
    EXPECT_EQ(early(*denied, Transport::kUdp, address), EarlyMatch::kUndecided);
    EXPECT_EQ(early(*denied, Transport::kTcp, address), EarlyMatch::kAllow);
  }
  EXPECT_EQ(denied->defaults().quic, Action::kDeny);
  EXPECT_NE(denied->fingerprint(), allowed->fingerprint());
  EXPECT_EQ(said->fingerprint(), allowed->fingerprint());
}

TEST(PolicyQuicTest, AnotherWordIsRefused) {
  EXPECT_THAT(problems("version = 1\n[defaults]\nquic = \"drop\"\n"),
              testing::ElementsAre(testing::AllOf(testing::StartsWith("p.toml:3:8: defaults.quic: "), testing::HasSubstr("\"deny\""))));
}

TEST(PolicyDatagramTest, FindsDenyRulesForProtocolsThatADatagramShows) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\n"
      "[[rules]]\nto = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nprotocols = [\"wireguard\"]\nports = [\"100-200\"]\naction = \"deny\"\n"
      "[[rules]]\nto = \"any\"\nprotocols = [\"ike\"]\naction = \"deny\"\n"
      "[[rules]]\nto = \"evil.example\"\nprotocols = [\"ntp\"]\nports = [700]\naction = \"deny\"\n"
      "[[rules]]\nto = \"203.0.113.1\"\nprotocols = [\"stun\"]\nports = \"any\"\nscope = \"s\"\naction = \"deny\"\n");
  EXPECT_TRUE(denies(*policy, "192.0.2.1", 100));
  EXPECT_TRUE(denies(*policy, "2001:db8::1", 200));
  EXPECT_FALSE(denies(*policy, "2001:db8::1", 201));
  EXPECT_FALSE(denies(*policy, "198.51.100.1", 150));
  EXPECT_TRUE(denies(*policy, "198.51.100.1", 4500));
  EXPECT_TRUE(denies(*policy, "198.51.100.1", 700)) << "the address could be the name's";
  EXPECT_TRUE(denies(*policy, "203.0.113.1", 9, 1));
  EXPECT_FALSE(denies(*policy, "203.0.113.1", 9, 2));
}

TEST(PolicyDatagramTest, RulesForTransportsHellosAndTcpAreNoneOfThem) {
  const auto policy = load(
      "[[rules]]\nto = \"evil.example\"\nprotocols = [\"tcp\", \"udp\"]\nports = \"any\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"203.0.113.1\"\nprotocols = [\"udp\"]\nports = \"any\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"any\"\nprotocols = [\"quic\", \"tls\", \"ssh\", \"redis\"]\nports = \"any\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"any\"\nprotocols = [\"wireguard\"]\nports = \"any\"\n");
  EXPECT_FALSE(denies(*policy, "192.0.2.1", 443));
  EXPECT_FALSE(denies(*policy, "203.0.113.1", 443));
}

}  // namespace
}  // namespace sallyport::policy
