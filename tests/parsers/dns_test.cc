#include "sallyport/parsers/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/dns_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::dns_wire_name;
using testing::DnsMessageBuilder;
using Section = DnsMessageBuilder::Section;
using ::testing::ElementsAre;

// prefix_of copies the first `length` bytes into a heap block of that size.
Bytes prefix_of(const Bytes& bytes, std::size_t length) {
  return Bytes(bytes.data(), bytes.data() + length);
}

Bytes usual_query() {
  return DnsMessageBuilder().question("www.example.com", kDnsTypeA).edns().build();
}

Bytes usual_answer() {
  return DnsMessageBuilder()
      .compress()
      .response()
      .question("www.example.com", kDnsTypeA)
      .cname("www.example.com", "edge.example.net")
      .a("edge.example.net", "192.0.2.7", 60)
      .aaaa("edge.example.net", "2001:db8::7", 61)
      .edns()
      .build();
}

std::vector<DnsRecord> records_of(const DnsMessage& message) {
  std::vector<DnsRecord> records;
  DnsRecordReader reader(message);
  for (DnsRecord record; reader.next(record);) records.push_back(record);
  return records;
}

TEST(DnsMessageTest, ReadsAQuery) {
  const Bytes bytes = usual_query();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header.id, 0x1234);
  EXPECT_FALSE(message->header.is_response);
  EXPECT_TRUE(message->header.recursion_desired);
  EXPECT_EQ(message->header.opcode, kDnsOpcodeQuery);
  ASSERT_TRUE(message->question);
  EXPECT_EQ(message->question->name.text(), "www.example.com");
  EXPECT_EQ(message->question->name.labels, 3);
  EXPECT_TRUE(message->question->name.is_host_name);
  EXPECT_EQ(message->question->type, kDnsTypeA);
  EXPECT_EQ(message->question->dns_class, kDnsClassIn);
  EXPECT_TRUE(message->trailing.empty());
}

TEST(DnsMessageTest, ReadsEachHeaderBit) {
  const auto header = [](std::uint16_t flags) {
    return parse_dns_message(DnsMessageBuilder().flags(flags).question("a", 1).build())->header;
  };
  EXPECT_TRUE(header(0x8000).is_response);
  EXPECT_EQ(header(0x2800).opcode, kDnsOpcodeUpdate);
  EXPECT_TRUE(header(0x0400).authoritative);
  EXPECT_TRUE(header(0x0200).truncated);
  EXPECT_TRUE(header(0x0100).recursion_desired);
  EXPECT_TRUE(header(0x0080).recursion_available);
  EXPECT_TRUE(header(0x0040).reserved);
  EXPECT_TRUE(header(0x0020).authentic_data);
  EXPECT_TRUE(header(0x0010).checking_disabled);
  EXPECT_EQ(header(0x8005).rcode, 5);
  const DnsHeader none = header(0);
  EXPECT_FALSE(none.is_response || none.authoritative || none.truncated || none.recursion_desired ||
               none.recursion_available || none.reserved || none.authentic_data || none.checking_disabled);
}

TEST(DnsMessageTest, ReadsACompressedAnswer) {
  const Bytes bytes = usual_answer();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  const auto records = records_of(*message);
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].name.text(), "www.example.com");
  EXPECT_EQ(target_of(*message, records[0])->text(), "edge.example.net");
  EXPECT_EQ(records[1].name.text(), "edge.example.net");
  EXPECT_EQ(records[1].ttl, 60U);
  EXPECT_EQ(address_of(records[1])->to_string(), "192.0.2.7");
  EXPECT_EQ(address_of(records[2])->to_string(), "2001:db8::7");
  EXPECT_EQ(records[2].section, DnsSection::kAnswer);
  EXPECT_EQ(records[3].section, DnsSection::kAdditional);
  EXPECT_EQ(records[1].rdata.data(), bytes.data() + records[1].rdata_offset);
}

TEST(DnsMessageTest, NoPrefixIsAMessage) {
  for (const Bytes& bytes : {usual_query(), usual_answer()}) {
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(parse_dns_message(prefix_of(bytes, length))) << "prefix of " << length << " bytes";
    }
    EXPECT_TRUE(parse_dns_message(bytes));
  }
}

TEST(DnsMessageTest, WhatStandsBehindTheLastRecordIsTrailing) {
  const Bytes bytes = DnsMessageBuilder().question("a.example", 1).trailing({1, 2, 3}).build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  EXPECT_THAT(message->trailing, ElementsAre(1, 2, 3));
}

