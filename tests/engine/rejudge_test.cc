// Another policy judges the flows of the one before it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kServer = endpoint("192.0.2.1", 443);

std::string policy_of(const std::string& rules) { return "version = 1\n" + rules; }
std::string rule(const std::string& to, const std::string& protocol, const std::string& more = "") {
  return "[[rules]]\nto = [\"" + to + "\"]\nprotocols = [\"" + protocol + "\"]\nports = \"any\"\n" + more;
}
const std::string kGood = rule("good.example", "tls");
const std::string kOther = rule("other.example", "tls");
const std::string kDeny = "action = \"deny\"\n";

class RejudgeTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{policy_of(kGood)};
  TcpConversation tcp_{kClient, kServer};

  void connect(InspectorHarness& fw) {
    EXPECT_EQ(fw.client(tcp_.syn()).decision.verdict, Verdict::kAccept);
    (void)tcp_.syn_ack();
    EXPECT_EQ(fw.client(tcp_.handshake_ack()).decision.verdict, Verdict::kAccept);
  }
  // allow has the kernel take the connection over.
  void allow(InspectorHarness& fw) {
    connect(fw);
    EXPECT_EQ(fw.client(tcp_.client_data(ClientHelloBuilder::typical("good.example").record())).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw.server(tcp_.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
  }
};

TEST_F(RejudgeTest, TheSamePolicyCutsNothing) {
  allow(fw_);
  const auto remarks = fw_.reload(policy_of(kGood));
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(remarks[0].passed);
  EXPECT_FALSE(remarks[0].cut);
  EXPECT_EQ(fw_.verdicts().size(), 1U) << "nothing is told of a flow that goes on";
  EXPECT_EQ(fw_.client(tcp_.client_data(Bytes(10, 1))).decision.mark, FlowMark::kAllow);
}

TEST_F(RejudgeTest, ANameThatLostPermissionIsRevokedAndItsNextPacketAnsweredByTwoResets) {
  allow(fw_);
  const auto remarks = fw_.reload(policy_of(kOther));
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(remarks[0].cut);
  EXPECT_EQ(remarks[0].mark, FlowMark::kWatch);
  ASSERT_EQ(fw_.verdicts().size(), 2U);
  EXPECT_EQ(fw_.verdicts()[1].verdict, FlowVerdict::kDeny);
  EXPECT_EQ(fw_.verdicts()[1].reason, Reason::kRevoked);
  EXPECT_EQ(fw_.verdicts()[1].name, "good.example");
  for (const bool from_client : {true, false}) {
    const auto next = from_client ? fw_.client(tcp_.client_data(Bytes(10, 1))) : fw_.server(tcp_.server_data(Bytes(10, 2)));
    EXPECT_EQ(next.decision.verdict, Verdict::kDrop);
    ASSERT_EQ(next.injections.size(), 2U);
    EXPECT_NE(next.injections[0].to_client, next.injections[1].to_client);
  }
}

TEST_F(RejudgeTest, ARuleThatMovedGoesOnAllowing) {
  allow(fw_);
  (void)fw_.reload(policy_of(kOther + kGood));
  EXPECT_EQ(fw_.inspector().rejudge_counts().kept, 1U);
}

TEST_F(RejudgeTest, ANewDenyRuleForTheNameRevokes) {
  allow(fw_);
  (void)fw_.reload(policy_of(rule("*.example", "tls") + rule("good.example", "tls", kDeny)));
  EXPECT_EQ(fw_.inspector().rejudge_counts().cut, 1U);
}

TEST_F(RejudgeTest, ARevokedConnectionIsRememberedWhenItIsIdle) {
  allow(fw_);
  (void)fw_.reload(policy_of(kOther));
  fw_.wait(std::chrono::minutes(30));
  EXPECT_EQ(fw_.client(tcp_.client_data(Bytes(10, 1))).injections.size(), 2U);
}

TEST_F(RejudgeTest, AResetOfAnEndPassesInARevokedConnection) {
  allow(fw_);
  (void)fw_.reload(policy_of(kOther));
  EXPECT_EQ(fw_.client(tcp_.client_rst()).decision.verdict, Verdict::kAccept);
}

TEST_F(RejudgeTest, AnUndecidedFlowMeetsTheNewRules) {
  connect(fw_);
  (void)fw_.reload(policy_of(kOther));
  EXPECT_EQ(fw_.client(tcp_.client_data(ClientHelloBuilder::typical("other.example").record())).decision.verdict, Verdict::kAccept);
}

TEST_F(RejudgeTest, WhatTheAddressAllowedEndsWhereADenyRuleCouldHaveItsBytes) {
  const std::string address = rule("192.0.2.0/24", "tcp");
  for (const bool denies : {false, true}) {
    InspectorHarness fw(policy_of(address));
    TcpConversation tcp(kClient, kServer);
    EXPECT_EQ(fw.client(tcp.syn()).decision.mark, FlowMark::kAllow);
    (void)fw.reload(policy_of(address + (denies ? rule("bad.example", "tls", kDeny) : kOther)));
    EXPECT_EQ(fw.inspector().rejudge_counts().cut, denies ? 1U : 0U);
  }
}

TEST_F(RejudgeTest, ADeniedDatagramFlowIsJudgedAnew) {
  const auto datagram = [] { return PacketBuilder::udp(kClient, endpoint("192.0.2.1", 9'999)).payload(ByteSpan(Bytes(20, 0x41))).build(); };
  EXPECT_EQ(fw_.client(datagram()).decision.verdict, Verdict::kDrop);
  (void)fw_.reload(policy_of(rule("192.0.2.1", "udp")));
  EXPECT_EQ(fw_.client(datagram()).decision.verdict, Verdict::kAccept);
  const auto remarks = fw_.reload(policy_of(kOther));
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_EQ(remarks[0].mark, FlowMark::kIcmp);
  EXPECT_EQ(fw_.client(datagram()).decision.verdict, Verdict::kDrop);
}

// The figure of docs/benchmarks.md: a table of flows, judged again.
TEST(RejudgeTableTest, JudgesAFullTableInAMoment) {
  constexpr std::uint32_t kFlows = 20'000;
  engine::InspectorOptions options = InspectorHarness::small_options();
  options.flows = kFlows;
  InspectorHarness fw(policy_of(rule("192.0.2.0/24", "tcp")), options);
  for (std::uint32_t i = 0; i < kFlows; ++i) {
    (void)fw.client(TcpConversation(endpoint("10.0.0.1", static_cast<std::uint16_t>(1'024 + i)), kServer).syn());
  }
  const auto begun = std::chrono::steady_clock::now();
  (void)fw.reload(policy_of(kOther));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
  EXPECT_EQ(fw.inspector().rejudge_counts().cut, kFlows);
  RecordProperty("milliseconds", static_cast<int>(took.count()));
}

}  // namespace
}  // namespace sallyport::testing
