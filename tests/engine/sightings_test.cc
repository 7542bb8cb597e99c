// What the kernel says of flows whose packets an inspector does not see.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kServer = endpoint("192.0.2.1", 443);
const std::string kGood = "version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\", \"quic\"]\nports = \"any\"\n";
const FlowKey kTcp{Transport::kTcp, 6, kClient, kServer, 0};
const FlowKey kUdp{Transport::kUdp, 17, kClient, kServer, 0};

class SightingsTest : public ::testing::Test {
 protected:
  void hello(const char* name) {
    fw_.client(tcp_.syn());
    (void)tcp_.syn_ack();
    fw_.client(tcp_.handshake_ack());
    fw_.client(tcp_.client_data(ClientHelloBuilder::typical(name).record()));
  }
  void allow() {
    hello("good.example");
    EXPECT_EQ(fw_.server(tcp_.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
  }

  InspectorHarness fw_{kGood};
  TcpConversation tcp_{kClient, kServer};
};

TEST_F(SightingsTest, AConnectionThatGoesOnIsKnownForLongerThanItsIdleTime) {
  allow();
  for (int i = 0; i < 30; ++i) {
    (void)fw_.wait(minutes(10));
    fw_.heed(kTcp, false);
  }
  EXPECT_EQ(fw_.flows(), 1U);
  (void)fw_.wait(kTcpIdleTimeout + seconds(1));
  EXPECT_EQ(fw_.flows(), 0U) << "nobody has seen it since";
}

TEST_F(SightingsTest, OneThatIsOverIsToldOnceAndStaysKnown) {
  allow();
  (void)fw_.wait(seconds(1));
  fw_.heed(kTcp, true);
  ASSERT_EQ(fw_.inspector().events().size(), 1U);
  EXPECT_EQ(fw_.inspector().events()[0].kind, engine::FlowEvent::Kind::kEnd);
  EXPECT_EQ(fw_.inspector().events()[0].verdict, engine::FlowVerdict::kAllow);
  (void)fw_.wait(seconds(1));
  fw_.heed(kTcp, true);
  EXPECT_TRUE(fw_.inspector().events().empty());
  const auto remarks = fw_.reload("version = 1\n");
  ASSERT_EQ(remarks.size(), 1U) << "one reset makes it over for connection tracking; it may go on";
  EXPECT_TRUE(remarks[0].cut);
  (void)fw_.end();
  EXPECT_TRUE(std::ranges::none_of(fw_.inspector().events(), [](const auto& event) { return event.kind == engine::FlowEvent::Kind::kEnd; }));
}

TEST_F(SightingsTest, APacketBehindTheLookKnowsBetter) {
  allow();
  fw_.heed(kTcp, true, seconds(1));
  EXPECT_TRUE(fw_.inspector().events().empty());
}

TEST_F(SightingsTest, WhatTheKernelDoesNotPassAloneStaysAsItIs) {
  hello("other.example");
  ASSERT_EQ(fw_.verdicts().back().verdict, engine::FlowVerdict::kDeny);
  (void)fw_.wait(kDeniedFlowTimeout - seconds(1));
  fw_.heed(kTcp, true);
  EXPECT_EQ(fw_.flows(), 1U);
  fw_.heed(kTcp, false);
  (void)fw_.wait(seconds(1));
  EXPECT_EQ(fw_.flows(), 0U) << "its time is its own";
}

TEST_F(SightingsTest, AnUndecidedOneStaysAsItIs) {
  fw_.client(tcp_.syn());
  (void)fw_.wait(seconds(1));
  fw_.heed(kTcp, true);
  EXPECT_TRUE(fw_.inspector().events().empty());
}

TEST_F(SightingsTest, ARevokedOneWaitsForItsPacket) {
  allow();
  (void)fw_.reload("version = 1\n");
  (void)fw_.wait(seconds(1));
  fw_.heed(kTcp, true);
  EXPECT_TRUE(fw_.inspector().events().empty());
  EXPECT_EQ(fw_.client(tcp_.client_data(Bytes(10, 1))).injections.size(), 2U);
}

TEST_F(SightingsTest, QuicOutlivesItsIdleTimeToo) {
  const Bytes datagram =
      QuicInitialBuilder(kTestQuicV1, hex("8394c8f03e515708")).crypto(0, ClientHelloBuilder::typical("good.example").message()).build();
  ASSERT_EQ(fw_.client(PacketBuilder::udp(kClient, kServer).payload(ByteSpan(datagram)).build()).decision.mark, FlowMark::kAllow);
  (void)fw_.wait(kUdpIdleTimeout - seconds(1));
  fw_.heed(kUdp, false);
  (void)fw_.wait(kUdpIdleTimeout - seconds(1));
  EXPECT_EQ(fw_.flows(), 1U);
  (void)fw_.wait(seconds(1));
  EXPECT_EQ(fw_.flows(), 0U);
}

TEST_F(SightingsTest, AFullTableGivesUpWhatNobodyHasSeen) {
  engine::InspectorOptions options = InspectorHarness::small_options();
  options.flows = 4;
  InspectorHarness fw(kGood, options);
  const auto connect = [&](std::uint16_t port) {
    TcpConversation tcp(endpoint("10.0.0.1", port), kServer);
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    fw.client(tcp.handshake_ack());
    fw.client(tcp.client_data(ClientHelloBuilder::typical("good.example").record()));
    EXPECT_EQ(fw.server(tcp.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
  };
  for (std::uint16_t port = 40'000; port < 40'004; ++port) connect(port);
  (void)fw.wait(seconds(1));
  fw.heed(kTcp, false);  // The oldest of them.
  (void)fw.wait(seconds(1));
  connect(40'004);
  std::vector<engine::RememberedFlow> flows;
  fw.inspector().remember(flows);
  ASSERT_EQ(flows.size(), 4U);
  EXPECT_TRUE(std::ranges::any_of(flows, [](const auto& flow) { return flow.key == kTcp; }));
}

}  // namespace
}  // namespace sallyport::testing
