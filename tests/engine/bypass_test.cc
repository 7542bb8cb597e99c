// Break-glass: flows of what is bypassed pass unread, and lose that at its end.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <string>

#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

const std::string kPolicy = InspectorHarness::with_any_address(R"(version = 1
[scopes.agent]
sources = ["10.0.0.1"]
[[rules]]
to = ["allowed.example"]
[[rules]]
to = ["192.0.2.66"]
protocols = ["tcp", "udp"]
ports = "any"
action = "deny"
)");

class BypassTest : public ::testing::Test {
 protected:
  // bypass returns the policy with a bypass of the scope for an hour; an empty scope: of everything.
  std::shared_ptr<const policy::Policy> bypassing(const std::string& scope) const {
    return policy::load_policy_text(kPolicy, "test.toml", {{}, {{1, scope, fw_.now() + std::chrono::hours(1)}}}).value();
  }
  std::shared_ptr<const policy::Policy> plain() const { return policy::load_policy_text(kPolicy, "test.toml").value(); }
  Outcome syn(std::uint16_t port, const char* from = "10.0.0.1", const char* to = "192.0.2.1") {
    return fw_.client(PacketBuilder::tcp(endpoint(from, port), endpoint(to, 443)).syn().build());
  }
  Outcome datagram(std::uint16_t port, std::uint16_t to) {
    return fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", port), endpoint("192.0.2.1", to)).payload(ByteSpan(kWords)).build());
  }

  const std::vector<std::uint8_t> kWords = {'h', 'e', 'l', 'l', 'o'};
  InspectorHarness fw_{kPolicy};
};

TEST_F(BypassTest, ANewFlowPassesWithItsFirstPacketEvenWhereARuleDenies) {
  EXPECT_EQ(syn(1, "10.0.0.1", "192.0.2.66").decision.verdict, Verdict::kDrop);
  fw_.take(bypassing("agent"));
  for (const char* to : {"192.0.2.1", "192.0.2.66", "169.254.169.254"}) {
    const Outcome outcome = syn(2, "10.0.0.1", to);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept) << to;
    EXPECT_EQ(outcome.decision.mark, FlowMark::kAllow) << to;
    EXPECT_EQ(fw_.verdicts().back().reason, Reason::kBypass) << to;
  }
}

TEST_F(BypassTest, DatagramsAndQuestionsPass) {
  fw_.take(bypassing("agent"));
  EXPECT_EQ(datagram(3, 9'999).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kBypass);
  EXPECT_EQ(datagram(4, 53).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kBypass);
}

TEST_F(BypassTest, OtherScopesAreJudgedAsEver) {
  fw_.take(bypassing("agent"));
  EXPECT_EQ(syn(5, "10.0.0.2", "192.0.2.66").decision.verdict, Verdict::kDrop);
  fw_.take(bypassing(""));
  EXPECT_EQ(syn(6, "10.0.0.2", "192.0.2.66").decision.verdict, Verdict::kAccept);
}

TEST_F(BypassTest, ItsEndTakesBackWhatItAllowedAndNothingElse) {
  fw_.take(bypassing("agent"));
  (void)syn(7);
  EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kAllow);
  const std::size_t before = fw_.verdicts().size();
  const auto remarks = fw_.take(plain());
  ASSERT_EQ(fw_.verdicts().size(), before + 1);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kRevoked);
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(remarks[0].cut);
  EXPECT_EQ(syn(8, "10.0.0.1", "192.0.2.66").decision.verdict, Verdict::kDrop);
}

TEST_F(BypassTest, VerdictsAreCountedByReasonAndByTime) {
  fw_.take(bypassing("agent"));
  for (std::uint16_t port = 10; port < 15; ++port) (void)syn(port);
  const engine::Counters& counters = fw_.inspector().counters();
  EXPECT_EQ(counters.flows_by_reason[static_cast<std::size_t>(Reason::kBypass)], 5U);
  const auto sum = [](const auto& array) {
    return std::accumulate(array.begin(), array.end(), std::uint64_t{0}, [](std::uint64_t total, const auto& each) { return total + each.load(); });
  };
  EXPECT_EQ(sum(counters.decision_times), 5U);
  EXPECT_EQ(sum(counters.flows_by_reason), 5U);
}

}  // namespace
}  // namespace sallyport::testing
