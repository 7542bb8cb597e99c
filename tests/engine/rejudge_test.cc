// Another policy judges the flows of the one before it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;
using namespace std::string_literals;

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
    EXPECT_EQ(next.injections[0].to_client, from_client) << "the sender's first: it answers for what the other end still says";
    EXPECT_EQ(next.injections[1].to_client, !from_client);
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

// kAnswered packets of a revoked connection are answered, or are resets that pass.
constexpr int kAnswered = 8;

TEST_F(RejudgeTest, ResetsOfARevokedConnectionPassAFewTimes) {
  allow(fw_);
  (void)fw_.reload(policy_of(kOther));
  for (int i = 0; i < kAnswered; ++i) {
    const auto reset = fw_.feed(i % 2 == 0 ? tcp_.client_rst() : tcp_.server_rst(), i % 2 == 0 ? Origin::kOriginal : Origin::kReply);
    EXPECT_EQ(reset.decision.verdict, Verdict::kAccept) << i;
  }
  for (const bool rst : {true, false, true}) {
    const auto next = fw_.client(rst ? tcp_.client_rst() : tcp_.client_data(Bytes(10, 1)));
    EXPECT_EQ(next.decision.verdict, Verdict::kDrop);
    EXPECT_EQ(next.decision.mark, FlowMark::kReset);
    EXPECT_TRUE(next.injections.empty());
  }
}

