// Datagrams that are judged in a flow which is allowed already, and QUIC under a policy that has none.
#include <gtest/gtest.h>

#include <string>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kAddressAllowed = R"(
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["udp"]
ports = "any"
)";
constexpr const char* kVpnsDenied = R"(
[[rules]]
to = ["any"]
protocols = ["wireguard", "openvpn", "ike"]
ports = "any"
action = "deny"
)";

Bytes wireguard_initiation() {
  Bytes datagram(148, 0x5a);
  datagram[0] = 1;
  datagram[1] = datagram[2] = datagram[3] = 0;
  return datagram;
}
Bytes openvpn_reset() {
  Bytes datagram = {7 << 3, 1, 2, 3, 4, 5, 6, 7, 8};
  datagram.resize(datagram.size() + 5);
  return datagram;
}
// ike_init returns the header of an IKE_SA_INIT (RFC 7296 §3.1) and a body of zeros; behind the non-ESP marker if asked.
Bytes ike_init(bool marker) {
  Bytes datagram(marker ? 4 : 0);
  const Bytes header = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 33, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 48};
  datagram.insert(datagram.end(), header.begin(), header.end());
  datagram.resize(datagram.size() + 20);
  return datagram;
}
Bytes text(std::string_view words) { return Bytes(words.begin(), words.end()); }
Bytes quic_hello(const std::string& name) {
  return quic_hello_datagrams(ClientHelloBuilder::typical(name).message(), QuicHelloOptions{})[0];
}

class DatagramTest : public ::testing::TestWithParam<bool> {
 protected:
  explicit DatagramTest(const std::string& rules = std::string(kAddressAllowed) + kVpnsDenied) : fw_("version = 1\n" + rules) {}

