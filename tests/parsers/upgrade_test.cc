#include "sallyport/parsers/upgrade.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "support/upgrade_driver.h"

namespace sallyport::testing {
namespace {

using Kind = parsers::UpgradeStep::Kind;
using namespace std::string_literals;

UpgradeDriver smtp() {
  UpgradeDriver session(Protocol::kSmtp);
  session.server("220 mx.example ESMTP\r\n");
  session.client("EHLO me.example\r\n");
  session.server("250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
  return session;
}

UpgradeDriver smtp_in_body() {
  UpgradeDriver session = smtp();
  session.client("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
  session.server("250 ok\r\n250 ok\r\n354 go on\r\n");
  return session;
}

TEST(UpgradeTest, TheRequestIsFoundInAnyCaseAndWithBlanks) {
  for (const char* line : {"STARTTLS\r\n", "starttls\r\n", "  StartTLS  \r\n", "STARTTLS\tnow\r\n"}) {
    UpgradeDriver session = smtp();
    session.client(line);
    EXPECT_TRUE(session.asked) << line;
    EXPECT_EQ(session.server("220 go\r\n"), Kind::kAgrees) << line;
  }
}

TEST(UpgradeTest, ARequestWhoseAnswerCannotBeToldIsRefused) {
  UpgradeDriver early(Protocol::kSmtp);
  EXPECT_EQ(early.client("STARTTLS\r\n"), Kind::kAmbiguous) << "the greeting has the code of the agreement";
  UpgradeDriver pipelined = smtp();
  EXPECT_EQ(pipelined.client("NOOP\r\nSTARTTLS\r\n"), Kind::kAmbiguous);
  UpgradeDriver unasked = smtp();
  unasked.server("250 ok\r\n");
  EXPECT_EQ(unasked.client("STARTTLS\r\n"), Kind::kAmbiguous);
  UpgradeDriver agreed = smtp();
  agreed.client("NOOP\r\n");
  EXPECT_EQ(agreed.server("220 go\r\n"), Kind::kAmbiguous);
}

TEST(UpgradeTest, EndsOfLinesThatReadersDifferOverAreRefused) {
  for (const auto& [line, kind] : {std::pair{"NOOP\n"s, Kind::kAmbiguous}, {"NO\rOP\r\n"s, Kind::kAmbiguous}, {"NO\0OP\r\n"s, Kind::kMalformed},
                                   {"\x16\x03\x01"s, Kind::kMalformed}, {std::string(20'000, 'a'), Kind::kTooLong}}) {
    UpgradeDriver session = smtp();
    EXPECT_EQ(session.client(line), kind);
  }
  UpgradeDriver session = smtp();
  EXPECT_EQ(session.server("\x16\x03\x03"), Kind::kMalformed) << "TLS that was not agreed to";
}

TEST(UpgradeTest, AMailEndsWhereEveryServerEndsIt) {
  UpgradeDriver session = smtp_in_body();
  session.client("Subject: x\r\n\r\nSTARTTLS\r\n..\r\n.a\r\nbare\nline\r\n");
  EXPECT_FALSE(session.over());
  EXPECT_FALSE(session.asked);
  session.client(".\r\n");
  session.server("250 taken\r\n");
  session.client("STARTTLS\r\n");
  EXPECT_TRUE(session.asked);
  EXPECT_EQ(session.server("220 go\r\n"), Kind::kAgrees);
}

TEST(UpgradeTest, ADotBetweenOtherEndsOfLinesIsRefused) {
  for (const char* end : {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r.\r", "\r\n.\rx"}) {
    UpgradeDriver session = smtp_in_body();
    session.client("text"s + end + "MAIL FROM:<x@evil.example>\r\n");
    EXPECT_EQ(session.end, Kind::kAmbiguous) << end;
  }
}

TEST(UpgradeTest, ChunksAreTakenOnlyWhereTheServerOffersThem) {
  UpgradeDriver without = smtp();
  EXPECT_EQ(without.client("BDAT 10 LAST\r\nSTARTTLS\r\n"), Kind::kAmbiguous);
  UpgradeDriver session(Protocol::kSmtp);
  session.server("220 mx.example ESMTP\r\n");
  session.client("EHLO me.example\r\n");
  session.server("250-mx.example\r\n250-CHUNKING\r\n250 STARTTLS\r\n");
  session.client("BDAT 10 LAST\r\nSTARTTLS\r\n");
  EXPECT_FALSE(session.over());
  EXPECT_FALSE(session.asked);
}

TEST(UpgradeTest, ChunksAreOfferedByTheLastAnswerToEhloAlone) {
  for (const char* reply : {"250-ok\r\n250 CHUNKING\r\n", "502 CHUNKING\r\n", "214-help\r\n214 CHUNKING\r\n"}) {
    UpgradeDriver session = smtp();
    session.client("NOOP\r\n");
    session.server(reply);
    EXPECT_EQ(session.client("BDAT 10 LAST\r\n"), Kind::kAmbiguous) << reply;
  }
  UpgradeDriver refused = smtp();
  refused.client("EHLO again\r\n");
  refused.server("502 CHUNKING\r\n");
  EXPECT_EQ(refused.client("BDAT 10 LAST\r\n"), Kind::kAmbiguous);
  UpgradeDriver taken_back = smtp();
  taken_back.client("EHLO again\r\n");
  taken_back.server("250-mx\r\n250 CHUNKING\r\n");
  taken_back.client("HELO again\r\n");
  taken_back.server("250 mx\r\n");
  EXPECT_EQ(taken_back.client("BDAT 10 LAST\r\n"), Kind::kAmbiguous);
}

TEST(UpgradeTest, SecretsOfSmtpAreNoCommands) {
  UpgradeDriver session = smtp();
  session.client("AUTH LOGIN\r\n");
  session.client("STARTTLS\r\n");  // Waits, and is a secret then.
  EXPECT_FALSE(session.asked);
  session.server("334 VXNlcm5hbWU6\r\n");
  EXPECT_FALSE(session.asked);
  EXPECT_EQ(session.unread_of_client(), 0U);
}

TEST(UpgradeTest, EachRecipientOfLmtpHasAnAnswer) {
  UpgradeDriver session(Protocol::kSmtp);
  session.server("220 mx.example LMTP\r\n");
  session.client("LHLO me.example\r\n");
  session.server("250 mx.example\r\n");
  session.client("MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n");
  session.server("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go on\r\n");
  session.client("x\r\n.\r\n");
  session.server("250 a\r\n");
  EXPECT_EQ(session.session.unanswered, 1);
  session.server("250 c\r\n");
  session.client("STARTTLS\r\n");
  EXPECT_EQ(session.server("220 go\r\n"), Kind::kAgrees);
}

TEST(UpgradeTest, ImapEndsWithALoginAndNotBefore) {
  UpgradeDriver session(Protocol::kImap);
  session.server("* OK ready\r\n");
  session.client("a NOOP\r\na LOGIN me wrong\r\n");
  EXPECT_EQ(session.server("a OK done\r\n"), Kind::kNeedMore) << "the answer to NOOP, with the tag of LOGIN";
  EXPECT_EQ(session.server("a NO wrong\r\n"), Kind::kNeedMore);
  session.client("b LOGIN me {6}\r\n");
  session.server("+ go\r\n");
  session.client("secret\r\n");
  EXPECT_EQ(session.server("* CAPABILITY IMAP4rev1\r\nb OK in\r\n"), Kind::kEnds);
}

TEST(UpgradeTest, OnlyTheTagOfAnImapLoginAnswersIt) {
  UpgradeDriver session(Protocol::kImap);
  session.server("* OK ready\r\n");
  session.client("z NOOP\r\n");
  session.server("z OK done\r\n");
  session.client("a LOGIN me wrong\r\nb NOOP\r\n");
  EXPECT_EQ(session.unread_of_client(), 8U) << "what follows a login waits for its answer";
  EXPECT_EQ(session.server("* BAD what\r\nb OK done\r\n"), Kind::kNeedMore) << "not the login's";
  EXPECT_EQ(session.server("A OK in\r\n"), Kind::kNeedMore) << "tags have case";
  EXPECT_EQ(session.server("a OK in\r\n"), Kind::kEnds);
  UpgradeDriver tls(Protocol::kImap);
  tls.server("* OK ready\r\n");
  tls.client("a STARTTLS\r\n");
  EXPECT_EQ(tls.server("b OK done\r\n"), Kind::kNeedMore);
  EXPECT_EQ(tls.server("a OK begin\r\n"), Kind::kAgrees);
}

TEST(UpgradeTest, ImapLinesThatHaveNoTaggedAnswerAreRefused) {
  // Dovecot answers these without a tag: the count of what is due would stay one too high, and the answer to a later
  // command be taken for that to a failed login.
  for (const char* line : {"\r\n", "* FOO\r\n", "+ NOOP\r\n", " a NOOP\r\n", "a\tNOOP\r\n", "a+ NOOP\r\n", "(a NOOP\r\n", "\xc3\xa4 NOOP\r\n"}) {
    UpgradeDriver session(Protocol::kImap);
    session.server("* OK ready\r\n");
    EXPECT_EQ(session.client("z NOOP\r\n"s + line + "a LOGIN me wrong\r\n"), Kind::kAmbiguous) << line;
  }
  for (const std::size_t size : {32U, 33U}) {
    UpgradeDriver session(Protocol::kImap);
    session.server("* OK ready\r\n");
    session.client(std::string(size, 'a') + " NOOP\r\n");
    EXPECT_EQ(session.over(), size == 33U);
  }
}

TEST(UpgradeTest, ImapLiteralsThatTheServerDidNotAskForAreRefused) {
  for (const char* line : {"a LOGIN {2+}\r\n", "a LOGIN {x}\r\n", "a LOGIN {99999999999}\r\n"}) {
    UpgradeDriver session(Protocol::kImap);
    session.server("* OK ready\r\n");
    EXPECT_EQ(session.client(line), Kind::kAmbiguous) << line;
  }
  UpgradeDriver session(Protocol::kImap);
  session.server("* OK ready\r\n");
  session.client("a LOGIN {10}\r\nb STARTTLS\r\n");
  EXPECT_FALSE(session.asked) << "it waits for the server";
  session.server("a BAD no literals\r\n");
  EXPECT_TRUE(session.asked);
}

TEST(UpgradeTest, ImapPreauthEnds) {
  UpgradeDriver session(Protocol::kImap);
  EXPECT_EQ(session.server("* PREAUTH in\r\n"), Kind::kEnds);
}

TEST(UpgradeTest, Pop3EndsWithALogin) {
  UpgradeDriver session(Protocol::kPop3);
  session.server("+OK ready\r\n");
  session.client("CAPA\r\nUSER me\r\nPASS secret\r\nSTAT\r\n");
  EXPECT_EQ(session.server("+OK\r\nUSER\r\n+OK is no answer here\r\n.\r\n+OK\r\n"), Kind::kNeedMore);
  EXPECT_EQ(session.server("+OK in\r\n"), Kind::kEnds);
  UpgradeDriver sasl(Protocol::kPop3);
  sasl.server("+OK ready\r\n");
  sasl.client("AUTH PLAIN\r\n");
  sasl.server("+ \r\n");
  sasl.client("AG1lAHNlY3JldA==\r\n");
  EXPECT_EQ(sasl.server("+OK in\r\n"), Kind::kEnds);
}

TEST(UpgradeTest, FtpAnswersOfManyLinesAndPreliminaryOnesAreOne) {
  UpgradeDriver session(Protocol::kFtp);
  session.server("220-hello\r\n220-220\r\n220 ready\r\n");
  session.client("USER me\r\nPASS x\r\nRETR file\r\n");
  session.server("331 go\r\n230 in\r\n150 coming\r\n226 done\r\n");
  session.client("AUTH TLS\r\n");
  EXPECT_EQ(session.server("234 go\r\n"), Kind::kAgrees);
  UpgradeDriver telnet(Protocol::kFtp);
  telnet.server("220 ready\r\n");
  EXPECT_EQ(telnet.client("AU\xff\xf1TH TLS\r\n"), Kind::kAmbiguous);
}

TEST(UpgradeTest, PostgresqlIsOneByteOfAgreement) {
  const std::string ssl = "\0\0\0\x08\x04\xd2\x16\x2f"s, gss = "\0\0\0\x08\x04\xd2\x16\x30"s, startup = "\0\0\0\x11\0\3\0\0user\0me\0\0"s;
  UpgradeDriver session(Protocol::kPostgresql, false);
  session.client(gss);
  session.server("N");
  session.client(ssl);
  EXPECT_EQ(session.server("S"), Kind::kAgrees);
  UpgradeDriver other(Protocol::kPostgresql, false);
  other.client(gss);
  EXPECT_EQ(other.server("G"), Kind::kOtherSecurity);
  UpgradeDriver plain(Protocol::kPostgresql, false);
  plain.client(ssl);
  plain.server("N");
  EXPECT_EQ(plain.client(startup), Kind::kEnds);
  EXPECT_TRUE(plain.plaintext);
  UpgradeDriver injected(Protocol::kPostgresql, false);
  EXPECT_EQ(injected.client(ssl + startup), Kind::kAmbiguous);
  UpgradeDriver unasked(Protocol::kPostgresql, false);
  EXPECT_EQ(unasked.server("S"), Kind::kAmbiguous);
}

std::string mysql_greeting(bool tls) {
  return "\x4a\0\0\0\x0a"s + "8.0.36\0"s + "\x07\0\0\0"s + "abcdefgh\0"s + (tls ? "\xff\xff"s : "\xff\xf7"s) + std::string(51, '\1');
}

TEST(UpgradeTest, MysqlBeginsTlsBehindThe32BytesOfTheRequest) {
  const std::string request = "\x20\0\0\1\x85\xae\x0f\0"s + std::string(28, '\0'), login = "\x24\0\0\1\x85\xa6\x0f\0"s + std::string(32, 'a');
  UpgradeDriver session(Protocol::kMysql);
  session.server(mysql_greeting(true));
  EXPECT_EQ(session.client(request), Kind::kAgrees);
  EXPECT_FALSE(session.plaintext);
  UpgradeDriver plain(Protocol::kMysql);
  plain.server(mysql_greeting(true));
  EXPECT_EQ(plain.client(login), Kind::kEnds);
  EXPECT_TRUE(plain.plaintext);
  UpgradeDriver refused(Protocol::kMysql);
  refused.server(mysql_greeting(false));
  EXPECT_EQ(refused.client(request), Kind::kAmbiguous) << "the server does not offer it";
  UpgradeDriver both(Protocol::kMysql);
  both.server(mysql_greeting(true));
  EXPECT_EQ(both.client("\x24\0\0\1\x85\xae\x0f\0"s + std::string(32, 'a')), Kind::kAmbiguous) << "a login that asks for TLS";
}

TEST(UpgradeTest, LdapStartTlsNeedsEveryAnswerBeforeIt) {
  const std::string start = "\x30\x1d\2\1\2\x77\x18\x80\x16" "1.3.6.1.4.1.1466.20037"s, good = "\x30\x0c\2\1\2\x78\7\x0a\1\0\4\0\4\0"s;
  const std::string search = "\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectClass\x30\0"s;
  const std::string entry = "\x30\x09\2\1\1\x64\4\4\0\x30\0"s, done = "\x30\x0c\2\1\1\x65\7\x0a\1\0\4\0\4\0"s;
  UpgradeDriver session(Protocol::kLdap, false);
  session.client(search);
  session.server(entry + done);
  session.client(start);
  EXPECT_EQ(session.server(good), Kind::kAgrees);
  UpgradeDriver early(Protocol::kLdap, false);
  early.client(search);
  early.server(entry);
  EXPECT_EQ(early.client(start), Kind::kAmbiguous);
  UpgradeDriver indefinite(Protocol::kLdap, false);
  EXPECT_EQ(indefinite.client("\x30\x80\2\1\1"), Kind::kMalformed);
}

TEST(UpgradeTest, AnLdapSessionGoesOnBehindManyAbandons) {
  const std::string start = "\x30\x1d\2\1\2\x77\x18\x80\x16" "1.3.6.1.4.1.1466.20037"s;
  const std::string search = "\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectClass\x30\0"s;
  UpgradeDriver session(Protocol::kLdap, false);
  for (int i = 0; i < 5'000; ++i) session.client(search + "\x30\6\2\1\2\x50\1\1"s);
  EXPECT_FALSE(session.over());
  EXPECT_EQ(session.unread_of_client(), 0U);
  EXPECT_EQ(session.client(start), Kind::kAmbiguous) << "answers may still come";
}

TEST(UpgradeTest, WhatMayLeaveBeforeTlsIsShort) {
  const std::string secret(600, 's');
  const auto plaintext = [](Protocol protocol, const std::string& greeting, const std::string& line) {
    UpgradeDriver session(protocol);
    session.server(greeting);
    session.client(line + "\r\n");
    EXPECT_EQ(session.unread_of_client(), 0U) << line;
    return session.plaintext;
  };
  for (const std::string verb : {"NOOP", "QUIT", "RSET", "HELP", "STARTTLS", "EHLO"}) {
    EXPECT_FALSE(plaintext(Protocol::kSmtp, "220 x\r\n", verb + " "));
    EXPECT_EQ(plaintext(Protocol::kSmtp, "220 x\r\n", verb + " secret"), verb != "EHLO") << verb;
    EXPECT_TRUE(plaintext(Protocol::kSmtp, "220 x\r\n", verb + " " + secret)) << verb;
  }
  for (const std::string verb : {"NOOP", "CAPA", "QUIT", "STLS"}) EXPECT_TRUE(plaintext(Protocol::kPop3, "+OK\r\n", verb + " secret")) << verb;
  for (const std::string verb : {"NOOP", "SYST", "HELP", "FEAT", "QUIT", "AUTH TLS"}) {
    EXPECT_FALSE(plaintext(Protocol::kFtp, "220 x\r\n", verb));
    EXPECT_TRUE(plaintext(Protocol::kFtp, "220 x\r\n", verb + " secret")) << verb;
  }
  for (const std::string verb : {"a NOOP", "a CAPABILITY", "a LOGOUT", "a STARTTLS"}) {
    EXPECT_FALSE(plaintext(Protocol::kImap, "* OK\r\n", verb));
    EXPECT_TRUE(plaintext(Protocol::kImap, "* OK\r\n", verb + " secret")) << verb;
  }
}

TEST(UpgradeTest, OnlyBareLdapOperationsAreNoPlaintext) {
  const std::string start = "\x77\x18\x80\x16" "1.3.6.1.4.1.1466.20037"s, control = "\xa0\6secret"s;
  const std::string anonymous = "\x60\7\2\1\3\4\0\x80\0"s, unbind = "\x42\0"s, abandon = "\x50\4\x7f\1\2\3"s;
  const auto plaintext = [](const std::string& operation) {
    UpgradeDriver session(Protocol::kLdap, false);
    session.client("\x30"s + static_cast<char>(operation.size() + 3) + "\2\1\1" + operation);
    EXPECT_EQ(session.unread_of_client(), 0U);
    return session.plaintext;
  };
  for (const std::string& bare : {start, anonymous, unbind, abandon}) {
    EXPECT_FALSE(plaintext(bare));
    EXPECT_TRUE(plaintext(bare + control));
  }
  for (const std::string& other : {"\x60\x0d\2\1\3\4\0\x80\0secret"s, "\x60\x0d\2\1\3\4\0\x80\6secret"s, "\x42\6secret"s, "\x50\6secret"s, "\x50\0"s,
                                   "\x77\x20\x80\x16" "1.3.6.1.4.1.1466.20037\x81\6secret"s}) {
    EXPECT_TRUE(plaintext(other));
  }
}

TEST(UpgradeTest, LdapEndsInASecurityLayerOfSasl) {
  const std::string bind = "\x30\x14\2\1\1\x60\x0f\2\1\3\4\0\xa3\x08\4\6GSSAPI"s, good = "\x30\x0c\2\1\1\x61\7\x0a\1\0\4\0\4\0"s;
  UpgradeDriver session(Protocol::kLdap, false);
  session.client(bind);
  session.server(good);
  EXPECT_EQ(session.client("\0\0\0\x20"s), Kind::kEnds);
  UpgradeDriver none(Protocol::kLdap, false);
  EXPECT_EQ(none.client("\0\0\0\x20"s), Kind::kMalformed);
}

// A server from before SSLRequest answers with an error, and closes.
TEST(UpgradeTest, PostgresqlsErrorIsARefusal) {
  const std::string tls = "\0\0\0\x08\x04\xd2\x16\x2f"s, gss = "\0\0\0\x08\x04\xd2\x16\x30"s, login = "\0\0\0\x11\0\3\0\0user\0me\0\0"s;
  for (const std::string& asks : {tls, gss}) {
    for (const auto& [next, kind] : {std::pair{tls, Kind::kAmbiguous}, {gss, Kind::kAmbiguous}, {"\x16\3\1\2\0\1\0\1"s, Kind::kMalformed}, {login, Kind::kEnds}}) {
      UpgradeDriver session(Protocol::kPostgresql, false);
      session.client(asks);
      session.server("EFATAL:  unsupp");
      EXPECT_FALSE(session.over());
      session.server("S");
      EXPECT_FALSE(session.over()) << "no agreement";
      EXPECT_EQ(session.client(next), kind);
      EXPECT_EQ(session.plaintext, kind == Kind::kEnds);
    }
  }
}

TEST(UpgradeTest, XmppElementsAreReadWholeAndBelowTheStream) {
  const std::string open = "<?xml version='1.0'?><stream:stream to='x>y' xmlns:stream='http://etherx.jabber.org/streams'>";
  UpgradeDriver session(Protocol::kXmpp, false);
  session.client(open + "<iq><starttls/></iq> ");
  EXPECT_FALSE(session.asked);
  EXPECT_TRUE(session.plaintext);
  session.client("<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'></t:starttls>");
  EXPECT_TRUE(session.asked);
  EXPECT_EQ(session.server("<stream:stream><stream:features><proceed/></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            Kind::kAgrees);
  for (const char* bad : {"<!-- --><starttls/>", "<![CDATA[x]]>", "<?pi?>", "text", "<stream:stream/>", "<a <b/>"}) {
    UpgradeDriver other(Protocol::kXmpp, false);
    other.client(open);
    other.client(bad);
    EXPECT_TRUE(other.over()) << bad;
  }
}

}  // namespace
}  // namespace sallyport::testing
