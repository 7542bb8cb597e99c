#include "sallyport/refusal/dns.h"

#include <gtest/gtest.h>

#include "sallyport/parsers/dns.h"
#include "sizes.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"

namespace sallyport::testing {
namespace {

using refusal::Buffer;
using refusal::DnsErrorCode;
using refusal::DnsRcode;
using refusal::DnsRefusal;
using refusal::Notice;

constexpr DnsRefusal kTcp = {.over_tcp = true, .size_max = 65'535};
constexpr DnsRefusal kRoomy = {.size_max = 65'535};

Bytes refused(const Bytes& query, const DnsRefusal& how = kRoomy, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return dns_refusal(out, notice, query, how); }, refusal::kRefusalMax);
}
Bytes query() {
  return DnsMessageBuilder(0xbeef).question("evil.example", 1).build();
}
Bytes edns_query(bool dnssec_ok = false) {
  return DnsMessageBuilder(0xbeef).question("evil.example", 1).edns(4096, dnssec_ok).build();
}

struct Error {
  std::uint16_t code = 0;
  std::string text;
};

// error_of reads the one Extended DNS Error of a response.
std::optional<Error> error_of(const parsers::DnsMessage& message) {
  parsers::DnsOptionReader options(message.edns.options);
  std::uint16_t code = 0;
  ByteSpan value;
  if (!options.next(code, value)) return std::nullopt;
  EXPECT_EQ(code, 15);
  ByteReader in(value);
  Error error;
  EXPECT_TRUE(in.read_u16(error.code));
  error.text = as_text(in.rest());
  EXPECT_FALSE(options.next(code, value));
  return error;
}

TEST(RefusalDnsTest, AQueryIsAnsweredWithTheseBytes) {
  EXPECT_EQ(refused(query()), hex("beef 8185 0001 0000 0000 0000 046576696c076578616d706c6500 0001 0001"));
  const Notice no = {.text = "not allowed", .name = {}, .scope = {}, .rule = {}, .reason = {}};
  EXPECT_EQ(refused(edns_query(true), {.rcode = DnsRcode::kNxDomain, .error = DnsErrorCode::kFiltered, .over_tcp = true, .size_max = 65'535}, no),
            hex("003a beef 8183 0001 0000 0000 0001 046576696c076578616d706c6500 0001 0001"
                "00 0029 04d0 00008000 0011 000f 000d 0011 6e6f7420616c6c6f776564"));
}

TEST(RefusalDnsTest, TheHeaderKeepsWhatAResponseMustKeep) {
  for (unsigned bits = 0; bits <= 0x7fff; bits += 7) {
    const auto flags = static_cast<std::uint16_t>(bits);
    const Bytes response = refused(DnsMessageBuilder(flags).flags(flags).question("a.example", 28).build());
    const auto message = parsers::parse_dns_message(response);
    ASSERT_TRUE(message) << bits;
    const parsers::DnsHeader& header = message->header;
    EXPECT_EQ(header.id, flags);
    EXPECT_TRUE(header.is_response && header.recursion_available);
    EXPECT_EQ(header.opcode, bits >> 11 & 15);
    EXPECT_EQ(header.recursion_desired, (bits & 0x100) != 0);
    EXPECT_EQ(header.checking_disabled, (bits & 0x10) != 0);
    EXPECT_FALSE(header.authoritative || header.truncated || header.reserved || header.authentic_data);
    EXPECT_EQ(header.rcode, 5);
  }
}

TEST(RefusalDnsTest, EdnsIsAnsweredWithEdnsAlone) {
  EXPECT_FALSE(parsers::parse_dns_message(refused(query()))->edns.present);
  for (const bool dnssec_ok : {false, true}) {
    const Bytes response = refused(edns_query(dnssec_ok));
    const auto message = parsers::parse_dns_message(response);
    ASSERT_TRUE(message && message->edns.present);
    EXPECT_EQ(message->edns.udp_size, 1'232);
    EXPECT_EQ(message->edns.dnssec_ok, dnssec_ok);
    EXPECT_EQ(message->edns.version, 0);
    EXPECT_TRUE(message->trailing.empty());
    const auto error = error_of(*message);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 15);
    EXPECT_EQ(error->text, kNotice.text);
  }
}

TEST(RefusalDnsTest, TheTextGivesWayFirstThenTheErrorThenEdns) {
  const std::size_t bare = query().size();
  for (const bool tcp : {false, true}) {
    for (std::size_t size = 0; size <= bare + 11 + 6 + kNotice.text.size() + 5; ++size) {
      const Bytes response = refused(edns_query(), {.over_tcp = tcp, .size_max = size});
      ASSERT_EQ(response.empty(), size < bare) << size;
      if (response.empty()) continue;
      const Bytes bytes(response.begin() + (tcp ? 2 : 0), response.end());
      ASSERT_TRUE(!tcp || static_cast<std::size_t>(response[0] << 8 | response[1]) == bytes.size());
      ASSERT_LE(bytes.size(), size);
      const auto message = parsers::parse_dns_message(bytes);
      ASSERT_TRUE(message) << size;
      ASSERT_TRUE(message->question && message->trailing.empty());
      ASSERT_EQ(message->edns.present, size >= bare + 11) << size;
      const auto error = error_of(*message);
      ASSERT_EQ(error.has_value(), size >= bare + 17) << size;
      if (!error) continue;
      const std::size_t room = size - bare - 17;
      ASSERT_EQ(error->text, room < 9 ? "" : kNotice.text.substr(0, room)) << size;
    }
  }
}

TEST(RefusalDnsTest, AnAnswerOverUdpIsNoLargerThanItsQuery) {
  const Bytes client_cookie = hex("0102030405060708");
  for (const Bytes& asked : {query(), edns_query(), DnsMessageBuilder().question("x.example", 65).edns(1232, true, {{10, client_cookie}}).build()}) {
    const Bytes response = refused(asked, {.size_max = asked.size()});
    ASSERT_FALSE(response.empty());
    EXPECT_LE(response.size(), asked.size());
    EXPECT_EQ(parsers::parse_dns_message(response)->edns.present, parsers::parse_dns_message(asked)->edns.present);
  }
  const Bytes dig = DnsMessageBuilder().question("x.example", 65).edns(1232, true, {{10, client_cookie}}).build();
  const Bytes response = refused(dig, {.size_max = dig.size()});
  const auto error = error_of(*parsers::parse_dns_message(response));
  ASSERT_TRUE(error) << "the cookie's octets are room enough";
  EXPECT_EQ(error->text, "") << "but not for a text that says something";
}

TEST(RefusalDnsTest, AnOddQuestionIsNotRepeated) {
  const auto question_count = [](const Bytes& asked) {
    const Bytes response = refused(asked);
    const auto message = parsers::parse_dns_message(response);
    EXPECT_TRUE(message);
    return message ? message->header.question_count : 99;
  };
  EXPECT_EQ(question_count(DnsMessageBuilder().question("a.example", 1).build()), 1);
  EXPECT_EQ(question_count(DnsMessageBuilder().question(".", 2).build()), 1);
  EXPECT_EQ(question_count(DnsMessageBuilder().question("a.example", 1).question("b.example", 1).build()), 0);
  EXPECT_EQ(question_count(DnsMessageBuilder().build()), 0);
  EXPECT_EQ(question_count(hex("0000 0100 0001 0000 0000 0000 c000 0001 0001")), 0) << "a name that points into the header";
  EXPECT_EQ(question_count(hex("0000 0100 0001 0000 0000 0000 046576")), 0) << "cut";
  Bytes trailing = edns_query();
  trailing.resize(trailing.size() + 3);
  EXPECT_EQ(question_count(trailing), 1);
}

TEST(RefusalDnsTest, OnlyQueriesAreAnswered) {
  EXPECT_TRUE(refused(DnsMessageBuilder().response().question("a.example", 1).build()).empty());
  const Bytes asked = edns_query();
  for (std::size_t length = 0; length < asked.size(); ++length) {
    const Bytes prefix(asked.begin(), asked.begin() + static_cast<std::ptrdiff_t>(length));
    const Bytes response = refused(prefix, {.size_max = length});
    ASSERT_EQ(response.empty(), length < 12) << length;
    if (response.empty()) continue;
    ASSERT_TRUE(parsers::parse_dns_message(response)) << length;
    ASSERT_FALSE(parsers::parse_dns_message(response)->edns.present) << length;
  }
}

TEST(RefusalDnsTest, TheAnswerIsWholeInEveryBuffer) {
  const Bytes asked = edns_query();
  every_size([&](Buffer out) { return dns_refusal(out, kNotice, asked, kTcp); },
             [&](const Bytes& response, std::size_t size) {
               ASSERT_EQ(response.empty(), size < query().size() + 2) << size;
               if (response.empty()) return;
               ASSERT_EQ(static_cast<std::size_t>(response[0] << 8 | response[1]) + 2, response.size()) << size;
               const auto message = parsers::parse_dns_message(ByteSpan(response).subspan(2));
               ASSERT_TRUE(message && message->trailing.empty()) << size;
             });
}

// In a stream the answer's length stays: every length that can be is filled to the octet.
TEST(RefusalDnsTest, ARefusalInPlaceOfAnAnswerFillsItsLength) {
  const Bytes plain = DnsMessageBuilder(7).response().question("evil.example", 1).a("evil.example", "10.0.0.1").build();
  const Bytes edns = DnsMessageBuilder(7).response().question("evil.example", 1).a("evil.example", "10.0.0.1").edns(1232, true).build();
  const std::size_t bare = query().size();
  for (const Bytes* answer : {&plain, &edns}) {
    for (std::size_t size = bare; size <= 300; ++size) {
      const DnsRefusal how = {.rcode = DnsRcode::kNxDomain, .size_max = size, .fill = true};
      const Bytes got = built([&](Buffer out) { return dns_refusal_instead(out, kNotice, *answer, how); }, size);
      const bool cannot = (size > bare && size < bare + 11) || (answer == &edns && size > bare + 11 && size < bare + 15);
      ASSERT_EQ(got.empty(), cannot) << size;
      if (got.empty()) continue;
      ASSERT_EQ(got.size(), size);
      const auto message = parsers::parse_dns_message(got);
      ASSERT_TRUE(message && message->question && message->trailing.empty()) << size;
      ASSERT_EQ(message->edns.present, answer == &edns && size >= bare + 11) << size;
      ASSERT_EQ(message->header.rcode, 3);
      ASSERT_EQ(message->header.id, 7);
    }
  }
  EXPECT_TRUE(built([&](Buffer out) { return dns_refusal_instead(out, kNotice, query(), kRoomy); }, 500).empty()) << "a query";
}

TEST(RefusalDnsTest, TheTextIsPrintable) {
  const Notice notice = {.text = "a\r\n\x80\xffz, not allowed", .name = {}, .scope = {}, .rule = {}, .reason = {}};
  const Bytes response = refused(edns_query(), kRoomy, notice);
  EXPECT_EQ(error_of(*parsers::parse_dns_message(response))->text, "a????z, not allowed");
}

}  // namespace
}  // namespace sallyport::testing
