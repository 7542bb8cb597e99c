// SSH under the inspector: both sides must be SSH, and the server's host key one of those that the rule has.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/ssh.h"
#include "support/inspector_harness.h"
#include "support/ssh_session.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kPinned = endpoint("192.0.2.22", 22);
const auto kUnpinned = endpoint("192.0.2.23", 22);

std::string policy_text() {
  const auto fingerprint = parsers::ssh_fingerprint(sallyport::testing::ssh_ed25519_blob(7));
  return "version = 1\n[defaults]\nbind = \"any\"\nrefuse = \"reset\"\n"
         "[[rules]]\nto = [\"192.0.2.22\"]\nprotocols = [\"ssh\"]\nhost_keys = [\"" + std::string(fingerprint.text()) + "\"]\n"
         "[[rules]]\nto = [\"192.0.2.23\"]\nprotocols = [\"ssh\"]\n"
         "[[rules]]\nto = [\"192.0.2.24\"]\nprotocols = [\"tls\"]\nports = [22]\n";
}

class SshHostKeyTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{policy_text()};
  TcpConversation tcp_{kClient, kPinned};
  SshSession ssh_;

  void connect() {
    EXPECT_EQ(fw_.client(tcp_.syn()).decision.mark, FlowMark::kWatch) << "the server may speak first";
    EXPECT_EQ(fw_.server(tcp_.syn_ack()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw_.client(tcp_.handshake_ack()).decision.verdict, Verdict::kAccept);
  }
  Decision client(const Bytes& bytes) { return fw_.client(tcp_.client_data(bytes)).decision; }
  Decision server(const Bytes& bytes) { return fw_.server(tcp_.server_data(bytes)).decision; }
  // exchange goes up to the server's reply, which is not sent yet.
  void exchange() {
    connect();
    EXPECT_EQ(server(ssh_.server_identification()).verdict, Verdict::kAccept);
    EXPECT_EQ(client(ssh_.client_identification()).verdict, Verdict::kAccept);
    EXPECT_EQ(client(ssh_.kex_init()).verdict, Verdict::kAccept);
    EXPECT_EQ(server(ssh_.kex_init()).verdict, Verdict::kAccept);
    EXPECT_EQ(client(ssh_.init()).verdict, Verdict::kAccept);
    EXPECT_TRUE(fw_.verdicts().empty()) << "nothing is decided before the host key is known";
  }
  // expect_reset tells whether the server's packet goes on as a RST without a byte of its payload.
  void expect_reset(const Decision& decision) {
    EXPECT_EQ(decision.verdict, Verdict::kAccept);
    const ByteSpan sent = fw_.inspector().replacement();
    const auto ip = parsers::parse_ip_packet(sent, sent.size());
    ASSERT_TRUE(ip);
    EXPECT_TRUE(ip->tcp.rst && ip->tcp.ack && !ip->tcp.syn && !ip->tcp.fin);
    EXPECT_EQ(std::count(ip->payload.begin(), ip->payload.end(), 0), static_cast<std::ptrdiff_t>(ip->payload.size()));
  }
  void expect_denied(Reason reason) {
    ASSERT_EQ(fw_.verdicts().size(), 1U);
    EXPECT_EQ(fw_.verdicts()[0].verdict, FlowVerdict::kDeny);
    EXPECT_EQ(to_string(fw_.verdicts()[0].reason), to_string(reason));
    EXPECT_EQ(client(ssh_.new_keys()).verdict, Verdict::kDrop);
    EXPECT_EQ(server(ssh_.new_keys()).verdict, Verdict::kDrop);
  }
};

TEST_F(SshHostKeyTest, TheKeyOfTheRuleIsLetThrough) {
  exchange();
  EXPECT_EQ(server(ssh_.reply()).verdict, Verdict::kAccept);
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(fw_.detail(engine::Detail::kHostKeyType), "ssh-ed25519");
  EXPECT_EQ("SHA256:" + fw_.detail(engine::Detail::kHostKeySha256),
            parsers::ssh_fingerprint(sallyport::testing::ssh_ed25519_blob(7)).text());
  EXPECT_EQ(client(ssh_.new_keys()).mark, FlowMark::kAllow) << "it acknowledges the reply";
}

