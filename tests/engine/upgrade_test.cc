// Sessions that begin in plaintext and go over to TLS (STARTTLS and its kin).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/parsers/ip_packet.h"
#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;
using namespace std::string_literals;

// Turn is what one side says before the other goes on.
struct Turn {
  bool server = false;
  std::string text;
};

struct Dialogue {
  const char* name;
  std::string word;
  std::uint16_t port;
  std::vector<Turn> before;  // Up to the command that asks for TLS.
  Turn asks;
  Turn agrees;
  Turn refuses;
  Turn secret;               // What `require` keeps in.
};

std::vector<Dialogue> dialogues() {
  return {
      {"smtp", "smtp", 25,
       {{true, "220 mx.example ESMTP\r\n"}, {false, "EHLO me.example\r\n"}, {true, "250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n"}},
       {false, "STARTTLS\r\n"}, {true, "220 2.0.0 Ready\r\n"}, {true, "454 4.7.0 not now\r\n"}, {false, "MAIL FROM:<me@me.example>\r\n"}},
      {"imap", "imap", 143,
       {{true, "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"}, {false, "a1 CAPABILITY\r\n"}, {true, "* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"}},
       {false, "a2 STARTTLS\r\n"}, {true, "a2 OK begin\r\n"}, {true, "a2 BAD no\r\n"}, {false, "a3 LOGIN me secret\r\n"}},
      {"pop3", "pop3", 110,
       {{true, "+OK ready\r\n"}, {false, "CAPA\r\n"}, {true, "+OK here\r\nSTLS\r\nUSER\r\n.\r\n"}},
       {false, "STLS\r\n"}, {true, "+OK begin\r\n"}, {true, "-ERR no\r\n"}, {false, "USER me\r\n"}},
      {"ftp", "ftp", 21,
       {{true, "220 FTP ready\r\n"}, {false, "FEAT\r\n"}, {true, "211-Features:\r\n AUTH TLS\r\n211 End\r\n"}},
       {false, "AUTH TLS\r\n"}, {true, "234 go on\r\n"}, {true, "502 no\r\n"}, {false, "USER me\r\n"}},
      {"postgresql", "postgresql", 5432, {}, {false, "\0\0\0\x08\x04\xd2\x16\x2f"s}, {true, "S"}, {true, "N"},
       {false, "\0\0\0\x11\0\3\0\0user\0me\0\0"s}},
      {"ldap", "ldap", 389,
       {{false, "\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"s}, {true, "\x30\x0c\2\1\1\x61\7\x0a\1\0\4\0\4\0"s}},
       {false, "\x30\x1d\2\1\2\x77\x18\x80\x16" "1.3.6.1.4.1.1466.20037"s}, {true, "\x30\x0c\2\1\2\x78\7\x0a\1\0\4\0\4\0"s},
       {true, "\x30\x0c\2\1\2\x78\7\x0a\1\x34\4\0\4\0"s},
       {false, "\x30\x14\2\1\3\x60\x0f\2\1\3\4\4cn=m\x80\4pass"s}},
      {"xmpp", "xmpp", 5222,
       {{false, "<?xml version='1.0'?><stream:stream to='x.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"},
        {true, "<?xml version='1.0'?><stream:stream from='x.example' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>"
               "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"}},
       {false, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"}, {true, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
       {true, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
       {false, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AG1lAHNlY3JldA==</auth>"}},
  };
}

std::string policy_for(const Dialogue& dialogue, const std::string& more = "", const std::string& name = "mail.example") {
  return "version = 1\n[defaults]\nbind = \"strict\"\n[[rules]]\nto = [\"" + name + "\"]\nprotocols = [\"" + dialogue.word + "\"]\n" + more;
}

std::string with_resets(std::string policy) {
  return policy.insert(policy.find("[[rules]]"), "refuse = \"reset\"\n");
}

class UpgradeTest : public ::testing::TestWithParam<Dialogue> {
 protected:
  void bind(InspectorHarness&, const std::string& name) {
    const auto parsed = DomainName::parse(name);
    ASSERT_TRUE(parsed);
    (void)bindings_->bind({endpoint("192.0.2.25", 1).address, *parsed, start() + std::chrono::hours(1), engine::BindingSource::kAnswer, 0, 0}, start());
  }
  static Timestamp start() { return Timestamp{std::chrono::seconds(1'800'000'000)}; }

  std::unique_ptr<InspectorHarness> firewall(const std::string& policy) {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.bindings = bindings_;
    auto harness = std::make_unique<InspectorHarness>(policy, options);
    return harness;
  }

  TcpConversation connect(InspectorHarness& fw, std::uint16_t port) {
    TcpConversation tcp(endpoint("10.0.0.1", ++client_port_), endpoint("192.0.2.25", port));
    EXPECT_EQ(fw.client(tcp.syn()).decision.verdict, Verdict::kAccept);
    fw.server(tcp.syn_ack());
    fw.client(tcp.client_ack());
    return tcp;
  }

  static Decision say(InspectorHarness& fw, TcpConversation& tcp, const Turn& turn) {
    return turn.server ? fw.server(tcp.server_data(turn.text)).decision : fw.client(tcp.client_data(turn.text)).decision;
  }

  TcpConversation talk(InspectorHarness& fw, const Dialogue& dialogue) {
    TcpConversation tcp = connect(fw, dialogue.port);
    for (const Turn& turn : dialogue.before) EXPECT_EQ(say(fw, tcp, turn).verdict, Verdict::kAccept) << turn.text;
    return tcp;
  }
  TcpConversation agree(InspectorHarness& fw, const Dialogue& dialogue) {
    TcpConversation tcp = talk(fw, dialogue);
    EXPECT_EQ(say(fw, tcp, dialogue.asks).verdict, Verdict::kAccept);
    EXPECT_EQ(say(fw, tcp, dialogue.agrees).verdict, Verdict::kAccept);
    return tcp;
  }

  std::shared_ptr<engine::NameBindings> bindings_ = std::make_shared<engine::NameBindings>(1'024, engine::InspectorOptions{}.hash_key);
  std::uint16_t client_port_ = 40'000;
};

TEST_P(UpgradeTest, AnAllowedNameInsideIsHandedOverAfterTheServersHello) {
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = agree(*fw, GetParam());
  const auto hello = fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("mail.example").record())));
  EXPECT_EQ(hello.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(hello.decision.mark, FlowMark::kWatch);
  EXPECT_EQ(fw->server(tcp.server_data(ByteSpan(server_hello(false)))).decision.mark, FlowMark::kAllow);
  ASSERT_FALSE(fw->names().empty());
  EXPECT_EQ(fw->names().back(), "mail.example");
  EXPECT_EQ(to_string(fw->end()), GetParam().word) << "the session keeps its protocol";
}

TEST_P(UpgradeTest, ADeniedOrForgedNameInsideDoesNotLeave) {
  for (const char* name : {"evil.example", "other.example"}) {
    const auto fw = firewall(policy_for(GetParam()) + "[[rules]]\nto = [\"other.example\"]\nprotocols = [\"" + GetParam().word + "\"]\n");
    bind(*fw, "mail.example");  // other.example is allowed, but not at this address.
    TcpConversation tcp = agree(*fw, GetParam());
    EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical(name).record()))).decision.verdict, Verdict::kDrop) << name;
    EXPECT_EQ(fw->verdicts().back().verdict, FlowVerdict::kDeny);
    EXPECT_EQ(fw->verdicts().back().reason, name == "evil.example"s ? Reason::kNameNotAllowed : Reason::kAddressNotBound);
  }
}

TEST_P(UpgradeTest, ADenyRuleForTheNameInsideWins) {
  const std::string port = std::to_string(GetParam().port);
  for (const std::string& word : {GetParam().word, "tls"s}) {
    const auto fw = firewall("version = 1\n[defaults]\nbind = \"strict\"\n[[rules]]\nto = [\"192.0.2.0/24\"]\nprotocols = [\"" + GetParam().word +
                             "\"]\n[[rules]]\naction = \"deny\"\nto = [\"evil.example\"]\nprotocols = [\"" + word + "\"]\nports = [" + port + "]\n");
    TcpConversation tcp = agree(*fw, GetParam());
    EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("evil.example").record()))).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw->verdicts().back().reason, Reason::kRuleDenies);
    TcpConversation other = agree(*fw, GetParam());
    EXPECT_EQ(fw->client(other.client_data(ByteSpan(ClientHelloBuilder::typical("good.example").record()))).decision.verdict, Verdict::kAccept);
  }
}

