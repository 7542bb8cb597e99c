// What an inspector that reads details tells of a flow beside its verdict.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/dtls_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::Detail;

constexpr const char* kPolicy = "version = 1\n[defaults]\nmode = \"observe\"\n";

class DetailsTest : public ::testing::Test {
 protected:
  static engine::InspectorOptions with_details() {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.read_details = true;
    return options;
  }
  DetailsTest() {
    fw_.client(tcp_.syn());
    fw_.server(tcp_.syn_ack());
  }
  void client(std::string_view text) { fw_.client(tcp_.client_data(text)); }
  void server(std::string_view text) { fw_.server(tcp_.server_data(text)); }
  void hello(const std::string& name) {
    const Bytes record = ClientHelloBuilder::typical(name).record();
    for (const Bytes& segment : tcp_.client_segments(record, 100)) fw_.client(segment);
  }

  InspectorHarness fw_{kPolicy, with_details()};
  TcpConversation tcp_{endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 2'525)};
};

TEST_F(DetailsTest, TheNameBehindStarttlsIsTold) {
  server("220 mail.example ESMTP\r\n");
  client("EHLO me.example\r\n");
  server("250-mail.example\r\n250 STARTTLS\r\n");
  client("starttls\r\n");
  server("220 go ahead\r\n");
  hello("mx.example");
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"mx.example"});
  EXPECT_EQ(fw_.detail(Detail::kJa4).size(), 36U);
}

TEST_F(DetailsTest, ARefusedStarttlsGoesOnAndALaterOneCounts) {
  server("* OK ready\r\n");
  client("a1 STARTTLS\r\n");
  server("a1 NO later\r\n");
  client("a2 CAPABILITY\r\na3 STARTTLS\r\n");
  server("a2 OK\r\na3 OK\r\n");
  hello("imap.example");
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"imap.example"});
}

TEST_F(DetailsTest, FtpAndPop3HaveCommandsOfTheirOwn) {
  server("220 FTP ready\r\n");
  client("AUTH TLS\r\n");
  server("234 go\r\n");
  hello("ftp.example");
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"ftp.example"});
}

TEST_F(DetailsTest, AHelloWithoutARequestForTlsIsNotRead) {
  server("+OK POP3\r\n");
  client("CAPA\r\n");
  server("+OK\r\n.\r\n");
  hello("pop.example");
  EXPECT_TRUE(fw_.names().empty());
}

TEST_F(DetailsTest, AServerThatSpokeFirstIsToldApartOnceTheClientHasSpoken) {
  server("220 ready\r\n");
  client("PORT 10,0,0,1,4,1\r\n");
  fw_.inspector().finish(fw_.policy(), fw_.now());
  ASSERT_FALSE(fw_.inspector().events().empty());
  EXPECT_EQ(fw_.inspector().events().back().protocol, Protocol::kFtp);
}

TEST_F(DetailsTest, ARequestWithBareLineFeedsIsNamedAndRefused) {
  client("GET / HTTP/1.1\n");
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].reason, Reason::kAmbiguous);
  EXPECT_TRUE(fw_.names().empty());
  client("Host: www.exam");
  client("ple.com\n\n");
  client("GET / HTTP/1.1\nHost: other.example\n\n");
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"www.example.com"});
}

TEST_F(DetailsTest, ADeniedTunnelIsFollowedToTheNameInside) {
  client("CONNECT proxy.example:443 HTTP/1.1\r\nHost: proxy.example:443\r\n\r\n");
  server("HTTP/1.1 200 OK\r\n\r\n");
  hello("inside.example");
  EXPECT_EQ(fw_.names(), (std::vector<std::string>{"proxy.example", "inside.example"}));
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].name, "proxy.example");
}

