// FTP under the inspector: what a server announces is expected, what either side says of other hosts is refused.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;
using namespace std::string_literals;

constexpr const char* kPolicy = R"(
version = 1
[defaults]
refuse = "reset"
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["ftp"]
)";

class FtpFlowTest : public ::testing::Test {
 protected:
  explicit FtpFlowTest(const std::string& policy = kPolicy) : fw_(policy) {}

  void connect() {
    EXPECT_EQ(fw_.client(tcp_.syn()).decision.mark, FlowMark::kWatch);
    EXPECT_EQ(fw_.server(tcp_.syn_ack()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw_.client(tcp_.client_ack()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(server("220 FTP server ready\r\n").verdict, Verdict::kAccept);
    EXPECT_EQ(client("USER anonymous\r\n").verdict, Verdict::kAccept);
    EXPECT_EQ(server("331 tell\r\n").verdict, Verdict::kAccept);
    EXPECT_EQ(client("PASS me\r\n").verdict, Verdict::kAccept);
    EXPECT_EQ(server("230-Welcome\r\n227 Entering Passive Mode (192,0,2,1,4,1)\r\n230 in\r\n").verdict, Verdict::kAccept);
  }
  Decision client(const std::string& text) { return fw_.client(tcp_.client_data(text)).decision; }
  Decision server(const std::string& text) { return fw_.server(tcp_.server_data(text)).decision; }
  Decision syn(std::uint16_t port, const char* to = "192.0.2.1", const char* from = "10.0.0.1") {
    TcpConversation data(endpoint(from, ++data_port_), endpoint(to, port));
    return fw_.client(data.syn()).decision;
  }
  void expect_denied(Reason reason) {
    ASSERT_FALSE(fw_.verdicts().empty());
    EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kDeny);
    EXPECT_EQ(to_string(fw_.verdicts().back().reason), to_string(reason));
  }

  InspectorHarness fw_;
  TcpConversation tcp_{endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 21)};
  std::uint16_t data_port_ = 50'000;
};

TEST_F(FtpFlowTest, ADataPortIsOpenOnceAndOnlyWhenItIsAnnounced) {
  connect();
  EXPECT_EQ(syn(1'025).verdict, Verdict::kDrop) << "the text of a greeting announces nothing";
  EXPECT_EQ(client("PASV\r\n").verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
  EXPECT_EQ(server("227 Entering Passive Mode (192,0,2,1,156,64).\r\n").verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'001).verdict, Verdict::kDrop);
  EXPECT_EQ(syn(40'000, "192.0.2.2").verdict, Verdict::kDrop);
  EXPECT_EQ(syn(40'000, "192.0.2.1", "10.0.0.2").verdict, Verdict::kDrop);
  const Decision data = syn(40'000);
  EXPECT_EQ(data.verdict, Verdict::kAccept);
  EXPECT_EQ(data.mark, FlowMark::kAllow);
  EXPECT_EQ(data.reason, Reason::kExpected);
  EXPECT_EQ(data.rule, RuleId{0});
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop) << "one connection";
}

TEST_F(FtpFlowTest, TheControlConnectionStaysInTheQueue) {
  connect();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client("NOOP\r\n").mark, FlowMark::kWatch);
    EXPECT_EQ(server("200 ok\r\n").mark, FlowMark::kWatch);
  }
  EXPECT_EQ(fw_.verdicts().size(), 1U);
}

TEST_F(FtpFlowTest, ExtendedPassiveModeAnnouncesAPortOfTheSameServer) {
  tcp_ = TcpConversation(endpoint("2001:db8:1::9", 40'000), endpoint("2001:db8::1", 21));
  connect();
  client("EPSV\r\n");
  server("229 Entering Extended Passive Mode (|||40000|)\r\n");
  EXPECT_EQ(syn(40'000, "2001:db8::2", "2001:db8:1::9").verdict, Verdict::kDrop);
  EXPECT_EQ(syn(40'000, "2001:db8::1", "2001:db8:1::9").mark, FlowMark::kAllow);
}

TEST_F(FtpFlowTest, AnAnnouncementThatNobodyAskedForOpensNothing) {
  connect();
  server("227 Entering Passive Mode (192,0,2,1,156,64).\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
  client("EPSV\r\n");
  server("227 Entering Passive Mode (192,0,2,1,156,64).\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop) << "not what was asked for";
  server("229 x (|||40001|)\r\n229 x (|||40002|)\r\n");
  EXPECT_EQ(syn(40'001).verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'002).verdict, Verdict::kDrop) << "one question, one answer";
}

TEST_F(FtpFlowTest, ARefusedQuestionIsOver) {
  connect();
  client("PASV\r\n");
  server("502 no\r\n227 (192,0,2,1,156,64)\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, AQuestionThatIsAnsweredOtherwiseDoesNotStallTheSession) {
  connect();
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(client(i % 2 == 0 ? "PASV\r\n" : "EPSV\r\n").verdict, Verdict::kAccept) << i;
    server("200 no\r\n");
    EXPECT_EQ(client("NOOP\r\n").verdict, Verdict::kAccept) << i;
    server("300 what\r\n");
  }
  client("EPSV\r\n");
  server("229 x (|||40000|)\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kAccept);
}

TEST_F(FtpFlowTest, ALineBehindABareLfIsRefused) {
  connect();
  client("PASV\r\n");
  server("200 a file's name\n227 x (192,0,2,1,156,64)\r\n");
  expect_denied(Reason::kAmbiguous);
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, AnAnnouncementOfManyLinesIsRefused) {
  for (const char* line : {"227-x (192,0,2,1,156,64)\r\n", "229-x (|||40000|)\r\n"}) {
    fw_.client(tcp_.client_rst());
    tcp_ = TcpConversation(endpoint("10.0.0.1", ++data_port_), endpoint("192.0.2.1", 21));
    connect();
    client("PASV\r\nEPSV\r\n");
    server(line);
    expect_denied(Reason::kAmbiguous);
  }
}

TEST_F(FtpFlowTest, PipelinedQuestionsAreAnsweredInOrder) {
  connect();
  client("TYPE I\r\nPASV\r\nEPSV\r\nQUIT\r\n");
  server("200 ok\r\n");
  server("227 (192,0,2,1,156,64)\r\n229 (|||40001|)\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'001).verdict, Verdict::kAccept);
}

TEST_F(FtpFlowTest, CommandsBeyondThePipelineWaitForReplies) {
  connect();
  std::string many;
  for (std::size_t i = 0; i < kFtpPipelineMax; ++i) many += "NOOP\r\n";
  EXPECT_EQ(client(many).verdict, Verdict::kAccept);
  EXPECT_EQ(client("NOOP\r\n").verdict, Verdict::kHold);
  const auto reply = fw_.server(tcp_.server_data("200 ok\r\n"));
  ASSERT_EQ(reply.releases.size(), 1U);
  EXPECT_EQ(reply.releases[0].decision.verdict, Verdict::kAccept);
}

TEST_F(FtpFlowTest, TheExpectationEndsInTime) {
  connect();
  client("PASV\r\n");
  server("227 (192,0,2,1,156,64)\r\n");
  fw_.wait(kFtpDataTime);
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, AServerThatNamesAnotherHostIsCutBeforeTheClientReadsIt) {
  connect();
  client("PASV\r\n");
  const Decision reply = server("227 Entering Passive Mode (198,51,100,7,156,64)\r\n");
  expect_denied(Reason::kFtpOtherAddress);
  EXPECT_EQ(reply.verdict, Verdict::kAccept) << "it goes on as a reset";
  const ByteSpan sent = fw_.inspector().replacement();
  EXPECT_EQ(as_text(sent).find("198,51"), std::string_view::npos);
  EXPECT_EQ(syn(40'000, "198.51.100.7").verdict, Verdict::kDrop);
  EXPECT_EQ(client("NOOP\r\n").verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, SystemPortsAreNotAnnounced) {
  connect();
  client("EPSV\r\n");
  server("229 x (|||22|)\r\n");
  expect_denied(Reason::kFtpOtherAddress);
  EXPECT_EQ(syn(22).verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, TwoAddressesInOneReplyAreAmbiguous) {
  connect();
  client("PASV\r\n");
  server("227 (192,0,2,1,156,64) or (192,0,2,1,0,22)\r\n");
  expect_denied(Reason::kAmbiguous);
}

TEST_F(FtpFlowTest, AnActiveConnectionComesBackToTheClientAlone) {
  connect();
  EXPECT_EQ(client("PORT 10,0,0,1,156,64\r\n").verdict, Verdict::kAccept);
  EXPECT_EQ(client("EPRT |1|10.0.0.1|40000|\r\n").verdict, Verdict::kAccept);
  EXPECT_EQ(client("PORT 198,51,100,7,156,64\r\n").verdict, Verdict::kDrop) << "the bounce attack";
  expect_denied(Reason::kFtpOtherAddress);
}

TEST_F(FtpFlowTest, OtherWaysToADataConnectionAreRefused) {
  for (const auto& [line, reason] : {std::pair{"EPRT |1|198.51.100.7|40000|\r\n", Reason::kFtpOtherAddress}, {"PORT 10,0,0,1,0,22\r\n", Reason::kFtpOtherAddress},
                                     {"LPRT 4,4,10,0,0,1,2,156,64\r\n", Reason::kUnsupportedVersion}, {"PORT me\r\n", Reason::kMalformed},
                                     {" PORT 198,51,100,7,156,64\r\n", Reason::kMalformed}, {"NOOP\nPORT 198,51,100,7,1,1\r\n", Reason::kAmbiguous},
                                     {"\xff\xf4" "ABOR\r\n", Reason::kAmbiguous}}) {
    fw_.end();
    tcp_ = TcpConversation(endpoint("10.0.0.1", ++data_port_), endpoint("192.0.2.1", 21));
    connect();
    EXPECT_EQ(client(line).verdict, Verdict::kDrop) << line;
    expect_denied(reason);
  }
}

TEST_F(FtpFlowTest, ALineLeavesAsAWhole) {
  connect();
  EXPECT_EQ(client("PO").verdict, Verdict::kHold);
  const auto rest = fw_.client(tcp_.client_data("RT 198,51,100,7,156,64\r\n"));
  EXPECT_EQ(rest.decision.verdict, Verdict::kDrop);
  ASSERT_EQ(rest.releases.size(), 1U);
  EXPECT_EQ(rest.releases[0].decision.verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, AnswersAreReadThroughGapsAndComparedWhenTheyComeAgain) {
  connect();
  client("PASV\r\n");
  const std::string reply = "227 Entering Passive Mode (192,0,2,1,156,64)\r\n";
  const std::uint32_t at = tcp_.server_next();
  const auto piece = [&](std::size_t from, std::size_t to, const std::string& text) {
    return fw_.server(tcp_.server_at(0).seq(at + static_cast<std::uint32_t>(from)).ack(tcp_.client_next()).payload(text.substr(from, to - from)).build());
  };
  EXPECT_EQ(piece(20, reply.size(), reply).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop) << "the beginning is missing";
  EXPECT_EQ(piece(0, 22, reply).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(syn(40'000).verdict, Verdict::kAccept);
  const std::string other = "227 Entering Passive Mode (192,0,2,1,156,65)\r\n";
  (void)piece(0, other.size(), other);
  expect_denied(Reason::kRetransmissionDiffers);
}

TEST_F(FtpFlowTest, EveryCutOfBothSidesGivesTheSame) {
  const std::string commands = "TYPE I\r\nEPSV\r\nRETR a\r\nPASV\r\nRETR b\r\n";
  const std::string replies = "200 ok\r\n229 x (|||40000|)\r\n150 here\r\n226-it\r\n227 (192,0,2,1,1,1)\r\n226 was\r\n227 (192,0,2,1,156,65)\r\n150 x\r\n226 x\r\n";
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    InspectorHarness fw(kPolicy);
    TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 21));
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    fw.client(tcp.client_ack());
    std::string from_server = "220 FTP server\r\n";
    std::string from_client = "USER x\r\n";
    fw.server(tcp.server_data(from_server));
    fw.client(tcp.client_data(from_client));
    fw.server(tcp.server_data("230 in\r\n"));
    for (std::size_t c = 0, s = 0; s < replies.size();) {
      const std::size_t size = 1 + random() % 12;
      // What is not sent yet is not answered; the whole commands come first.
      if (c < commands.size()) {
        fw.client(tcp.client_data(commands.substr(c, size)));
        c = std::min(c + size, commands.size());
      } else {
        fw.server(tcp.server_data(replies.substr(s, size)));
        s = std::min(s + size, replies.size());
      }
    }
    const auto opens = [&](std::uint16_t port) {
      return fw.client(TcpConversation(endpoint("10.0.0.1", 51'000), endpoint("192.0.2.1", port)).syn()).decision.verdict == Verdict::kAccept;
    };
    EXPECT_TRUE(opens(40'000)) << round;
    EXPECT_TRUE(opens(40'001)) << round;
    EXPECT_FALSE(opens(257)) << round;
  }
}

TEST_F(FtpFlowTest, BehindAuthTlsNothingIsReadOrExpected) {
  connect();
  client("AUTH TLS\r\n");
  EXPECT_EQ(server("234 go\r\n").verdict, Verdict::kAccept);
  server("227 (192,0,2,1,156,64)\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kDrop);
}

TEST_F(FtpFlowTest, ARefusedAuthTlsGoesOnInTheClear) {
  connect();
  client("AUTH TLS\r\n");
  server("502 no\r\n");
  client("PASV\r\n");
  server("227 (192,0,2,1,156,64)\r\n");
  EXPECT_EQ(syn(40'000).verdict, Verdict::kAccept);
}

class FtpUnderOtherRulesTest : public ::testing::Test {
 protected:
  // opens tells whether an announced data port is open under these rules.
  static bool opens(const std::string& rules, const Bytes* first_bytes = nullptr) {
    InspectorHarness fw("version = 1\n" + rules);
    TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 21));
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    fw.client(tcp.client_ack());
    fw.server(tcp.server_data("220 FTP server\r\n"));
    fw.client(tcp.client_data("USER x\r\nPASV\r\n"));
    fw.server(tcp.server_data("230 in\r\n227 (192,0,2,1,156,64)\r\n"));
    TcpConversation data(endpoint("10.0.0.1", 50'000), endpoint("192.0.2.1", 40'000));
    if (fw.client(data.syn()).decision.verdict != Verdict::kAccept) return false;
    if (first_bytes == nullptr) return true;
    fw.server(data.syn_ack());
    return fw.client(data.client_data(ByteSpan(*first_bytes))).decision.verdict == Verdict::kAccept;
  }
  static constexpr const char* kFtp = "[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"ftp\"]\n";
};

TEST_F(FtpUnderOtherRulesTest, DenyRulesWin) {
  const std::string ftp = kFtp;
  EXPECT_TRUE(opens(ftp));
  EXPECT_FALSE(opens(ftp + "[[rules]]\nto = [\"192.0.2.0/24\"]\nprotocols = [\"tcp\"]\nports = [\"30000-50000\"]\naction = \"deny\"\n"));
  const Bytes http = bytes_of("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Bytes other = bytes_of("\x89PNG\r\n\x1a\n, and what else a picture has");
  const std::string no_evil = "[[rules]]\nto = [\"evil.example\"]\nprotocols = [\"http\"]\nports = [\"any\"]\naction = \"deny\"\n";
  EXPECT_FALSE(opens(ftp + no_evil, &http));
  EXPECT_TRUE(opens(ftp + no_evil, &other));
  EXPECT_TRUE(opens(ftp, &http)) << "whatever the bytes are";
}

TEST_F(FtpUnderOtherRulesTest, AnotherRuleForThePortDoesNotHideIt) {
  EXPECT_TRUE(opens(std::string(kFtp) + "[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\nports = [\"any\"]\n"));
  EXPECT_TRUE(opens(std::string(kFtp) + "[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tcp\"]\nports = [\"any\"]\nbind = \"strict\"\n"));
}

TEST_F(FtpUnderOtherRulesTest, ARuleForTcpAnnouncesNothing) {
  EXPECT_FALSE(opens("[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"tcp\"]\nports = [21]\n"));
}

}  // namespace
}  // namespace sallyport::testing