TEST_P(UpgradeTest, AHelloWithoutANameOrWithTheAddressGoesByWhatAllowedTheSession) {
  ClientHelloBuilder bare;
  bare.supported_versions({0x0304, 0x0303});
  for (const auto& [hello, verdict] : {std::pair{bare.record(), Verdict::kAccept},
                                       {ClientHelloBuilder::typical("192.0.2.25").record(), Verdict::kAccept},
                                       {ClientHelloBuilder::typical("198.51.100.1").record(), Verdict::kDrop}}) {
    const auto fw = firewall(policy_for(GetParam()));
    bind(*fw, "mail.example");
    TcpConversation tcp = agree(*fw, GetParam());
    EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(hello))).decision.verdict, verdict);
  }
  // And again, asked for by a HelloRetryRequest.
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = agree(*fw, GetParam());
  fw->client(tcp.client_data(ByteSpan(bare.record())));
  fw->server(tcp.server_data(ByteSpan(server_hello(true))));
  EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(bare.record()))).decision.verdict, Verdict::kAccept);
}

TEST_P(UpgradeTest, ARuleForTlsAtThePortAllowsTheNameInside) {
  const auto fw = firewall(policy_for(GetParam()) + "[[rules]]\nto = [\"inside.example\"]\nprotocols = [\"tls\"]\nports = [" +
                           std::to_string(GetParam().port) + "]\n");
  bind(*fw, "mail.example");
  bind(*fw, "inside.example");
  TcpConversation tcp = agree(*fw, GetParam());
  EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("inside.example").record()))).decision.verdict, Verdict::kAccept);
}