TEST_F(SshHostKeyTest, AnotherKeyIsCutBeforeTheClientsNewKeys) {
  ssh_.key_fill = 8;
  exchange();
  const auto held = fw_.client(tcp_.client_data(ssh_.new_keys()));
  EXPECT_EQ(held.decision.verdict, Verdict::kHold);
  const auto reply = fw_.server(tcp_.server_data(ssh_.reply()));
  ASSERT_EQ(reply.releases.size(), 1U);
  EXPECT_EQ(reply.releases[0].decision.verdict, Verdict::kDrop);
  expect_reset(reply.decision);
  expect_denied(Reason::kHostKeyNotAllowed);
}

TEST_F(SshHostKeyTest, WhatTheClientSendsAheadOfTheReplyGoesOnceTheKeyMatches) {
  exchange();
  EXPECT_EQ(client(ssh_.new_keys()).verdict, Verdict::kHold);
  EXPECT_EQ(client(ssh_.encrypted()).verdict, Verdict::kHold);
  const auto reply = fw_.server(tcp_.server_data(ssh_.reply()));
  ASSERT_EQ(reply.releases.size(), 2U);
  for (const auto& release : reply.releases) EXPECT_EQ(release.decision.verdict, Verdict::kAccept);
}

TEST_F(SshHostKeyTest, AServerThatNeverRepliesIsGivenUp) {
  exchange();
  EXPECT_EQ(client(ssh_.new_keys()).verdict, Verdict::kHold);
  fw_.wait(kHoldTime);
  expect_denied(Reason::kHoldTimeout);
}

TEST_F(SshHostKeyTest, TheVerdictSaysWhichKeyItWas) {
  ssh_.key_fill = 8;
  exchange();
  (void)server(ssh_.reply());
  std::string told;
  for (const auto& event : fw_.inspector().events()) {
    if (event.kind == engine::FlowEvent::Kind::kVerdict) told = event.host_key;
  }
  EXPECT_EQ("SHA256:" + told, parsers::ssh_fingerprint(sallyport::testing::ssh_ed25519_blob(8)).text());
}

TEST_F(SshHostKeyTest, ACertificateIsAnotherKey) {
  exchange();
  auto blob = sallyport::testing::ssh_string("ssh-ed25519-cert-v01@openssh.com");
  const auto key = sallyport::testing::ssh_ed25519_blob(7);
  blob.insert(blob.end(), key.begin(), key.end());
  (void)server(sallyport::testing::ssh_packet(sallyport::testing::ssh_kex_reply(31, blob)));
  expect_denied(Reason::kHostKeyNotAllowed);
}

// A colluding server shows us one key and its client another.
TEST_F(SshHostKeyTest, AReplySentAgainWithAnotherKeyIsDenied) {
  exchange();
  const std::uint32_t at = tcp_.server_next();
  EXPECT_EQ(server(ssh_.reply()).verdict, Verdict::kAccept);
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  SshSession evil = ssh_;
  evil.key_fill = 8;
  const Bytes again = tcp_.server_at(0).seq(at).ack(tcp_.client_next()).payload(evil.reply()).build();
  expect_reset(fw_.server(again).decision);
  ASSERT_EQ(fw_.verdicts().size(), 2U);
  EXPECT_EQ(fw_.verdicts()[1].reason, Reason::kRetransmissionDiffers);
  EXPECT_EQ(client(ssh_.new_keys()).verdict, Verdict::kDrop);
}

TEST_F(SshHostKeyTest, ADecoySentBeforeTheReplyDoesNotHideIt) {
  exchange();
  SshSession good = ssh_;
  ssh_.key_fill = 8;
  // The later half of a reply with the right key comes first, and is to be taken for the true one's.
  const std::uint32_t at = tcp_.server_next();
  const Bytes reply = good.reply();
  const std::size_t half = 20;
  const Bytes tail(reply.begin() + half, reply.end());
  EXPECT_EQ(fw_.server(tcp_.server_at(0).seq(at + half).ack(tcp_.client_next()).payload(tail).build()).decision.verdict,
            Verdict::kAccept);
  (void)server(ssh_.reply());
  expect_denied(Reason::kRetransmissionDiffers);
}

TEST_F(SshHostKeyTest, IsNotHandedOverBeforeTheClientHasTheReply) {
  exchange();
  const std::uint32_t known = tcp_.server_next();
  (void)server(ssh_.reply());
  const Bytes early = tcp_.client_at(0).seq(tcp_.client_next()).ack(known).payload(ssh_.new_keys()).build();
  EXPECT_EQ(fw_.client(early).decision.mark, FlowMark::kWatch) << "an older acknowledgement";
  EXPECT_EQ(client(ssh_.new_keys()).mark, FlowMark::kAllow);
}