  Endpoint client(std::uint16_t port = 40'000) const { return endpoint(GetParam() ? "2001:db8:1::1" : "10.0.0.1", port); }
  Endpoint server(std::uint16_t port = 9'999) const { return endpoint(GetParam() ? "2001:db8::1" : "192.0.2.1", port); }
  Outcome send(const Bytes& datagram, std::uint16_t from = 40'000, std::uint16_t port = 9'999) {
    return fw_.client(PacketBuilder::udp(client(from), server(port)).payload(ByteSpan(datagram)).build());
  }
  Outcome answer(const Bytes& datagram, std::uint16_t to = 40'000, std::uint16_t port = 9'999) {
    return fw_.server(PacketBuilder::udp(server(port), client(to)).payload(ByteSpan(datagram)).build());
  }

  InspectorHarness fw_;
};

TEST_P(DatagramTest, ADenyRuleForAProtocolWinsOverAnAllowRuleForTheAddress) {
  std::uint16_t port = 41'000;
  for (const auto& [datagram, protocol] : {std::pair{wireguard_initiation(), Protocol::kWireguard}, {openvpn_reset(), Protocol::kOpenvpn},
                                           {ike_init(false), Protocol::kIke}, {ike_init(true), Protocol::kIke}}) {
    const Outcome refused = send(datagram, ++port);
    EXPECT_EQ(refused.decision.verdict, Verdict::kDrop);
    EXPECT_EQ(refused.decision.reason, Reason::kRuleDenies);
    EXPECT_EQ(refused.decision.mark, FlowMark::kIcmp);
    EXPECT_EQ(fw_.verdicts().back().protocol, protocol);
  }
  EXPECT_EQ(send(text("a game"), ++port).decision.verdict, Verdict::kAccept);
}

TEST_P(DatagramTest, ItWinsBehindOtherDatagramsToo) {
  std::uint16_t port = 41'000;
  for (const Bytes& datagram : {wireguard_initiation(), openvpn_reset(), ike_init(true)}) {
    for (const bool answered : {false, true}) {
      ++port;
      EXPECT_EQ(send(text("\xff"), port).decision.verdict, Verdict::kAccept) << "a NAT keep-alive comes first";
      if (answered) {
        EXPECT_NE(answer(text("welcome"), port).decision.mark, FlowMark::kAllow) << "it must stay in the queue";
      }
      for (int i = 0; i < 40; ++i) EXPECT_NE(send(text("more"), port).decision.mark, FlowMark::kAllow);
      EXPECT_EQ(send(datagram, port).decision.reason, Reason::kRuleDenies);
      EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kDeny);
      EXPECT_EQ(send(text("more"), port).decision.verdict, Verdict::kDrop) << "the flow is condemned";
    }
  }
}

TEST_P(DatagramTest, AProtocolThatNoRuleDeniesMayFollowAnother) {
  EXPECT_EQ(send(text("a game")).decision.verdict, Verdict::kAccept);
  const Bytes stun = hex("0001 0000 2112a442 0102030405060708090a0b0c");
  EXPECT_EQ(send(stun).decision.verdict, Verdict::kAccept);
}

TEST_P(DatagramTest, WithoutSuchADenyRuleTheKernelTakesOverAtTheAnswer) {
  for (const std::string& rules : {std::string(kAddressAllowed),
                                  kAddressAllowed + std::string("[[rules]]\nto = [\"any\"]\nprotocols = [\"wireguard\"]\naction = \"deny\"\n"),
                                  kAddressAllowed + std::string("[[rules]]\nto = [\"evil.example\"]\nports = \"any\"\naction = \"deny\"\n")}) {
    InspectorHarness fw("version = 1\n" + rules);
    const Bytes ping = text("ping");
    EXPECT_EQ(fw.client(PacketBuilder::udp(client(), server()).payload(ByteSpan(ping)).build()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw.server(PacketBuilder::udp(server(), client()).payload(ByteSpan(ping)).build()).decision.mark, FlowMark::kAllow) << rules;
  }
}

class ShortHeaderTest : public DatagramTest {
 protected:
  ShortHeaderTest() : DatagramTest("[[rules]]\nto = [\"good.example\"]\n") {}

  // The fixed bit may be cleared (RFC 9287).
  static Bytes short_header(bool fixed_bit) {
    Bytes datagram(45, 0x9c);
    datagram[0] = fixed_bit ? 0x4d : 0x0d;
    return datagram;
  }
};

TEST_P(ShortHeaderTest, IsRefusedAndToldOnceAndTheHelloBehindItIsJudged) {
  for (const bool fixed_bit : {true, false}) {
    const std::uint16_t port = fixed_bit ? 41'000 : 42'000;
    const std::size_t told = fw_.verdicts().size();
    for (int i = 0; i < 3; ++i) {
      const Outcome refused = send(short_header(fixed_bit), port, 443);
      EXPECT_EQ(refused.decision.verdict, Verdict::kDrop);
      EXPECT_EQ(refused.decision.reason, Reason::kQuicShortHeader);
      EXPECT_EQ(refused.decision.mark, FlowMark::kIcmp);
    }
    ASSERT_EQ(fw_.verdicts().size(), told + 1);
    EXPECT_EQ(fw_.verdicts().back().reason, Reason::kQuicShortHeader);
    EXPECT_EQ(send(quic_hello("good.example"), port, 443).decision.verdict, Verdict::kAccept) << "from the same port";
    EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kAllow);
    EXPECT_EQ(send(short_header(fixed_bit), port, 443).decision.verdict, Verdict::kAccept) << "now of a connection that is known";
    EXPECT_EQ(send(short_header(fixed_bit), static_cast<std::uint16_t>(port + 1), 443).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(send(quic_hello("evil.example"), static_cast<std::uint16_t>(port + 1), 443).decision.reason, Reason::kNameNotAllowed);
  }
}

TEST_P(ShortHeaderTest, PassesWhereARuleAllowsTheAddressForUdp) {
  InspectorHarness fw(std::string("version = 1\n[[rules]]\nto = [\"good.example\"]\n") + kAddressAllowed);
  const Bytes datagram = short_header(true);
  EXPECT_EQ(fw.client(PacketBuilder::udp(client(), server(443)).payload(ByteSpan(datagram)).build()).decision.verdict, Verdict::kAccept);
}

class QuicDeniedTest : public DatagramTest {
 protected:
  QuicDeniedTest()
      : DatagramTest(std::string("[defaults]\nquic = \"deny\"\n[[rules]]\nto = [\"good.example\"]\n") + kAddressAllowed) {}
};

TEST_P(QuicDeniedTest, RefusesAHelloThatARuleAllowsAtOnce) {
  const Outcome refused = send(quic_hello("good.example"), 40'000, 443);
  EXPECT_EQ(refused.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(refused.decision.reason, Reason::kQuicDenied);
  EXPECT_EQ(refused.decision.mark, FlowMark::kSilent) << "its client is told by CONNECTION_CLOSE";
  EXPECT_EQ(refused.injections.size(), 1U);
  EXPECT_EQ(fw_.verdicts().back().protocol, Protocol::kQuic);
  EXPECT_EQ(send(quic_hello("good.example"), 40'000, 443).decision.mark, FlowMark::kSilent);
}

TEST_P(QuicDeniedTest, RefusesTheFirstPartOfAHelloAndDoesNotWaitForTheRest) {
  QuicHelloOptions options;
  options.frame_size = 100;
  const std::vector<Bytes> parts = quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message(), options);
  ASSERT_GT(parts.size(), 1U);
  EXPECT_EQ(send(parts[1], 40'000, 443).decision.reason, Reason::kQuicDenied);
}

TEST_P(QuicDeniedTest, RefusesItOnEveryPortAndBehindOtherDatagrams) {
  EXPECT_EQ(send(text("a game")).decision.verdict, Verdict::kAccept) << "other UDP goes by its rules";
  EXPECT_EQ(answer(text("go on")).decision.mark, FlowMark::kAllow);
  EXPECT_EQ(send(quic_hello("good.example")).decision.reason, Reason::kQuicDenied) << "the kernel queues long headers for ever";
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kQuicDenied);
}

std::string family_of(const ::testing::TestParamInfo<bool>& parameter) { return parameter.param ? "Ipv6" : "Ipv4"; }
INSTANTIATE_TEST_SUITE_P(Families, DatagramTest, ::testing::Bool(), family_of);
INSTANTIATE_TEST_SUITE_P(Families, ShortHeaderTest, ::testing::Bool(), family_of);
INSTANTIATE_TEST_SUITE_P(Families, QuicDeniedTest, ::testing::Bool(), family_of);

}  // namespace
}  // namespace sallyport::testing