TEST_P(UpgradeTest, APostQuantumHelloInManySegmentsIsHeldUntilItIsJudged) {
  for (const bool allowed : {true, false}) {
    const auto fw = firewall(policy_for(GetParam()));
    bind(*fw, "mail.example");
    TcpConversation tcp = agree(*fw, GetParam());
    const std::size_t before = fw->fed();
    for (const Bytes& segment : tcp.client_segments(ByteSpan(ClientHelloBuilder::post_quantum(allowed ? "mail.example" : "evil.example").record()), 400)) {
      fw->client(segment);
    }
    for (std::size_t i = before; i < fw->fed(); ++i) EXPECT_EQ(fw->fate(i), allowed ? Verdict::kAccept : Verdict::kDrop) << i;
  }
}

TEST_P(UpgradeTest, WhatStandsBehindTheRequestBeforeTheServerAgreedIsRefused) {
  const Bytes hello = ClientHelloBuilder::typical("mail.example").record();
  for (const std::string& injected : {std::string(hello.begin(), hello.end()), "x"s, GetParam().secret.text}) {
    {
      const auto fw = firewall(policy_for(GetParam()));
      bind(*fw, "mail.example");
      TcpConversation tcp = talk(*fw, GetParam());
      EXPECT_EQ(fw->client(tcp.client_data(GetParam().asks.text + injected)).decision.verdict, Verdict::kDrop);
      EXPECT_EQ(fw->verdicts().back().reason, Reason::kAmbiguous);
    }
    const auto fw = firewall(policy_for(GetParam()));
    bind(*fw, "mail.example");
    TcpConversation tcp = talk(*fw, GetParam());
    say(*fw, tcp, GetParam().asks);
    EXPECT_EQ(fw->client(tcp.client_data(injected)).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw->verdicts().back().reason, Reason::kAmbiguous);
  }
}

