// DTLS flows under the inspector.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/dtls_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {


// 198.51.100.9 is allowed for any UDP. The deny rule for another protocol there keeps the address alone from
// deciding, so the bytes are read.
constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["198.51.100.9"]
protocols = ["udp"]
ports = ["any"]
[[rules]]
to = ["198.51.100.9"]
protocols = ["quic"]
ports = [443]
action = "deny"
)";

class DtlsFlowTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  const Endpoint client_ = endpoint("10.0.0.1", 40'000);
  const Endpoint server_ = endpoint("198.51.100.9", 443);

  Outcome send(const Bytes& datagram) {
    return fw_.client(PacketBuilder::udp(client_, server_).payload(ByteSpan(datagram)).build());
  }
  Outcome answer(const Bytes& datagram) {
    return fw_.server(PacketBuilder::udp(server_, client_).payload(ByteSpan(datagram)).build());
  }
  static Bytes body(const std::string& name, const Bytes& cookie = {}) {
    return dtls_hello_body(ClientHelloBuilder().server_name(name).build(), cookie);
  }
  static Bytes server_hello() { return dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33))); }
};

TEST_F(DtlsFlowTest, IsNamedAndJudgedByAddress) {
  const Outcome outcome = send(dtls_message(1, body("turn.example.com")));
  EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(outcome.decision.mark, FlowMark::kWatch) << "a second hello may follow";
  ASSERT_FALSE(fw_.names().empty());
  EXPECT_EQ(fw_.names()[0], "turn.example.com");
  EXPECT_EQ(fw_.verdicts().at(0).protocol, Protocol::kDtls);
  EXPECT_EQ(answer(server_hello()).decision.mark, FlowMark::kAllow);
}

TEST_F(DtlsFlowTest, IsDeniedWhereNoAddressRuleAllowsIt) {
  const Bytes hello = dtls_message(1, body("turn.example.com"));
  const auto elsewhere = PacketBuilder::udp(client_, endpoint("198.51.100.10", 443)).payload(ByteSpan(hello));
  EXPECT_EQ(fw_.client(elsewhere.build()).decision.verdict, Verdict::kDrop);
}

TEST_F(DtlsFlowTest, HoldsFragmentsUntilTheHelloIsWholeInAnyOrder) {
  const Bytes hello = body("turn.example.com");
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    InspectorHarness fw(kPolicy);
    std::vector<Bytes> datagrams;
    const std::size_t size = 20 + random() % 60;
    for (std::size_t at = 0; at < hello.size(); at += size) {
      datagrams.push_back(dtls_fragment(1, hello, at, size + random() % 10));  // Some overlap.
    }
    std::shuffle(datagrams.begin(), datagrams.end(), random);
    datagrams.push_back(datagrams[random() % datagrams.size()]);
    for (const Bytes& datagram : datagrams) {
      const std::size_t names_before = fw.names().size();
      const auto outcome = fw.client(PacketBuilder::udp(client_, server_).payload(ByteSpan(datagram)).build());
      const bool judged = !fw.names().empty();
      EXPECT_EQ(outcome.decision.verdict, judged ? Verdict::kAccept : Verdict::kHold) << round;
      EXPECT_TRUE(outcome.releases.empty() || names_before == 0) << round;
    }
    EXPECT_EQ(fw.names(), std::vector<std::string>{"turn.example.com"}) << round;
    EXPECT_EQ(fw.accepted(), datagrams.size()) << round;
  }
}