TEST_F(RejudgeTest, PacketsOfARevokedConnectionAreAnsweredAFewTimes) {
  for (const bool silent : {false, true}) {
    InspectorHarness fw(policy_of(kGood));
    tcp_ = TcpConversation(kClient, kServer);
    allow(fw);
    (void)fw.reload(policy_of(rule("*.example", "tls") + rule("good.example", "tls", kDeny + (silent ? "refuse = \"drop\"\n" : ""))));
    const FlowMark last = silent ? FlowMark::kSilent : FlowMark::kReset;
    for (int i = 1; i <= kAnswered; ++i) {
      const auto next = fw.client(tcp_.client_data(Bytes(10, 1)));
      EXPECT_EQ(next.decision.mark, i < kAnswered ? FlowMark::kWatch : last) << i;
      EXPECT_EQ(next.injections.size(), 2U) << i;
    }
    for (const bool rst : {false, true}) {
      const auto next = fw.client(rst ? tcp_.client_rst() : tcp_.client_data(Bytes(10, 1)));
      EXPECT_EQ(next.decision.verdict, Verdict::kDrop);
      EXPECT_EQ(next.decision.mark, last);
      EXPECT_TRUE(next.injections.empty());
    }
  }
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

// Of two names that one flow was allowed for the second alone is remembered: what was said of the first is asked of no policy.
class RejudgeNamesTest : public ::testing::Test {
 protected:
  static std::string rules(const std::string& protocol, const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += rule(name, protocol);
    return policy_of(text);
  }
  static Outcome quic(InspectorHarness& fw, const std::string& name, const Bytes& connection_id) {
    const Bytes datagram =
        QuicInitialBuilder(kTestQuicV1, connection_id).crypto(0, ClientHelloBuilder::typical(name).message()).build();
    return fw.client(PacketBuilder::udp(kClient, kServer).payload(ByteSpan(datagram)).build());
  }
  static TcpConversation requests(InspectorHarness& fw, const std::vector<std::string>& urls) {
    TcpConversation tcp(kClient, endpoint("192.0.2.1", 80));
    (void)fw.client(tcp.syn());
    (void)tcp.syn_ack();
    for (const std::string& url : urls) {
      const std::string host = url.substr(url.find("//") + 2);
      const std::string target = url.starts_with("//") ? "/" : url + "/";
      EXPECT_EQ(fw.client(tcp.client_data("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")).decision.verdict, Verdict::kAccept) << url;
    }
    return tcp;
  }
  static std::uint64_t cut(InspectorHarness& fw, const std::string& policy) {
    (void)fw.reload(policy);
    return fw.inspector().rejudge_counts().cut;
  }
  const Bytes first_ = hex("8394c8f03e515708");
  const Bytes second_ = hex("0102030405060708");
};

TEST_F(RejudgeNamesTest, TwoQuicConnectionsOfOneTupleLoseWhatEitherLoses) {
  const std::string both = rules("quic", {"a.example", "b.example"});
  const std::string others[] = {policy_of(rule("b.example", "quic")), policy_of(rule("a.example", "quic")),
                                policy_of(rule("*.example", "quic") + rule("a.example", "quic", kDeny)),
                                policy_of(rule("*.example", "quic") + rule("b.example", "quic", kDeny))};
  for (const std::string& other : others) {
    InspectorHarness fw(both);
    EXPECT_EQ(quic(fw, "a.example", first_).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(quic(fw, "b.example", second_).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(cut(fw, both), 0U) << "the same policy";
    EXPECT_EQ(cut(fw, other), 1U) << other;
  }
}

TEST_F(RejudgeNamesTest, TwoQuicConnectionsForOneNameGoOn) {
  InspectorHarness fw(rules("quic", {"a.example", "b.example"}));
  EXPECT_EQ(quic(fw, "a.example", first_).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(quic(fw, "a.example", second_).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(cut(fw, rules("quic", {"a.example"})), 0U);
  EXPECT_EQ(cut(fw, rules("quic", {"b.example"})), 1U);
}

TEST_F(RejudgeNamesTest, TheRuleIsThatOfTheNameAllowedLast) {
  InspectorHarness fw(rules("quic", {"a.example", "b.example"}));
  EXPECT_EQ(quic(fw, "a.example", first_).decision.rule, 0U);
  EXPECT_EQ(quic(fw, "b.example", second_).decision.rule, 1U);
  EXPECT_EQ(fw.verdicts().size(), 1U) << "a flow is told of once";
}

TEST_F(RejudgeNamesTest, RequestsForTwoNamesLoseWhatEitherLoses) {
  const std::string both = rules("http", {"a.example", "b.example"});
  for (const std::string& kept : {"a.example"s, "b.example"s}) {
    InspectorHarness fw(both);
    (void)requests(fw, {"//a.example", "//b.example"});
    EXPECT_EQ(cut(fw, both), 0U) << "the same policy";
    EXPECT_EQ(cut(fw, rules("http", {kept})), 1U) << kept;
  }
}

TEST_F(RejudgeNamesTest, RequestsForOneNameGoOn) {
  InspectorHarness fw(rules("http", {"a.example", "b.example"}));
  TcpConversation tcp = requests(fw, {"//a.example", "//a.example"});
  EXPECT_EQ(cut(fw, rules("http", {"a.example"})), 0U);
  EXPECT_EQ(fw.client(tcp.client_data("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"s)).decision.verdict, Verdict::kAccept);
}

TEST_F(RejudgeNamesTest, AProxyThatWasAskedForTwoPlacesLosesEither) {
  const std::string proxy = "[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"http\"]\nproxy = true\nports = \"any\"\n";
  const std::string all = rules("http", {"a.example", "b.example", "198.51.100.0/24"}) + proxy;
  const std::string more = all + rule("c.example", "http");
  const std::vector<std::string> one = {"http://a.example", "http://a.example"};
  const std::vector<std::vector<std::string>> several = {{"http://a.example", "http://b.example"},
                                                         {"http://198.51.100.1", "http://198.51.100.2"},
                                                         {"http://198.51.100.1", "http://198.51.100.1:8080"},
                                                         {"http://a.example", "http://198.51.100.1"},
                                                         {"http://a.example", "//a.example"},
                                                         {"//a.example", "http://a.example"}};
  InspectorHarness same(all);
  (void)requests(same, one);
  EXPECT_EQ(cut(same, more), 0U);
  for (const auto& urls : several) {
    InspectorHarness fw(all);
    (void)requests(fw, urls);
    EXPECT_EQ(cut(fw, all), 0U) << "the same policy: " << urls[0] << ' ' << urls[1];
    EXPECT_EQ(cut(fw, more), 1U) << urls[0] << ' ' << urls[1];
  }
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
