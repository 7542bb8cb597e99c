// Streams: what each recogniser takes, in every prefix, and that nobody else claims it.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "sallyport/parsers/database.h"
#include "sallyport/parsers/infrastructure.h"
#include "sallyport/parsers/mail.h"
#include "sallyport/parsers/messaging.h"
#include "sallyport/parsers/realtime.h"
#include "sallyport/parsers/recognisers.h"
#include "sallyport/parsers/vpn.h"

namespace sallyport::parsers {
namespace {

using namespace std::string_literals;

std::vector<std::uint8_t> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

struct Conversation {
  Protocol protocol;
  std::string client;
  std::string
      server;  // What the server says before the client does, or, for a client that waits, its answer.
};

std::string mysql_greeting() {
  const std::string body =
      "\x0a"s + "8.0.36\0"s + "\x08\0\0\0"s + "saltsalt"s + "\0"s + "\xff\xf7"s + std::string(30, 'x');
  return std::string(1, static_cast<char>(body.size())) + "\0\0\0"s + body;
}

std::string postgresql_startup() {
  const std::string body = "\0\3\0\0"s + "user\0alice\0database\0shop\0\0"s;
  return "\0\0\0"s + static_cast<char>(body.size() + 4) + body;
}

std::string netbios_name(char c) {
  return "\x20"s + std::string(32, c) + "\0"s;
}

const std::vector<Conversation>& client_first() {
  static const std::vector<Conversation> kConversations = {
      {Protocol::kMqtt, "\x10\x13\0\4MQTT\4\2\0\x3c\0\7client1"s, ""},
      {Protocol::kMqtt, "\x10\x14\0\6MQIsdp\3\2\0\x3c\0\6client"s, ""},
      {Protocol::kMqtt, "\x10\x13\0\4MQTT\5\2\0\x3c\0\0\6client"s, ""},
      {Protocol::kAmqp, "AMQP\0\0\x09\1"s, ""},
      {Protocol::kAmqp, "AMQP\3\1\0\0"s, ""},
      {Protocol::kXmpp,
       "<?xml version='1.0'?><stream:stream to='example.com' xmlns='jabber:client' "
       "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
       ""},
      {Protocol::kXmpp, "<stream:stream xmlns:stream=\"http://etherx.jabber.org/streams\">", ""},
      {Protocol::kSip, "REGISTER sip:example.com SIP/2.0\r\n", ""},
      {Protocol::kSip, "SIP/2.0 200 OK\r\n", ""},
      {Protocol::kRedis, "*1\r\n$4\r\nPING\r\n", ""},
      {Protocol::kRedis, "*3\r\n$3\r\nset\r\n", ""},
      {Protocol::kPostgresql, postgresql_startup(), ""},
      {Protocol::kPostgresql, "\0\0\0\x08\x04\xd2\x16\x2f"s, ""},
      {Protocol::kSmb,
       "\0\0\0\x45\xff"
       "SMB"s,
       ""},
      {Protocol::kSmb, "\0\0\0\xf8\xfeSMB\x40\0"s, ""},
      {Protocol::kNetbios, "\x81\0\0\x44"s + netbios_name('C') + netbios_name('A'), ""},
      {Protocol::kRdp, "\3\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0"s, ""},
      {Protocol::kRdp, "\3\0\0\x25\x20\xe0\0\0\0\0\0Cookie: mstshash=eltons\r\n\0"s, ""},
      {Protocol::kSocks, "\5\1\0"s, ""},
      {Protocol::kSocks, "\5\2\0\2"s, ""},
      {Protocol::kSocks, "\4\1\1\xbb\xc0\0\2\1user\0"s, ""},
      {Protocol::kSocks, "\4\1\1\xbb\0\0\0\1\0example.com\0"s, ""},
      {Protocol::kLdap, "\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"s, ""},
      {Protocol::kLdap, "\x30\x84\0\0\0\x2d\2\1\1\x63\x84\0\0\0\x24\4\0\x0a\1\0\x0a\1\0\2\1\0"s, ""},
      {Protocol::kLdap,
       "\x30\x1d\2\1\1\x77\x18\x80\x16"
       "1.3.6.1.4.1.1466.20037"s,
       ""},
      {Protocol::kBittorrent,
       "\x13"
       "BitTorrent protocol"s,
       ""},
      {Protocol::kStun, "\0\1\0\0\x21\x12\xa4\x42"s + "transaction!", ""},
      {Protocol::kOpenvpn, "\0\x0e\x38sessionX\0\0\0\0\0"s, ""},
  };
  return kConversations;
}

TEST(TcpRecognisersTest, KnowEachProtocolThatItsClientBegins) {
  for (const Conversation& talk : client_first()) {
    const auto client = bytes_of(talk.client);
    EXPECT_EQ(recognise_tcp(client, {}).protocol, talk.protocol)
        << to_string(talk.protocol) << " " << talk.client;
  }
}

TEST(TcpRecognisersTest, NoPrefixIsTakenForAnythingElse) {
  for (const Conversation& talk : client_first()) {
    for (std::size_t length = 0; length < talk.client.size(); ++length) {
      const auto prefix = bytes_of(talk.client.substr(0, length));
      const Recognition seen = recognise_tcp(prefix, {});
      if (seen.protocol == Protocol::kUnknown) {
        EXPECT_TRUE(seen.undecided) << to_string(talk.protocol) << " " << length;
      } else {
        EXPECT_EQ(seen.protocol, talk.protocol) << length;
        EXPECT_FALSE(seen.undecided);
      }
    }
  }
}

TEST(TcpRecognisersTest, KnowEachProtocolThatItsServerBegins) {
  const std::vector<Conversation> talks = {
      {Protocol::kSmtp, "", "220 mail.example.com ESMTP Postfix\r\n"},
      {Protocol::kSmtp, "EHLO client.example\r\n", "220-mail.example.com\r\n220 ready\r\n"},
      {Protocol::kSmtp, "ehlo client.example\r\n", ""},
      {Protocol::kSmtp, "QUIT\r\n", "220 mx ESMTP\r\n"},
      {Protocol::kFtp, "", "220 (vsFTPd 3.0.3)\r\n"},
      {Protocol::kFtp, "AUTH TLS\r\n", "220 ready\r\n"},
      {Protocol::kFtp, "USER anonymous\r\n", "220-Welcome\r\n free text\r\n220 go\r\n"},
      {Protocol::kImap, "", "* OK [CAPABILITY IMAP4rev1] ready\r\n"},
      {Protocol::kImap, "a001 STARTTLS\r\n", "* OK ready\r\n"},
      {Protocol::kPop3, "", "+OK POP3 ready\r\n"},
      {Protocol::kPop3, "CAPA\r\n", "+OK\r\n"},
      {Protocol::kMysql, "", mysql_greeting()},
      {Protocol::kMysql, "\x20\0\0\1login"s, mysql_greeting() + "\7\0\0\2more"s},
      {Protocol::kMysql, "", "\x18\0\0\0\xff\x6a\4Host is not allowed.."s},
  };
  for (const Conversation& talk : talks) {
    const auto client = bytes_of(talk.client);
    const auto server = bytes_of(talk.server);
    EXPECT_EQ(recognise_tcp(client, server).protocol, talk.protocol) << talk.client << "|" << talk.server;
  }
}

TEST(MailTest, GreetingLinesBehindTheFirstMayBeShort) {
  for (const std::string line : {"", "\r", "a", "ab\r", "220"}) {
    const auto server = bytes_of("220-mx ESMTP\r\n" + line + "\n");
    EXPECT_NE(looks_like_smtp({}, server), Likeness::kNo) << line;
  }
}

TEST(MailTest, A220GreetingThatSaysNothingWaitsForTheClient) {
  const auto server = bytes_of("220 ready\r\n");
  EXPECT_EQ(looks_like_smtp({}, server), Likeness::kMaybe);
  EXPECT_EQ(looks_like_ftp({}, server), Likeness::kMaybe);
  EXPECT_EQ(looks_like_smtp(bytes_of("EHLO x\r\n"), server), Likeness::kYes);
  EXPECT_EQ(looks_like_ftp(bytes_of("EHLO x\r\n"), server), Likeness::kNo);
  EXPECT_EQ(looks_like_ftp(bytes_of("USER x\r\n"), server), Likeness::kYes);
  EXPECT_EQ(looks_like_smtp(bytes_of("USER x\r\n"), server), Likeness::kNo);
  EXPECT_EQ(looks_like_ftp(bytes_of("USER x\r\n"), {}), Likeness::kMaybe);  // IRC and POP3 have it too.
}

TEST(MailTest, AClientThatSpeaksSomethingElseRulesTheGreetingOut) {
  const auto smtp = bytes_of("220 mail.example.com ESMTP\r\n");
  EXPECT_EQ(looks_like_smtp(bytes_of("\x16\x03\x01"), smtp), Likeness::kNo);
  EXPECT_EQ(looks_like_smtp(bytes_of("GET / HTTP/1.1\r\n"), smtp), Likeness::kNo);
  EXPECT_EQ(looks_like_imap(bytes_of("GET / HTTP/1.1\r\n"), bytes_of("* OK ready\r\n")), Likeness::kNo);
  EXPECT_EQ(looks_like_pop3(bytes_of("GET / HTTP/1.1\r\n"), bytes_of("+OK ready\r\n")), Likeness::kNo);
  EXPECT_EQ(looks_like_pop3({}, bytes_of("+OKAY\r\n")), Likeness::kNo);
  EXPECT_EQ(looks_like_smtp({}, bytes_of("2200 ESMTP\r\n")), Likeness::kNo);
  EXPECT_EQ(looks_like_smtp({}, bytes_of("220 ESMTP \1\r\n")), Likeness::kNo);
}

TEST(MailTest, WhatFollowsTheGreetingDoesNotMatter) {
  const auto server = bytes_of("220 mx ESMTP\r\n250 ok\r\n\x16\x03\x03\0\x7a"s);
  const auto client = bytes_of("EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\2\0"s);
  EXPECT_EQ(looks_like_smtp(client, server), Likeness::kYes);
}

TEST(MqttTest, RefusesOtherLevelsAndTheReservedFlag) {
  EXPECT_EQ(looks_like_mqtt(bytes_of("\x10\x13\0\4MQTT\6\2\0\x3c"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_mqtt(bytes_of("\x10\x13\0\4MQTT\4\3\0\x3c"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_mqtt(bytes_of("\x10\x03\0\4MQTT\4\2"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_mqtt(bytes_of("\x10\xff\xff\xff\xff"s)), Likeness::kNo);
}

TEST(RedisTest, RefusesNumbersAndCommandsThatNoClientSends) {
  for (const char* text : {"*0\r\n$4\r\nPING\r\n", "*\r\n", "*1\n", "*1\r\n$99\r\n", "*1\r\n$4\r\nPI G\r\n",
                           "*1\r\n$4\r\nPINGG\r", "*12345678\r\n", "*1\r\n+OK\r\n"}) {
    EXPECT_EQ(looks_like_redis(bytes_of(text)), Likeness::kNo) << text;
  }
}

TEST(PostgresqlTest, RefusesOtherLengthsAndVersions) {
  EXPECT_EQ(looks_like_postgresql(bytes_of("\0\0\0\x09\x04\xd2\x16\x2f"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_postgresql(bytes_of("\0\0\0\x20\0\2\0\0"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_postgresql(bytes_of("\0\0\0\x10\0\3\0\0nouser\0\0"s)), Likeness::kNo);
  EXPECT_EQ(looks_like_postgresql(bytes_of("\0\1"s)), Likeness::kMaybe);
}

TEST(RdpTest, ConnectionRequestsOfOtherProtocolsAreNotRdp) {
  // A programmable controller's request: parameters for TSAPs and the TPDU size.
  EXPECT_EQ(looks_like_rdp(bytes_of("\3\0\0\x16\x11\xe0\0\0\0\1\0\xc1\2\1\0\xc2\2\1\2\xc0\1\x0a"s), {}),
            Likeness::kNo);
}

TEST(SocksTest, MoreBytesNeedTheServersAnswer) {
  const auto greedy = bytes_of("\5\1\0\5\1\0\3\7example"s);
  EXPECT_EQ(looks_like_socks(greedy, {}), Likeness::kNo);
  EXPECT_EQ(looks_like_socks(greedy, bytes_of("\5\0"s)), Likeness::kYes);
  EXPECT_EQ(looks_like_socks(bytes_of("\5\0"s), {}), Likeness::kNo);
  EXPECT_EQ(looks_like_socks(bytes_of("\5\2\0\0"s), {}), Likeness::kNo);  // A method twice.
  EXPECT_EQ(looks_like_socks(bytes_of("\5\2\0\x50"s), {}), Likeness::kNo);
}

TEST(TcpRecognisersTest, OthersProtocolsAreUnknown) {
  for (const std::string& text :
       {"\x16\x03\x01\2\0\1\0\1\xfc\3\3"s + std::string(40, 'r'),
        "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"s,
        "SSH-2.0-OpenSSH_9.2\r\n"s, "OPTIONS * RTSP/1.0\r\n"s, "NICK a\r\nUSER a 0 * :a\r\n"s,
        "CONNECT example.com:443 HTTP/1.1\r\n"s}) {
    const Recognition seen = recognise_tcp(bytes_of(text), {});
    EXPECT_EQ(seen.protocol, Protocol::kUnknown) << text;
    EXPECT_FALSE(seen.undecided && !text.starts_with("NICK")) << text;
  }
}

TEST(TcpRecognisersTest, AClientThatWaitsForAnAnswerIsNotWaitedFor) {
  for (const std::string& text : {"USER anonymous\r\n"s, "AUTH TLS\r\n"s, "a1 CAPABILITY\r\n"s, "CAPA\r\n"s, "NICK a\r\n"s, "NOOP\r\n"s}) {
    EXPECT_FALSE(recognise_tcp_client(bytes_of(text)).undecided) << text;
    EXPECT_EQ(recognise_tcp_client(bytes_of(text)).protocol, Protocol::kUnknown) << text;
  }
  for (const Conversation& talk : client_first()) {
    EXPECT_EQ(recognise_tcp_client(bytes_of(talk.client)).protocol, talk.protocol) << talk.client;
  }
}

TEST(TcpRecognisersTest, RandomBytesAreUnknown) {
  std::mt19937 random(11);
  int taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::vector<std::uint8_t> client(random() % 120);
    std::vector<std::uint8_t> server(random() % 2 == 0 ? 0 : random() % 120);
    for (auto* side : {&client, &server}) {
      for (auto& byte : *side) byte = static_cast<std::uint8_t>(random());
    }
    const Recognition seen = recognise_tcp(client, server);
    EXPECT_FALSE(seen.undecided && seen.protocol != Protocol::kUnknown);
    taken += seen.protocol != Protocol::kUnknown ? 1 : 0;
  }
  EXPECT_LE(taken, 10);
}

TEST(StunTcpTest, ALengthMayStandBeforeTheMessage) {
  const std::string message = "\0\1\0\x08\x21\x12\xa4\x42"s + "transaction!" + "\x80\x22\0\4abcd"s;
  const std::string framed = "\0\x1c"s + message;
  EXPECT_EQ(looks_like_stun_tcp(bytes_of(framed)), Likeness::kYes);
  EXPECT_EQ(recognise_tcp(bytes_of(framed), {}).protocol, Protocol::kStun);
  for (std::size_t length = 0; length < 10; ++length) {
    EXPECT_EQ(looks_like_stun_tcp(bytes_of(framed.substr(0, length))), Likeness::kMaybe) << length;
  }
  EXPECT_EQ(looks_like_stun_tcp(bytes_of("\0\x1d"s + message)), Likeness::kNo) << "another length";
}

TEST(TlsRequestTest, IsTheLineThatAsksForTls) {
  const auto read = [](Protocol protocol, std::string_view text) {
    const TlsRequest request = find_tls_request(protocol, bytes_of(text));
    return request.asked ? static_cast<int>(request.read) : -static_cast<int>(request.read);
  };
  EXPECT_EQ(read(Protocol::kSmtp, "EHLO a\r\nSTARTTLS\r\nrest"), 18);
  EXPECT_EQ(read(Protocol::kSmtp, "EHLO a\r\nSTARTTLS x\r\nrest"), -20);
  EXPECT_EQ(read(Protocol::kSmtp, "EHLO a\r\nSTARTTLS"), -8) << "not whole yet";
  EXPECT_EQ(read(Protocol::kImap, "a1 starttls\r\n"), 13);
  EXPECT_EQ(read(Protocol::kImap, "STARTTLS\r\n"), -10) << "no tag";
  EXPECT_EQ(read(Protocol::kPop3, "STLS\r\n"), 6);
  EXPECT_EQ(read(Protocol::kFtp, "AUTH TLS\r\n"), 10);
  EXPECT_EQ(read(Protocol::kFtp, "AUTH GSSAPI\r\n"), -13);
  EXPECT_EQ(read(Protocol::kSsh, "STARTTLS\r\n"), -10);
}

}  // namespace
}  // namespace sallyport::parsers
