// What a hostile client tries to get bytes or names past the inspector: each test is one such way.
#include <gtest/gtest.h>

#include <string>

#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/dtls_builder.h"
#include "support/http2_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {


constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "also.example"]
protocols = ["tls", "http", "quic"]
ports = "any"
[[rules]]
to = ["198.51.100.9"]
protocols = ["udp"]
ports = "any"
[[rules]]
to = ["198.51.100.9"]
protocols = ["quic"]
ports = [4433]
action = "deny"
)";

const auto kClient = endpoint("10.0.0.1", 40'000);

// --- QUIC ------------------------------------------------------------------------------------------

class QuicAdversaryTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  const Endpoint server_ = endpoint("192.0.2.1", 443);
  const Bytes first_id_ = hex("1111111111111111");
  const Bytes second_id_ = hex("2222222222222222");
  std::uint64_t number_ = 0;

  Outcome send(const Bytes& datagram) {
    return fw_.client(PacketBuilder::udp(kClient, server_).payload(ByteSpan(datagram)).build());
  }
  Bytes initial(const Bytes& id, std::uint64_t offset, const Bytes& crypto, std::size_t size = 1'200) {
    return QuicInitialBuilder(kTestQuicV1, id).packet_number(number_++).crypto(offset, crypto).datagram_size(size).build();
  }
  static Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
    return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
  }
  // A long header packet of another type than Initial (0-RTT 0x10, Handshake 0x20) with bytes that mean nothing.
  static Bytes long_packet(std::uint8_t type, const Bytes& id) {
    Bytes packet = {static_cast<std::uint8_t>(0xc0 | type), 0, 0, 0, 1, static_cast<std::uint8_t>(id.size())};
    packet = joined(joined(packet, id), hex("00 18"));
    return joined(packet, Bytes(0x18, 0x55));
  }
};

TEST_F(QuicAdversaryTest, AnotherConnectionDoesNotReleaseHalfAHello) {
  const Bytes evil = ClientHelloBuilder::typical("evil.example").message();
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  EXPECT_EQ(send(initial(first_id_, 0, part(evil, 0, 150))).decision.verdict, Verdict::kHold);
  const Outcome other = send(initial(second_id_, 0, good));
  EXPECT_EQ(other.decision.verdict, Verdict::kAccept);
  ASSERT_EQ(other.releases.size(), 1U);
  EXPECT_EQ(other.releases[0].decision.verdict, Verdict::kDrop) << "the first half of another hello";
}

TEST_F(QuicAdversaryTest, ADatagramMixesNoConnections) {
  const Bytes evil = ClientHelloBuilder::typical("evil.example").message();
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  const Bytes mixed = joined(initial(first_id_, 0, part(evil, 0, 150), 250), initial(second_id_, 0, good, 900));
  EXPECT_EQ(send(mixed).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.accepted(), 0U);
}

TEST_F(QuicAdversaryTest, AHandshakePacketReleasesNoHalfOfASecondHello) {
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  const Bytes evil = ClientHelloBuilder::typical("evil.example").message();
  EXPECT_EQ(send(initial(first_id_, 0, good)).decision.verdict, Verdict::kAccept);
  const Bytes half = initial(first_id_, good.size(), part(evil, 0, 150));
  EXPECT_EQ(send(half).decision.verdict, Verdict::kHold);
  for (const std::uint8_t type : {std::uint8_t{0x20}, std::uint8_t{0x10}}) {
    EXPECT_NE(send(long_packet(type, first_id_)).decision.verdict, Verdict::kAccept) << int{type};
  }
  EXPECT_NE(send(Bytes(60, 0x41)).decision.verdict, Verdict::kAccept) << "a short header packet";
  EXPECT_EQ(fw_.accepted(), 1U);
}

