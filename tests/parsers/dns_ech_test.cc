#include "sallyport/parsers/dns_ech.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "support/dns_builder.h"
#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using testing::exact_prefix;
using testing::Bytes;
using testing::DnsMessageBuilder;
using Section = DnsMessageBuilder::Section;
using Params = std::vector<std::pair<std::uint16_t, Bytes>>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Bytes kAlpn = {2, 'h', '2'};
const Bytes kEch = {0, 6, 0xfe, 0x0d, 0, 2, 0xaa, 0xbb};
const Bytes kHint = {192, 0, 2, 7};

DnsMessageBuilder answer(std::uint16_t type = kDnsTypeHttps) {
  return DnsMessageBuilder().response().question("www.example.com", type);
}

// params_of returns the parameters of every service binding in the message, in order.
std::vector<Params> params_of(const Bytes& bytes) {
  std::vector<Params> all;
  const auto message = parse_dns_message(bytes);
  EXPECT_TRUE(message);
  DnsRecordReader records(*message);
  for (DnsRecord record; records.next(record);) {
    const auto binding = parse_service_binding(*message, record);
    if (!binding) continue;
    DnsSvcParamReader reader(*binding);
    Params params;
    for (DnsSvcParam param; reader.next(param);) params.emplace_back(param.key, Bytes(param.value.begin(), param.value.end()));
    all.push_back(params);
  }
  return all;
}