TEST(DnsMessageTest, ReadsFurtherQuestions) {
  const Bytes bytes =
      DnsMessageBuilder().compress().question("a.local", 1).question("b.local", 28, 0x8001).build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  DnsQuestionReader reader(*message);
  DnsQuestion question;
  ASSERT_TRUE(reader.next(question));
  EXPECT_EQ(question.name.text(), "a.local");
  ASSERT_TRUE(reader.next(question));
  EXPECT_EQ(question.name.text(), "b.local");
  EXPECT_EQ(question.dns_class, 0x8001);
  EXPECT_FALSE(reader.next(question));
}

TEST(DnsMessageTest, ReadsTheThreeSectionsInOrder) {
  const Bytes bytes = DnsMessageBuilder()
                          .response()
                          .question("x", 1)
                          .record(Section::kAdditional, "c", 1, 1, 1, {1, 2, 3, 4})
                          .record(Section::kAuthority, "b", 2, 1, 1, {0})
                          .a("a", "192.0.2.1")
                          .build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  const auto records = records_of(*message);
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].name.text(), "a");
  EXPECT_EQ(records[0].section, DnsSection::kAnswer);
  EXPECT_EQ(records[1].name.text(), "b");
  EXPECT_EQ(records[1].section, DnsSection::kAuthority);
  EXPECT_EQ(records[2].name.text(), "c");
  EXPECT_EQ(records[2].section, DnsSection::kAdditional);
}

TEST(DnsMessageTest, AMessageWithoutQuestionHasNone) {
  const Bytes bytes = DnsMessageBuilder(0).flags(0x8400).a("host.local", "192.0.2.1").build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->question);
  EXPECT_EQ(records_of(*message).size(), 1U);
}

TEST(DnsMessageTest, CountsThatPromiseMoreThanThereIsAreMalformed) {
  for (std::size_t index = 0; index < 4; ++index) {
    const Bytes bytes = DnsMessageBuilder().question("a", 1).count(index, 2).build();
    const auto message = parse_dns_message(bytes);
    ASSERT_FALSE(message) << index;
    EXPECT_EQ(message.error(), ParseError::kMalformed);
  }
}

TEST(DnsMessageTest, MoreRecordsThanTheLimitAreTooLong) {
  DnsMessageBuilder builder;
  builder.compress().response().question("a", 1);
  for (std::size_t i = 1; i < kDnsRecordsMax; ++i) builder.a("a", "192.0.2.1");
  EXPECT_TRUE(parse_dns_message(builder.build()));
  builder.a("a", "192.0.2.1");
  EXPECT_EQ(parse_dns_message(builder.build()).error(), ParseError::kTooLong);
}

TEST(DnsMessageTest, MoreBytesThanAMessageMayHaveAreTooLong) {
  Bytes bytes = usual_query();
  bytes.resize(kDnsMessageMax + 1);
  EXPECT_EQ(parse_dns_message(bytes).error(), ParseError::kTooLong);
}

// --- EDNS ------------------------------------------------------------------------------------------

TEST(DnsEdnsTest, ReadsTheOptRecord) {
  const Bytes bytes = DnsMessageBuilder()
                          .question("a", 1)
                          .edns(4096, true, {{10, {1, 2, 3, 4, 5, 6, 7, 8}}, {12, {}}}, 1)
                          .build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->edns.present);
  EXPECT_EQ(message->edns.udp_size, 4096);
  EXPECT_TRUE(message->edns.dnssec_ok);
  EXPECT_EQ(message->edns.version, 1);
  DnsOptionReader options(message->edns.options);
  std::uint16_t code = 0;
  ByteSpan value;
  ASSERT_TRUE(options.next(code, value));
  EXPECT_EQ(code, 10);
  EXPECT_EQ(value.size(), 8U);
  ASSERT_TRUE(options.next(code, value));
  EXPECT_EQ(code, 12);
  EXPECT_TRUE(value.empty());
  EXPECT_FALSE(options.next(code, value));
}

TEST(DnsEdnsTest, AMessageWithoutOptHasNone) {
  EXPECT_FALSE(parse_dns_message(DnsMessageBuilder().question("a", 1).build())->edns.present);
}

TEST(DnsEdnsTest, ASecondOptIsMalformed) {
  EXPECT_FALSE(parse_dns_message(DnsMessageBuilder().question("a", 1).edns().edns().build()));
}

TEST(DnsEdnsTest, AnOptOutsideTheAdditionalSectionIsMalformed) {
  EXPECT_FALSE(parse_dns_message(
      DnsMessageBuilder().question("a", 1).record(Section::kAnswer, ".", 41, 1232, 0, {}).build()));
}

TEST(DnsEdnsTest, AnOptWithAnOwnerIsMalformed) {
  EXPECT_FALSE(parse_dns_message(
      DnsMessageBuilder().question("a", 1).record(Section::kAdditional, "x", 41, 1232, 0, {}).build()));
}

