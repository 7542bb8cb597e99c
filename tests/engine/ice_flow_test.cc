// ICE under the inspector: a socket that a STUN server answered may go on to peers, with checks first.
#include <gtest/gtest.h>

#include "support/dtls_builder.h"
#include "support/inspector_harness.h"
#include "support/stun_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["192.0.2.1", "2001:db8::1"]
protocols = ["stun"]
ice = "allow"
[[rules]]
to = ["192.0.2.2"]
protocols = ["stun"]
[[rules]]
to = ["evil.example"]
protocols = ["dtls"]
ports = ["any"]
action = "deny"
[[rules]]
to = ["203.0.113.66"]
protocols = ["udp"]
ports = ["any"]
action = "deny"
)";

class IceFlowTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  Endpoint client_ = endpoint("10.0.0.1", 40'000);
  const Endpoint stun_ = endpoint("192.0.2.1", 3'478);
  const Endpoint peer_ = endpoint("203.0.113.5", 50'000);

  Decision send(const Endpoint& to, const Bytes& datagram) {
    return fw_.client(PacketBuilder::udp(client_, to).payload(ByteSpan(datagram)).build()).decision;
  }
  Decision answer(const Endpoint& from, const Bytes& datagram) {
    return fw_.server(PacketBuilder::udp(from, client_).payload(ByteSpan(datagram)).build()).decision;
  }
  static Bytes check(std::string_view id = "check") { return StunBuilder::check(id).signed_and_built(); }
  // ask opens the socket by a STUN server's answer.
  void ask() {
    EXPECT_EQ(send(stun_, StunBuilder(0x0001, "ask").build()).mark, FlowMark::kWatch);
    EXPECT_EQ(answer(stun_, StunBuilder::success("ask").build()).mark, FlowMark::kWatch);
  }
  // confirm goes up to the peer's answer.
  void confirm() {
    ask();
    EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
    EXPECT_EQ(answer(peer_, StunBuilder::success("check").signed_and_built()).mark, FlowMark::kWatch);
  }
  // media goes both ways: the kernel takes over.
  Decision media(const Bytes& datagram) {
    EXPECT_EQ(send(peer_, datagram).verdict, Verdict::kAccept);
    EXPECT_EQ(answer(peer_, rtp_packet(96, 1, 2)).verdict, Verdict::kAccept);
    return send(peer_, datagram);
  }
  static Bytes hello(const std::string& name) {
    return dtls_message(1, dtls_hello_body(ClientHelloBuilder().server_name(name).build(), {}));
  }
  static Bytes hello_without_name() { return dtls_message(1, dtls_hello_body(ClientHelloBuilder().build(), {})); }
};

TEST_F(IceFlowTest, APeerIsReachedOnlyBehindAnAnswerOfTheServer) {
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kAddressNotAllowed);
  send(stun_, StunBuilder(0x0001, "ask").build());
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop) << "asked, not answered";
  answer(stun_, StunBuilder::success("another").build());
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop) << "an answer to no question";
  answer(stun_, StunBuilder(0x0111, "ask").build());
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop) << "an error";
  answer(stun_, StunBuilder::success("ask").build());
  const Decision allowed = send(peer_, check());
  EXPECT_EQ(allowed.verdict, Verdict::kAccept) << "the flow that was refused before";
  EXPECT_EQ(allowed.reason, Reason::kExpected);
  EXPECT_EQ(allowed.rule, RuleId{0});
  EXPECT_EQ(allowed.mark, FlowMark::kWatch);
}

TEST_F(IceFlowTest, ARuleWithoutIceOpensNothing) {
  const Endpoint other = endpoint("192.0.2.2", 3'478);
  send(other, StunBuilder(0x0001, "ask").build());
  EXPECT_EQ(answer(other, StunBuilder::success("ask").build()).mark, FlowMark::kAllow);
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop);
}

TEST_F(IceFlowTest, AnotherSocketIsNotOpen) {
  ask();
  client_.port = 40'001;
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop);
  client_ = endpoint("10.0.0.2", 40'000);
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop);
}

TEST_F(IceFlowTest, AnAllocationOrARefreshOpensItToo) {
  for (const std::uint16_t method : {std::uint16_t{3}, std::uint16_t{4}}) {
    client_.port = static_cast<std::uint16_t>(41'000 + method);
    send(stun_, StunBuilder(method, "ask").build());
    EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop);
    answer(stun_, StunBuilder::success("ask", method).build());
    EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
  }
  client_.port = 41'100;
  send(stun_, StunBuilder(8, "ask").build());
  answer(stun_, StunBuilder::success("ask", 8).build());
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kDrop) << "CreatePermission";
}

