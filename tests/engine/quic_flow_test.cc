// QUIC flows under the inspector: versions that are refused, named or negotiated.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::Detail;
using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example"]
protocols = ["quic"]
ports = [443]
)";

class QuicFlowTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  const Endpoint client_ = endpoint("10.0.0.1", 40'000);
  const Endpoint server_ = endpoint("192.0.2.1", 443);

  Outcome send(const Bytes& datagram) {
    return fw_.client(PacketBuilder::udp(client_, server_).payload(ByteSpan(datagram)).build());
  }
  static Bytes hello(const std::string& name, std::uint32_t version = kTestQuicV1) {
    QuicHelloOptions options;
    options.version = version;
    return quic_hello_datagrams(ClientHelloBuilder::typical(name).message(), options)[0];
  }
  static Bytes reserved_version() {
    Bytes datagram = hello("good.example");
    std::fill_n(datagram.begin() + 1, 4, std::uint8_t{0x1a});
    return datagram;
  }
};

TEST_F(QuicFlowTest, JudgesDraftsAndMvfstByTheirName) {
  for (const std::uint32_t version : {0xff000016u, 0xff000017u, 0xff00001du, 0xfaceb001u, 0xfaceb002u, 0x709a50c4u}) {
    InspectorHarness fw(kPolicy);
    const auto packet = [&](const std::string& name) {
      const Bytes datagram = hello(name, version);
      return PacketBuilder::udp(client_, server_).payload(ByteSpan(datagram)).build();
    };
    EXPECT_EQ(fw.client(packet("good.example")).decision.verdict, Verdict::kAccept) << std::hex << version;
    InspectorHarness other(kPolicy);
    EXPECT_EQ(other.client(packet("evil.example")).decision.reason, Reason::kNameNotAllowed);
  }
}

TEST_F(QuicFlowTest, AnUnknownVersionIsDroppedAndTheNegotiatedHelloIsJudged) {
  const Outcome refused = send(reserved_version());
  EXPECT_EQ(refused.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(refused.decision.reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(fw_.detail(Detail::kQuicVersion), "0x1a1a1a1a");
  EXPECT_EQ(send(reserved_version()).decision.verdict, Verdict::kDrop);
  ASSERT_EQ(fw_.verdicts().size(), 1U) << "a repeated refusal is one event";
  EXPECT_EQ(send(hello("good.example")).decision.verdict, Verdict::kAccept);
}

TEST_F(QuicFlowTest, AHelloUnderAReservedVersionIsNamedIfItIsSealedWithRealKeys) {
  // The builder takes the version 1 keys for versions that it does not know.
  QuicHelloOptions options;
  options.version = 0x1a2a3a4a;
  send(quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message(), options)[0]);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"good.example"});
  EXPECT_EQ(fw_.verdicts().at(0).reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(fw_.accepted(), 0U);
}