TEST_P(UpgradeTest, WhatStandsBehindTheServersAgreementIsRefused) {
  {
    const auto fw = firewall(policy_for(GetParam()));
    bind(*fw, "mail.example");
    TcpConversation tcp = talk(*fw, GetParam());
    say(*fw, tcp, GetParam().asks);
    fw->server(tcp.server_data(GetParam().agrees.text + "250 injected\r\n"));
    EXPECT_EQ(fw->verdicts().back().reason, Reason::kAmbiguous);
  }
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = agree(*fw, GetParam());
  fw->server(tcp.server_data("250 injected\r\n"s));
  EXPECT_EQ(fw->verdicts().back().reason, Reason::kAmbiguous);
}

// The client waits for what the server says, and a packet that is dropped is no answer.
TEST_P(UpgradeTest, ADenialOnTheServersPacketResetsTheClient) {
  for (const bool behind : {false, true}) {
    const auto fw = firewall(with_resets(policy_for(GetParam())));
    bind(*fw, "mail.example");
    TcpConversation tcp = behind ? agree(*fw, GetParam()) : talk(*fw, GetParam());
    if (!behind) say(*fw, tcp, GetParam().asks);
    const Decision decision = say(*fw, tcp, {true, behind ? "250 injected\r\n" : GetParam().agrees.text + "250 injected\r\n"});
    EXPECT_EQ(fw->verdicts().back().reason, Reason::kAmbiguous);
    EXPECT_EQ(decision.verdict, Verdict::kAccept) << "it goes on as a reset";
    const ByteSpan sent = fw->inspector().replacement();
    const auto ip = parsers::parse_ip_packet(sent, sent.size());
    ASSERT_TRUE(ip);
    EXPECT_TRUE(ip->tcp.rst && ip->tcp.ack && !ip->tcp.syn && !ip->tcp.fin);
    EXPECT_EQ(std::count(ip->payload.begin(), ip->payload.end(), 0), static_cast<std::ptrdiff_t>(ip->payload.size()));
    EXPECT_EQ(say(*fw, tcp, {true, "more"}).verdict, Verdict::kDrop);
  }
}

TEST_P(UpgradeTest, ARefusedRequestLeavesASessionInPlaintext) {
  for (const bool required : {false, true}) {
    const auto fw = firewall(policy_for(GetParam(), required ? "starttls = \"require\"\n" : ""));
    bind(*fw, "mail.example");
    TcpConversation tcp = talk(*fw, GetParam());
    say(*fw, tcp, GetParam().asks);
    EXPECT_EQ(say(*fw, tcp, GetParam().refuses).verdict, Verdict::kAccept);
    const Decision secret = say(*fw, tcp, GetParam().secret);
    EXPECT_EQ(secret.verdict, required ? Verdict::kDrop : Verdict::kAccept);
    if (required) {
      EXPECT_EQ(fw->verdicts().back().reason, Reason::kTlsRequired);
    }
  }
  // A hello is no command.
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = talk(*fw, GetParam());
  say(*fw, tcp, GetParam().asks);
  say(*fw, tcp, GetParam().refuses);
  EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("mail.example").record()))).decision.verdict, Verdict::kDrop);
}

