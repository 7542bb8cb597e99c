#include "sallyport/parsers/dtls.h"

#include <gtest/gtest.h>

#include <string>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/fingerprint.h"
#include "sallyport/parsers/server_flight.h"
#include "support/dtls_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::ClientHelloBuilder;
using testing::dtls_fragment;
using testing::dtls_hello_body;
using testing::dtls_message;
using testing::hex;
using testing::joined;

Bytes hello_body(const std::string& name = "turn.example.com") {
  return dtls_hello_body(ClientHelloBuilder().server_name(name).build());
}

TEST(DtlsHelloTest, ReadsWhatATlsHelloHas) {
  const Bytes body = hello_body();
  const auto hello = parse_dtls_client_hello(body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->server_name, "turn.example.com");
  EXPECT_EQ(hello->legacy_version, 0xfefd);
  EXPECT_FALSE(parse_client_hello(body));
  const Bytes with_cookie = dtls_hello_body(ClientHelloBuilder().server_name("a.example").build(), Bytes(20, 7));
  EXPECT_EQ(parse_dtls_client_hello(with_cookie)->server_name, "a.example");
  const Bytes old = dtls_hello_body(ClientHelloBuilder().without_extensions().build(), {}, 0x0100);
  EXPECT_TRUE(parse_dtls_client_hello(old)) << "the version before 1.0";
}

TEST(DtlsHelloTest, NoPrefixIsAHello) {
  const Bytes body = hello_body();
  for (std::size_t length = 0; length < body.size(); ++length) {
    const Bytes prefix(body.data(), body.data() + length);
    const auto hello = parse_dtls_client_hello(prefix);
    EXPECT_FALSE(hello && hello->server_name) << length;
  }
}

TEST(DtlsHelloTest, RefusesATlsVersionAndTwoNames) {
  EXPECT_FALSE(parse_dtls_client_hello(dtls_hello_body(ClientHelloBuilder().build(), {}, 0x0303)));
  const Bytes twice = ClientHelloBuilder().server_name("a.example").server_name("b.example").build();
  EXPECT_FALSE(parse_dtls_client_hello(dtls_hello_body(twice)));
}

TEST(DtlsHelloTest, VersionsCountDownwards) {
  const Bytes offers = hex("04 fefd fefc");
  const Bytes body = dtls_hello_body(ClientHelloBuilder().extension(kExtSupportedVersions, offers).build());
  const auto hello = parse_dtls_client_hello(body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->highest_version(), 0xfefc);
  Fingerprinter fingerprinter;
  Ja4Text ja4;
  ASSERT_TRUE(fingerprinter.ja4(*hello, HelloTransport::kDtls, ja4));
  EXPECT_EQ(text_of(ja4).substr(0, 4), "dd3i");
}

TEST(DtlsFragmentReaderTest, WalksRecordsAndTheFragmentsInThem) {
  const Bytes body = hello_body();
  Bytes datagram = dtls_fragment(1, body, 0, 50);
  datagram = joined(datagram, hex("14 fefd 0000 000000000001 0001 01"));  // ChangeCipherSpec
  datagram = joined(datagram, dtls_fragment(1, body, 50, 1'000));
  datagram = joined(datagram, hex("16 fefd 0001 000000000000 0002 abcd"));  // Encrypted.
  DtlsFragmentReader reader(datagram);
  DtlsFragment fragment;
  ASSERT_TRUE(reader.next(fragment));
  EXPECT_EQ(fragment.length, body.size());
  EXPECT_EQ(fragment.bytes.size(), 50u);
  EXPECT_FALSE(fragment.is_whole());
  ASSERT_TRUE(reader.next(fragment));
  EXPECT_EQ(fragment.offset, 50u);
  EXPECT_EQ(fragment.bytes.size(), body.size() - 50);
  EXPECT_FALSE(reader.next(fragment));
  EXPECT_FALSE(reader.malformed());
}

TEST(DtlsFragmentReaderTest, ReadsNothingOnceItHasStopped) {
  const Bytes hello = dtls_message(1, Bytes(40, 7));
  Bytes encrypted = hello;
  encrypted[4] = 1;  // The epoch.
  for (const Bytes& datagram : {joined({0x75}, hello), encrypted}) {
    DtlsFragmentReader reader(datagram);
    DtlsFragment fragment;
    EXPECT_FALSE(reader.next(fragment));
    EXPECT_FALSE(reader.next(fragment));
    EXPECT_FALSE(reader.malformed());
  }
}

TEST(DtlsFragmentReaderTest, ACutOrOverrunningFragmentIsMalformed) {
  const Bytes whole = dtls_message(1, hello_body());
  for (std::size_t length = 1; length < whole.size(); ++length) {
    const Bytes prefix(whole.data(), whole.data() + length);
    DtlsFragmentReader reader(prefix);
    DtlsFragment fragment;
    EXPECT_FALSE(reader.next(fragment)) << length;
    EXPECT_TRUE(reader.malformed()) << length;
    EXPECT_EQ(looks_like_dtls(prefix), Likeness::kNo) << length;
  }
  Bytes beyond = whole;
  beyond[13 + 6 + 2] = 1;  // The fragment would end behind its message.
  DtlsFragment fragment;
  EXPECT_FALSE(DtlsFragmentReader(beyond).next(fragment));
}

TEST(DtlsLikenessTest, TakesTheFirstMessagesOfAHandshake) {
  EXPECT_EQ(looks_like_dtls(dtls_message(1, hello_body())), Likeness::kYes);
  EXPECT_EQ(looks_like_dtls(dtls_fragment(1, hello_body(), 0, 40)), Likeness::kYes);
  EXPECT_EQ(looks_like_dtls(dtls_message(3, hex("feff 00"))), Likeness::kYes);
  EXPECT_EQ(looks_like_dtls(dtls_message(11, hello_body())), Likeness::kNo) << "a certificate is no beginning";
  EXPECT_EQ(looks_like_dtls(dtls_message(1, hello_body(), 17)), Likeness::kNo);
}

TEST(DtlsAnswerTest, OnlyAServerHelloThatIsNoRetryAcceptsTheHello) {
  Bytes server_hello = hex("fefd");
  server_hello.insert(server_hello.end(), 32, 0x33);
  server_hello = joined(server_hello, hex("00 1301 00"));
  EXPECT_TRUE(answers_hello(dtls_message(2, server_hello)));
  Bytes retry = server_hello;
  std::copy(kHelloRetryRandom.begin(), kHelloRetryRandom.end(), retry.begin() + 2);
  EXPECT_FALSE(answers_hello(dtls_message(2, retry)));
  EXPECT_FALSE(answers_hello(dtls_fragment(2, server_hello, 0, 33))) << "it may still be a retry";
  EXPECT_FALSE(answers_hello(dtls_fragment(2, server_hello, 34, 10)));
  EXPECT_FALSE(answers_hello(dtls_message(3, hex("feff 00"))));
  EXPECT_FALSE(answers_hello(hex("15 fefd 0000 000000000001 0002 0228")));
}

}  // namespace
}  // namespace sallyport::parsers