TEST(DnsEdnsTest, OptionsThatDoNotFillTheRecordAreMalformed) {
  for (const Bytes& rdata : {Bytes{0}, Bytes{0, 10, 0}, Bytes{0, 10, 0, 2, 1}, Bytes{0, 10, 0, 0, 0}}) {
    EXPECT_FALSE(parse_dns_message(
        DnsMessageBuilder().question("a", 1).record(Section::kAdditional, ".", 41, 1232, 0, rdata).build()));
  }
}

// --- Record data -----------------------------------------------------------------------------------

TEST(DnsRecordTest, AnAddressHasItsTypesSizeAndClassIn) {
  const auto address = [](std::uint16_t type, std::uint16_t dns_class, std::size_t size) {
    const Bytes bytes = DnsMessageBuilder()
                            .response()
                            .record(Section::kAnswer, "a", type, dns_class, 0, Bytes(size, 1))
                            .build();
    const auto message = parse_dns_message(bytes);
    return address_of(records_of(*message).at(0)).has_value();
  };
  EXPECT_TRUE(address(kDnsTypeA, 1, 4));
  EXPECT_TRUE(address(kDnsTypeA, 0x8001, 4));  // mDNS cache flush.
  EXPECT_TRUE(address(kDnsTypeAaaa, 1, 16));
  EXPECT_FALSE(address(kDnsTypeA, 1, 3));
  EXPECT_FALSE(address(kDnsTypeA, 1, 5));
  EXPECT_FALSE(address(kDnsTypeA, 1, 16));
  EXPECT_FALSE(address(kDnsTypeAaaa, 1, 4));
  EXPECT_FALSE(address(kDnsTypeA, 3, 4));
  EXPECT_FALSE(address(kDnsTypeTxt, 1, 4));
}

TEST(DnsRecordTest, ReadsTheTargetOfEachTypeThatHasOne) {
  struct Case {
    std::uint16_t type;
    Bytes before;
  };
  for (const Case& c :
       {Case{kDnsTypeNs, {}}, Case{kDnsTypeCname, {}}, Case{kDnsTypePtr, {}}, Case{kDnsTypeDname, {}},
        Case{kDnsTypeMx, {0, 10}}, Case{kDnsTypeSrv, {0, 1, 0, 2, 1, 187}}}) {
    const Bytes bytes = DnsMessageBuilder()
                            .compress()
                            .response()
                            .question("a.example", c.type)
                            .named("a.example", c.type, "b.example", c.before)
                            .build();
    const auto message = parse_dns_message(bytes);
    ASSERT_TRUE(message);
    const auto target = target_of(*message, records_of(*message)[0]);
    ASSERT_TRUE(target) << c.type;
    EXPECT_EQ(target->text(), "b.example");
  }
}

TEST(DnsRecordTest, ATargetMustFillTheData) {
  const auto target = [](const Bytes& rdata) {
    const Bytes bytes = DnsMessageBuilder()
                            .response()
                            .record(Section::kAnswer, "a", 5, 1, 0, rdata)
                            .a("b", "192.0.2.1")
                            .build();
    const auto message = parse_dns_message(bytes);
    return target_of(*message, records_of(*message).at(0)).has_value();
  };
  EXPECT_TRUE(target({1, 'b', 0}));
  EXPECT_FALSE(target({}));
  EXPECT_FALSE(target({1, 'b'}));        // The next record's name would end it.
  EXPECT_FALSE(target({1, 'b', 0, 0}));  // Something behind it.
  EXPECT_FALSE(target({0xc0}));
}

TEST(DnsRecordTest, ATargetMayNotBorrowFromTheNextRecord) {
  // Service bindings may have more behind their target, so only its end tells.
  const Bytes bytes = DnsMessageBuilder()
                          .response()
                          .record(Section::kAnswer, "a", kDnsTypeHttps, 1, 0, {0, 1, 1, 'b'})
                          .a("c", "192.0.2.1")
                          .build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  const DnsRecord record = records_of(*message).at(0);
  EXPECT_FALSE(target_of(*message, record));
  EXPECT_FALSE(parse_service_binding(*message, record));
}

TEST(DnsRecordTest, OtherTypesHaveNoTarget) {
  const Bytes bytes = DnsMessageBuilder().response().named("a", kDnsTypeTxt, "b").build();
  const auto message = parse_dns_message(bytes);
  EXPECT_FALSE(target_of(*message, records_of(*message)[0]));
}