TEST_F(SshHostKeyTest, UrgentBytesOfTheServerAreRefused) {
  exchange();
  const Bytes urgent = tcp_.server_at(0).seq(tcp_.server_next()).ack(tcp_.client_next()).urgent_pointer(1).payload(ssh_.reply()).build();
  expect_reset(fw_.server(urgent).decision);
  expect_denied(Reason::kUrgentData);
}

TEST_F(SshHostKeyTest, TheServersStreamBeginsWhereItsFirstSynAckSaid) {
  connect();
  TcpConversation moved(kClient, kPinned, 1'000, 70'000);
  (void)moved.syn();
  EXPECT_EQ(fw_.server(moved.syn_ack()).decision.verdict, Verdict::kDrop);
  (void)server(ssh_.server_identification());
  (void)client(ssh_.client_identification());
  EXPECT_EQ(client(ssh_.kex_init()).verdict, Verdict::kAccept) << "the identification string was read";
}

TEST_F(SshHostKeyTest, AnUnknownMethodIsDenied) {
  ssh_.method = "gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==";
  connect();
  (void)server(ssh_.server_identification());
  (void)client(ssh_.client_identification());
  (void)server(ssh_.kex_init());
  (void)client(ssh_.kex_init());
  expect_denied(Reason::kHostKeyNotAllowed);
}

TEST_F(SshHostKeyTest, AServerThatGuessesIsDenied) {
  connect();
  (void)server(ssh_.server_identification());
  (void)client(ssh_.client_identification());
  (void)client(ssh_.kex_init());
  SshKexInitBuilder guess;
  guess.first_kex_packet_follows = true;
  (void)server(sallyport::testing::ssh_packet(guess.payload()));
  expect_denied(Reason::kAmbiguous);
}