TEST_F(DtlsFlowTest, TheHelloWithTheCookieMustNameTheSameServer) {
  send(dtls_message(1, body("turn.example.com")));
  EXPECT_EQ(answer(dtls_message(3, hex("feff 04 01020304"))).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(send(dtls_message(1, body("turn.example.com", hex("01020304")), 1)).decision.verdict, Verdict::kAccept);
  const Outcome changed = send(dtls_message(1, body("evil.example", hex("01020304")), 2));
  EXPECT_EQ(changed.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(changed.decision.reason, Reason::kHelloChanged);
}

// DTLS 1.3 (RFC 9147 §5): the cookie of a HelloRetryRequest comes back in an extension, and the version is one.
TEST_F(DtlsFlowTest, ADtls13HelloBehindAHelloRetryRequestIsJudged) {
  const Bytes retry = dtls_message(2, joined(hex("fefd cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c 00 1301 00"),
                                                    hex("000e 002b 0002 fefc 002c 0004 0002 abcd")));
  const auto hello = [](const char* name, bool cookie) {
    ClientHelloBuilder builder;
    builder.server_name(name).supported_versions({0xfefc, 0xfefd}).key_share_x25519();
    if (cookie) builder.extension(44, hex("0002 abcd"));
    return dtls_message(1, dtls_hello_body(builder.build(), {}), cookie ? 1 : 0);
  };
  for (const bool same : {true, false}) {
    InspectorHarness fw(kPolicy);
    const auto send = [&](const Bytes& datagram) { return fw.client(PacketBuilder::udp(client_, server_).payload(ByteSpan(datagram)).build()).decision; };
    const auto answer = [&](const Bytes& datagram) { return fw.server(PacketBuilder::udp(server_, client_).payload(ByteSpan(datagram)).build()).decision; };
    EXPECT_EQ(send(hello("turn.example.com", false)).mark, FlowMark::kWatch);
    EXPECT_EQ(answer(retry).mark, FlowMark::kWatch) << "no hello is accepted yet";
    const Decision second = send(hello(same ? "turn.example.com" : "evil.example", true));
    EXPECT_EQ(second.verdict, same ? Verdict::kAccept : Verdict::kDrop);
    if (!same) {
      EXPECT_EQ(second.reason, Reason::kHelloChanged);
      continue;
    }
    EXPECT_EQ(second.mark, FlowMark::kWatch);
    EXPECT_EQ(answer(dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)), 1)).mark, FlowMark::kAllow);
    EXPECT_EQ(fw.names(), std::vector<std::string>{"turn.example.com"});
  }
}

TEST_F(DtlsFlowTest, AJudgedHelloMayBeRepeatedButNotRewritten) {
  const Bytes good = body("turn.example.com");
  send(dtls_message(1, good));
  EXPECT_EQ(send(dtls_fragment(1, good, 10, 30)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(dtls_message(1, body("turn.example.net"))).decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(DtlsFlowTest, RefusesFragmentsThatDisagree) {
  const Bytes good = body("turn.example.com");
  const Bytes evil = body("turn.example.net");
  EXPECT_EQ(send(dtls_fragment(1, good, 0, good.size() - 1)).decision.verdict, Verdict::kHold);
  EXPECT_EQ(send(dtls_message(1, evil)).decision.reason, Reason::kRetransmissionDiffers);
  EXPECT_EQ(fw_.accepted(), 0U);
}

TEST_F(DtlsFlowTest, RefusesALengthThatChangesAndAHelloThatIsTooLong) {
  const Bytes good = body("turn.example.com");
  EXPECT_EQ(send(dtls_fragment(1, good, 0, 60)).decision.verdict, Verdict::kHold);
  EXPECT_EQ(send(dtls_fragment(1, joined(good, Bytes(1)), 60, 10)).decision.reason, Reason::kMalformed);
  InspectorHarness fw(kPolicy);
  const Bytes huge = dtls_fragment(1, Bytes(kClientHelloMax + 1), 0, 100);
  EXPECT_EQ(fw.client(PacketBuilder::udp(client_, server_).payload(ByteSpan(huge)).build()).decision.reason,
            Reason::kTooLong);
}

TEST(DtlsByNameTest, ARuleNamesItsServer) {
  for (const bool good : {true, false}) {
    InspectorHarness fw("version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"dtls\"]\nports = [5349]\n");
    const Bytes body = dtls_hello_body(ClientHelloBuilder().server_name(good ? "good.example" : "evil.example").build());
    const Bytes datagram = dtls_message(1, body);
    const auto packet = PacketBuilder::udp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 5'349)).payload(ByteSpan(datagram));
    const Outcome outcome = fw.client(packet.build());
    EXPECT_EQ(outcome.decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
    EXPECT_EQ(outcome.decision.reason, good ? Reason::kRuleAllows : Reason::kNameNotAllowed);
  }
}

}  // namespace
}  // namespace sallyport::testing