TEST(DnsServiceBindingTest, ReadsParameters) {
  const Bytes bytes = DnsMessageBuilder()
                          .response()
                          .question("a.example", kDnsTypeHttps)
                          .service_binding("a.example", kDnsTypeHttps, 1, ".",
                                           {{kSvcParamAlpn, {2, 'h', '2'}}, {kSvcParamEch, {0, 1, 2}}})
                          .build();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message);
  const auto record = records_of(*message)[0];
  const auto binding = parse_service_binding(*message, record);
  ASSERT_TRUE(binding);
  EXPECT_EQ(binding->priority, 1);
  EXPECT_TRUE(binding->target.is_root());
  EXPECT_TRUE(target_of(*message, record)->is_root());
  DnsSvcParamReader params(*binding);
  DnsSvcParam param;
  ASSERT_TRUE(params.next(param));
  EXPECT_EQ(param.key, kSvcParamAlpn);
  EXPECT_THAT(param.value, ElementsAre(2, 'h', '2'));
  EXPECT_EQ(param.value.data(), bytes.data() + param.value_offset);
  ASSERT_TRUE(params.next(param));
  EXPECT_EQ(param.key, kSvcParamEch);
  EXPECT_EQ(param.value.data(), bytes.data() + param.value_offset);
  EXPECT_FALSE(params.next(param));
}

TEST(DnsServiceBindingTest, KeysMustAscend) {
  for (const auto& [first, second] : {std::pair<std::uint16_t, std::uint16_t>{4, 1}, {4, 4}}) {
    const Bytes bytes = DnsMessageBuilder()
                            .response()
                            .service_binding("a", kDnsTypeHttps, 1, ".", {{first, {1}}, {second, {1}}})
                            .build();
    const auto message = parse_dns_message(bytes);
    EXPECT_FALSE(parse_service_binding(*message, records_of(*message)[0]));
  }
}

TEST(DnsServiceBindingTest, NoPrefixOfTheDataButThoseAtAParameterIsABinding) {
  Bytes rdata = {0, 1};
  const Bytes target = dns_wire_name("svc.example");
  rdata.insert(rdata.end(), target.begin(), target.end());
  const std::size_t target_end = rdata.size();
  rdata.insert(rdata.end(), {0, 3, 0, 2, 1, 187});
  for (std::size_t length = 0; length < rdata.size(); ++length) {
    const Bytes bytes = DnsMessageBuilder()
                            .response()
                            .record(Section::kAnswer, "a", kDnsTypeSvcb, 1, 0, prefix_of(rdata, length))
                            .build();
    const auto message = parse_dns_message(bytes);
    ASSERT_TRUE(message);
    EXPECT_EQ(parse_service_binding(*message, records_of(*message)[0]).has_value(), length == target_end)
        << length;
  }
}

// --- Framing over TCP ------------------------------------------------------------------------------

TEST(DnsTcpTest, ReadsTheSameMessageHoweverItIsCut) {
  Bytes stream = DnsMessageBuilder().question("a.example", 1).build_tcp();
  const std::size_t first = stream.size();
  const Bytes second = DnsMessageBuilder().question("b.example", 1).build_tcp();
  stream.insert(stream.end(), second.begin(), second.end());
  for (std::size_t length = 0; length <= stream.size(); ++length) {
    const Bytes prefix = prefix_of(stream, length);
    const DnsTcpMessage message = read_dns_tcp_message(prefix, kDnsQueryMax);
    if (length < first) {
      EXPECT_EQ(message.framing, Framing::kNeedMore) << length;
      EXPECT_EQ(message.consumed, 0U);
    } else {
      ASSERT_EQ(message.framing, Framing::kComplete) << length;
      EXPECT_EQ(message.consumed, first);
      EXPECT_EQ(parse_dns_message(message.message)->question->name.text(), "a.example");
    }
  }
}

TEST(DnsTcpTest, RefusesLengthsBelowAHeaderAndAboveTheLimitAtOnce) {
  const auto framing = [](std::uint8_t high, std::uint8_t low) {
    return read_dns_tcp_message(Bytes{high, low}, 4096).framing;
  };
  EXPECT_EQ(framing(0, 0), Framing::kMalformed);
  EXPECT_EQ(framing(0, 11), Framing::kMalformed);
  EXPECT_EQ(framing(0, 12), Framing::kNeedMore);
  EXPECT_EQ(framing(0x10, 0), Framing::kNeedMore);
  EXPECT_EQ(framing(0x10, 1), Framing::kTooLong);
}

// --- Types -----------------------------------------------------------------------------------------

TEST(DnsTypeNameTest, KnownTypesHaveMnemonicsOthersNumbers) {
  DnsTypeBuffer buffer;
  EXPECT_EQ(dns_type_name(1, buffer), "A");
  EXPECT_EQ(dns_type_name(28, buffer), "AAAA");
  EXPECT_EQ(dns_type_name(65, buffer), "HTTPS");
  EXPECT_EQ(dns_type_name(32769, buffer), "DLV");
  EXPECT_EQ(dns_type_name(0, buffer), "TYPE0");
  EXPECT_EQ(dns_type_name(54, buffer), "TYPE54");
  EXPECT_EQ(dns_type_name(65535, buffer), "TYPE65535");
}

}  // namespace
}  // namespace sallyport::parsers