TEST_F(QuicFlowTest, AForbiddenHelloBehindAnUnknownVersionIsDenied) {
  send(reserved_version());
  const Outcome evil = send(hello("evil.example"));
  EXPECT_EQ(evil.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(evil.decision.reason, Reason::kNameNotAllowed);
  EXPECT_EQ(send(hello("good.example")).decision.verdict, Verdict::kDrop) << "this flow is condemned";
}

TEST_F(QuicFlowTest, AnUnknownVersionOnAnAllowedFlowCondemnsIt) {
  EXPECT_EQ(send(hello("good.example")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(reserved_version()).decision.reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(send(hello("good.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(QuicFlowTest, GooglesOwnQuicIsNamedAndRefused) {
  const std::string tags("CHLO\x01\x00\x00\x00SNI\x00\x0c\x00\x00\x00good.example", 28);
  Bytes datagram = hex("09 0102030405060708 51303433 01 000102030405060708090a0b a0 01 0004");
  datagram.insert(datagram.end(), tags.begin(), tags.end());
  const Outcome outcome = send(datagram);
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(outcome.decision.reason, Reason::kUnsupportedVersion);
  ASSERT_FALSE(fw_.names().empty());
  EXPECT_EQ(fw_.names()[0], "good.example");
  EXPECT_EQ(fw_.detail(Detail::kQuicVersion), "0x51303433");
  EXPECT_EQ(fw_.verdicts().at(0).protocol, Protocol::kQuic);
  EXPECT_EQ(send(hello("good.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(QuicFlowTest, GooglesQuicWithTlsIsNamedAndRefused) {
  const Bytes message = ClientHelloBuilder::typical("good.example").message();
  const Bytes datagram = QuicInitialBuilder(0x54303531)
                             .frame(joined(joined(hex("08 00"), quic_varint(message.size())), message))
                             .build();
  EXPECT_EQ(send(datagram).decision.reason, Reason::kUnsupportedVersion);
  ASSERT_FALSE(fw_.names().empty());
  EXPECT_EQ(fw_.names()[0], "good.example");
}

// The answers below are for a first hello that is allowed and gone.
class QuicContinuationTest : public QuicFlowTest {
 protected:
  const Bytes first_id_ = hex("8394c8f03e515708");
  const Bytes server_id_ = hex("f067a5502a4262b5");

  void SetUp() override { ASSERT_EQ(send(hello("good.example")).decision.verdict, Verdict::kAccept); }
  static Bytes message(const std::string& name) { return ClientHelloBuilder::typical(name).message(); }
};

TEST_F(QuicContinuationTest, AfterARetryTheHelloComesWithATokenAndOtherKeys) {
  const auto retried = [&](const std::string& name) {
    return QuicInitialBuilder(kTestQuicV1, server_id_).token(Bytes(80, 0x70)).packet_number(1).crypto(0, message(name)).build();
  };
  EXPECT_EQ(send(retried("good.example")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(retried("evil.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(QuicContinuationTest, AfterARetryAnotherNameIsDenied) {
  const Bytes evil = QuicInitialBuilder(kTestQuicV1, server_id_).token(Bytes(80, 0x70)).crypto(0, message("evil.example")).build();
  EXPECT_EQ(send(evil).decision.reason, Reason::kNameNotAllowed);
}

TEST_F(QuicContinuationTest, TheServersConnectionIdDoesNotChangeTheKeys) {
  const Bytes acknowledgement = hex("02 00 00 00 00");  // ACK of packet 0, RFC 9000 §19.3.
  const Bytes packet = QuicInitialBuilder(kTestQuicV1, server_id_).key_dcid(first_id_).packet_number(1).frame(acknowledgement).build();
  EXPECT_EQ(send(packet).decision.verdict, Verdict::kAccept);
}

TEST_F(QuicContinuationTest, AServerMayTurnVersion1Into2) {
  // RFC 9368 §2.3: the rest of the handshake is sealed for version 2, with keys from the first connection id.
  const Bytes packet = QuicInitialBuilder(kTestQuicV2, server_id_).key_dcid(first_id_).packet_number(1).ping().build();
  EXPECT_EQ(send(packet).decision.verdict, Verdict::kAccept);
}

TEST_F(QuicFlowTest, EarlyDataThatOvertakesItsHelloWaitsForIt) {
  Bytes early = hex("d3 00000001 08 8394c8f03e515708 00 40c0");
  early.resize(early.size() + 0xc0, 0x5a);
  EXPECT_EQ(send(early).decision.verdict, Verdict::kHold);
  const Outcome judged = send(joined(early, hello("good.example")));
  EXPECT_EQ(judged.decision.verdict, Verdict::kAccept) << "an Initial may stand behind 0-RTT";
  ASSERT_EQ(judged.releases.size(), 1U);
  EXPECT_EQ(judged.releases[0].decision.verdict, Verdict::kAccept);
}

TEST_F(QuicFlowTest, EarlyDataOfAForbiddenHelloDoesNotLeave) {
  Bytes early = hex("d3 00000001 08 8394c8f03e515708 00 40c0");
  early.resize(early.size() + 0xc0, 0x5a);
  EXPECT_EQ(send(early).decision.verdict, Verdict::kHold);
  EXPECT_EQ(send(hello("evil.example")).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.accepted(), 0U);
}

}  // namespace
}  // namespace sallyport::testing
