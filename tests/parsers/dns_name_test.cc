// Names on the wire: text form, compression, limits.
#include <gtest/gtest.h>

#include <cctype>
#include <string>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/parsers/dns.h"
#include "support/dns_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::dns_wire_name;
using testing::DnsMessageBuilder;
using Section = DnsMessageBuilder::Section;

// with_header makes a header with one question and nothing else, for hand-made bodies.
Bytes with_header(std::initializer_list<int> body, std::uint8_t questions = 1, std::uint8_t answers = 0) {
  Bytes bytes = {0x12, 0x34, 0x01, 0x00, 0, questions, 0, answers, 0, 0, 0, 0};
  for (const int byte : body) bytes.push_back(static_cast<std::uint8_t>(byte));
  return bytes;
}

// name_of reads the question's name of a message with this wire form of it.
std::expected<std::string, ParseError> name_of(const Bytes& wire) {
  Bytes bytes = with_header({});
  bytes.insert(bytes.end(), wire.begin(), wire.end());
  bytes.insert(bytes.end(), {0, 1, 0, 1});
  const auto message = parse_dns_message(bytes);
  if (!message) return std::unexpected(message.error());
  return std::string(message->question->name.text());
}

TEST(DnsNameTest, LettersBecomeLowerCase) {
  EXPECT_EQ(*name_of(dns_wire_name("WwW.ExAmple.COM")), "www.example.com");
}

TEST(DnsNameTest, TheRootIsADot) {
  EXPECT_EQ(*name_of({0}), ".");
  const auto message = parse_dns_message(with_header({0, 0, 2, 0, 1}));
  EXPECT_TRUE(message->question->name.is_root());
  EXPECT_FALSE(message->question->name.is_host_name);
}

TEST(DnsNameTest, EscapesWhatWouldMislead) {
  EXPECT_EQ(*name_of({3, 'a', '.', 'b', 1, 'c', 0}), "a\\.b.c");
  EXPECT_EQ(*name_of({3, 'a', '\\', 'b', 0}), "a\\\\b");
  EXPECT_EQ(*name_of({5, 'a', 0, ' ', 0x7f, 0xff, 0}), "a\\000\\032\\127\\255");
  EXPECT_EQ(*name_of({4, '*', '@', '"', '/', 0}), "*@\"/");
}

TEST(DnsNameTest, EveryOctetSurvivesTheTextForm) {
  for (int byte = 0; byte < 256; ++byte) {
    const Bytes wire = {2, 'x', static_cast<std::uint8_t>(byte), 0};
    Bytes back = dns_wire_name(*name_of(wire));
    if (byte >= 'A' && byte <= 'Z') back[2] = static_cast<std::uint8_t>(byte);
    EXPECT_EQ(back, wire) << byte;
  }
}

TEST(DnsNameTest, OnlyLettersDigitsHyphenAndUnderscoreMakeAHostName) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto message = parse_dns_message(with_header({1, byte, 0, 0, 1, 0, 1}));
    const DnsName& name = message->question->name;
    EXPECT_EQ(name.is_host_name, std::isalnum(byte) != 0 || byte == '-' || byte == '_') << byte;
    if (name.is_host_name && std::isalpha(byte) != 0) {
      EXPECT_TRUE(DomainName::parse(name.text())) << byte;
    }
  }
}

TEST(DnsNameTest, ALabelMayHave63Octets) {
  const std::string label(63, 'a');
  EXPECT_EQ(*name_of(dns_wire_name(label + ".example")), label + ".example");
}

TEST(DnsNameTest, LabelTypesBeyondThePlainOnesAreMalformed) {
  EXPECT_EQ(name_of({0x40, 'a', 0}).error(), ParseError::kMalformed);
  EXPECT_EQ(name_of({0x41, 'a', 0}).error(), ParseError::kMalformed);
  EXPECT_EQ(name_of({0x80, 'a', 0}).error(), ParseError::kMalformed);
}

TEST(DnsNameTest, ANameMayHave255OctetsOnTheWire) {
  const std::string label(63, '\xff');
  Bytes wire;
  for (const std::size_t size : {63U, 63U, 63U, 61U}) {
    wire.push_back(static_cast<std::uint8_t>(size));
    wire.insert(wire.end(), size, 0xff);
  }
  wire.push_back(0);
  ASSERT_EQ(wire.size(), kDnsNameWireMax);
  const auto longest = name_of(wire);
  ASSERT_TRUE(longest);
  EXPECT_EQ(longest->size(), kDnsNameTextMax);
  wire[192] = 62;
  wire.insert(wire.end() - 1, 0xff);
  EXPECT_EQ(name_of(wire).error(), ParseError::kMalformed);
}

