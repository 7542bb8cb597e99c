// What is told of protocols whose two sides are read beside each other (a replay): however each side is cut, shuffled,
// repeated, and mixed with the other, it is the same.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/delivery.h"
#include "support/ssh_builder.h"

namespace sallyport::testing {
namespace {

constexpr const char* kPolicy = "version = 1\n[defaults]\nmode = \"observe\"\n";
constexpr unsigned kRounds = 1'000;

class DetailsDeliveryTest : public ::testing::Test {
 protected:
  static engine::InspectorOptions with_details() {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.read_details = true;
    return options;
  }
  InspectorHarness fw_{kPolicy, with_details()};

  // deliver mixes both sides' pieces, each side in its own order.
  std::string deliver(const std::vector<Piece>& client, const std::vector<Piece>& server, Random& random) {
    fw_.begin_anew();
    TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 8'000));
    fw_.client(tcp.syn());
    fw_.server(tcp.syn_ack());
    for (const auto& [from_client, piece] : mixed(client, server, random)) {
      const auto at = static_cast<std::uint32_t>(piece.offset);
      if (from_client) {
        fw_.client(tcp.client_at(at).payload(ByteSpan(piece.bytes)).build());
      } else {
        fw_.server(tcp.server_at(at).payload(ByteSpan(piece.bytes)).build());
      }
    }
    return judgement_of(fw_);
  }

  void expect_same(const Bytes& client, const Bytes& server, const std::vector<std::string>& expected) {
    std::string first;
    for (unsigned seed = 0; seed < kRounds; ++seed) {
      Random random(seed);
      const std::string judgement = deliver(random_delivery(client, random), random_delivery(server, random), random);
      for (const std::string& line : expected) {
        ASSERT_NE(judgement.find(line + "\n"), std::string::npos) << line << ", seed " << seed << "\n" << judgement;
      }
      // Which side's bytes came first may be seen in the order of reasons, never in what is told.
      const std::string told = judgement.substr(judgement.find("name "));
      if (seed == 0) first = told;
      ASSERT_EQ(told, first) << "seed " << seed;
    }
  }
};

void append(Bytes& out, const Bytes& bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

TEST_F(DetailsDeliveryTest, OfAnSshKeyExchange) {
  Bytes client = bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
  append(client, ssh_packet(SshKexInitBuilder().payload()));
  append(client, ssh_packet(bytes_of("\x1e" + std::string(40, 'e'))));
  Bytes server = bytes_of("a line before it, RFC 4253 section 4.2\r\nSSH-2.0-OpenSSH_9.9\r\n");
  append(server, ssh_packet(SshKexInitBuilder{.kex = "curve25519-sha256"}.payload()));
  append(server, ssh_packet(ssh_kex_reply(31, ssh_ed25519_blob(7))));
  std::string first;
  for (unsigned seed = 0; seed < 2 * kRounds; ++seed) {
    Random random(seed);
    const std::string told = deliver(random_delivery(client, random), random_delivery(server, random), random);
    if (seed == 0) {
      first = told;
      for (const char* word : {"protocol ssh\n", "client_banner SSH-2.0-OpenSSH_9.2p1 Debian-2\n", "server_banner SSH-2.0-OpenSSH_9.9\n",
                               "\nhassh ", "\nhassh_server ", "hostkey_type ssh-ed25519\n", "\nhostkey_sha256 "}) {
        ASSERT_NE(told.find(word), std::string::npos) << word << "\n" << told;
      }
    }
    ASSERT_EQ(told, first) << "seed " << seed;
  }
}

struct Session {
  const char* protocol;
  const char* server;
  const char* client;  // Up to its TLS.
};

class UpgradeDeliveryTest : public DetailsDeliveryTest, public ::testing::WithParamInterface<Session> {};

TEST_P(UpgradeDeliveryTest, OfASessionThatTurnsToTls) {
  const Session session = GetParam();
  Bytes client = bytes_of(session.client);
  append(client, ClientHelloBuilder::post_quantum("mx.example").record());
  Bytes server = bytes_of(session.server);
  append(server, server_hello(false));
  expect_same(client, server, {"protocol " + std::string(session.protocol), "name mx.example", "alpn h2", "ech outer"});
}

INSTANTIATE_TEST_SUITE_P(
    Protocols, UpgradeDeliveryTest,
    ::testing::Values(
        Session{"smtp", "220-mail.example\r\n220 ready\r\n250-mail.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n220 go ahead\r\n",
                "EHLO me.example\r\nSTARTTLS\r\n"},
        Session{"imap", "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n* CAPABILITY IMAP4rev1\r\na OK\r\nb OK begin\r\n",
                "a CAPABILITY\r\nb STARTTLS\r\n"},
        Session{"pop3", "+OK POP3 ready <1@mail.example>\r\n+OK\r\nSTLS\r\n.\r\n+OK begin\r\n", "CAPA\r\nSTLS\r\n"},
        Session{"ftp", "220-Welcome\r\n 220 to this\r\n220 FTP server\r\n211-Features\r\n AUTH TLS\r\n211 End\r\n234 go\r\n",
                "FEAT\r\nAUTH TLS\r\n"}),
    [](const auto& session) { return std::string(session.param.protocol); });

}  // namespace
}  // namespace sallyport::testing