TEST_P(UpgradeTest, RequiredTlsKeepsPlaintextInAndIsNoMoreAskedForInside) {
  const std::string policy = policy_for(GetParam(), "starttls = \"require\"\n");
  {
    const auto fw = firewall(policy);
    bind(*fw, "mail.example");
    TcpConversation tcp = talk(*fw, GetParam());
    EXPECT_EQ(say(*fw, tcp, GetParam().secret).verdict, Verdict::kDrop);
    EXPECT_EQ(fw->verdicts().back().reason, Reason::kTlsRequired);
  }
  const auto fw = firewall(policy);
  bind(*fw, "mail.example");
  TcpConversation tcp = agree(*fw, GetParam());
  EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("mail.example").record()))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw->verdicts().back().verdict, FlowVerdict::kAllow);
}

TEST_P(UpgradeTest, ARuleThatDoesNotRequireTlsIsEnough) {
  const auto fw = firewall(policy_for(GetParam(), "starttls = \"require\"\n") + "[[rules]]\nto = [\"192.0.2.0/24\"]\nprotocols = [\"" +
                           GetParam().word + "\"]\n");
  bind(*fw, "mail.example");
  TcpConversation tcp = talk(*fw, GetParam());
  EXPECT_EQ(say(*fw, tcp, GetParam().secret).verdict, Verdict::kAccept);
}

TEST_P(UpgradeTest, HowTheBytesAreCutDoesNotMatter) {
  const Bytes good = ClientHelloBuilder::typical("mail.example").record();
  const Bytes evil = ClientHelloBuilder::typical("evil.example").record();
  for (std::size_t size = 1; size < 40; ++size) {
    for (const bool allowed : {true, false}) {
      const auto fw = firewall(policy_for(GetParam(), "starttls = \"require\"\n"));
      bind(*fw, "mail.example");
      TcpConversation tcp = connect(*fw, GetParam().port);
      std::vector<Turn> turns = GetParam().before;
      turns.push_back(GetParam().asks);
      turns.push_back(GetParam().agrees);
      for (const Turn& turn : turns) {
        for (std::size_t at = 0; at < turn.text.size(); at += size) say(*fw, tcp, {turn.server, turn.text.substr(at, size)});
      }
      const std::size_t before = fw->fed();
      for (const Bytes& segment : tcp.client_segments(ByteSpan(allowed ? good : evil), size)) fw->client(segment);
      for (std::size_t i = 0; i < fw->fed(); ++i) {
        ASSERT_EQ(fw->fate(i), i < before || allowed ? Verdict::kAccept : Verdict::kDrop) << "size " << size << ", packet " << i;
      }
    }
  }
}

TEST_P(UpgradeTest, ASegmentSentAgainWithAnotherCommandIsRefused) {
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = talk(*fw, GetParam());
  const std::uint32_t offset = tcp.client_next() - 1'001;
  say(*fw, tcp, GetParam().asks);
  std::string other = GetParam().asks.text;
  other[other.size() - 4] = 'X';
  EXPECT_EQ(fw->client(tcp.client_at(offset).payload(other).build()).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw->verdicts().back().reason, Reason::kRetransmissionDiffers);
}

