// What a denied client and its server are sent, for each protocol that has words for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sallyport/core/limits.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/quic.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/http2_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kPolicy = R"(
version = 1
[scopes.agent]
sources = ["10.0.0.0/8", "2001:db8:1::/64"]
[[rules]]
to = ["good.example"]
protocols = ["tls", "quic", "http"]
ports = "any"
[[rules]]
to = ["evil.example"]
protocols = ["http"]
ports = "any"
action = "deny"
)";

struct Heard {
  parsers::IpPacket ip;
  std::string text;
};

Heard heard(const Injected& injected) {
  const auto ip = parsers::parse_ip_packet(injected.packet, injected.packet.size());
  EXPECT_TRUE(ip.has_value());
  return {*ip, std::string(as_text(ip->payload))};
}

class RefusalTest : public ::testing::Test {
 protected:
  void use(const std::string& policy) { fw_ = std::make_unique<InspectorHarness>(policy); }
  void connect(TcpConversation& tcp) {
    fw_->client(tcp.syn());
    (void)tcp.syn_ack();
    fw_->client(tcp.handshake_ack());
  }
  Outcome send(TcpConversation& tcp, ByteSpan bytes) { return fw_->client(tcp.client_data(bytes)); }

  // expect_quic_close sends a client's first datagram and opens the answer with the keys of the connection id in it.
  void expect_quic_close(std::uint32_t version, const char* text) {
    const Bytes hello = ClientHelloBuilder::typical("evil.example").message();
    const Bytes initial = QuicInitialBuilder(version).source_connection_id(hex("c1c2c3")).crypto(0, hello).build();
    const Endpoint client = endpoint("10.0.0.1", static_cast<std::uint16_t>(41'000 + (version & 0xff)));
    const Outcome outcome = fw_->client(PacketBuilder::udp(client, server_).payload(initial).build());
    EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
    ASSERT_EQ(outcome.injections.size(), 1U);
    const Heard words = heard(outcome.injections[0]);
    const auto header = parsers::parse_quic_long_header(words.ip.payload);
    ASSERT_TRUE(header);
    EXPECT_THAT(header->destination_connection_id, ::testing::ElementsAre(0xc1, 0xc2, 0xc3)) << "the client's own";
    parsers::QuicInitialOpener opener;
    parsers::QuicInitialKeys keys;
    ASSERT_TRUE(opener.derive(version, hex("8394c8f03e515708"), keys));
    const auto plaintext = opener.open(keys, false, *header);
    ASSERT_TRUE(plaintext);
    EXPECT_THAT(std::string(as_text(plaintext->frames)), HasSubstr(text));
    EXPECT_EQ(fw_->client(PacketBuilder::udp(client, server_).payload(initial).build()).injections.size(), 1U) << "the first close may be lost";
  }

  std::unique_ptr<InspectorHarness> fw_ = std::make_unique<InspectorHarness>(kPolicy);
  const Endpoint client_ = endpoint("10.0.0.1", 40'000);
  const Endpoint server_ = endpoint("192.0.2.1", 443);
  TcpConversation tcp_{client_, server_};
};

TEST_F(RefusalTest, TlsClientGetsAnAlertAndTheServerAReset) {
  connect(tcp_);
  const Bytes hello = ClientHelloBuilder::typical("evil.example").record();
  const Outcome outcome = send(tcp_, hello);
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(outcome.decision.mark, FlowMark::kSilent) << "the kernel says nothing beside it";
  ASSERT_EQ(outcome.injections.size(), 2U);
  ASSERT_TRUE(outcome.injections[0].to_client);
  const Heard words = heard(outcome.injections[0]);
  EXPECT_EQ(words.text, std::string("\x15\x03\x03\x00\x02\x02\x31", 7));
  EXPECT_EQ(words.ip.source, server_.address);
  EXPECT_EQ(words.ip.source_port, server_.port);
  EXPECT_EQ(words.ip.destination_port, client_.port);
  EXPECT_EQ(words.ip.tcp.acknowledgment, tcp_.client_next()) << "all that the client sent is acknowledged";
  EXPECT_EQ(words.ip.tcp.sequence, tcp_.server_next()) << "where the client expects the server's next byte";
  EXPECT_TRUE(words.ip.tcp.fin && words.ip.tcp.ack);

  ASSERT_FALSE(outcome.injections[1].to_client);
  const Heard reset = heard(outcome.injections[1]);
  EXPECT_TRUE(reset.ip.tcp.rst);
  EXPECT_TRUE(reset.text.empty());
  EXPECT_EQ(reset.ip.tcp.sequence, tcp_.client_next() - hello.size()) << "the server has nothing of the hello";
}

TEST_F(RefusalTest, AlertIsTheOneThatThePolicySays) {
  use(std::string(kPolicy) + "[refusals]\ntls_alert = \"unrecognized_name\"\n");
  connect(tcp_);
  const Outcome outcome = send(tcp_, ClientHelloBuilder::typical("evil.example").record());
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_EQ(heard(outcome.injections[0]).text.back(), 112);
}

TEST_F(RefusalTest, HttpClientReadsNameScopeAndRule) {
  connect(tcp_);
  const Outcome outcome = send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\nAccept: application/json\r\n\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  const std::string text = heard(outcome.injections[0]).text;
  EXPECT_THAT(text, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(text, HasSubstr("application/problem+json"));
  EXPECT_THAT(text, HasSubstr("sallyport: evil.example is not allowed for agent (test.toml:"));
}

TEST_F(RefusalTest, NameThatIsAllowedForAnotherProtocolIsNotSaidToBeDenied) {
  use("version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\n");
  connect(tcp_);
  const Outcome outcome = send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  const std::string text = heard(outcome.injections[0]).text;
  EXPECT_THAT(text, HasSubstr("sallyport: good.example: no rule allows this protocol to this destination (default)"));
  EXPECT_THAT(text, Not(HasSubstr("is not allowed")));
}

TEST_F(RefusalTest, PlaceOfTheRuleCanBeKeptBack) {
  use(std::string(kPolicy) + "[refusals]\nshow_rule = false\n");
  connect(tcp_);
  const Outcome outcome = send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  const std::string text = heard(outcome.injections[0]).text;
  EXPECT_THAT(text, HasSubstr("sallyport: evil.example is not allowed"));
  EXPECT_THAT(text, Not(HasSubstr("toml")));
  EXPECT_THAT(text, Not(HasSubstr("agent")));
}

TEST_F(RefusalTest, LaterRequestIsRefusedWhereTheServerLeftOff) {
  connect(tcp_);
  const Bytes good = bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n");
  EXPECT_EQ(send(tcp_, good).decision.verdict, Verdict::kAccept);
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  EXPECT_EQ(fw_->server(tcp_.server_data(bytes_of(answer))).decision.verdict, Verdict::kAccept);
  const Bytes bad = bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Outcome outcome = send(tcp_, bad);
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_EQ(heard(outcome.injections[0]).ip.tcp.sequence, tcp_.server_next());
  EXPECT_EQ(heard(outcome.injections[1]).ip.tcp.sequence, tcp_.client_next() - bad.size()) << "the first request was let go";
}

// The handshake's ACK comes to the queue or not, the greeting does not: what the client acknowledges tells of it.
TEST_F(RefusalTest, GreetingThatTheClientHasIsNotReplaced) {
  for (const bool greeted : {false, true}) {
    SCOPED_TRACE(greeted);
    use(kPolicy);
    TcpConversation tcp(client_, server_);
    connect(tcp);
    if (greeted) (void)tcp.server_data(bytes_of("SSH-2.0-server\r\n"));
    const Outcome outcome = send(tcp, bytes_of("SSH-2.0-client\r\n"));
    ASSERT_EQ(outcome.injections.size(), 2U);
    const Heard words = heard(outcome.injections[0]);
    EXPECT_EQ(words.ip.tcp.sequence, tcp.server_next());
    EXPECT_THAT(words.text, HasSubstr("is not allowed"));
    EXPECT_EQ(words.text.starts_with("SSH-2.0-"), !greeted);
  }
}

TEST_F(RefusalTest, ClientOfAServerThatGreetsHasWaitedForIt) {
  fw_->client(tcp_.syn());
  (void)tcp_.syn_ack();
  (void)tcp_.handshake_ack();
  (void)tcp_.server_data(bytes_of("220 mail.example ESMTP\r\n"));
  const Outcome outcome = send(tcp_, bytes_of("EHLO client.example\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  const std::string text = heard(outcome.injections[0]).text;
  EXPECT_THAT(text, StartsWith("550 5.7.1 sallyport: "));
  EXPECT_THAT(text, HasSubstr("\r\n550 5.7.1 sallyport: ")) << "HELO has its answer, too";
}

TEST_F(RefusalTest, GreetingInTheQueueIsKnownThoughNothingAcknowledgesIt) {
  const Endpoint server = endpoint("192.0.2.1", 22);
  TcpConversation tcp(client_, server);
  EXPECT_EQ(fw_->client(tcp.syn()).decision.mark, FlowMark::kWatch) << "both ends speak at once: both are wanted";
  fw_->server(tcp.syn_ack());
  const Bytes client = tcp.client_data(bytes_of("SSH-2.0-client\r\n"));
  EXPECT_EQ(fw_->server(tcp.server_data(bytes_of("SSH-2.0-server\r\n"))).decision.verdict, Verdict::kAccept);
  const Outcome outcome = fw_->client(client);
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_EQ(heard(outcome.injections[0]).ip.tcp.sequence, tcp.server_next());
  EXPECT_FALSE(heard(outcome.injections[0]).text.starts_with("SSH-"));
}

TEST_F(RefusalTest, GoodAndBadInOneSegmentLeaveTheServerNothing) {
  connect(tcp_);
  const Bytes both = bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Outcome outcome = send(tcp_, both);
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  ASSERT_EQ(outcome.injections.size(), 2U) << "both get one answer";
  EXPECT_EQ(heard(outcome.injections[1]).ip.tcp.sequence, tcp_.client_next() - both.size());
}

TEST_F(RefusalTest, QuestionIsRefusedInNoMoreBytesThanItHad) {
  const Endpoint resolver = endpoint("192.0.2.53", 53);
  const Bytes query = DnsMessageBuilder().question("evil.example", 1).build();
  const Outcome outcome = fw_->client(PacketBuilder::udp(client_, resolver).payload(query).build());
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(outcome.decision.mark, std::nullopt) << "the next question of this socket is judged for itself";
  ASSERT_EQ(outcome.injections.size(), 1U);
  const Heard words = heard(outcome.injections[0]);
  EXPECT_LE(words.text.size(), query.size());
  const auto message = parsers::parse_dns_message(words.ip.payload);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header.rcode, 5);
}

TEST_F(RefusalTest, QuicClientGetsACloseThatItsKeysOpen) {
  for (const std::uint32_t version : {kTestQuicV1, kTestQuicV2}) expect_quic_close(version, "sallyport: evil.example is not allowed");
}

TEST_F(RefusalTest, QuicClientIsToldWhereThePolicyHasNoQuicAtAll) {
  use(std::string(kPolicy) + "[defaults]\nquic = \"deny\"\n");
  for (const std::uint32_t version : {kTestQuicV1, kTestQuicV2}) expect_quic_close(version, "sallyport: 192.0.2.1: ");
}

TEST_F(RefusalTest, ResetSaysNothingToTheClientAndEndsTheServersSide) {
  use(std::string(kPolicy) + "[defaults]\nrefuse = \"reset\"\n");
  connect(tcp_);
  const Outcome outcome = send(tcp_, ClientHelloBuilder::typical("evil.example").record());
  EXPECT_EQ(outcome.decision.mark, FlowMark::kReset);
  ASSERT_EQ(outcome.injections.size(), 1U);
  EXPECT_FALSE(outcome.injections[0].to_client);
}

// The rule denies nothing but what it demands; its `refuse` is about that.
TEST_F(RefusalTest, AllowRuleSaysHowItsDemandIsRefused) {
  for (const bool reset : {false, true}) {
    SCOPED_TRACE(reset);
    use(std::string("version = 1\n[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"smtp\"]\nports = [25]\nstarttls = \"require\"\n") +
        (reset ? "refuse = \"reset\"\n" : ""));
    TcpConversation tcp(client_, endpoint("192.0.2.1", 25));
    fw_->client(tcp.syn());
    fw_->server(tcp.syn_ack());
    fw_->client(tcp.handshake_ack());
    fw_->server(tcp.server_data(bytes_of("220 mail.example ESMTP\r\n")));
    EXPECT_EQ(send(tcp, bytes_of("EHLO client.example\r\n")).decision.verdict, Verdict::kAccept);
    fw_->server(tcp.server_data(bytes_of("250 mail.example\r\n")));
    const Outcome outcome = send(tcp, bytes_of("MAIL FROM:<me@client.example>\r\n"));
    EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw_->verdicts().back().reason, Reason::kTlsRequired);
    ASSERT_EQ(outcome.injections.size(), reset ? 1U : 2U) << "the server's reset, and the words";
    EXPECT_EQ(outcome.injections[0].to_client, !reset);
    EXPECT_EQ(outcome.decision.mark, reset ? FlowMark::kReset : FlowMark::kSilent);
  }
}

TEST_F(RefusalTest, DropSaysNothingToTheClient) {
  use(std::string(kPolicy) + "[defaults]\nrefuse = \"drop\"\n");
  connect(tcp_);
  const Outcome outcome = send(tcp_, ClientHelloBuilder::typical("evil.example").record());
  EXPECT_EQ(outcome.decision.mark, FlowMark::kSilent);
  ASSERT_EQ(outcome.injections.size(), 1U);
  EXPECT_FALSE(outcome.injections[0].to_client);
}

TEST_F(RefusalTest, ObserverSendsNothing) {
  use(std::string(kPolicy) + "[defaults]\nmode = \"observe\"\n");
  connect(tcp_);
  EXPECT_TRUE(send(tcp_, ClientHelloBuilder::typical("evil.example").record()).injections.empty());
}

TEST_F(RefusalTest, SynIsRefusedByTheKernelAlone) {
  const Outcome outcome = fw_->client(TcpConversation(client_, endpoint("192.0.2.1", 2'222)).syn());
  EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);  // A name may still allow it there.
  use("version = 1\n[[rules]]\nto = \"good.example\"\n");
  const Outcome denied = fw_->client(TcpConversation(client_, endpoint("192.0.2.1", 2'222)).syn());
  EXPECT_EQ(denied.decision.mark, FlowMark::kReset);
  EXPECT_TRUE(denied.injections.empty()) << "the server has seen nothing";
}

TEST_F(RefusalTest, ConnectionWhoseBeginningWasNotSeenGetsNoPacketOfOurs) {
  const Outcome outcome = send(tcp_, ClientHelloBuilder::typical("evil.example").record());
  EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
  EXPECT_TRUE(outcome.injections.empty());
}

TEST_F(RefusalTest, TimeOutIsToldToo) {
  connect(tcp_);
  const Bytes head = bytes_of("GET / HTTP/1.1\r\nHost: good.exa");
  EXPECT_EQ(send(tcp_, head).decision.verdict, Verdict::kHold);
  const Outcome outcome = fw_->wait(kHoldTime + std::chrono::seconds(1));
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_TRUE(outcome.injections[0].to_client);
}

TEST_F(RefusalTest, OneSourceIsToldSoOftenAndThenReset) {
  std::size_t told = 0;
  for (std::uint16_t i = 0; i < kRefusalBurst + 50; ++i) {
    TcpConversation tcp(endpoint("10.0.0.1", static_cast<std::uint16_t>(20'000 + i)), server_);
    connect(tcp);
    const Outcome outcome = send(tcp, ClientHelloBuilder::typical("evil.example").record());
    told += std::ranges::count(outcome.injections, true, &Injected::to_client) != 0 ? 1U : 0U;
    EXPECT_EQ(std::ranges::count(outcome.injections, false, &Injected::to_client), 1);
  }
  EXPECT_GE(told, kRefusalBurst);
  EXPECT_LT(told, kRefusalBurst + 50);
  TcpConversation other(endpoint("10.0.0.2", 20'000), server_);
  connect(other);
  EXPECT_EQ(send(other, ClientHelloBuilder::typical("evil.example").record()).injections.size(), 2U);
}

TEST_F(RefusalTest, Ipv6IsRefusedAlike) {
  TcpConversation tcp(endpoint("2001:db8:1::1", 40'000), endpoint("2001:db8:2::1", 80));
  connect(tcp);
  const Outcome outcome = send(tcp, bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_THAT(heard(outcome.injections[0]).text, HasSubstr("evil.example is not allowed for agent"));
}

TEST_F(RefusalTest, ClientThatWasToldIsResetSoonAfter) {
  connect(tcp_);
  const Outcome outcome = send(tcp_, bytes_of("POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 200000\r\n\r\nbody"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  const Heard words = heard(outcome.injections[0]);
  EXPECT_TRUE(fw_->wait(kRefusalEndsAfter / 2).injections.empty());
  const Outcome later = fw_->wait(kRefusalEndsAfter);
  ASSERT_EQ(later.injections.size(), 2U) << "behind the words and their FIN, and where they were due if they are lost";
  const std::uint32_t size = static_cast<std::uint32_t>(words.text.size());
  for (const std::size_t i : {0U, 1U}) {
    const Heard reset = heard(later.injections[i]);
    EXPECT_TRUE(later.injections[i].to_client && reset.ip.tcp.rst && reset.text.empty());
    EXPECT_EQ(reset.ip.tcp.sequence, words.ip.tcp.sequence + (i == 0 ? size + 1 : 0));
  }
  EXPECT_TRUE(fw_->wait(kRefusalEndsAfter).injections.empty());
}

TEST_F(RefusalTest, EachOfAThousandClientsIsReset) {
  constexpr std::size_t kClients = 1'000;
  for (std::size_t i = 0; i < kClients; ++i) {
    const std::string address = "10.0." + std::to_string(i / 250) + '.' + std::to_string(1 + i % 250);
    TcpConversation tcp(endpoint(address, 40'000), server_);
    connect(tcp);
    ASSERT_EQ(send(tcp, ClientHelloBuilder::typical("evil.example").record()).injections.size(), 2U);
  }
  std::size_t resets = 0;
  for (int calls = 0; calls < 20; ++calls) resets += fw_->wait(kRefusalEndsAfter).injections.size();
  EXPECT_EQ(resets, 2 * kClients) << "more than one call has room for";
}

TEST_F(RefusalTest, RequestBehindOneThatIsNotAnsweredYetGetsNoWords) {
  connect(tcp_);
  EXPECT_EQ(send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")).decision.verdict, Verdict::kAccept);
  const Outcome outcome = send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  EXPECT_EQ(outcome.decision.mark, FlowMark::kReset) << "they would be taken for the first one's answer";
  ASSERT_EQ(outcome.injections.size(), 1U);
  EXPECT_FALSE(outcome.injections[0].to_client);
}

TEST_F(RefusalTest, StreamOfHttp2IsAnsweredBetweenTheServersFrames) {
  const Bytes settings = {0, 0, 0, 4, 0, 0, 0, 0, 0};
  const Bytes data = {0, 0, 4, 0, 0, 0, 0, 0, 1, 'b', 'o', 'd', 'y'};
  for (const std::size_t of_data : {std::size_t{0}, data.size(), std::size_t{5}, std::size_t{11}}) {
    const bool whole = of_data == 0 || of_data == data.size();
    TcpConversation tcp(endpoint("10.0.0.1", static_cast<std::uint16_t>(42'000 + of_data)), server_);
    connect(tcp);
    const std::string first = std::string(kHttp2Preface) + h2_frame(kH2Settings, 0, 0, "") + h2_headers(1, h2_get("good.example"));
    EXPECT_EQ(fw_->client(tcp.client_data(first)).decision.verdict, Verdict::kAccept);
    fw_->server(tcp.server_data(ByteSpan(settings)));
    if (of_data != 0) fw_->server(tcp.server_data(ByteSpan(data).first(of_data)));
    const Outcome outcome = send(tcp, as_bytes_of(h2_headers(3, h2_get("evil.example"))));
    EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
    ASSERT_EQ(outcome.injections.size(), whole ? 2U : 1U) << of_data;
    EXPECT_EQ(outcome.injections[0].to_client, whole);
    if (whole) {
      EXPECT_THAT(heard(outcome.injections[0]).text, HasSubstr("evil.example is not allowed"));
    }
  }
}

TEST_F(RefusalTest, WordsStandBehindWhatTheClientHasInOrder) {
  connect(tcp_);
  send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n"));
  const std::uint32_t due = tcp_.server_next();
  fw_->server(tcp_.server_data(bytes_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")));
  const std::uint32_t behind = tcp_.server_next();
  fw_->server(tcp_.server_at(0).seq(behind + 100).ack(tcp_.client_next()).payload("lost before it").build());
  const Outcome outcome = send(tcp_, bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  ASSERT_EQ(outcome.injections.size(), 2U);
  EXPECT_NE(behind, due);
  EXPECT_EQ(heard(outcome.injections[0]).ip.tcp.sequence, behind);
}

TEST_F(RefusalTest, NobodyAnswersFromAGroupsAddress) {
  const Bytes query = DnsMessageBuilder().question("evil.example", 1).build();
  EXPECT_TRUE(fw_->client(PacketBuilder::udp(client_, endpoint("239.1.2.3", 53)).payload(query).build()).injections.empty());
  EXPECT_TRUE(fw_->client(PacketBuilder::udp(endpoint("10.0.0.1", 53), endpoint("192.0.2.53", 53)).payload(query).build()).injections.empty());
}

}  // namespace
}  // namespace sallyport::testing
