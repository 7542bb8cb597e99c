#include "lookup_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sallyport/core/limits.h"
#include "support/dns_builder.h"

namespace sallyport::resolver {
namespace {

using sallyport::testing::Bytes;
using sallyport::testing::DnsMessageBuilder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = LookupAnswer::Kind;

constexpr std::uint16_t kA = 1, kAaaa = 28;

DomainName name(std::string_view text) {
  return DomainName::parse(text).value();
}
IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
DnsMessageBuilder answer_for(std::string_view question, std::uint16_t type = kA) {
  DnsMessageBuilder builder;
  builder.response().question(question, type);
  return builder;
}
LookupAnswer read(const DnsMessageBuilder& builder, std::string_view asked = "www.example", std::uint16_t type = kA) {
  const Bytes bytes = builder.build();
  return read_lookup_answer(bytes, name(asked), type);
}

TEST(LookupAnswerTest, GivesAllAddressesAndTheLeastTtl) {
  const LookupAnswer answer =
      read(answer_for("www.example").a("www.example", "192.0.2.1", 300).a("www.example", "192.0.2.2", 200));
  EXPECT_EQ(answer.kind, Kind::kAddresses);
  EXPECT_THAT(answer.addresses, ElementsAre(ip("192.0.2.1"), ip("192.0.2.2")));
  EXPECT_EQ(answer.ttl, std::chrono::seconds(200));
}

TEST(LookupAnswerTest, TheQuestionsCaseDoesNotMatter) {
  EXPECT_EQ(read(answer_for("wWw.eXample").a("WWW.example", "192.0.2.1")).kind, Kind::kAddresses);
}

TEST(LookupAnswerTest, FollowsTheChainInWhateverOrderTheRecordsStand) {
  const LookupAnswer answer = read(answer_for("www.example", kAaaa)
                                       .aaaa("end.example", "2001:db8::1", 300)
                                       .cname("middle.example", "end.example", 30)
                                       .cname("www.example", "middle.example", 600),
                                   "www.example", kAaaa);
  EXPECT_EQ(answer.kind, Kind::kAddresses);
  EXPECT_THAT(answer.addresses, ElementsAre(ip("2001:db8::1")));
  EXPECT_EQ(answer.ttl, std::chrono::seconds(30));
}

TEST(LookupAnswerTest, AddressesBesideTheChainDoNotCount) {
  const LookupAnswer answer = read(answer_for("www.example")
                                       .a("other.example", "192.0.2.66")
                                       .cname("www.example", "end.example")
                                       .a("www.example", "192.0.2.67")
                                       .a("end.example", "192.0.2.1"));
  EXPECT_THAT(answer.addresses, ElementsAre(ip("192.0.2.1")));
}

TEST(LookupAnswerTest, AdditionalAndAuthorityRecordsDoNotCount) {
  DnsMessageBuilder builder = answer_for("www.example");
  for (const auto section : {DnsMessageBuilder::Section::kAuthority, DnsMessageBuilder::Section::kAdditional}) {
    builder.record(section, "www.example", kA, 1, 300, {192, 0, 2, 66});
  }
  EXPECT_EQ(read(builder).kind, Kind::kNoAddress);
}

TEST(LookupAnswerTest, ALoopAndAChainWithoutEndAreUnusable) {
  EXPECT_EQ(read(answer_for("www.example").cname("www.example", "a.example").cname("a.example", "www.example")).kind,
            Kind::kUnusable);
  DnsMessageBuilder builder = answer_for("www.example");
  std::string owner = "www.example";
  for (std::size_t i = 0; i <= kDnsChainMax; ++i) {
    const std::string target = "n" + std::to_string(i) + ".example";
    builder.cname(owner, target);
    owner = target;
  }
  EXPECT_EQ(read(builder.a(owner, "192.0.2.1")).kind, Kind::kUnusable);
}

TEST(LookupAnswerTest, NoSuchNameAndNoDataAreNoFailure) {
  EXPECT_EQ(read(answer_for("www.example")).kind, Kind::kNoAddress);
  EXPECT_EQ(read(answer_for("www.example").rcode(3)).kind, Kind::kNoAddress);
}

TEST(LookupAnswerTest, ErrorsAndAnswersToSomethingElseAreUnusable) {
  EXPECT_EQ(read(answer_for("www.example").rcode(2).a("www.example", "192.0.2.1")).kind, Kind::kUnusable);
  EXPECT_EQ(read(answer_for("www.example").rcode(5)).kind, Kind::kUnusable);
  EXPECT_EQ(read(answer_for("other.example").a("other.example", "192.0.2.1")).kind, Kind::kUnusable);
  EXPECT_EQ(read(answer_for("www.example", kAaaa)).kind, Kind::kUnusable);
  EXPECT_EQ(read(answer_for("www.example").truncated().a("www.example", "192.0.2.1")).kind, Kind::kUnusable);
  EXPECT_EQ(read(answer_for("www.example").question("b.example", kA).a("www.example", "192.0.2.1")).kind,
            Kind::kUnusable);
  DnsMessageBuilder query;
  EXPECT_EQ(read(query.question("www.example", kA)).kind, Kind::kUnusable);
  EXPECT_EQ(read_lookup_answer({}, name("www.example"), kA).kind, Kind::kUnusable);
}

TEST(LookupAnswerTest, NoPrefixGivesAnAddress) {
  const Bytes whole =
      answer_for("www.example").cname("www.example", "end.example").a("end.example", "192.0.2.1").build();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_THAT(read_lookup_answer(prefix, name("www.example"), kA).addresses, IsEmpty()) << length;
  }
  EXPECT_EQ(read_lookup_answer(whole, name("www.example"), kA).kind, Kind::kAddresses);
}

TEST(LookupAnswerTest, ATtlWithItsTopBitSetIsZero) {
  EXPECT_EQ(read(answer_for("www.example").a("www.example", "192.0.2.1", 0x80000001u)).ttl, Duration(0));
}

}  // namespace
}  // namespace sallyport::resolver
