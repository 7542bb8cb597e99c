// Plaintext HTTP, DNS and UDP under the inspector.
#include <gtest/gtest.h>

#include <random>

#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/http2_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "also.example"]
protocols = ["http", "quic"]
ports = [80, 443]
[[rules]]
to = ["good.example", "*.wild.example"]
protocols = ["dns"]
[[rules]]
to = ["192.0.2.123"]
protocols = ["udp"]
ports = [123]
)";

const auto kClient = endpoint("10.0.0.1", 40'000);

class HttpTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  TcpConversation tcp_{kClient, endpoint("192.0.2.1", 80)};

  HttpTest() {
    fw_.client(tcp_.syn());
    (void)tcp_.syn_ack();
  }
  Outcome send(std::string_view text) { return fw_.client(tcp_.client_data(text)); }
  static std::string get(const std::string& host) { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"; }
};

TEST_F(HttpTest, JudgesEachRequestOfAConnection) {
  const auto first = send(get("good.example"));
  EXPECT_EQ(first.decision.verdict, Verdict::kAccept);
  EXPECT_FALSE(first.decision.mark) << "plaintext HTTP is never handed over";
  EXPECT_EQ(send(get("also.example")).decision.verdict, Verdict::kAccept);
  const auto bad = send(get("evil.example"));
  EXPECT_EQ(bad.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(bad.decision.mark, FlowMark::kReset) << "the first one is not answered yet";
  ASSERT_EQ(fw_.verdicts().size(), 2U);
  EXPECT_EQ(fw_.verdicts()[1].name, "evil.example");
}

TEST_F(HttpTest, DropsASegmentThatPipelinesAForbiddenRequestBehindAnAllowedOne) {
  EXPECT_EQ(send(get("good.example") + get("evil.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(HttpTest, LetsABodyGoByAndJudgesTheRequestBehindIt) {
  EXPECT_EQ(send("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 100000\r\n\r\n").decision.verdict, Verdict::kAccept);
  const std::string body(50'000, 'x');
  EXPECT_EQ(send(body).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(body + "GET / HTTP/1.1\r\nHo").decision.verdict, Verdict::kHold);
  const auto rest = send("st: evil.example\r\n\r\n");
  EXPECT_EQ(rest.decision.verdict, Verdict::kDrop);
}

TEST_F(HttpTest, ARequestThatLooksLikeABodyOfAnotherLengthIsFound) {
  send("POST / HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  EXPECT_EQ(send(get("evil.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(HttpTest, RefusesWhatTwoServersCouldReadDifferently) {
  EXPECT_EQ(send("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").decision.reason,
            Reason::kAmbiguous);
}

TEST_F(HttpTest, SeesAHeadThatIsRewrittenInARetransmission) {
  const std::string good = get("good.example");
  send(good);
  std::string evil = good;
  evil.replace(evil.find("good"), 4, "evil");
  const auto outcome = fw_.client(tcp_.client_at(0).payload(evil).build());
  EXPECT_EQ(outcome.decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(HttpTest, ARetransmittedHeadPassesWhenABodyLargerThanTheWindowFollowedIt) {
  const std::string head = "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 1000000\r\n\r\n";
  send(head);
  for (int i = 0; i < 10; ++i) send(std::string(60'000, 'x'));
  EXPECT_EQ(fw_.client(tcp_.client_at(0).payload(head).build()).decision.verdict, Verdict::kAccept);
}

TEST_F(HttpTest, HandsAWebSocketOverOnlyAfterTheServerSwitched) {
  for (const bool accepts : {true, false}) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, endpoint("192.0.2.1", 80));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    const auto request = fw.client(tcp.client_data(
        "GET /ws HTTP/1.1\r\nHost: good.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    EXPECT_EQ(request.decision.mark, FlowMark::kWatch);
    EXPECT_EQ(fw.client(tcp.client_data(get("evil.example"))).decision.verdict, Verdict::kHold);
    const auto answer = fw.server(tcp.server_data(
        accepts ? "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    if (accepts) {
      EXPECT_EQ(answer.decision.mark, FlowMark::kAllow);
    } else {
      EXPECT_EQ(answer.decision.verdict, Verdict::kDrop) << "the held request is denied";
    }
  }
}

TEST_F(HttpTest, JudgesEveryRequestBehindAnUpgradeToHttp2) {
  for (const bool good : {true, false}) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, endpoint("192.0.2.1", 80));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    fw.client(tcp.client_data("GET / HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                              "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"));
    fw.server(tcp.server_data("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"));
    EXPECT_EQ(fw.client(tcp.client_data(h2_open())).decision.verdict, Verdict::kAccept);
    const auto second = fw.client(tcp.client_data(h2_headers(3, h2_get(good ? "also.example" : "evil.example"))));
    EXPECT_EQ(second.decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
  }
}

TEST_F(HttpTest, AServerThatDeclinesAnUpgradeAfterAnInterimAnswerLeavesHttp) {
  send("GET / HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  fw_.server(tcp_.server_data("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
  EXPECT_EQ(send(get("also.example")).decision.verdict, Verdict::kHold);
  const auto answer = fw_.server(tcp_.server_data("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  ASSERT_EQ(answer.releases.size(), 1U);
  EXPECT_EQ(answer.releases[0].decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(get("evil.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(HttpTest, HeadExpectAndAnyMethodAreRequestsLikeOthers) {
  EXPECT_EQ(send("HEAD / HTTP/1.1\r\nHost: good.example\r\n\r\n").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send("PUT / HTTP/1.1\r\nHost: good.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").decision.verdict,
            Verdict::kAccept);
  EXPECT_EQ(send("GET /").decision.verdict, Verdict::kAccept) << "five bytes of a body";
  EXPECT_EQ(send("X-ODD_METHOD / HTTP/1.1\r\nHost: also.example\r\n\r\n").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send("DELETE / HTTP/1.1\r\nHost: evil.example\r\n\r\n").decision.verdict, Verdict::kDrop);
}

TEST_F(HttpTest, RefusesHttp09) {
  const auto outcome = send("GET /\r\n");
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(outcome.decision.reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(fw_.verdicts().at(0).protocol, Protocol::kHttp);
}

TEST_F(HttpTest, JudgesTheTunnelInsideConnect) {
  InspectorHarness fw("version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"http\", \"tls\"]\nports = [3128]\n");
  for (const bool good : {true, false}) {
    TcpConversation tcp(endpoint("10.0.0.1", good ? 1'000 : 1'001), endpoint("192.0.2.1", 3'128));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    fw.client(tcp.client_data("CONNECT good.example:3128 HTTP/1.1\r\nHost: good.example:3128\r\n\r\n"));
    fw.server(tcp.server_data("HTTP/1.1 200 Connection established\r\n\r\n"));
    const auto hello = fw.client(tcp.client_data(ClientHelloBuilder::typical(good ? "good.example" : "evil.example").record()));
    EXPECT_EQ(hello.decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
    if (good) {
      EXPECT_EQ(fw.server(tcp.server_data(server_hello(false))).decision.mark, FlowMark::kAllow);
    }
  }
}

class UdpTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  Endpoint quic_server_ = endpoint("192.0.2.1", 443);
  Endpoint resolver_ = endpoint("192.0.2.53", 53);

  Outcome to(const Endpoint& server, ByteSpan payload) {
    return fw_.client(PacketBuilder::udp(kClient, server).payload(payload).build());
  }
  Outcome from(const Endpoint& server, ByteSpan payload) {
    return fw_.server(PacketBuilder::udp(server, kClient).payload(payload).build());
  }
};

TEST_F(UdpTest, AllowsAQuicFlowAtItsHello) {
  for (const Bytes& datagram : quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())) {
    const auto outcome = to(quic_server_, datagram);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
    EXPECT_EQ(outcome.decision.mark, FlowMark::kAllow);
  }
}

TEST_F(UdpTest, HoldsQuicDatagramsUntilTheHelloIsWholeInAnyOrder) {
  for (const bool reversed : {false, true}) {
    for (const bool good : {true, false}) {
      InspectorHarness fw(kPolicy);
      QuicHelloOptions options;
      options.reversed = reversed;
      options.pings_between = true;
      const auto message = ClientHelloBuilder::post_quantum(good ? "good.example" : "evil.example").message();
      const auto datagrams = quic_hello_datagrams(message, options);
      ASSERT_GT(datagrams.size(), 1U);
      Outcome last;
      for (std::size_t i = 0; i < datagrams.size(); ++i) {
        last = fw.client(PacketBuilder::udp(kClient, quic_server_).payload(ByteSpan(datagrams[i])).build());
        if (i + 1 < datagrams.size()) {
          EXPECT_EQ(last.decision.verdict, Verdict::kHold);
        }
      }
      EXPECT_EQ(last.releases.size(), datagrams.size() - 1);
      EXPECT_EQ(last.decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
      EXPECT_EQ(last.decision.mark, good ? FlowMark::kAllow : FlowMark::kSilent);
      EXPECT_EQ(fw.accepted(), good ? datagrams.size() : 0U);
    }
  }
}

TEST_F(UdpTest, AnotherInitialOnAnAllowedTupleIsJudged) {
  to(quic_server_, quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0]);
  QuicHelloOptions other;
  other.dcid = hex("0102030405060708");
  const auto evil = quic_hello_datagrams(ClientHelloBuilder::typical("evil.example").message(), other);
  EXPECT_EQ(to(quic_server_, evil[0]).decision.verdict, Verdict::kDrop);
}

TEST_F(UdpTest, AHelloHeldForAnotherConnectionDoesNotLeaveOnTheJudgementOfThisOne) {
  QuicHelloOptions other;
  other.dcid = hex("0102030405060708");
  const auto evil = quic_hello_datagrams(ClientHelloBuilder::post_quantum("evil.example").message(), other);
  const Bytes good = quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0];
  ASSERT_GT(evil.size(), 1U);
  for (const Bytes& part : evil) {
    EXPECT_EQ(to(quic_server_, part).decision.verdict, Verdict::kHold);
    const auto outcome = to(quic_server_, good);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
    ASSERT_EQ(outcome.releases.size(), 1U);
    EXPECT_EQ(outcome.releases[0].decision.verdict, Verdict::kDrop);
  }
}

TEST_F(UdpTest, RefusesPacketsOfTwoConnectionsInOneDatagram) {
  const Bytes evil = QuicInitialBuilder(kTestQuicV1, hex("0102030405060708")).crypto(0, Bytes(50, 1)).datagram_size(300).build();
  const Bytes good = quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0];
  EXPECT_EQ(to(quic_server_, joined(evil, good)).decision.verdict, Verdict::kDrop);
}

TEST_F(UdpTest, AnInitialWithoutCryptoDataPassesOnAJudgedConnection) {
  to(quic_server_, quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0]);
  const Bytes ping = QuicInitialBuilder().packet_number(5).ping().build();
  EXPECT_EQ(to(quic_server_, ping).decision.verdict, Verdict::kAccept);
  const Bytes first = QuicInitialBuilder(kTestQuicV1, hex("0102030405060708")).ping().build();
  EXPECT_EQ(to(quic_server_, first).decision.verdict, Verdict::kHold) << "of another connection nothing is judged";
}

TEST_F(UdpTest, ARewrittenInitialWithTheSameKeysIsSeen) {
  to(quic_server_, quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0]);
  QuicHelloOptions later;
  later.first_packet_number = 7;
  const auto evil = quic_hello_datagrams(ClientHelloBuilder::typical("evil.example").message(), later);
  EXPECT_EQ(to(quic_server_, evil[0]).decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(UdpTest, AShortHeaderOnAnUnknownTupleIsDenied) {
  const Bytes packet(60, 0x41);
  EXPECT_EQ(to(quic_server_, packet).decision.reason, Reason::kQuicShortHeader);
}

TEST_F(UdpTest, JudgesEveryQuestion) {
  const auto query = [](std::string_view name) { return sallyport::testing::DnsMessageBuilder(7).question(name, 1).build(); };
  EXPECT_EQ(to(resolver_, query("good.example")).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(to(resolver_, query("a.wild.example")).decision.verdict, Verdict::kAccept);
  const auto evil = to(resolver_, query("evil.example"));
  EXPECT_EQ(evil.decision.verdict, Verdict::kDrop);
  EXPECT_FALSE(evil.decision.mark) << "the socket may go on asking what is allowed";
  EXPECT_EQ(to(resolver_, query("good.example")).decision.verdict, Verdict::kAccept);
}

TEST_F(UdpTest, RefusesAQuestionWithSomethingBehindIt) {
  Bytes query = sallyport::testing::DnsMessageBuilder(7).question("good.example", 1).build();
  query.push_back('x');
  EXPECT_EQ(to(resolver_, query).decision.verdict, Verdict::kDrop);
}

TEST_F(UdpTest, AnAddressRuleIsHandedOverAtTheFirstAnswer) {
  const Endpoint ntp = endpoint("192.0.2.123", 123);
  const Bytes request(48, 0x23);
  EXPECT_EQ(to(ntp, request).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(from(ntp, request).decision.mark, FlowMark::kAllow);
  EXPECT_EQ(to(endpoint("192.0.2.124", 123), request).decision.verdict, Verdict::kDrop);
}

TEST_F(UdpTest, FragmentsAndOtherTransportsAreDropped) {
  const auto fragments = PacketBuilder::udp(kClient, resolver_).payload(std::string(100, 'x')).build_fragments(64, 9);
  EXPECT_EQ(fw_.client(fragments[0]).decision.reason, Reason::kFragment);
  const auto gre = PacketBuilder::ip(kClient.address, resolver_.address, 47).payload("x").build();
  EXPECT_EQ(fw_.client(gre).decision.reason, Reason::kTransportNotAllowed);
}

}  // namespace
}  // namespace sallyport::testing