TEST_F(IceFlowTest, TheSocketClosesUnlessTheServerAnswersAgain) {
  ask();
  fw_.wait(kIceSocketTime - std::chrono::seconds(5));
  send(stun_, StunBuilder(0x0001, "again").build());
  answer(stun_, StunBuilder::success("again").build());
  fw_.wait(kIceSocketTime - std::chrono::seconds(5));
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
  fw_.wait(std::chrono::seconds(6));
  EXPECT_EQ(send(endpoint("203.0.113.6", 50'000), check()).verdict, Verdict::kDrop);
}

TEST_F(IceFlowTest, NothingButChecksLeavesBeforeThePeerAnswers) {
  ask();
  EXPECT_EQ(send(endpoint("203.0.113.6", 50'000), hello_without_name()).verdict, Verdict::kDrop) << "no check first";
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
  for (const Bytes& other : {hello_without_name(), rtp_packet(96, 1, 2), bytes_of("anything"), StunBuilder(0x0001).build(),
                             StunBuilder::check().integrity().fingerprint(1).build(), StunBuilder::check("check").attribute(0x8022, std::string(600, 'x')).signed_and_built()}) {
    const Decision refused = send(peer_, other);
    EXPECT_EQ(refused.verdict, Verdict::kDrop);
    EXPECT_EQ(refused.reason, Reason::kIcePeerNotConfirmed);
  }
  EXPECT_EQ(send(peer_, StunBuilder::success("theirs").signed_and_built()).verdict, Verdict::kAccept) << "its answer to the peer's check";
  answer(peer_, StunBuilder::success("another").signed_and_built());
  answer(peer_, check("theirs"));
  EXPECT_EQ(send(peer_, rtp_packet(96, 1, 2)).verdict, Verdict::kDrop);
  answer(peer_, StunBuilder::success("check").signed_and_built());
  EXPECT_EQ(send(peer_, rtp_packet(96, 1, 2)).mark, FlowMark::kWatch);
  EXPECT_EQ(media(rtp_packet(96, 1, 2)).mark, FlowMark::kAllow);
}

TEST_F(IceFlowTest, ChecksWithoutAnAnswerAreCounted) {
  ask();
  for (std::uint32_t i = 0; i < kIceChecksMax; ++i) EXPECT_EQ(send(peer_, check(std::to_string(i))).verdict, Verdict::kAccept) << i;
  EXPECT_EQ(send(peer_, check("one more")).reason, Reason::kIcePeerLimit);
}

TEST_F(IceFlowTest, AHelloIsJudgedAndHandedOverAtTheAnswer) {
  confirm();
  EXPECT_EQ(send(peer_, hello_without_name()).mark, FlowMark::kWatch);
  EXPECT_EQ(answer(peer_, dtls_message(3, hex("feff 04 01020304"))).mark, FlowMark::kWatch);
  EXPECT_EQ(send(peer_, dtls_message(1, dtls_hello_body(ClientHelloBuilder().build(), hex("01020304")), 1)).mark, FlowMark::kWatch);
  EXPECT_EQ(answer(peer_, dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)))).mark, FlowMark::kAllow);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kExpected);
}

TEST_F(IceFlowTest, ADenyRuleHasTheServerNameOfAHello) {
  confirm();
  EXPECT_EQ(send(peer_, hello("evil.example")).verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kRuleDenies);
  client_.port = 40'002;
  confirm();
  EXPECT_EQ(send(peer_, hello("other.example")).verdict, Verdict::kAccept);
}

// What the client alone says in front of its hello ends the judgement of none.
TEST_F(IceFlowTest, ADenyRuleHasAHelloBehindMediaOrAServerHelloOfTheClient) {
  const Bytes good = hello("other.example");
  const Bytes server_hello = dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)));
  for (const auto& before : {std::vector<Bytes>{hex("8000000000000000")}, {rtp_packet(96, 1, 2), rtp_packet(96, 2, 3)}, {server_hello},
                             {server_hello, rtp_packet(96, 1, 2)}, {StunBuilder(0x0011).build()}}) {
    ++client_.port;
    fw_.wait(std::chrono::seconds(5));
    confirm();
    for (const Bytes& datagram : before) EXPECT_EQ(send(peer_, datagram).mark, FlowMark::kWatch);
    answer(peer_, check("theirs"));
    EXPECT_EQ(send(peer_, hello("evil.example")).verdict, Verdict::kDrop);
    EXPECT_EQ(fw_.verdicts().back().reason, Reason::kRuleDenies);
  }
  client_.port = 40'100;
  confirm();
  EXPECT_EQ(send(peer_, good).verdict, Verdict::kAccept);
  answer(peer_, dtls_message(3, hex("feff 04 01020304")));
  EXPECT_EQ(send(peer_, rtp_packet(96, 1, 2)).mark, FlowMark::kWatch) << "the hello was not accepted";
  const Bytes second = dtls_message(1, dtls_hello_body(ClientHelloBuilder().server_name("evil.example").build(), hex("01020304")), 1);
  EXPECT_EQ(send(peer_, second).reason, Reason::kHelloChanged);
}