TEST_F(QuicAdversaryTest, HalfASecondHelloDoesNotGoWithAHandshakePacketInItsDatagram) {
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  const Bytes evil = ClientHelloBuilder::typical("evil.example").message();
  EXPECT_EQ(send(initial(first_id_, 0, good)).decision.verdict, Verdict::kAccept);
  const Bytes half = initial(first_id_, good.size(), part(evil, 0, 150), 1'100);
  EXPECT_NE(send(joined(half, long_packet(0x10, first_id_))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.accepted(), 1U);
}

TEST_F(QuicAdversaryTest, TheHelloOfAConnectionCannotBeRewrittenOnceItsHistoryIsGone) {
  // The server has the first hello and asked for a second one. The rewritten stream is one hello to an allowed
  // name, in which the second hello, as the server reads it, is padding.
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  const Bytes evil = ClientHelloBuilder::typical("evil.example").message();
  EXPECT_EQ(send(initial(first_id_, 0, good)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(long_packet(0x20, first_id_)).decision.verdict, Verdict::kAccept);
  const Bytes start = ClientHelloBuilder().server_name("good.example").message();
  ASSERT_LT(start.size() + 4, good.size());
  Bytes filler(good.size() - start.size() - 4);
  const Bytes rewritten =
      ClientHelloBuilder().server_name("good.example").extension(0x7777, joined(filler, evil)).message();
  ASSERT_EQ(rewritten.size(), good.size() + evil.size());
  EXPECT_NE(send(initial(first_id_, good.size(), evil)).decision.verdict, Verdict::kAccept);
  EXPECT_NE(send(initial(first_id_, 0, part(rewritten, 0, good.size()))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.accepted(), 2U);
}

TEST_F(QuicAdversaryTest, AConnectionThatComesBackMustSayTheSame) {
  const Bytes good = ClientHelloBuilder::typical("good.example").message();
  const Bytes also = ClientHelloBuilder::typical("also.example").message();
  EXPECT_EQ(send(initial(first_id_, 0, good)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(initial(second_id_, 0, also)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(initial(first_id_, 0, good)).decision.verdict, Verdict::kAccept) << "an honest retransmission";
  EXPECT_EQ(send(initial(second_id_, 0, good)).decision.reason, Reason::kHelloChanged);
}

TEST_F(QuicAdversaryTest, NoPacketOfADatagramIsLeftUnread) {
  Bytes datagram;
  for (int i = 0; i < 16; ++i) datagram = joined(datagram, long_packet(0x10, first_id_));
  datagram = joined(datagram, initial(first_id_, 0, ClientHelloBuilder::typical("evil.example").message(), 600));
  send(datagram);
  send(initial(second_id_, 0, ClientHelloBuilder::typical("good.example").message()));
  EXPECT_LE(fw_.accepted(), 1U) << "the second datagram at most";
}

TEST_F(QuicAdversaryTest, AnAggregateOfDatagramsHidesNoHelloBehindAShortHeader) {
  // The kernel cuts it into three datagrams of 1200 bytes (UDP_SEGMENT) behind the queue.
  const Bytes good = initial(first_id_, 0, ClientHelloBuilder::typical("good.example").message());
  const Bytes evil = initial(second_id_, 0, ClientHelloBuilder::typical("evil.example").message());
  const Bytes between(1'200, 0x41);
  EXPECT_EQ(send(joined(joined(good, between), evil)).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(send(joined(good, between)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(joined(between, evil)).decision.verdict, Verdict::kDrop);
}

TEST_F(QuicAdversaryTest, ADnsMessageOnAnAllowedTupleIsNotQuic) {
  const Endpoint resolver = endpoint("192.0.2.53", 53);
  const auto to_resolver = [&](const Bytes& bytes) {
    return fw_.client(PacketBuilder::udp(kClient, resolver).payload(ByteSpan(bytes)).build());
  };
  const Bytes hello = initial(first_id_, 0, ClientHelloBuilder::typical("good.example").message());
  EXPECT_EQ(to_resolver(hello).decision.verdict, Verdict::kAccept);
  const Bytes question = hex("1234 0100 0001 0000 0000 0000 04 6576696c 07 6578616d706c65 00 0001 0001");
  EXPECT_EQ(to_resolver(question).decision.verdict, Verdict::kDrop);
}

// --- DTLS and UDP ----------------------------------------------------------------------------------

class DtlsAdversaryTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  const Endpoint server_ = endpoint("198.51.100.9", 4433);

  Outcome send(const Bytes& datagram) {
    return fw_.client(PacketBuilder::udp(kClient, server_).payload(ByteSpan(datagram)).build());
  }
  static Bytes body(const std::string& name) { return dtls_hello_body(ClientHelloBuilder().server_name(name).build()); }
};

TEST_F(DtlsAdversaryTest, AnotherMessageDoesNotReleaseHalfAHello) {
  EXPECT_EQ(send(dtls_fragment(1, body("evil.example"), 0, 60, 0)).decision.verdict, Verdict::kHold);
  send(dtls_message(1, body("good.example"), 1));
  EXPECT_EQ(fw_.accepted(), 0U);
}

TEST_F(DtlsAdversaryTest, AnEarlierMessageIsNotReadAnew) {
  EXPECT_EQ(send(dtls_message(1, body("good.example"), 0)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(dtls_message(1, body("good.example"), 1)).decision.verdict, Verdict::kAccept);
  Bytes other = body("good.example");
  other[10] ^= 1;
  EXPECT_EQ(send(dtls_message(1, other, 0)).decision.verdict, Verdict::kDrop);
}

TEST_F(DtlsAdversaryTest, NothingStaysHeldBehindTheServersHello) {
  EXPECT_EQ(send(dtls_message(1, body("good.example"), 0)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(send(dtls_fragment(1, body("evil.example"), 0, 60, 1)).decision.verdict, Verdict::kHold);
  const Bytes answer = dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33)));
  const Outcome outcome = fw_.server(PacketBuilder::udp(server_, kClient).payload(ByteSpan(answer)).build());
  ASSERT_EQ(outcome.releases.size(), 1U);
  EXPECT_EQ(outcome.releases[0].decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.inspector().counters().packets_held.load(), 0U);
}

TEST(UdpAdversaryTest, BytesBehindTheUdpLengthAreRefused) {
  InspectorHarness fw(kPolicy);
  Bytes packet = PacketBuilder::udp(kClient, endpoint("198.51.100.9", 9)).payload("hidden bytes").build();
  constexpr std::size_t kUdpLengthLow = 20 + 5;
  packet[kUdpLengthLow] = 8;
  EXPECT_EQ(fw.client(packet).decision.verdict, Verdict::kDrop);
}

// --- TCP -------------------------------------------------------------------------------------------

class TcpAdversaryTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  TcpConversation tcp_{kClient, endpoint("192.0.2.1", 80)};

  void connect() {
    fw_.client(tcp_.syn());
    (void)tcp_.syn_ack();
  }
  Outcome send(std::string_view text) { return fw_.client(tcp_.client_data(text)); }
  static std::string get(const std::string& host) { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"; }
};

TEST_F(TcpAdversaryTest, TheHeaderOfASkippedRecordCannotBecomeAHello) {
  // The early data record never reaches the server, which asks for a second hello: its place takes that hello.
  connect();
  Bytes hello = ClientHelloBuilder::typical("good.example").early_data().record();
  EXPECT_EQ(fw_.client(tcp_.client_data(ByteSpan(hello))).decision.verdict, Verdict::kAccept);
  const Bytes evil = ClientHelloBuilder::typical("evil.example").record();
  const Bytes decoy = tls_records(Bytes(evil.size() - 5, 0x77), {}, 23, 0x0303);
  ASSERT_EQ(decoy.size(), evil.size());
  const auto at = static_cast<std::uint32_t>(hello.size());
  EXPECT_EQ(fw_.client(tcp_.client_at(at).payload(ByteSpan(decoy)).build()).decision.verdict, Verdict::kAccept);
  fw_.server(tcp_.server_data(ByteSpan(server_hello(true))));
  EXPECT_EQ(fw_.client(tcp_.client_at(at).payload(ByteSpan(evil)).build()).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpAdversaryTest, ABodyOfManyGigabytesIsFollowedToItsEnd) {
  for (const std::uint64_t length : {3'000'000'000ULL, 6'000'000'000ULL}) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(kClient, endpoint("192.0.2.1", 80));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    const std::string head = "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
    EXPECT_EQ(fw.client(tcp.client_data(head)).decision.verdict, Verdict::kAccept);
    std::uint64_t sent = 0;
    constexpr std::uint64_t kStep = 500'000'000;  // A window may be up to 1 GiB, RFC 7323 §2.3.
    while (sent < length) {
      const auto at = static_cast<std::uint32_t>(head.size() + sent);
      EXPECT_EQ(fw.client(tcp.client_at(at).payload("GET / HTTP/1.1\r\n").build()).decision.verdict, Verdict::kAccept) << sent;
      sent += kStep;
    }
    const auto end = static_cast<std::uint32_t>(head.size() + length);
    EXPECT_EQ(fw.client(tcp.client_at(end).payload(get("evil.example")).build()).decision.reason, Reason::kNameNotAllowed);
  }
}

TEST_F(TcpAdversaryTest, ASynBehindAFinDoesNotShiftTheStreamTheServerReads) {
  // The FIN and the SYN never reach the server. What the new connection begins with lies before what the server
  // expects, which takes the body for a request.
  connect();
  EXPECT_EQ(send(get("good.example")).decision.verdict, Verdict::kAccept);
  const std::uint32_t expected = tcp_.client_next();
  fw_.client(tcp_.client_at(expected - 1'001).flags(::sallyport::testing::kFin).ack(5'001).build());
  const std::string head = "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 500\r\n\r\n";
  const std::uint32_t start = expected - static_cast<std::uint32_t>(head.size());
  fw_.client(PacketBuilder::tcp(kClient, endpoint("192.0.2.1", 80)).seq(start - 1).flags(::sallyport::testing::kSyn).build());
  const auto data = PacketBuilder::tcp(kClient, endpoint("192.0.2.1", 80)).seq(start).ack(5'001).payload(head + get("evil.example"));
  EXPECT_EQ(fw_.client(data.build()).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpAdversaryTest, ANewConnectionOnAnOldTupleWorksOnceTheServerTookIt) {
  connect();
  EXPECT_EQ(send(get("good.example")).decision.verdict, Verdict::kAccept);
  fw_.client(tcp_.client_rst());
  TcpConversation again(kClient, endpoint("192.0.2.1", 80), 700'000, 900'000);
  const auto syn = fw_.client(again.syn());
  EXPECT_EQ(syn.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(syn.decision.mark, FlowMark::kWatch) << "the answer must be seen";
  EXPECT_EQ(fw_.server(again.syn_ack()).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.client(again.handshake_ack()).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.client(again.client_data(get("good.example"))).decision.verdict, Verdict::kAccept);
}

TEST_F(TcpAdversaryTest, ASynIsNoRepetitionOnceItsFlowWasHandedOver) {
  // After a reset the client connects again with the sequence number of before: a connection of its own, whose
  // hello is not judged yet.
  connect();
  EXPECT_EQ(fw_.client(tcp_.client_data(ByteSpan(ClientHelloBuilder::typical("good.example").record()))).decision.verdict,
            Verdict::kAccept);
  EXPECT_EQ(fw_.server(tcp_.server_data(ByteSpan(server_hello(false)))).decision.mark, FlowMark::kAllow);
  fw_.client(tcp_.client_rst());
  TcpConversation again(kClient, endpoint("192.0.2.1", 80));
  EXPECT_EQ(fw_.client(again.syn()).decision.mark, FlowMark::kWatch);
  fw_.server(again.syn_ack());
  fw_.client(again.handshake_ack());
  const Bytes evil = ClientHelloBuilder::typical("evil.example").record();
  EXPECT_EQ(fw_.client(again.client_data(ByteSpan(evil))).decision.reason, Reason::kNameNotAllowed);
}

TEST_F(TcpAdversaryTest, UrgentDataInASynIsRefused) {
  const auto syn = tcp_.client_at(static_cast<std::uint32_t>(-1)).flags(::sallyport::testing::kSyn).urgent_pointer(3);
  EXPECT_EQ(fw_.client(PacketBuilder(syn).payload(get("good.example")).build()).decision.reason, Reason::kUrgentData);
}

TEST_F(TcpAdversaryTest, TheUnseenEndOfATruncatedSegmentDoesNotGo) {
  connect();
  EXPECT_EQ(send("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 100\r\n\r\n").decision.verdict, Verdict::kAccept);
  Bytes segment = tcp_.client_data(std::string(104, 'x'));
  const std::size_t whole = segment.size();
  segment.resize(whole - 4);
  EXPECT_EQ(fw_.feed(segment, Origin::kOriginal, whole).decision.verdict, Verdict::kDrop);
}

TEST_F(TcpAdversaryTest, ASteadyPipelineIsNotTakenForAWait) {
  connect();
  const std::string request = get("good.example");
  std::string carry;
  for (int i = 0; i < 100; ++i) {
    // Each segment ends in the middle of a request, and the next one completes it.
    const std::string text = carry.empty() ? request + request.substr(0, 20) : carry + request + request.substr(0, 20);
    carry = request.substr(20);
    EXPECT_NE(send(text).decision.verdict, Verdict::kDrop) << i;
    fw_.wait(std::chrono::milliseconds(100));
  }
  for (const SeenVerdict& verdict : fw_.verdicts()) EXPECT_EQ(verdict.verdict, engine::FlowVerdict::kAllow);
}

TEST_F(TcpAdversaryTest, ALostSegmentOfManySmallChunksMayBeSentAgain) {
  connect();
  const std::string head = "POST / HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(send(head).decision.verdict, Verdict::kAccept);
  const std::string chunk = "3e8\r\n" + std::string(1'000, 'x') + "\r\n";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(send(chunk).decision.verdict, Verdict::kAccept) << i;
  const auto again = tcp_.client_at(static_cast<std::uint32_t>(head.size())).payload(chunk).build();
  EXPECT_EQ(fw_.client(again).decision.verdict, Verdict::kAccept) << "a hundred kilobytes in flight are usual";
}

TEST_F(TcpAdversaryTest, Http2InATunnelSendsNothingBeforeItsFirstRequest) {
  connect();
  EXPECT_EQ(send("CONNECT good.example:80 HTTP/1.1\r\nHost: good.example:80\r\n\r\n").decision.verdict, Verdict::kAccept);
  fw_.server(tcp_.server_data("HTTP/1.1 200 OK\r\n\r\n"));
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  EXPECT_EQ(send(preface).decision.verdict, Verdict::kHold);
  const std::string ping("\0\0\10\6\0\0\0\0\0secrets!", 17);
  EXPECT_EQ(send(ping).decision.verdict, Verdict::kHold);
}

TEST_F(TcpAdversaryTest, NoFrameOfAnHttp2HeaderBlockLeavesBeforeItsRequestIsKnown) {
  connect();
  const auto fields = [](const std::string& authority) { return hpack(h2_get(authority)); };
  const std::string first = h2_open() + h2_headers(1, h2_get("good.example"));
  EXPECT_EQ(send(first).decision.verdict, Verdict::kAccept);
  const std::string begun = h2_frame(kH2Headers, kH2EndStream, 3, fields("evil.example"));
  EXPECT_EQ(send(begun).decision.verdict, Verdict::kHold) << "its last frame may still take it anywhere";
  const auto ended = send(h2_frame(kH2Continuation, kH2EndHeaders, 3, ""));
  EXPECT_EQ(ended.decision.verdict, Verdict::kDrop);
  ASSERT_EQ(ended.releases.size(), 1U);
  EXPECT_EQ(ended.releases[0].decision.verdict, Verdict::kDrop);
}

TEST(DetailsAdversaryTest, ReadingDetailsLetsNoStaleSegmentOfADeniedFlowGo) {
  engine::InspectorOptions options = InspectorHarness::small_options();
  options.read_details = true;
  InspectorHarness fw(kPolicy, options);
  TcpConversation tcp(kClient, endpoint("192.0.2.1", 443));
  fw.client(tcp.syn());
  (void)tcp.syn_ack();
  EXPECT_EQ(fw.client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("evil.example").record()))).decision.verdict, Verdict::kDrop);
  const auto stale = tcp.client_at(static_cast<std::uint32_t>(-50)).payload("before the stream").build();
  EXPECT_EQ(fw.client(stale).decision.verdict, Verdict::kDrop);
}

}  // namespace
}  // namespace sallyport::testing