TEST_F(DetailsTest, EveryRequestOfADeniedConnectionIsNamedOnce) {
  client("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  client("GET / HTTP/1.1\r\nHost: b.example\r\n\r\nGET / HTTP/1.1\r\nHost: c.example\r\n\r\n");
  EXPECT_EQ(fw_.names(), (std::vector<std::string>{"a.example", "b.example", "c.example"}));
}

TEST_F(DetailsTest, AConnectionWithoutItsBeginningIsTurnedWhenItsFirstPayloadSaysSo) {
  TcpConversation midstream(endpoint("10.0.0.1", 46'798), endpoint("192.0.2.1", 3'120));
  (void)midstream.handshake();
  fw_.feed(midstream.server_ack(), Origin::kUnknown);
  fw_.feed(midstream.client_data("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), Origin::kUnknown);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"a.example"});
}

TEST_F(DetailsTest, ARequestThatNeverEndsIsNamedByItsHostField) {
  client("GET / HTTP/1.1\r\nHost: www.Example.com\r\nCookie: abc");
  fw_.inspector().finish(fw_.policy(), fw_.now());
  const auto events = fw_.inspector().events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, engine::FlowEvent::Kind::kName);
  EXPECT_EQ(events[0].text, "www.example.com");
  EXPECT_EQ(events[1].kind, engine::FlowEvent::Kind::kEnd);
}

TEST_F(DetailsTest, AHostFieldThatIsCutIsNoName) {
  client("GET / HTTP/1.1\r\nHost: www.example.co");
  fw_.inspector().finish(fw_.policy(), fw_.now());
  EXPECT_EQ(fw_.inspector().events().size(), 1U);
}

TEST_F(DetailsTest, TheHighestVersionOfAHelloIsTold) {
  hello("a.example");
  EXPECT_EQ(fw_.detail(Detail::kTlsVersion), "TLS 1.3");
}

TEST_F(DetailsTest, AnEncryptedClientHelloIsTold) {
  const Bytes record = ClientHelloBuilder().server_name("outer.example").ech_outer().record();
  fw_.client(tcp_.client_data(record));
  EXPECT_EQ(fw_.detail(Detail::kEch), "outer");
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"outer.example"});
}

TEST_F(DetailsTest, AnSslVersion2HelloIsKnownAndRefused) {
  fw_.client(tcp_.client_data(hex("802e 01 0002 0015 0000 0010") ));
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].protocol, Protocol::kTls);
  EXPECT_EQ(fw_.verdicts()[0].reason, Reason::kUnsupportedVersion);
}

TEST_F(DetailsTest, TwoDatagramsOfOneSourceAreRtp) {
  const auto send = [&](std::string_view payload) {
    fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", 40'002), endpoint("192.0.2.1", 5'004)).payload(payload).build());
  };
  fw_.inspector().finish(fw_.policy(), fw_.now());
  send(std::string_view("\x80\0\0\1\0\0\0\xa0SSRCvoice and more of it", 33));
  send(std::string_view("\x80\0\0\2\0\0\1\x40SSRCvoice and more of it", 33));
  EXPECT_EQ(fw_.end(), Protocol::kRtp);
}

TEST_F(DetailsTest, AnAnswerWithoutItsQuestionIsNamed) {
  const auto answer = sallyport::testing::DnsMessageBuilder(7).response().question("a.example", 1).a("a.example", "192.0.2.9").build();
  fw_.feed(PacketBuilder::udp(endpoint("192.0.2.53", 53), endpoint("10.0.0.1", 4'000)).payload(ByteSpan(answer)).build(),
           Origin::kUnknown);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"a.example"});
  EXPECT_EQ(fw_.detail(Detail::kAnswer), "192.0.2.9");
}

TEST_F(DetailsTest, AQuestionWithMalformedRecordsBehindItIsNamedAndRefused) {
  auto query = sallyport::testing::DnsMessageBuilder(7).question("a.example", 1).edns().build();
  query.resize(query.size() - 3);
  fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", 4'000), endpoint("192.0.2.53", 53)).payload(ByteSpan(query)).build());
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"a.example"});
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].reason, Reason::kMalformed);
}