TEST_F(SshHostKeyTest, AKeyExchangeLongerThanTheWindowIsDenied) {
  connect();
  (void)server(ssh_.server_identification());
  (void)client(ssh_.client_identification());
  Bytes packet = {0, 0, 0x75, 0x2c, 4, 20};  // 30,000 bytes.
  packet.resize(24'000, 'x');
  for (const auto& segment : tcp_.client_segments(packet, 1'400)) (void)fw_.client(segment);
  expect_denied(Reason::kTooLong);
}

TEST_F(SshHostKeyTest, AServersKeyExchangeLongerThanTheWindowIsDenied) {
  exchange();
  Bytes packet = {0, 0, 0x75, 0x2c, 4, 31};
  packet.resize(24'000, 'x');
  for (std::size_t at = 0; at < packet.size() && fw_.verdicts().empty(); at += 1'200) {
    (void)server(Bytes(packet.begin() + static_cast<std::ptrdiff_t>(at), packet.begin() + static_cast<std::ptrdiff_t>(at) + 1'200));
  }
  expect_denied(Reason::kTooLong);
}

TEST_F(SshHostKeyTest, ObservingLetsAllThroughAndTellsTheDenial) {
  auto options = InspectorHarness::small_options();
  options.mode = policy::Mode::kObserve;
  InspectorHarness fw(policy_text(), options);
  ssh_.key_fill = 8;
  for (const auto& packet : {tcp_.syn()}) EXPECT_EQ(fw.client(packet).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.server(tcp_.syn_ack()).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(tcp_.client_data(ssh_.client_before())).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.server(tcp_.server_data(ssh_.server_stream())).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(tcp_.client_data(ssh_.client_after())).decision.verdict, Verdict::kAccept);
  ASSERT_EQ(fw.verdicts().size(), 1U);
  EXPECT_EQ(fw.verdicts()[0].reason, Reason::kHostKeyNotAllowed);
  EXPECT_TRUE(fw.inspector().replacement().empty());
}

// --- Both sides must be SSH, also without pinned keys ---------------------------------------------

class SshServerTest : public SshHostKeyTest {
 protected:
  SshServerTest() { tcp_ = TcpConversation(kClient, kUnpinned); }
};

TEST_F(SshServerTest, IsHandedOverOnceBothIdentificationStringsHaveArrived) {
  connect();
  EXPECT_EQ(client(ssh_.client_identification()).mark, FlowMark::kWatch);
  EXPECT_TRUE(fw_.verdicts().empty());
  EXPECT_EQ(server(SshSession::joined({ssh_.server_identification(), ssh_.kex_init()})).mark, FlowMark::kWatch);
  ASSERT_EQ(fw_.verdicts().size(), 1U);
  EXPECT_EQ(fw_.verdicts()[0].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(client(ssh_.kex_init()).mark, FlowMark::kAllow);
}

TEST_F(SshServerTest, NothingButTheIdentificationStringLeavesBeforeTheServersIsRead) {
  connect();
  EXPECT_EQ(client(ssh_.client_identification()).verdict, Verdict::kAccept);
  EXPECT_EQ(client(ssh_.kex_init()).verdict, Verdict::kHold);
  const auto answer = fw_.server(tcp_.server_data("Welcome\r\nto this host\r\nSSH-2.0-x\r\n"));
  ASSERT_EQ(answer.releases.size(), 1U);
  EXPECT_EQ(answer.releases[0].decision.verdict, Verdict::kAccept);
}

TEST_F(SshServerTest, AServerThatSpeaksSomethingElseIsDenied) {
  for (const std::string_view answer :
       {std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string_view("\x15\x03\x03\0\x02\x02\x46", 7),
        std::string_view("\0\0\0\x10", 4), std::string_view("SSH-9.9-x\r\n")}) {
    InspectorHarness fw(policy_text());
    TcpConversation tcp(kClient, kUnpinned);
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    EXPECT_EQ(fw.client(tcp.client_data(ssh_.client_identification())).decision.verdict, Verdict::kAccept);
    (void)fw.server(tcp.server_data(answer));
    ASSERT_EQ(fw.verdicts().size(), 1U);
    EXPECT_EQ(fw.verdicts()[0].reason, Reason::kProtocolNotAllowed);
    EXPECT_EQ(fw.client(tcp.client_data(ssh_.kex_init())).decision.verdict, Verdict::kDrop);
  }
}

TEST_F(SshServerTest, AServerThatEndsWithoutAnIdentificationStringIsDenied) {
  connect();
  EXPECT_EQ(client(ssh_.client_identification()).verdict, Verdict::kAccept);
  EXPECT_EQ(server(sallyport::testing::bytes_of("Exceeded MaxStartups\r\n")).verdict, Verdict::kAccept);
  (void)fw_.server(tcp_.server_fin());
  expect_denied(Reason::kProtocolNotAllowed);
}

TEST_F(SshServerTest, AServerOfVersion1IsNotSupported) {
  connect();
  (void)client(ssh_.client_identification());
  (void)server(sallyport::testing::bytes_of("SSH-1.5-old\n"));
  expect_denied(Reason::kUnsupportedVersion);
}

TEST_F(SshServerTest, EndlessLinesBeforeTheIdentificationStringAreDenied) {
  connect();
  (void)client(ssh_.client_identification());
  for (int i = 0; i < 200 && fw_.verdicts().empty(); ++i) (void)server(Bytes(80, i % 2 == 0 ? 'a' : '\n'));
  expect_denied(Reason::kProtocolNotAllowed);
}

TEST_F(SshServerTest, AServerThatIsSilentWhileTheClientGoesOnIsGivenUp) {
  connect();
  (void)client(SshSession::joined({ssh_.client_identification(), ssh_.kex_init()}));
  fw_.wait(kHoldTime);
  expect_denied(Reason::kHoldTimeout);
}

// --- Names: each with the keys of its own ---------------------------------------------------------

class SshNamesTest : public ::testing::Test {
 protected:
  static std::string pinned(std::string_view name, std::uint8_t fill) {
    return "[[rules]]\nto = [\"" + std::string(name) + "\"]\nprotocols = [\"ssh\"]\nbind = \"strict\"\nhost_keys = [\"" +
           std::string(parsers::ssh_fingerprint(ssh_ed25519_blob(fill)).text()) + "\"]\n";
  }
  // verdict_at tells what becomes of a connection to an address with these names, whose server has the key of `fill`.
  static SeenVerdict verdict_at(const std::vector<const char*>& names, std::uint8_t fill) {
    auto options = InspectorHarness::small_options();
    options.bindings = std::make_shared<engine::NameBindings>(1'024);
    const std::string policy = "version = 1\n" + pinned("git.example", 7) + pinned("forge.example", 8);
    InspectorHarness fw(policy, options);
    for (const char* name : names) {
      options.bindings->bind({kPinned.address, *DomainName::parse(name), fw.now() + std::chrono::hours(1),
                              engine::BindingSource::kLookup, 0}, fw.now());
    }
    TcpConversation tcp(kClient, kPinned);
    SshSession ssh;
    ssh.key_fill = fill;
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    fw.client(tcp.client_data(ssh.client_before()));
    fw.server(tcp.server_data(ssh.server_stream()));
    EXPECT_EQ(fw.verdicts().size(), 1U);
    return fw.verdicts().empty() ? SeenVerdict{} : fw.verdicts().back();
  }
};

TEST_F(SshNamesTest, TheKeyMustBeThatOfANameOfTheAddress) {
  const SeenVerdict own = verdict_at({"git.example"}, 7);
  EXPECT_EQ(own.verdict, FlowVerdict::kAllow);
  EXPECT_EQ(own.name, "git.example");
  EXPECT_EQ(verdict_at({"git.example"}, 8).reason, Reason::kHostKeyNotAllowed) << "the key of another name";
  EXPECT_EQ(verdict_at({"other.example"}, 7).reason, Reason::kAddressNotBound);
}

TEST_F(SshNamesTest, TheKeyTellsWhichOfTwoNamesItIs) {
  EXPECT_EQ(verdict_at({"git.example", "forge.example"}, 7).name, "git.example");
  EXPECT_EQ(verdict_at({"git.example", "forge.example"}, 8).name, "forge.example");
  EXPECT_EQ(verdict_at({"git.example", "forge.example"}, 9).reason, Reason::kHostKeyNotAllowed);
}

// --- However the bytes are delivered --------------------------------------------------------------

struct Delivery {
  InspectorHarness fw{policy_text()};
  TcpConversation tcp{kClient, kPinned};
  std::mt19937 random;
  std::vector<Bytes> from_client;
  std::vector<Bytes> from_server;
  std::size_t leaked = 0;

  explicit Delivery(unsigned seed) : random(seed) {}

  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); }

  // cut makes segments of a stream that begins at `offset`, some of them twice, and not quite in order.
  std::vector<Bytes> cut(const Bytes& stream, std::size_t offset, bool of_client) {
    const std::size_t longest = 1 + pick(700);
    std::vector<Bytes> segments;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t size = std::min(stream.size() - at, 1 + pick(longest));
      auto builder = of_client ? tcp.client_at(static_cast<std::uint32_t>(offset + at)).ack(tcp.server_next())
                               : tcp.server_at(static_cast<std::uint32_t>(offset + at)).ack(tcp.client_next());
      segments.push_back(builder.payload(ByteSpan(stream).subspan(at, size)).build());
      if (pick(5) == 0) segments.push_back(segments.back());
      at += size;
    }
    for (std::size_t i = 1; i < segments.size(); ++i) {
      if (pick(4) == 0) std::swap(segments[i - 1], segments[i]);
    }
    return segments;
  }

  void run(const SshSession& ssh) {
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    from_client = cut(ssh.client_before(), 0, true);
    const std::size_t allowed_out = from_client.size();
    for (Bytes& segment : cut(ssh.client_after(), ssh.client_before().size(), true)) from_client.push_back(std::move(segment));
    from_server = cut(ssh.server_stream(), 0, false);
    std::size_t client = 0, server = 0;
    while (client < from_client.size() || server < from_server.size()) {
      const bool clients_turn = server == from_server.size() || (client < from_client.size() && pick(2) == 0);
      if (clients_turn) {
        const auto decision = fw.client(from_client[client]).decision;
        if (client >= allowed_out && decision.verdict == Verdict::kAccept) ++leaked;
        ++client;
      } else {
        fw.server(from_server[server++]);
      }
    }
  }
};

TEST(SshHostKeyDeliveryTest, SameVerdictHoweverBothSidesAreDelivered) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    Delivery good(seed);
    good.run(SshSession{});
    ASSERT_FALSE(good.fw.verdicts().empty()) << seed;
    ASSERT_EQ(good.fw.verdicts().back().verdict, FlowVerdict::kAllow)
        << seed << ": " << to_string(good.fw.verdicts().back().reason);
    Delivery evil(seed);
    SshSession wrong;
    wrong.key_fill = 8;
    evil.run(wrong);
    ASSERT_EQ(evil.fw.verdicts().size(), 1U) << seed;
    ASSERT_EQ(evil.fw.verdicts()[0].reason, Reason::kHostKeyNotAllowed) << seed;
    ASSERT_EQ(evil.leaked, 0U) << seed << ": bytes behind the key exchange left";
  }
}

}  // namespace
}  // namespace sallyport::testing
