// The key `ice`, and what a match says of the rules that a flow's own word has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;

constexpr std::string_view kRule = "[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"stun\"]\n";

Ask stun(std::string_view address = "192.0.2.1") {
  return {.name = "", .protocol = Protocol::kStun, .port = 3478, .address = address, .transport = Transport::kUdp};
}

TEST(PolicyIceTest, OnlyARuleThatSaysSoOpensPeers) {
  const std::string rule(kRule);
  EXPECT_EQ(ask(*load(rule), stun()).ice, kNoRule);
  EXPECT_EQ(ask(*load(rule), stun()).own_word, 0u);
  EXPECT_EQ(ask(*load(rule + "ice = \"deny\"\n"), stun()).ice, kNoRule);
  EXPECT_EQ(ask(*load(rule + "ice = \"allow\"\n"), stun()).ice, 0u);
  EXPECT_EQ(ask(*load(rule + "ice = \"allow\"\n"), stun("192.0.2.2")).ice, kNoRule);
}

TEST(PolicyIceTest, ARuleForWhateverTheBytesAreDoesNotHideIt) {
  const auto policy = load("[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"udp\"]\nports = [3478]\n" + std::string(kRule) + "ice = \"allow\"\n");
  EXPECT_EQ(ask(*policy, stun()).rule, 0u);
  EXPECT_EQ(ask(*policy, stun()).own_word, 1u);
  EXPECT_EQ(ask(*policy, stun()).ice, 1u);
  const auto udp_alone = load("[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"udp\"]\nports = [3478]\n");
  EXPECT_EQ(ask(*udp_alone, stun()).own_word, kNoRule);
}

TEST(PolicyIceTest, ADenyRuleOpensNothing) {
  const auto policy = load(std::string(kRule) + "ice = \"allow\"\n[[rules]]\nto = \"192.0.2.0/24\"\nprotocols = [\"udp\"]\nports = \"any\"\naction = \"deny\"\n[[rules]]\nto = \"198.51.100.1\"\n");
  EXPECT_EQ(ask(*policy, stun()).ice, kNoRule);
}

TEST(PolicyIceTest, MistakesAreTold) {
  EXPECT_THAT(problems("version = 1\n[[rules]]\nto = \"192.0.2.1\"\nice = \"allow\"\n"),
              ElementsAre("p.toml:4:7: rules[0].ice: peers are found with the help of a STUN or TURN server: the rule needs the protocol \"stun\""));
  EXPECT_THAT(problems("version = 1\n" + std::string(kRule) + "action = \"deny\"\nice = \"allow\"\n"),
              ElementsAre("p.toml:6:7: rules[0].ice: a deny rule opens nothing; leave \"ice\" out"));
  EXPECT_EQ(problems("version = 1\n" + std::string(kRule) + "ice = \"alow\"\n").size(), 1u);
  EXPECT_EQ(problems("version = 1\n" + std::string(kRule) + "ice = true\n").size(), 1u);
}

TEST(PolicyIceTest, ItIsPartOfWhatARuleMeans) {
  const auto without = load(kRule);
  const auto with = load(std::string(kRule) + "ice = \"allow\"\n");
  EXPECT_NE(without->fingerprint(), with->fingerprint());
  EXPECT_EQ(without->fingerprint(), load(std::string(kRule) + "ice = \"deny\"\n")->fingerprint());
  const auto both = load(std::string(kRule) + std::string(kRule) + "ice = \"allow\"\n");
  EXPECT_EQ(both->rules().size(), 2u) << "no duplicates of each other";
}

}  // namespace
}  // namespace sallyport::policy