TEST(DnsNameTest, ANameThatGrowsTooLongByAPointerIsMalformed) {
  std::string name;
  for (int i = 0; i < 3; ++i) name += std::string(63, 'a') + ".";
  Bytes bytes = DnsMessageBuilder().question(name, 1).build();  // 193 octets.
  bytes[7] = 1;
  const auto add_record = [&](std::size_t label) {
    Bytes out = bytes;
    out.push_back(static_cast<std::uint8_t>(label));
    out.insert(out.end(), label, 'b');
    out.insert(out.end(), {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0});
    return out;
  };
  EXPECT_TRUE(parse_dns_message(add_record(61)));  // 193 + 62 = 255.
  EXPECT_FALSE(parse_dns_message(add_record(62)));
}

TEST(DnsNameTest, PointersMustLeadBackwards) {
  // Offset 12 is the name itself, 14 ahead of it.
  EXPECT_EQ(name_of({0xc0, 12}).error(), ParseError::kMalformed);
  EXPECT_EQ(name_of({0xc0, 14, 0}).error(), ParseError::kMalformed);
  EXPECT_EQ(name_of({1, 'a', 0xc0, 12}).error(), ParseError::kMalformed);  // a.a.a.a ...
  EXPECT_EQ(name_of({1, 'a', 0xc0, 14}).error(), ParseError::kMalformed);  // Itself.
  EXPECT_EQ(name_of({0xff, 0xff}).error(), ParseError::kMalformed);
}

TEST(DnsNameTest, PointersIntoTheHeaderAreMalformed) {
  for (int target = 0; target < 12; ++target) {
    EXPECT_EQ(name_of({0xc0, static_cast<std::uint8_t>(target)}).error(), ParseError::kMalformed) << target;
  }
}

TEST(DnsNameTest, TwoPointersThatLeadToEachOtherAreMalformed) {
  // Question at 12: "a"; its answer's name at 19 points to 25, inside its own record, which points to 19.
  const Bytes bytes =
      with_header({1, 'a', 0, 0, 1, 0, 1, 0xc0, 31, 0, 5, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, 19}, 1, 1);
  EXPECT_EQ(parse_dns_message(bytes).error(), ParseError::kMalformed);
}

// pointer_chain makes a question "a", an opaque record full of pointers, each to the one before it and the
// first to the question, and a second record whose name is the last of `pointers` pointers.
Bytes pointer_chain(std::size_t pointers) {
  Bytes chain;
  const std::size_t begin = 12 + 7 + 11;  // Header, question, and the record up to its data.
  for (std::size_t i = 0; i < pointers - 1; ++i) {
    const std::size_t target = i == 0 ? 12 : begin + 2 * (i - 1);
    chain.push_back(static_cast<std::uint8_t>(0xc0 | target >> 8));
    chain.push_back(static_cast<std::uint8_t>(target));
  }
  Bytes bytes = DnsMessageBuilder().question("a", 1).record(Section::kAnswer, ".", 10, 1, 0, chain).build();
  bytes[7] = 2;
  const std::size_t last = bytes.size() - 2;
  bytes.insert(bytes.end(), {static_cast<std::uint8_t>(0xc0 | last >> 8), static_cast<std::uint8_t>(last), 0,
                             1, 0, 1, 0, 0, 0, 0, 0, 0});
  return bytes;
}

TEST(DnsNameTest, ANameMayFollowOnlySoManyPointers) {
  const Bytes most = pointer_chain(kDnsPointersMax);
  const auto message = parse_dns_message(most);
  ASSERT_TRUE(message);
  DnsRecordReader reader(*message);
  DnsRecord record;
  ASSERT_TRUE(reader.next(record) && reader.next(record));
  EXPECT_EQ(record.name.text(), "a");
  EXPECT_EQ(parse_dns_message(pointer_chain(kDnsPointersMax + 1)).error(), ParseError::kTooLong);
}

TEST(DnsNameTest, ACopyIsEqual) {
  const auto message = parse_dns_message(DnsMessageBuilder().question("www.example.com", kDnsTypeA).build());
  const DnsName copy = message->question->name;
  EXPECT_EQ(copy, message->question->name);
  DnsName other;
  other = copy;
  EXPECT_EQ(other.text(), "www.example.com");
  EXPECT_EQ(other.labels, 3);
  EXPECT_TRUE(other.is_host_name);
}

}  // namespace
}  // namespace sallyport::parsers
