// What an inspector knows of allowed connections, in the next one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::RememberedFlow;

const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kServer = endpoint("192.0.2.1", 443);
const std::string kGood = "version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\nports = \"any\"\n";
const std::string kOther = "version = 1\n[[rules]]\nto = [\"other.example\"]\nprotocols = [\"tls\"]\nports = \"any\"\n";
const std::string kMore = "[[rules]]\nto = [\"more.example\"]\nprotocols = [\"tls\"]\nports = \"any\"\n";

class RememberTest : public ::testing::Test {
 protected:
  void allow(InspectorHarness& fw, TcpConversation& tcp, const char* name = "good.example") {
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    fw.client(tcp.handshake_ack());
    fw.client(tcp.client_data(ClientHelloBuilder::typical(name).record()));
    EXPECT_EQ(fw.server(tcp.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
  }
  static std::vector<RememberedFlow> remembered(InspectorHarness& fw) {
    std::vector<RememberedFlow> flows;
    fw.inspector().remember(flows);
    return flows;
  }

  TcpConversation tcp_{kClient, kServer};
};

TEST_F(RememberTest, AnAllowedConnectionIsJudgedByItsNameBehindARestart) {
  InspectorHarness before(kGood + kMore);
  allow(before, tcp_);
  const auto flows = remembered(before);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].name->text(), "good.example");
  EXPECT_EQ(flows[0].protocol, Protocol::kTls);
  InspectorHarness kept(kGood + kMore);
  kept.recall(flows);
  EXPECT_EQ(remembered(kept), flows) << "and the one behind that";
  auto remarks = kept.reload(kGood);
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(remarks[0].passed);
  InspectorHarness lost(kGood + kMore);
  lost.recall(flows);
  remarks = lost.reload(kOther);
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_TRUE(remarks[0].cut);
  ASSERT_EQ(lost.verdicts().size(), 1U);
  EXPECT_EQ(lost.verdicts()[0].name, "good.example");
  EXPECT_EQ(lost.verdicts()[0].reason, Reason::kRevoked);
  EXPECT_EQ(lost.client(tcp_.client_data(Bytes(10, 1))).injections.size(), 2U);
}

TEST_F(RememberTest, ARecalledConnectionGoesOnAndItsPortBeginsAnother) {
  InspectorHarness before(kGood);
  allow(before, tcp_);
  InspectorHarness fw(kGood);
  fw.recall(remembered(before));
  EXPECT_EQ(fw.client(tcp_.client_data(Bytes(10, 1))).decision.mark, FlowMark::kAllow);
  EXPECT_EQ(fw.server(tcp_.server_data(Bytes(10, 2))).decision.mark, FlowMark::kAllow);
  TcpConversation next(kClient, kServer, 77'000, 88'000);
  EXPECT_EQ(fw.client(next.syn()).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(fw.server(next.syn_ack()).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(next.client_data(ClientHelloBuilder::typical("evil.example").record())).decision.reason, Reason::kNameNotAllowed);
}

TEST_F(RememberTest, WhatIsUnderWayDeniedOrClosingIsNotRemembered) {
  InspectorHarness fw(kGood);
  fw.client(tcp_.syn());
  EXPECT_TRUE(remembered(fw).empty());
  (void)tcp_.syn_ack();
  fw.client(tcp_.client_data(ClientHelloBuilder::typical("evil.example").record()));
  EXPECT_TRUE(remembered(fw).empty());
}

TEST_F(RememberTest, NeitherAFullTableNorATwinIsOverrun) {
  InspectorHarness before(kGood);
  allow(before, tcp_);
  RememberedFlow flow = remembered(before).at(0);
  std::vector<RememberedFlow> many;
  for (unsigned i = 0; i < 1'000; ++i) {
    flow.key.client.port = static_cast<std::uint16_t>(1'000 + i / 2);  // Each twice.
    many.push_back(flow);
  }
  InspectorHarness fw(kGood);
  fw.recall(many);
  EXPECT_EQ(remembered(fw).size(), InspectorHarness::small_options().flows);
  EXPECT_EQ(fw.client(tcp_.syn()).decision.verdict, Verdict::kAccept) << "they make room";
}

}  // namespace
}  // namespace sallyport::testing