TEST_F(DetailsTest, AQuicFlowThatBeginsWithItsServerIsTurned) {
  const auto server = endpoint("192.0.2.1", 443);
  const auto peer = endpoint("10.0.0.1", 4'001);
  const Bytes answer = QuicInitialBuilder().from_server().ping().build();
  const Bytes hello = quic_hello_datagrams(ClientHelloBuilder::typical("a.example").message())[0];
  fw_.feed(PacketBuilder::udp(server, peer).payload(ByteSpan(answer)).build(), Origin::kUnknown);
  fw_.feed(PacketBuilder::udp(peer, server).payload(ByteSpan(hello)).build(), Origin::kUnknown);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"a.example"});
}

TEST_F(DetailsTest, ADtlsFlowThatBeginsWithItsServerIsTurned) {
  const auto server = endpoint("192.0.2.1", 5'000);
  const auto peer = endpoint("10.0.0.1", 4'002);
  const Bytes request = dtls_message(3, hex("feff 04 01020304"));
  const Bytes hello = dtls_message(1, dtls_hello_body(ClientHelloBuilder().server_name("a.example").build()));
  fw_.feed(PacketBuilder::udp(server, peer).payload(ByteSpan(request)).build(), Origin::kUnknown);
  fw_.feed(PacketBuilder::udp(peer, server).payload(ByteSpan(hello)).build(), Origin::kUnknown);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"a.example"});
}

TEST_F(DetailsTest, SeveralSpacesInARequestLineAreHttpAndRefused) {
  client("GET     / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].protocol, Protocol::kHttp);
  EXPECT_EQ(fw_.verdicts()[0].reason, Reason::kAmbiguous);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"www.example.com"});
}

TEST_F(DetailsTest, WhatADnsServerSaysBeforeAQuestionIsNotReadForThem) {
  InspectorHarness fw("version = 1\n[dns]\nresolvers = [\"192.0.2.53\"]\nnames = \"any\"\n", with_details());
  TcpConversation tcp(endpoint("10.0.0.1", 41'000), endpoint("192.0.2.53", 53));
  fw.client(tcp.syn());
  fw.server(tcp.syn_ack());
  Bytes question = DnsMessageBuilder(7).question("good.example", 1).build();
  question.insert(question.begin(), {0, static_cast<std::uint8_t>(question.size() + 60)});  // Longer than what comes.
  EXPECT_EQ(fw.client(tcp.client_data(question)).decision.verdict, Verdict::kHold);
  EXPECT_EQ(fw.server(tcp.server_data(std::string_view("\0\x04rubbish, as without details", 29))).decision.verdict, Verdict::kAccept);
}

TEST_F(DetailsTest, WhatADnsServerSaidBeforeItsFirstQuestionIsNoAnswerAndNamesNoProtocol) {
  InspectorHarness fw("version = 1\n[dns]\nresolvers = [\"192.0.2.53\"]\nnames = \"any\"\n", with_details());
  TcpConversation tcp(endpoint("10.0.0.1", 41'000), endpoint("192.0.2.53", 53));
  fw.client(tcp.syn());
  fw.server(tcp.syn_ack());
  TcpConversation early = tcp;
  fw.server(early.server_data("SSH-2.0-before\r\n"));
  constexpr std::uint16_t kHttps = 65;  // Its answer is followed, for it may carry keys.
  EXPECT_EQ(fw.client(tcp.client_data(ByteSpan(DnsMessageBuilder(7).question("good.example", kHttps).build_tcp()))).decision.verdict, Verdict::kAccept);
  ASSERT_EQ(fw.verdicts().size(), 1U);
  EXPECT_EQ(fw.verdicts()[0].protocol, Protocol::kDns);
  const auto answer = fw.server(tcp.server_data(std::string_view("\0\x04other bytes than before", 24)));
  EXPECT_NE(to_string(answer.decision.reason), to_string(Reason::kRetransmissionDiffers));
}

}  // namespace
}  // namespace sallyport::testing
