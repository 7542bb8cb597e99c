#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "support/dns_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::DnsMessageBuilder;
using Section = DnsMessageBuilder::Section;

TEST(DnsLikenessTest, KnowsWhatDnsLooksLike) {
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().question("www.example.com", 1).build()), Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().question("www.example.com", 65).edns().build()),
            Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().question(".", 2).build()), Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().question("\\001\\255tunnel.example", 10).build()),
            Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().question("version.bind", 16, 3).build()), Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().response().question("a", 1).a("a", "192.0.2.1").build()),
            Likeness::kYes);
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().response().rcode(3).question("a", 1).build()), Likeness::kYes);
}

TEST(DnsLikenessTest, KnowsMulticastDns) {
  const Bytes query = DnsMessageBuilder(0)
                          .flags(0)
                          .question("_http._tcp.local", 12)
                          .question("_ipp._tcp.local", 12, 0x8001)
                          .build();
  EXPECT_EQ(looks_like_dns(query), Likeness::kYes);
  const Bytes answer = DnsMessageBuilder(0)
                           .flags(0x8400)
                           .record(Section::kAnswer, "a.local", 1, 0x8001, 120, {192, 0, 2, 1})
                           .build();
  EXPECT_EQ(looks_like_dns(answer), Likeness::kYes);
}

TEST(DnsLikenessTest, ToleratesTheReservedBitAndOddRecordsBehindAGoodQuestion) {
  EXPECT_EQ(looks_like_dns(DnsMessageBuilder().flags(0x0160).question("a.example", 1).build()),
            Likeness::kYes);
  // Padding as a record of type 0.
  const Bytes padded = DnsMessageBuilder()
                           .question("a.example", 16)
                           .record(Section::kAdditional, ".", 0, 0, 0, Bytes(300, 0))
                           .build();
  EXPECT_EQ(looks_like_dns(padded), Likeness::kYes);
  const Bytes alone = DnsMessageBuilder(0).flags(0x8400).record(Section::kAnswer, ".", 0, 0, 0, {}).build();
  EXPECT_EQ(looks_like_dns(alone), Likeness::kNo);
}

TEST(DnsLikenessTest, KnowsUpdates) {
  const Bytes update = DnsMessageBuilder()
                           .flags(0x2800)
                           .question("example.com", 6)
                           .record(Section::kAuthority, "a.example.com", 255, 255, 0, {})
                           .build();
  EXPECT_EQ(looks_like_dns(update), Likeness::kYes);
}

TEST(DnsLikenessTest, ADatagramThatWasCutOffMayBeDns) {
  const Bytes bytes =
      DnsMessageBuilder().response().question("www.example.com", 1).a("www.example.com", "192.0.2.1").build();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const Bytes prefix(bytes.data(), bytes.data() + length);
    EXPECT_EQ(looks_like_dns(prefix), length < kDnsHeaderSize + 5 ? Likeness::kNo : Likeness::kMaybe)
        << length;
  }
}

TEST(DnsLikenessTest, NetbiosNamesAreNotDns) {
  const Bytes query =
      DnsMessageBuilder().flags(0x0110).question("FHEPFCELEHFCEPFFFACACACACACACABL", 32).build();
  EXPECT_EQ(looks_like_dns(query), Likeness::kNo);
  const Bytes status = DnsMessageBuilder().flags(0).question("CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33).build();
  EXPECT_EQ(looks_like_dns(status), Likeness::kNo);
  const Bytes answer =
      DnsMessageBuilder()
          .flags(0x8500)
          .record(Section::kAnswer, "FHEPFCELEHFCEPFFFACACACACACACABL", 32, 1, 60, {0, 0, 1, 2, 3, 4})
          .build();
  EXPECT_EQ(looks_like_dns(answer), Likeness::kNo);
}

TEST(DnsLikenessTest, RefusesWhatNoSenderSays) {
  const auto likeness = [](std::uint16_t flags, std::uint16_t type, std::uint16_t dns_class) {
    return looks_like_dns(DnsMessageBuilder().flags(flags).question("a.example", type, dns_class).build());
  };
  EXPECT_EQ(likeness(0x0100, 1, 1), Likeness::kYes);
  EXPECT_EQ(likeness(0x1900, 1, 1), Likeness::kNo);  // Opcode 3.
  EXPECT_EQ(likeness(0x0102, 1, 1), Likeness::kNo);  // A query with a result.
  EXPECT_EQ(likeness(0x0100, 54, 1), Likeness::kNo);
  EXPECT_EQ(likeness(0x0100, 41, 1), Likeness::kNo);  // Asks for OPT.
  EXPECT_EQ(likeness(0x0100, 1, 2), Likeness::kNo);
  EXPECT_EQ(looks_like_dns(Bytes(64, 0)), Likeness::kNo);
  EXPECT_EQ(looks_like_dns(Bytes(64, 0xff)), Likeness::kNo);
}

TEST(DnsLikenessTest, RandomDatagramsAreNotDns) {
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(random() % 200);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    taken += looks_like_dns(bytes) != Likeness::kNo ? 1 : 0;
  }
  EXPECT_LT(taken, 20);
}

TEST(DnsLikenessTest, SparseRandomDatagramsAreSeldomDns) {
  // Mostly zero bytes, as binary protocols have them: far harder than uniform ones.
  std::mt19937 random(8);
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(random() % 100);
    for (auto& byte : bytes) byte = random() % 4 == 0 ? static_cast<std::uint8_t>(random()) : std::uint8_t{0};
    taken += looks_like_dns(bytes) == Likeness::kYes ? 1 : 0;
  }
  EXPECT_LT(taken, 20);
}

TEST(DnsTcpLikenessTest, AStreamIsDnsOnceItsQuestionIsThere) {
  const Bytes stream = DnsMessageBuilder().question("www.example.com", 1).edns().build_tcp();
  const std::size_t question_end = 2 + kDnsHeaderSize + 17 + 4;
  for (std::size_t length = 0; length <= stream.size(); ++length) {
    const Bytes prefix(stream.data(), stream.data() + length);
    EXPECT_EQ(looks_like_dns_tcp(prefix), length < question_end ? Likeness::kMaybe : Likeness::kYes)
        << length;
  }
}

TEST(DnsTcpLikenessTest, AQuestionMustFitTheLength) {
  Bytes stream = DnsMessageBuilder().question("www.example.com", 1).build_tcp();
  stream[1] = static_cast<std::uint8_t>(stream[1] - 1);
  EXPECT_EQ(looks_like_dns_tcp(stream), Likeness::kNo);
}

TEST(DnsTcpLikenessTest, OtherProtocolsAreRuledOutByTheirFirstBytes) {
  EXPECT_EQ(looks_like_dns_tcp(Bytes{0x16, 0x03}), Likeness::kNo);           // TLS
  EXPECT_EQ(looks_like_dns_tcp(Bytes{'G'}), Likeness::kNo);                  // HTTP
  EXPECT_EQ(looks_like_dns_tcp(Bytes{'S', 'S'}), Likeness::kNo);             // SSH
  EXPECT_EQ(looks_like_dns_tcp(Bytes{0, 0, 0, 0x55, 0xff}), Likeness::kNo);  // SMB
  EXPECT_EQ(looks_like_dns_tcp(Bytes{0, 16}), Likeness::kNo);
}

}  // namespace
}  // namespace sallyport::parsers