TEST_F(IceFlowTest, APeersHelloAheadOfItsAnswerIsNoted) {
  ask();
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
  answer(peer_, hello_without_name());
  answer(peer_, StunBuilder::success("check").signed_and_built());
  EXPECT_EQ(send(peer_, dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)))).mark, FlowMark::kAllow);
}

TEST_F(IceFlowTest, AClientThatIsTheDtlsServerSendsNoHello) {
  confirm();
  answer(peer_, hello_without_name());
  EXPECT_EQ(send(peer_, dtls_message(3, hex("feff 04 01020304"))).mark, FlowMark::kWatch);
  EXPECT_EQ(send(peer_, dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)))).mark, FlowMark::kAllow);
}

TEST_F(IceFlowTest, WhatIsNoMediaIsRefused) {
  confirm();
  for (const Bytes& other : {bytes_of("anything"), Bytes{0x40, 0, 0, 4, 1, 2, 3, 4}, Bytes(1'200, 0xc0), Bytes(40, 0x17), Bytes{0x80, 0}, Bytes{0, 1}}) {
    EXPECT_EQ(send(peer_, other).verdict, Verdict::kDrop) << int(other[0]);
  }
  EXPECT_EQ(send(peer_, check("later")).verdict, Verdict::kAccept);
}

TEST_F(IceFlowTest, DenyRulesWin) {
  ask();
  EXPECT_EQ(send(endpoint("203.0.113.66", 50'000), check()).verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kRuleDenies);
}

TEST_F(IceFlowTest, SomeAddressesAndPortsAreNoPeers) {
  ask();
  for (const char* address : {"127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0", "100.100.100.200", "192.0.0.192", "240.0.0.1"}) {
    EXPECT_EQ(send(endpoint(address, 50'000), check()).verdict, Verdict::kDrop) << address;
  }
  for (const std::uint16_t port : {std::uint16_t{53}, std::uint16_t{443}, std::uint16_t{1'023}}) EXPECT_EQ(send(endpoint("203.0.113.5", port), check()).verdict, Verdict::kDrop) << port;
  EXPECT_EQ(send(endpoint("192.168.7.7", 50'000), check()).verdict, Verdict::kAccept) << "of a client with a private address";
}

TEST_F(IceFlowTest, APublicClientReachesNoPrivatePeer) {
  client_ = endpoint("198.51.100.1", 40'000);
  ask();
  EXPECT_EQ(send(endpoint("192.168.7.7", 50'000), check()).verdict, Verdict::kDrop);
  EXPECT_EQ(send(peer_, check()).verdict, Verdict::kAccept);
}

TEST_F(IceFlowTest, Ipv6PeersAreJudgedAlike) {
  client_ = endpoint("2001:db8:9::1", 40'000);
  const Endpoint server = endpoint("2001:db8::1", 3'478);
  send(server, StunBuilder(0x0001, "ask").build());
  answer(server, StunBuilder::success("ask").build());
  EXPECT_EQ(send(endpoint("2001:db8:7::7", 50'000), check()).verdict, Verdict::kAccept);
  for (const char* address : {"::1", "fe80::1", "fd00:ec2::254", "fd00::1", "ff02::1", "::", "::ffff:127.0.0.1", "64:ff9b::a00:1"}) {
    EXPECT_EQ(send(endpoint(address, 50'000), check()).verdict, Verdict::kDrop) << address;
  }
}

TEST_F(IceFlowTest, PeersAreBounded) {
  ask();
  for (std::uint16_t i = 0; i < kIcePeersPerSocket; ++i) EXPECT_EQ(send(endpoint("203.0.113.5", static_cast<std::uint16_t>(50'000 + i)), check()).verdict, Verdict::kAccept) << i;
  EXPECT_EQ(send(endpoint("203.0.113.5", 60'000), check()).verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kIcePeerLimit);
}

// RTP's first four octets can look like those of a QUIC long header: its version field is payload type, sequence number and
// the timestamp's high octet.
TEST_F(IceFlowTest, MediaIsTakenForNothingElse) {
  for (int type = 0; type < 128; ++type) {
    client_.port = static_cast<std::uint16_t>(42'000 + type);
    fw_.wait(std::chrono::seconds(2));  // Not more sockets at a time than a client may have.
    confirm();
    for (const std::uint16_t sequence : {std::uint16_t{0}, std::uint16_t{0x6b33}, std::uint16_t{0xffff}}) {
      for (const std::uint32_t timestamp : {0x01000000U, 0xcf000000U, 0x00000001U, 0xffffffffU}) {
        EXPECT_EQ(media(rtp_packet(static_cast<std::uint8_t>(type), sequence, timestamp, 1'188)).mark, FlowMark::kAllow) << type;
      }
    }
    EXPECT_EQ(fw_.verdicts().back().protocol, Protocol::kStun);
  }
}

TEST_F(IceFlowTest, ARelaysChannelDataBeginsNoFlow) {
  client_.port = 43'000;
  EXPECT_EQ(send(stun_, Bytes{0x40, 0, 0, 4, 1, 2, 3, 4}).verdict, Verdict::kDrop);
  client_.port = 43'001;
  ask();
  EXPECT_EQ(send(stun_, Bytes{0x40, 0, 0, 4, 1, 2, 3, 4}).mark, FlowMark::kWatch) << "inside the allowed flow";
}

// With a post-quantum key share a hello does not fit into one datagram.
TEST_F(IceFlowTest, AFragmentedPostQuantumHelloIsHeldUntilItIsWhole) {
  for (const bool good : {true, false}) {
    client_.port = good ? 44'000 : 44'001;
    confirm();
    const Bytes body = dtls_hello_body(ClientHelloBuilder::post_quantum(good ? "other.example" : "evil.example").build(), {}, 0xfefd);
    ASSERT_GT(body.size(), 1'400U);
    EXPECT_EQ(send(peer_, dtls_fragment(1, body, 1'200, body.size() - 1'200)).verdict, Verdict::kHold);
    EXPECT_EQ(send(peer_, rtp_packet(96, 1, 2)).mark, FlowMark::kWatch) << "the kernel does not take over in the middle of a hello";
    const Decision rest = send(peer_, dtls_fragment(1, body, 0, 1'200));
    EXPECT_EQ(rest.verdict, good ? Verdict::kAccept : Verdict::kDrop);
    EXPECT_EQ(fw_.verdicts().back().reason, good ? Reason::kExpected : Reason::kRuleDenies);
  }
}

TEST(IceWorkersTest, AnotherWorkerSeesThePeer) {
  engine::InspectorOptions options = InspectorHarness::small_options();
  options.expectations = std::make_shared<engine::Expectations>();
  InspectorHarness one(kPolicy, options);
  InspectorHarness two(kPolicy, options);
  const Endpoint client = endpoint("10.0.0.1", 40'000), stun = endpoint("192.0.2.1", 3'478), peer = endpoint("203.0.113.5", 50'000);
  const Bytes check = StunBuilder::check().signed_and_built();
  const Bytes syn = PacketBuilder::udp(client, peer).payload(ByteSpan(check)).build();
  EXPECT_EQ(two.client(syn).decision.verdict, Verdict::kDrop);
  one.client(PacketBuilder::udp(client, stun).payload(ByteSpan(StunBuilder(0x0001, "ask").build())).build());
  one.server(PacketBuilder::udp(stun, client).payload(ByteSpan(StunBuilder::success("ask").build())).build());
  EXPECT_EQ(two.client(syn).decision.verdict, Verdict::kAccept);
}

}  // namespace
}  // namespace sallyport::testing