// Under a rule for tcp nobody waits for the greeting, and the flow is watched from the client's first bytes on.
TEST(UpgradeUnderTcpTest, AnswersBeginWhereTheClientSaysSo) {
  const std::string greeting = "220 mx.example ESMTP\r\n", reply = "250-mx.example\r\n250 STARTTLS\r\n";
  for (const bool greeting_seen : {false, true}) {
    for (const char* what : {"greeting again", "second half first", "greeting again in one"}) {
      InspectorHarness fw("version = 1\n[[rules]]\nto = [\"192.0.2.25\"]\nprotocols = [\"tcp\"]\nports = [25]\n"
                          "[[rules]]\naction = \"deny\"\nto = [\"evil.example\"]\nprotocols = [\"tls\"]\nports = [25]\n");
      TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.25", 25));
      fw.client(tcp.syn());
      for (const Bytes& packet : {tcp.syn_ack(), tcp.server_data(greeting)}) {
        if (greeting_seen) fw.server(packet);
      }
      EXPECT_EQ(fw.client(tcp.client_data("EHLO me.example\r\n")).decision.mark, FlowMark::kWatch);
      const auto first = static_cast<std::uint32_t>(greeting.size());
      if (what == "greeting again"s) {
        EXPECT_EQ(fw.server(tcp.server_at(0).payload(greeting).build()).decision.verdict, Verdict::kAccept);
      }
      if (what == "second half first"s) {
        EXPECT_EQ(fw.server(tcp.server_at(first + 17).payload(reply.substr(17)).build()).decision.verdict, Verdict::kAccept);
        EXPECT_EQ(fw.server(tcp.server_at(first).payload(reply.substr(0, 17)).build()).decision.verdict, Verdict::kAccept);
      }
      const Bytes whole = tcp.server_data(reply);
      const Bytes both = tcp.server_at(0).payload(greeting + reply).build();
      EXPECT_EQ(fw.server(what == "greeting again in one"s ? both : whole).decision.verdict, Verdict::kAccept);
      EXPECT_EQ(fw.client(tcp.client_data("STARTTLS\r\n")).decision.verdict, Verdict::kAccept);
      EXPECT_EQ(fw.server(tcp.server_data("220 go\r\n")).decision.verdict, Verdict::kAccept);
      EXPECT_EQ(fw.client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("evil.example").record()))).decision.verdict, Verdict::kDrop) << what;
      EXPECT_EQ(fw.verdicts().back().reason, Reason::kRuleDenies) << what << greeting_seen;
    }
  }
}

using SmtpBodyTest = UpgradeTest;