TEST(StripEchTest, TheParameterBecomesAnUnknownOneBehindTheOthers) {
  for (const std::uint16_t type : {kDnsTypeHttps, kDnsTypeSvcb}) {
    Bytes bytes = answer(type).service_binding("www.example.com", type, 1, ".", {{1, kAlpn}, {5, kEch}, {6, Bytes(16, 9)}}).build();
    const std::size_t size = bytes.size();
    ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
    EXPECT_EQ(bytes.size(), size);
    EXPECT_THAT(params_of(bytes), ElementsAre(Params{{1, kAlpn}, {6, Bytes(16, 9)}, {65'280, Bytes(kEch.size(), 0)}}));
  }
}

TEST(StripEchTest, OtherBytesStay) {
  Bytes bytes = answer().service_binding("www.example.com", 65, 1, "edge.example.net", {{4, kHint}, {5, kEch}}).build();
  const Bytes before = bytes;
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  const std::size_t param = before.size() - kEch.size() - 4;
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(param), bytes.begin()));
}

TEST(StripEchTest, AnAnswerWithoutTheParameterIsLeftAlone) {
  const Bytes without = answer().flags(0x81a0).service_binding("www.example.com", 65, 1, ".", {{1, kAlpn}, {4, kHint}}).build();
  const Bytes addresses = answer(kDnsTypeA).flags(0x81a0).a("www.example.com", "192.0.2.7").build();
  for (const Bytes& before : {without, addresses}) {
    Bytes bytes = before;
    EXPECT_EQ(strip_ech(bytes), EchStrip::kNothing);
    EXPECT_EQ(bytes, before) << "AD stays";
  }
}

TEST(StripEchTest, ClearsAuthenticData) {
  Bytes bytes = answer().flags(0x81a0).service_binding("www.example.com", 65, 1, ".", {{5, kEch}}).build();
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->header.authentic_data);
  EXPECT_TRUE(message->header.is_response && message->header.recursion_desired && message->header.recursion_available);
}

TEST(StripEchTest, RewritesEveryRecordOfEverySection) {
  DnsMessageBuilder builder = answer();
  builder.compress();
  for (int i = 1; i <= 3; ++i) builder.service_binding("www.example.com", 65, static_cast<std::uint16_t>(i), ".", {{1, kAlpn}, {5, kEch}});
  const Bytes rdata = {0, 1, 0, 0, 5, 0, 2, 7, 7};
  builder.record(Section::kAuthority, "www.example.com", 64, 1, 60, rdata);
  builder.record(Section::kAdditional, "www.example.com", 65, 1, 60, rdata);
  Bytes bytes = builder.build();
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  const Params answered{{1, kAlpn}, {65'280, Bytes(kEch.size(), 0)}};
  const Params other{{65'280, Bytes(2, 0)}};
  EXPECT_THAT(params_of(bytes), ElementsAre(answered, answered, answered, other, other));
}

TEST(StripEchTest, TheNewKeyIsAboveAllOthers) {
  Bytes bytes = answer().service_binding("www.example.com", 65, 1, ".", {{5, kEch}, {65'400, {1}}}).build();
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  EXPECT_THAT(params_of(bytes), ElementsAre(Params{{65'400, {1}}, {65'401, Bytes(kEch.size(), 0)}}));
  Bytes full = answer().service_binding("www.example.com", 65, 1, ".", {{5, kEch}, {65'534, {1}}}).build();
  EXPECT_EQ(strip_ech(full), EchStrip::kMalformed);
}

TEST(StripEchTest, AnEmptyParameterGoesToo) {
  Bytes bytes = answer().service_binding("www.example.com", 65, 1, ".", {{1, kAlpn}, {5, {}}}).build();
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  EXPECT_THAT(params_of(bytes), ElementsAre(Params{{1, kAlpn}, {65'280, {}}}));
}

TEST(StripEchTest, TwiceIsOnce) {
  Bytes bytes = answer().service_binding("www.example.com", 65, 1, ".", {{1, kAlpn}, {5, kEch}}).build();
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  const Bytes once = bytes;
  EXPECT_EQ(strip_ech(bytes), EchStrip::kNothing);
  EXPECT_EQ(bytes, once);
}

TEST(StripEchTest, RefusesABindingThatClientsCouldReadDifferently) {
  const std::vector<Bytes> rdatas = {
      {},                                             // No priority.
      {0, 1},                                         // No target.
      {0, 1, 0, 0, 5},                                // A parameter without its length.
      {0, 1, 0, 0, 5, 0, 3, 1, 2},                    // A value that runs over the end.
      {0, 1, 0, 0, 5, 0, 1, 1, 0, 5, 0, 1, 1},        // The key twice.
      {0, 1, 0, 0, 6, 0, 0, 0, 5, 0, 1, 1},           // Keys that descend.
  };
  for (const Bytes& rdata : rdatas) {
    Bytes bytes = answer().record(Section::kAnswer, "www.example.com", 65, 1, 60, rdata).build();
    EXPECT_EQ(strip_ech(bytes), EchStrip::kMalformed) << rdata.size() << " octets of data";
  }
}

TEST(StripEchTest, ANameThatBorrowsFromTheParameterHidesNoRecord) {
  // The second record's owner is a pointer into the value of the first one's parameter, which turns to zeros.
  DnsMessageBuilder builder = answer();
  builder.record(Section::kAnswer, "a", 65, 1, 60, {0, 1, 0, 0, 5, 0, 3, 1, 'x', 0});
  Bytes bytes = builder.count(1, 2).build();
  const std::size_t value = bytes.size() - 3;
  for (const int byte : {0xc0, static_cast<int>(value), 0, 65, 0, 1, 0, 0, 0, 60, 0, 9, 0, 1, 0, 0, 5, 0, 2, 7, 7}) {
    bytes.push_back(static_cast<std::uint8_t>(byte));
  }
  ASSERT_TRUE(parse_dns_message(bytes));
  ASSERT_EQ(strip_ech(bytes), EchStrip::kRewritten);
  EXPECT_THAT(params_of(bytes), ElementsAre(Params{{65'280, Bytes(3, 0)}}, Params{{65'280, Bytes(2, 0)}}));
}

TEST(StripEchTest, NoPrefixKeepsAKey) {
  const Bytes whole = answer().service_binding("www.example.com", 65, 1, ".", {{1, kAlpn}, {5, kEch}}).edns().build();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Bytes prefix = exact_prefix(whole, length);
    EXPECT_EQ(strip_ech(prefix), EchStrip::kMalformed) << "prefix of " << length << " octets";
  }
}

}  // namespace
}  // namespace sallyport::parsers
