#include "sallyport/parsers/fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/client_hello_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::ClientHelloBuilder;
using testing::hex;

std::string ja3_of(const ClientHelloBuilder& builder) {
  const Bytes body = builder.build();
  const auto hello = parse_client_hello(body);
  Ja3Text text;
  Fingerprinter fingerprinter;
  if (!hello || !fingerprinter.ja3(*hello, text)) return "none";
  return std::string(text_of(text));
}

std::string ja4_of(const ClientHelloBuilder& builder, HelloTransport transport = HelloTransport::kTcp) {
  const Bytes body = builder.build();
  const auto hello = parse_client_hello(body);
  Ja4Text text;
  Fingerprinter fingerprinter;
  if (!hello || !fingerprinter.ja4(*hello, transport, text)) return "none";
  return std::string(text_of(text));
}

// The two examples of the JA3 publication, with their printed hashes.
TEST(Ja3Test, IsThatOfThePublishedExamples) {
  ClientHelloBuilder full;
  full.legacy_version(769).cipher_suites({47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4});
  full.server_name("example.com").supported_groups({23, 24, 25}).extension(11, {1, 0});
  EXPECT_EQ(ja3_of(full), "ada70206e40642a3e4461f35503241d5");
  ClientHelloBuilder bare;
  bare.legacy_version(769).cipher_suites({4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}).without_extensions();
  EXPECT_EQ(ja3_of(bare), "de350869b8c85de67a350c8d186f11e6");
}

TEST(Ja3Test, LeavesGreaseOut) {
  ClientHelloBuilder plain;
  plain.cipher_suites({47, 53}).supported_groups({23, 24});
  ClientHelloBuilder greased;
  greased.cipher_suites({0x1a1a, 47, 53}).grease(0x3a3a).supported_groups({0xfafa, 23, 24});
  EXPECT_EQ(ja3_of(plain), ja3_of(greased));
  EXPECT_NE(ja3_of(plain), ja3_of(ClientHelloBuilder().cipher_suites({53, 47}).supported_groups({23, 24})));
}

// The example of JA4's technical details: extensions and suites in the order of the original hello.
ClientHelloBuilder published_example() {
  ClientHelloBuilder hello;
  hello.cipher_suites({0xeaea, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                       0xc014, 0x009c, 0x009d, 0x002f, 0x0035});
  hello.grease(0x9a9a).extension(0x001b, hex("020002")).server_name("example.com").key_share_x25519();
  hello.alpn({"h2", "http/1.1"}).extension(0x4469, hex("0003026832")).extension(0x0017, {});
  hello.extension(0x002d, hex("0101"));
  hello.signature_algorithms({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601});
  hello.extension(0x0005, hex("0100000000")).extension(0x0023, {}).extension(0x0012, {});
  hello.supported_versions({0x1a1a, 0x0304, 0x0303}).extension(0xff01, {0}).extension(0x000b, hex("0100"));
  hello.supported_groups({0x6a6a, 0x001d}).extension(0x0015, Bytes(10, 0));
  return hello;
}

TEST(Ja4Test, IsThatOfThePublishedExample) {
  EXPECT_EQ(ja4_of(published_example()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
  EXPECT_EQ(ja4_of(published_example(), HelloTransport::kQuic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(Ja4Test, WritesZerosForWhatIsAbsent) {
  const ClientHelloBuilder bare =
      ClientHelloBuilder().legacy_version(0x0301).cipher_suites({0x1a1a}).without_extensions();
  EXPECT_EQ(ja4_of(bare), "t10i000000_000000000000_000000000000");
  const std::string names_only = ja4_of(ClientHelloBuilder().server_name("a.example").alpn({"h3"}));
  EXPECT_EQ(names_only.substr(0, 11), "t12d0502h3_");
  EXPECT_EQ(names_only.substr(24), "000000000000");
}

TEST(Ja4Test, EndsWithoutUnderscoreWhenThereAreNoSignatureAlgorithms) {
  ClientHelloBuilder hello;
  constexpr std::uint16_t kTypes[] = {0x0005, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002d, 0x4469, 0xff01};
  for (const std::uint16_t type : kTypes) {
    hello.extension(type, {0});
  }
  // sha256("0005,0012,0015,0017,001b,0023,002d,4469,ff01")
  EXPECT_EQ(ja4_of(hello).substr(24), "bbb469b83949");
}

TEST(Ja4Test, ShowsUnprintableProtocolsInHex) {
  const auto alpn_of = [](const std::string& protocol) {
    return ja4_of(ClientHelloBuilder().alpn({protocol})).substr(8, 2);
  };
  EXPECT_EQ(alpn_of("http/1.1"), "h1");
  EXPECT_EQ(alpn_of("x"), "xx");
  EXPECT_EQ(alpn_of("\xab"), "ab");
  EXPECT_EQ(alpn_of("\xab\xcd"), "ad");
  EXPECT_EQ(alpn_of("0\xab"), "3b");
  EXPECT_EQ(alpn_of("01\xab\xcd"), "3d");
  EXPECT_EQ(alpn_of("0\xab\xcd"
                    "1"),
            "01");
}

TEST(Ja4Test, CountsNoFurtherThan99) {
  std::vector<std::uint16_t> suites;
  for (std::uint16_t suite = 0; suite < 150; ++suite) suites.push_back(suite);
  EXPECT_EQ(ja4_of(ClientHelloBuilder().cipher_suites(suites)).substr(4, 2), "99");
}

}  // namespace
}  // namespace sallyport::parsers
