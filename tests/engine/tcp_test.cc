// TCP under the inspector: what leaves, what is held, what the kernel is told, and when.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "*.sub.example"]
protocols = ["tls"]
ports = [443, 8443]
[[rules]]
to = ["good.example"]
protocols = ["http"]
[[rules]]
to = ["192.0.2.22"]
protocols = ["ssh"]
[[rules]]
to = ["192.0.2.99"]
protocols = ["tcp"]
ports = "any"
[[rules]]
name = "not this one"
to = ["bad.sub.example"]
protocols = ["tls"]
action = "deny"
)";

const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kServer = endpoint("192.0.2.1", 443);

Bytes hello_to(std::string_view name) { return ClientHelloBuilder::typical(name).record(); }

class TcpTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  TcpConversation tcp_{kClient, kServer};

  void connect() {
    EXPECT_EQ(fw_.client(tcp_.syn()).decision.verdict, Verdict::kAccept);
    (void)tcp_.syn_ack();  // In the live queue the SYN-ACK of an undecided flow is not seen.
    EXPECT_EQ(fw_.client(tcp_.handshake_ack()).decision.verdict, Verdict::kAccept);
  }
};

TEST_F(TcpTest, HandsAnAllowedFlowOverOnlyWhenTheServerAnswered) {
  connect();
  const auto hello = fw_.client(tcp_.client_data(hello_to("good.example")));
  EXPECT_EQ(hello.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(hello.decision.mark, FlowMark::kWatch);
  const auto ack = fw_.server(tcp_.server_ack());
  EXPECT_EQ(ack.decision.mark, FlowMark::kWatch) << "a bare ACK does not tell a HelloRetryRequest";
  const auto flight = fw_.server(tcp_.server_data(server_hello(false)));
  EXPECT_EQ(flight.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(flight.decision.mark, FlowMark::kAllow);
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(fw_.verdicts()[0].name, "good.example");
}

TEST_F(TcpTest, KeepsWatchingWhileTheServerHasNotAcknowledgedTheHello) {
  connect();
  fw_.client(tcp_.client_data(hello_to("good.example")));
  const auto early = fw_.server(tcp_.server_at(0).ack(1'001).payload(server_hello(false)).build());
  EXPECT_EQ(early.decision.mark, FlowMark::kWatch);
}

TEST_F(TcpTest, JudgesAConnectionThatWasSilentForMinutes) {
  connect();
  fw_.wait(std::chrono::minutes(10));
  EXPECT_EQ(fw_.client(tcp_.client_data(hello_to("good.example"))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.server(tcp_.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
}

TEST_F(TcpTest, DeniesAnotherNameAndLetsNoByteOfItGo) {
  connect();
  const auto hello = fw_.client(tcp_.client_data(hello_to("evil.example")));
  EXPECT_EQ(hello.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(hello.decision.mark, FlowMark::kSilent);
  EXPECT_EQ(hello.decision.reason, Reason::kNameNotAllowed);
  EXPECT_EQ(fw_.client(tcp_.client_data(hello_to("good.example"))).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpTest, DenyWinsOverTheWildcardThatAllows) {
  connect();
  EXPECT_EQ(fw_.client(tcp_.client_data(hello_to("bad.sub.example"))).decision.reason, Reason::kRuleDenies);
}

TEST_F(TcpTest, RefusesAPortThatNoRuleCoversAtTheSyn) {
  TcpConversation other(kClient, endpoint("192.0.2.1", 4'444));
  const auto syn = fw_.client(other.syn());
  EXPECT_EQ(syn.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(syn.decision.mark, FlowMark::kReset);
  EXPECT_EQ(syn.decision.reason, Reason::kAddressNotAllowed);
}

TEST_F(TcpTest, NoAnswerToADeniedSynComesThrough) {
  TcpConversation other(kClient, endpoint("192.0.2.1", 81));
  EXPECT_EQ(fw_.client(other.syn()).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.server(other.syn_ack()).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpTest, AddressRuleForTcpIsFinalAtTheSyn) {
  TcpConversation other(kClient, endpoint("192.0.2.99", 4'444));
  const auto syn = fw_.client(other.syn());
  EXPECT_EQ(syn.decision.verdict, Verdict::kAccept);
  // A deny rule by name exists for another port only, so nothing the flow may say can be denied.
  EXPECT_EQ(syn.decision.mark, FlowMark::kAllow);
}

TEST_F(TcpTest, HoldsEverySegmentOfAHelloAndReleasesThemInOrder) {
  connect();
  const Bytes hello = hello_to("good.example");
  const auto segments = tcp_.client_segments(hello, 100);
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    const auto outcome = fw_.client(segments[i]);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kHold);
    EXPECT_TRUE(outcome.releases.empty());
  }
  const auto last = fw_.client(segments.back());
  EXPECT_EQ(last.decision.verdict, Verdict::kAccept);
  ASSERT_EQ(last.releases.size(), segments.size() - 1);
  for (std::size_t i = 0; i < last.releases.size(); ++i) {
    EXPECT_EQ(last.releases[i].id, 3 + i);
    EXPECT_EQ(last.releases[i].decision.verdict, Verdict::kAccept);
    EXPECT_EQ(last.releases[i].decision.mark, FlowMark::kWatch);
  }
}

TEST_F(TcpTest, DropsEveryHeldSegmentOfADeniedHello) {
  connect();
  const auto segments = tcp_.client_segments(hello_to("evil.example"), 1);
  Outcome last;
  for (const auto& segment : segments) last = fw_.client(segment);
  EXPECT_EQ(fw_.accepted(), 2U) << "SYN and the handshake's ACK";
  EXPECT_EQ(last.decision.mark, FlowMark::kSilent);
}

TEST_F(TcpTest, SameVerdictHoweverTheHelloIsDelivered) {
  std::mt19937 random(11);
  for (int round = 0; round < 2'000; ++round) {
    const bool good = round % 2 == 0;
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, kServer);
    fw.client(tcp.syn());
    const auto builder = round % 3 == 0 ? ClientHelloBuilder::post_quantum(good ? "good.example" : "evil.example")
                                        : ClientHelloBuilder::typical(good ? "good.example" : "evil.example");
    std::vector<std::size_t> record_sizes;
    for (int i = 0; i < 3; ++i) record_sizes.push_back(1 + random() % 700);
    const Bytes stream = round % 5 == 0 ? builder.records(record_sizes) : builder.record();
    std::vector<std::pair<std::size_t, std::size_t>> pieces;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t length = std::min<std::size_t>(1 + random() % 400, stream.size() - at);
      pieces.emplace_back(at, length);
      if (random() % 4 == 0) pieces.emplace_back(at, length);  // Sent twice.
      if (random() % 5 == 0 && at > 10) pieces.emplace_back(at - 10, length + 10);  // Overlapping.
      at += length;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    if (pieces.size() > 30) continue;  // More gaps than a window keeps.
    std::size_t payload_accepted = 0;
    for (const auto& [at, length] : pieces) {
      fw.client(tcp.client_at(static_cast<std::uint32_t>(at)).payload(ByteSpan(stream).subspan(at, length)).build());
    }
    payload_accepted = fw.accepted() - 1;
    ASSERT_FALSE(fw.verdicts().empty()) << round;
    EXPECT_EQ(fw.verdicts()[0].verdict, good ? FlowVerdict::kAllow : FlowVerdict::kDeny) << round;
    if (!good) {
      EXPECT_EQ(payload_accepted, 0U) << round;
    }
  }
}

TEST_F(TcpTest, DeniesARetransmissionThatDiffers) {
  connect();
  const Bytes good = hello_to("good.example");
  fw_.client(tcp_.client_data(good));
  const auto again = fw_.client(tcp_.client_at(0).payload(ByteSpan(good)).build());
  EXPECT_EQ(again.decision.verdict, Verdict::kAccept) << "an honest retransmission";
  const auto evil = fw_.client(tcp_.client_at(0).payload(ByteSpan(hello_to("evil.example"))).build());
  EXPECT_EQ(evil.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(evil.decision.reason, Reason::kRetransmissionDiffers);
  EXPECT_EQ(evil.decision.mark, FlowMark::kSilent);
  ASSERT_EQ(fw_.verdicts().size(), 2U) << "the flow turned";
}

TEST_F(TcpTest, JudgesTheSecondHelloAfterAHelloRetryRequest) {
  for (const bool same : {true, false}) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, kServer);
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    fw.client(tcp.client_data(hello_to("good.example")));
    EXPECT_EQ(fw.server(tcp.server_data(server_hello(true))).decision.mark, FlowMark::kWatch);
    const Bytes change_cipher_spec = {20, 3, 3, 0, 1, 1};
    const Bytes second = joined(change_cipher_spec, hello_to(same ? "good.example" : "evil.example"));
    const auto outcome = fw.client(tcp.client_data(second));
    EXPECT_EQ(outcome.decision.verdict, same ? Verdict::kAccept : Verdict::kDrop);
    if (!same) {
      EXPECT_EQ(outcome.decision.reason, Reason::kHelloChanged);
    } else {
      const auto flight = fw.server(tcp.server_data(server_hello(false)));
      EXPECT_EQ(flight.decision.mark, FlowMark::kAllow);
    }
  }
}

TEST_F(TcpTest, RefusesWhatIsNoRecordAfterAHelloRetryRequest) {
  InspectorHarness fw(kPolicy);
  TcpConversation tcp(kClient, kServer);
  fw.client(tcp.syn());
  (void)tcp.syn_ack();
  fw.client(tcp.client_data(hello_to("good.example")));
  fw.server(tcp.server_data(server_hello(true)));
  const auto outcome = fw.client(tcp.client_data("no record at all"));
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(outcome.decision.reason, Reason::kMalformed);
}

TEST_F(TcpTest, ApplicationDataEndsTheWaitForARetryRequestUnlessItWasAnnouncedAsEarly) {
  for (const bool early : {false, true}) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, kServer);
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    auto builder = ClientHelloBuilder::typical("good.example");
    if (early) builder.early_data();
    fw.client(tcp.client_data(builder.record()));
    const auto data = fw.client(tcp.client_data(tls_records(Bytes(1'000, 7), {}, 23)));
    EXPECT_EQ(data.decision.mark, FlowMark::kWatch);
    const auto rest = fw.client(tcp.client_data("no record at all"));
    EXPECT_EQ(rest.decision.verdict, early ? Verdict::kDrop : Verdict::kAccept);
    if (early) continue;
    EXPECT_EQ(fw.server(tcp.server_ack()).decision.mark, early ? FlowMark::kWatch : FlowMark::kAllow);
  }
}

TEST_F(TcpTest, HoldsASecondHelloThatNobodyAskedFor) {
  connect();
  fw_.client(tcp_.client_data(hello_to("good.example")));
  EXPECT_EQ(fw_.client(tcp_.client_data(hello_to("evil.example"))).decision.verdict, Verdict::kHold);
  const auto timeout = fw_.wait(kHoldTime + std::chrono::milliseconds(10));
  ASSERT_EQ(timeout.releases.size(), 1U);
  EXPECT_EQ(timeout.releases[0].decision.verdict, Verdict::kDrop);
}

TEST_F(TcpTest, EndsAWaitWithARefusal) {
  connect();
  const auto segments = tcp_.client_segments(hello_to("good.example"), 20);
  fw_.client(segments[0]);
  fw_.client(segments[1]);
  fw_.wait(kHoldTime - std::chrono::milliseconds(100));
  EXPECT_TRUE(fw_.verdicts().empty());
  fw_.client(segments[2]);
  fw_.client(segments[3]);
  const auto outcome = fw_.wait(std::chrono::milliseconds(200));
  ASSERT_EQ(outcome.releases.size(), 2U);
  EXPECT_EQ(outcome.releases[0].decision.verdict, Verdict::kDrop);
  EXPECT_FALSE(outcome.releases[0].decision.mark);
  EXPECT_EQ(outcome.releases[1].decision.mark, FlowMark::kSilent) << "the last one carries the refusal";
}

TEST_F(TcpTest, DropsHeldSegmentsOfAStalledSenderAndStillRemembersTheirBytes) {
  connect();
  const auto segments = tcp_.client_segments(hello_to("good.example"), 100);
  fw_.client(segments[0]);
  fw_.client(segments[1]);
  const auto stalled = fw_.wait(kHoldStall);
  ASSERT_EQ(stalled.releases.size(), 2U);
  for (const auto& release : stalled.releases) {
    EXPECT_EQ(release.decision.verdict, Verdict::kDrop);
    EXPECT_FALSE(release.decision.mark) << "the flow itself is not denied";
  }
  EXPECT_TRUE(fw_.verdicts().empty());
  Outcome last;
  for (std::size_t i = 2; i < segments.size(); ++i) last = fw_.client(segments[i]);
  EXPECT_EQ(last.decision.verdict, Verdict::kAccept) << "the bytes of the dropped segments were judged too";
  EXPECT_EQ(fw_.client(segments[0]).decision.verdict, Verdict::kAccept) << "sent again";
  auto evil = segments[1];
  evil.back() ^= 1;
  EXPECT_EQ(fw_.client(evil).decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(TcpTest, ShortBytesThatCouldStillBeAProtocolGoByAddressAfterTheWait) {
  InspectorHarness fw(std::string(kPolicy) + R"(
[[rules]]
to = ["192.0.2.50"]
protocols = ["tls"]
ports = [7000]
action = "deny"
[[rules]]
to = ["192.0.2.50"]
protocols = ["tcp"]
ports = [7000]
)");
  TcpConversation tcp(kClient, endpoint("192.0.2.50", 7'000));
  EXPECT_FALSE(fw.client(tcp.syn()).decision.mark) << "a deny rule may match yet";
  EXPECT_EQ(fw.client(tcp.client_data("G")).decision.verdict, Verdict::kHold);
  fw.wait(kHoldTime);
  ASSERT_EQ(fw.verdicts().size(), 1U);
  EXPECT_EQ(fw.verdicts()[0].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(fw.client(tcp.client_at(0).payload("G").build()).decision.verdict, Verdict::kAccept);
}

TEST_F(TcpTest, DeniesBytesThatAreNoProtocol) {
  connect();
  EXPECT_EQ(fw_.client(tcp_.client_data("\x7f\x01 nothing that is known")).decision.reason, Reason::kUnknownProtocol);
}

TEST_F(TcpTest, DeniesUrgentData) {
  connect();
  const auto outcome = fw_.client(tcp_.client_at(0).urgent_pointer(1).payload(ByteSpan(hello_to("good.example"))).build());
  EXPECT_EQ(outcome.decision.reason, Reason::kUrgentData);
}

TEST_F(TcpTest, JudgesThePayloadOfASyn) {
  const Bytes evil = hello_to("evil.example");
  const auto syn = testing::PacketBuilder::tcp(kClient, kServer).seq(1'000).flags(testing::kSyn).payload(ByteSpan(evil)).build();
  EXPECT_EQ(fw_.client(syn).decision.reason, Reason::kNameNotAllowed);
}

TEST_F(TcpTest, DeniesMidstreamPayloadEvenWithAnAllowedName) {
  (void)tcp_.syn();
  (void)tcp_.syn_ack();
  const auto outcome = fw_.client(tcp_.client_data(hello_to("good.example")));
  EXPECT_EQ(outcome.decision.reason, Reason::kMidstream);
}

TEST_F(TcpTest, AConnectionThatIsToEndIsResetAtBothEndsByThePacketOfEither) {
  for (const Origin origin : {Origin::kOriginal, Origin::kReply}) {
    InspectorHarness fw(kPolicy);
    TcpConversation old(kClient, kServer);
    (void)old.handshake();
    const auto outcome = fw.cut(origin == Origin::kOriginal ? old.client_data(hello_to("good.example")) : old.server_data("download"), origin);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
    ASSERT_EQ(fw.verdicts().size(), 1U);
    EXPECT_EQ(fw.verdicts()[0].reason, Reason::kRevoked);
    ASSERT_EQ(outcome.injections.size(), 2U);
    EXPECT_NE(outcome.injections[0].to_client, outcome.injections[1].to_client);
    TcpConversation anew(kClient, kServer);
    EXPECT_EQ(fw.client(anew.syn()).decision.verdict, Verdict::kAccept) << "the next connection is judged by itself";
  }
}

TEST_F(TcpTest, AConnectionThatIsToEndEndsThoughAnAddressRuleHadLetItsMiddlePass) {
  InspectorHarness fw("version = 1\n[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"tcp\"]\nports = [443]\n");
  TcpConversation old(kClient, kServer);
  (void)old.handshake();
  EXPECT_EQ(fw.client(old.client_data("in the middle")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.cut(old.client_data("and on"), Origin::kOriginal).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw.verdicts().back().reason, Reason::kRevoked);
  TcpConversation anew(endpoint("10.0.0.1", 50'001), kServer);
  fw.client(anew.syn());
  fw.server(anew.syn_ack());
  fw.client(anew.handshake_ack());
  EXPECT_EQ(fw.cut(anew.client_data("begun by itself"), Origin::kOriginal).decision.verdict, Verdict::kAccept);
}

TEST_F(TcpTest, TheServersResetOfAConnectionThatIsToEndReachesItsClient) {
  InspectorHarness fw(kPolicy);
  fw.from_link(3);  // The server's.
  TcpConversation old(kClient, kServer);
  (void)old.handshake();
  (void)fw.cut(old.server_data("behind a gap, so that our reset is none for the client"), Origin::kReply);
  EXPECT_EQ(fw.server(old.server_rst()).decision.verdict, Verdict::kAccept) << "what the client's bare ACK comes back with";
}

TEST_F(TcpTest, ACaptureWithoutABeginningIsTurnedByItsFirstPayloadAlone) {
  constexpr const char* kRequest = "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n";
  TcpConversation turned(endpoint("10.0.0.1", 46'798), endpoint("192.0.2.1", 80));
  (void)turned.handshake();
  fw_.feed(turned.server_data(kRequest), Origin::kUnknown);
  EXPECT_EQ(fw_.verdicts().size(), 1U);
  TcpConversation spoken(endpoint("10.0.0.1", 46'799), endpoint("192.0.2.1", 80));
  (void)spoken.handshake();
  fw_.feed(spoken.server_data("+OK\r\n"), Origin::kUnknown);
  fw_.feed(spoken.server_data(kRequest), Origin::kUnknown);
  EXPECT_EQ(fw_.verdicts().size(), 1U) << "what has spoken as the server stays it";
}

TEST_F(TcpTest, DropsAReplyThatBelongsToNoFlow) {
  EXPECT_EQ(fw_.server(tcp_.syn_ack()).decision.reason, Reason::kReplyWithoutFlow);
}

TEST_F(TcpTest, ASynInsideALivingConnectionDoesNotBeginAnother) {
  connect();
  fw_.client(tcp_.client_data(hello_to("good.example")));
  fw_.client(testing::PacketBuilder::tcp(kClient, kServer).seq(900'000).flags(testing::kSyn).build());
  const auto evil = fw_.client(tcp_.client_at(0).payload(ByteSpan(hello_to("evil.example"))).build());
  EXPECT_EQ(evil.decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(TcpTest, ReusesATupleAfterTheConnectionEnded) {
  connect();
  fw_.client(tcp_.client_data(hello_to("good.example")));
  fw_.client(tcp_.client_rst());
  TcpConversation next(kClient, kServer, 77'000, 88'000);
  fw_.client(next.syn());
  fw_.server(next.syn_ack());
  EXPECT_EQ(fw_.client(next.client_data(hello_to("evil.example"))).decision.reason, Reason::kNameNotAllowed);
}

TEST_F(TcpTest, SshGoesByItsAddress) {
  TcpConversation good(kClient, endpoint("192.0.2.22", 22));
  EXPECT_EQ(fw_.client(good.syn()).decision.mark, FlowMark::kWatch) << "the server may speak first";
  fw_.server(good.syn_ack());
  EXPECT_EQ(fw_.client(good.client_data("SSH-2.0-OpenSSH_9.2\r\n")).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(fw_.server(good.server_data("SSH-2.0-Server\r\n")).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(fw_.client(good.client_ack()).decision.mark, FlowMark::kAllow) << "both have each other's string";
  TcpConversation other(kClient, endpoint("192.0.2.23", 22));
  EXPECT_EQ(fw_.client(other.syn()).decision.verdict, Verdict::kDrop) << "no rule for ssh names this address";
}

TEST_F(TcpTest, AForeignProtocolOnAnAllowedPortIsDenied) {
  connect();
  EXPECT_EQ(fw_.client(tcp_.client_data("SSH-2.0-OpenSSH_9.2\r\n")).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpTest, ObserveModeLetsEverythingGoAtOnceAndSaysWhatItWouldHaveDone) {
  auto options = InspectorHarness::small_options();
  options.mode = policy::Mode::kObserve;
  InspectorHarness fw(kPolicy, options);
  EXPECT_EQ(fw.client(tcp_.syn()).decision.verdict, Verdict::kAccept);
  (void)tcp_.syn_ack();
  const auto segments = tcp_.client_segments(hello_to("evil.example"), 200);
  for (const auto& segment : segments) EXPECT_EQ(fw.client(segment).decision.verdict, Verdict::kAccept);
  ASSERT_EQ(fw.verdicts().size(), 1U);
  EXPECT_EQ(fw.verdicts()[0].verdict, FlowVerdict::kDeny);
  EXPECT_EQ(fw.verdicts()[0].name, "evil.example");
}

TEST_F(TcpTest, ATruncatedPacketIsNeverJudged) {
  connect();
  const Bytes packet = tcp_.client_data(hello_to("good.example"));
  const Bytes cut(packet.begin(), packet.end() - 20);
  EXPECT_EQ(fw_.feed(cut, Origin::kOriginal, packet.size()).decision.reason, Reason::kTruncated);
}

TEST_F(TcpTest, WhatFollowsACutSegmentOfAJudgedStreamDoesNotPass) {
  TcpConversation tcp(kClient, endpoint("192.0.2.1", 80));
  fw_.client(tcp.syn());
  (void)tcp.syn_ack();
  EXPECT_EQ(fw_.client(tcp.client_data("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")).decision.verdict, Verdict::kAccept);
  const Bytes packet = tcp.client_data("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Bytes cut(packet.begin(), packet.end() - 30);
  EXPECT_EQ(fw_.feed(cut, Origin::kOriginal, packet.size()).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.client(tcp.client_data("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpTest, AFullTableStaysWithinItsBoundsAndFailsClosed) {
  for (std::uint16_t port = 1; port < 2'000; ++port) {
    TcpConversation tcp(endpoint("10.0.0.9", port), kServer);
    fw_.client(tcp.syn());
    fw_.client(tcp.client_segments(hello_to("good.example"), 50)[0]);
  }
  EXPECT_LE(fw_.inspector().counters().flows_active.load(), 256U);
  EXPECT_EQ(fw_.accepted(), 1'999U) << "only the SYNs";
}

}  // namespace
}  // namespace sallyport::testing
