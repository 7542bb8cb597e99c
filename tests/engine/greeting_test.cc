// Protocols whose server speaks first: rules for them go by what both sides say.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;
using namespace std::string_literals;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["192.0.2.0/24"]
protocols = ["ftp", "imap", "pop3", "mysql"]
)";

struct Session {
  const char* name;
  Protocol protocol;
  std::uint16_t port;
  std::string greeting;
  std::string answer;
};

std::vector<Session> sessions() {
  const std::string mysql = "K\0\0\0\x0a"s + "8.0.36\0"s + "\x07\0\0\0"s + "abcdefgh\0"s + std::string(45, '\1') + "mysql_nat";
  return {{"ftp", Protocol::kFtp, 21, "220 FTP server ready\r\n", "USER anonymous\r\n"},
          {"ftp, said in several lines", Protocol::kFtp, 21, "220-hello\r\n220 ready\r\n", "AUTH TLS\r\n"},
          {"imap", Protocol::kImap, 143, "* OK [CAPABILITY IMAP4rev1] ready\r\n", "a1 LOGIN me secret\r\n"},
          {"pop3", Protocol::kPop3, 110, "+OK ready\r\n", "USER me\r\n"},
          {"mysql", Protocol::kMysql, 3306, mysql, "\x20\0\0\1\x85\xa6\x0f\0login, as long"s}};
}

class GreetingTest : public ::testing::Test {
 protected:
  TcpConversation connect(std::uint16_t port) {
    TcpConversation tcp(endpoint("10.0.0.1", ++client_port_), endpoint("192.0.2.1", port));
    EXPECT_EQ(fw_.client(tcp.syn()).decision.mark, FlowMark::kWatch) << "the greeting must be seen";
    EXPECT_EQ(fw_.server(tcp.syn_ack()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw_.client(tcp.client_ack()).decision.verdict, Verdict::kAccept);
    return tcp;
  }

  InspectorHarness fw_{kPolicy};
  std::uint16_t client_port_ = 40'000;
};

TEST_F(GreetingTest, EachIsKnownByWhatBothSidesSay) {
  for (const Session& session : sessions()) {
    TcpConversation tcp = connect(session.port);
    EXPECT_EQ(fw_.server(tcp.server_data(session.greeting)).decision.verdict, Verdict::kAccept) << session.name;
    const auto answer = fw_.client(tcp.client_data(session.answer));
    EXPECT_EQ(answer.decision.verdict, Verdict::kAccept) << session.name;
    ASSERT_FALSE(fw_.verdicts().empty()) << session.name;
    EXPECT_EQ(fw_.verdicts().back().protocol, session.protocol) << session.name;
    EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kAllow) << session.name;
    const auto next = fw_.server(tcp.server_data("more"s));
    // TLS could still begin in the others (judge_upgrade.cc).
    EXPECT_EQ(next.decision.mark, session.protocol == Protocol::kMysql ? FlowMark::kAllow : FlowMark::kWatch) << session.name;
  }
}

TEST_F(GreetingTest, AnotherProtocolsRuleDoesNotAllowIt) {
  for (const Session& session : sessions()) {
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{21, 143, 110, 3306}) {
      if (port == session.port) continue;
      TcpConversation tcp = connect(port);
      fw_.server(tcp.server_data(session.greeting));
      EXPECT_EQ(fw_.client(tcp.client_data(session.answer)).decision.verdict, Verdict::kDrop) << session.name << " on " << port;
      EXPECT_EQ(fw_.verdicts().back().protocol, session.protocol);
      EXPECT_EQ(fw_.verdicts().back().reason, Reason::kProtocolNotAllowed);
    }
  }
}

TEST_F(GreetingTest, AClientThatSpeaksFirstWaitsForTheWholeGreeting) {
  for (const Session& session : sessions()) {
    if (session.protocol == Protocol::kMysql) continue;  // What its client says is made of the greeting.
    if (session.answer.starts_with("AUTH TLS")) continue;  // Refused: it asks for TLS before the server has spoken.
    TcpConversation tcp = connect(session.port);
    EXPECT_EQ(fw_.client(tcp.client_data(session.answer)).decision.verdict, Verdict::kHold) << session.name;
    const std::size_t cut = session.greeting.size() - 3;
    const auto some = fw_.server(tcp.server_data(session.greeting.substr(0, cut)));
    EXPECT_EQ(some.decision.verdict, Verdict::kAccept) << session.name;
    const auto rest = fw_.server(tcp.server_data(session.greeting.substr(cut)));
    EXPECT_EQ(some.releases.size() + rest.releases.size(), 1U) << session.name;
    EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kAllow) << session.name;
    EXPECT_EQ(fw_.verdicts().back().protocol, session.protocol);
  }
}

TEST_F(GreetingTest, WithoutAGreetingNothingLeaves) {
  for (const Session& session : sessions()) {
    TcpConversation tcp = connect(session.port);
    const std::size_t before = fw_.accepted();
    fw_.client(tcp.client_data(session.answer));
    fw_.wait(kHoldTime + std::chrono::seconds(1));
    EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kDeny) << session.name;
    EXPECT_EQ(fw_.accepted(), before) << session.name;
  }
}

TEST_F(GreetingTest, AServerOfAnotherKindOrAClientThatDoesNotAnswerItIsRefused) {
  for (const Session& session : sessions()) {
    for (const auto& [greeting, answer] : {std::pair{"220 mail ESMTP\r\n"s, session.answer}, {session.greeting, "\0\1\2\3 whatever else\r\n"s},
                                           {session.greeting, "GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n"s}}) {
      TcpConversation tcp = connect(session.port);
      fw_.server(tcp.server_data(greeting));
      const auto said = fw_.client(tcp.client_data(answer));
      EXPECT_NE(said.decision.verdict, Verdict::kAccept) << session.name << ": " << answer;
      fw_.wait(kHoldTime + std::chrono::seconds(1));
      EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kDeny) << session.name << ": " << answer;
    }
    TcpConversation tcp = connect(session.port);
    fw_.server(tcp.server_data(session.greeting));
    EXPECT_EQ(fw_.client(tcp.client_data(ClientHelloBuilder::typical("evil.example").record())).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw_.verdicts().back().protocol, Protocol::kTls);
  }
}

}  // namespace
}  // namespace sallyport::testing
