// The first key exchange of an SSH connection, both sides together.
#include <gtest/gtest.h>

#include "sallyport/parsers/ssh.h"
#include "support/ssh_builder.h"

namespace sallyport::parsers {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Step = SshExchange::Step;
using testing::ssh_ed25519_blob;
using testing::ssh_kex_reply;
using testing::ssh_packet;
using testing::SshKexInitBuilder;

constexpr std::uint8_t kInit = 30;
constexpr std::uint8_t kGexRequest = 34;

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Bytes kex_init(std::string_view method = "curve25519-sha256") {
  SshKexInitBuilder builder;
  builder.kex = method;
  return ssh_packet(builder.payload());
}
Bytes message(std::uint8_t type) { return ssh_packet(Bytes{type, 0, 0, 0, 0}); }
Bytes reply(std::uint8_t fill = 7, std::uint8_t type = kSshMsgKexReply) {
  return ssh_packet(ssh_kex_reply(type, ssh_ed25519_blob(fill)));
}

const Bytes kClient = joined({kex_init(), message(kInit)});

Step step_with(const Bytes& server, const Bytes& client = kClient) { return read_ssh_exchange(client, server).step; }

TEST(SshExchangeTest, FindsTheHostKeyOfTheReply) {
  const Bytes server = joined({kex_init(), reply(7), message(kSshMsgNewKeys)});
  const SshExchange exchange = read_ssh_exchange(kClient, server);
  ASSERT_EQ(exchange.step, Step::kHostKey);
  const Bytes blob = ssh_ed25519_blob(7);
  EXPECT_EQ(Bytes(exchange.host_key.begin(), exchange.host_key.end()), blob);
  EXPECT_EQ(exchange.client_read, kClient.size());
  EXPECT_EQ(exchange.server_read, kex_init().size() + reply(7).size());
  EXPECT_EQ(ssh_fingerprint(ssh_key_digest(blob)).text(), ssh_fingerprint(blob).text());
}

TEST(SshExchangeTest, NoPrefixYieldsAHostKeyAndEachSaysWhichSideIsShort) {
  const Bytes server = joined({kex_init(), reply(7)});
  for (std::size_t length = 0; length < server.size(); ++length) {
    const Bytes prefix(server.data(), server.data() + length);
    const SshExchange exchange = read_ssh_exchange(kClient, prefix);
    EXPECT_EQ(exchange.step, Step::kNeedMore) << length;
    EXPECT_TRUE(exchange.server_incomplete) << length;
    EXPECT_EQ(exchange.client_read, kClient.size()) << "the client's side does not wait for the server's";
  }
  for (std::size_t length = 0; length < kClient.size(); ++length) {
    const Bytes prefix(kClient.data(), kClient.data() + length);
    const SshExchange exchange = read_ssh_exchange(prefix, {});
    EXPECT_EQ(exchange.step, Step::kNeedMore) << length;
    EXPECT_TRUE(exchange.client_incomplete) << length;
    EXPECT_LE(exchange.client_read, length);
  }
}

TEST(SshExchangeTest, WhatTheClientSendsBehindItsKeyExchangeStays) {
  const Bytes init = joined({kex_init(), message(kInit)});
  const Bytes guessed = joined({kex_init(), message(kInit), message(kInit)});
  for (const Bytes& client : {init, guessed}) {
    const Bytes more = joined({client, message(kSshMsgNewKeys), Bytes(300, 0xee)});
    EXPECT_EQ(read_ssh_exchange(more, kex_init()).client_read, client.size());
  }
  EXPECT_EQ(read_ssh_exchange(joined({kex_init(), message(5)}), kex_init()).client_read, kex_init().size())
      << "a service request before the keys";
}

TEST(SshExchangeTest, GroupExchangeSendsItsGroupFirst) {
  const std::string_view method = "diffie-hellman-group-exchange-sha256";
  const Bytes client = joined({kex_init(method), message(kGexRequest)});
  const Bytes group = message(kSshMsgKexGexGroup);
  EXPECT_EQ(step_with(joined({kex_init(method), group}), client), Step::kNeedMore);
  EXPECT_EQ(step_with(joined({kex_init(method), group, reply(7, kSshMsgKexGexReply)}), client), Step::kHostKey);
  EXPECT_EQ(step_with(joined({kex_init(method), reply(7, kSshMsgKexGexReply), group}), client), Step::kMalformed)
      << "a decoy that a client passes over";
  EXPECT_EQ(step_with(joined({kex_init(method), group, reply(7)}), client), Step::kMalformed);
}

TEST(SshExchangeTest, ADecoyBeforeTheReplyIsRefused) {
  EXPECT_EQ(step_with(joined({reply(7), kex_init(), reply(8)})), Step::kMalformed);
  EXPECT_EQ(step_with(joined({kex_init(), message(kInit), reply(8)})), Step::kMalformed);
  EXPECT_EQ(step_with(joined({kex_init(), reply(7, kSshMsgKexGexReply), reply(8)})), Step::kMalformed);
  EXPECT_EQ(step_with(joined({kex_init(), kex_init(), reply(8)})), Step::kMalformed);
  EXPECT_EQ(step_with(joined({kex_init(), message(kSshMsgNewKeys), reply(8)})), Step::kMalformed);
  Bytes trailing = ssh_kex_reply(kSshMsgKexReply, ssh_ed25519_blob(7));
  trailing.push_back(0);
  EXPECT_EQ(step_with(joined({kex_init(), ssh_packet(trailing), reply(8)})), Step::kMalformed);
  SshKexInitBuilder guesses;
  guesses.first_kex_packet_follows = true;
  EXPECT_EQ(step_with(joined({ssh_packet(guesses.payload()), reply(7), reply(8)})), Step::kAmbiguous);
}

TEST(SshExchangeTest, MessagesThatSayNothingMayStandBetween) {
  const Bytes ignore = message(kSshMsgIgnore);
  const Bytes debug = message(kSshMsgDebug);
  EXPECT_EQ(step_with(joined({kex_init(), ignore, debug, message(kSshMsgUnimplemented), reply(7)})), Step::kHostKey);
  Bytes many = kex_init();
  for (int i = 0; i < kSshExchangePacketsMax; ++i) many = joined({many, ignore});
  EXPECT_EQ(step_with(joined({many, reply(7)})), Step::kTooLong);
  EXPECT_EQ(step_with(joined({kex_init(), message(kSshMsgDisconnect), reply(7)})), Step::kNeedMore)
      << "nothing counts behind a disconnect";
}

TEST(SshExchangeTest, OnlyMethodsWhoseRepliesAreKnownAreRead) {
  for (const std::string_view method :
       {"diffie-hellman-group1-sha1", "diffie-hellman-group14-sha256", "diffie-hellman-group18-sha512", "ecdh-sha2-nistp256",
        "curve25519-sha256", "curve25519-sha256@libssh.org", "curve448-sha512", "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com", "mlkem768x25519-sha256", "mlkem768nistp256-sha256",
        "mlkem1024nistp384-sha384"}) {
    EXPECT_EQ(step_with(joined({kex_init(method), reply(7)}), joined({kex_init(method), message(kInit)})), Step::kHostKey)
        << method;
  }
  for (const std::string_view method : {"gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==", "rsa2048-sha256", "made-up@example.com",
                                        "kexguess2@matt.ucc.asn.au"}) {
    EXPECT_EQ(step_with(joined({kex_init(method), reply(7)}), joined({kex_init(method), message(kInit)})),
              Step::kUnknownMethod)
        << method;
  }
  EXPECT_EQ(step_with(joined({kex_init("curve448-sha512"), reply(7)})), Step::kUnknownMethod) << "no method in common";
}

TEST(SshExchangeTest, BrokenPacketsAreRefusedOnEitherSide) {
  const Bytes huge = {0xff, 0xff, 0xff, 0xff, 4};
  const Bytes odd = {0, 0, 0, 13, 4, 20};
  EXPECT_EQ(step_with(huge), Step::kTooLong);
  EXPECT_EQ(step_with(odd), Step::kMalformed);
  EXPECT_EQ(step_with({}, huge), Step::kTooLong);
  EXPECT_EQ(step_with({}, joined({kex_init(), odd})), Step::kMalformed);
  Bytes many = kex_init();
  for (int i = 0; i < kSshExchangePacketsMax; ++i) many = joined({many, message(kInit)});
  EXPECT_EQ(step_with({}, many), Step::kTooLong);
}

}  // namespace
}  // namespace sallyport::parsers