TEST_P(SmtpBodyTest, ABodySentAgainWithAnEndInItIsRefused) {
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = talk(*fw, GetParam());
  for (const Turn& turn : {Turn{false, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"}, {true, "250 ok\r\n250 ok\r\n354 go on\r\n"}}) {
    EXPECT_EQ(say(*fw, tcp, turn).verdict, Verdict::kAccept);
  }
  const std::uint32_t offset = tcp.client_next() - 1'001;
  const Bytes hello = ClientHelloBuilder::typical("evil.example").record();
  std::string other = ".\r\nSTARTTLS\r\n" + std::string(hello.begin(), hello.end());
  EXPECT_EQ(fw->client(tcp.client_data(std::string(other.size(), 'x'))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw->client(tcp.client_at(offset).payload(other).build()).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw->verdicts().back().reason, Reason::kRetransmissionDiffers);
}

TEST_P(SmtpBodyTest, ABodyGoesNoFurtherAheadOfTheServerThanItIsRemembered) {
  const auto fw = firewall(policy_for(GetParam()));
  bind(*fw, "mail.example");
  TcpConversation tcp = talk(*fw, GetParam());
  say(*fw, tcp, {false, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"});
  say(*fw, tcp, {true, "250 ok\r\n250 ok\r\n354 go on\r\n"});
  const std::uint32_t begin = tcp.client_next() - 1'001;
  const std::string line = std::string(998, 'x') + "\r\n";
  const std::size_t first = fw->fed();
  for (int i = 0; i < 16; ++i) fw->client(tcp.client_data(line));
  EXPECT_EQ(fw->fate(first), Verdict::kAccept);
  EXPECT_EQ(fw->fate(first + 15), Verdict::kHold) << "it waits for the server to have the first ones";
  std::string other = line;
  other.replace(2, 5, "\r\n.\r\n");
  // Acknowledged, all of it goes on, for as long as the mail is.
  for (int i = 0; i < 200; ++i) {
    fw->server(tcp.server_ack());
    fw->client(tcp.client_data(line));
    fw->client(tcp.client_data(line));
  }
  fw->server(tcp.server_ack());
  for (std::size_t i = first; i < fw->fed(); ++i) ASSERT_EQ(fw->fate(i), Verdict::kAccept) << i;
  // What the server has, and is forgotten, does not come again.
  const auto stale = fw->client(tcp.client_at(begin).payload(other).build()).decision;
  EXPECT_EQ(stale.verdict, Verdict::kDrop);
  EXPECT_EQ(stale.reason, Reason::kStaleSegment);
  EXPECT_EQ(say(*fw, tcp, {false, ".\r\n"}).verdict, Verdict::kAccept);
  EXPECT_EQ(say(*fw, tcp, {true, "250 taken\r\n"}).verdict, Verdict::kAccept);
  EXPECT_EQ(say(*fw, tcp, {false, "STARTTLS\r\n"}).verdict, Verdict::kAccept);
  EXPECT_EQ(say(*fw, tcp, {true, "220 go\r\n"}).verdict, Verdict::kAccept);
  EXPECT_EQ(fw->client(tcp.client_data(ByteSpan(ClientHelloBuilder::typical("evil.example").record()))).decision.verdict, Verdict::kDrop);
}

// A client that knew of more room would send packets that must be dropped, and wait for its timer each time.
TEST_P(SmtpBodyTest, TheServersWindowIsToldNoLargerThanIsRemembered) {
  for (const auto& [options, shift] : {std::pair{Bytes{2, 4, 5, 180, 1, 3, 3, 7}, 7U}, {Bytes{2, 4, 5, 180}, 0U}, {Bytes{3, 3, 15, 0}, 14U}, {Bytes{1, 1, 3, 0}, 0U}}) {
    const auto fw = firewall(policy_for(GetParam()));
    bind(*fw, "mail.example");
    const Endpoint client = endpoint("10.0.0.1", 41'000), server = endpoint("192.0.2.25", GetParam().port);
    TcpConversation tcp(client, server);
    fw->client(tcp.syn());
    (void)tcp.syn_ack();
    fw->server(PacketBuilder::tcp(server, client).seq(5'000).flags(kSyn).ack(tcp.client_next()).tcp_options(options).build());
    const auto window = [&] {
      const ByteSpan packet = fw->inspector().replacement();
      return packet.empty() ? 0U : static_cast<unsigned>(packet[20 + 14] << 8 | packet[20 + 15]);
    };
    fw->server(tcp.server_data("220 mail.example\r\n"));
    EXPECT_EQ(window(), 0U) << "nothing is known of the session yet";
    fw->client(tcp.client_data("EHLO x\r\n"));
    fw->server(tcp.server_data("250-mail.example\r\n250 STARTTLS\r\n"));
    EXPECT_EQ(window(), std::max(6'912U >> shift, 1U));
    fw->client(tcp.client_data("STARTTLS\r\n"));
    fw->server(tcp.server_data("220 go\r\n"));
    EXPECT_EQ(window(), 0U) << "TLS may use all of it";
  }
}

using LdapBindTest = UpgradeTest;

TEST_P(LdapBindTest, AnAnonymousBindSentAgainWithAPasswordIsRefused) {
  const auto fw = firewall(policy_for(GetParam(), "starttls = \"require\"\n"));
  bind(*fw, "mail.example");
  TcpConversation tcp = connect(*fw, GetParam().port);
  const std::uint32_t offset = tcp.client_next() - 1'001;
  EXPECT_EQ(say(*fw, tcp, {false, "\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"s}).verdict, Verdict::kAccept);
  EXPECT_EQ(fw->client(tcp.client_at(offset).payload("\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\5"s).build()).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw->verdicts().back().reason, Reason::kRetransmissionDiffers);
}

INSTANTIATE_TEST_SUITE_P(Ldap, LdapBindTest, ::testing::Values(dialogues()[5]), [](const auto& one) { return std::string(one.param.name); });
INSTANTIATE_TEST_SUITE_P(Smtp, SmtpBodyTest, ::testing::Values(dialogues().front()), [](const auto&) { return std::string("smtp"); });
INSTANTIATE_TEST_SUITE_P(Protocols, UpgradeTest, ::testing::ValuesIn(dialogues()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace sallyport::testing
