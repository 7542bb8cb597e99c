#include "sallyport/parsers/icmp.h"

#include <gtest/gtest.h>

#include <vector>

namespace sallyport::parsers {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes message(std::uint8_t type, std::uint8_t code, std::size_t payload) {
  Bytes bytes = {type, code, 0xab, 0xcd, 0x12, 0x34, 0x00, 0x07};
  bytes.resize(8 + payload, 'x');
  return bytes;
}

TEST(IcmpTest, ReadsAnEchoRequestOfEitherFamily) {
  for (const auto& [family, type] : {std::pair{IcmpFamily::kIcmp, std::uint8_t{8}}, {IcmpFamily::kIcmpv6, std::uint8_t{128}}}) {
    const Bytes bytes = message(type, 0, 56);
    const auto read = parse_icmp(family, bytes, bytes.size());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->kind, IcmpKind::kRequest);
    EXPECT_EQ(read->identifier, 0x1234);
    EXPECT_EQ(read->sequence, 7);
    EXPECT_EQ(read->payload_size, 56u);
  }
}

TEST(IcmpTest, PayloadIsCountedAsItWasOnTheWire) {
  const Bytes bytes = message(8, 0, 4);
  EXPECT_EQ(parse_icmp(IcmpFamily::kIcmp, bytes, 1'000)->payload_size, 992u);
}

TEST(IcmpTest, NoPrefixOfAHeaderIsAMessage) {
  const Bytes whole = message(8, 0, 0);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(parse_icmp(IcmpFamily::kIcmp, prefix, prefix.size())) << length;
    EXPECT_FALSE(parse_icmp(IcmpFamily::kIcmpv6, prefix, prefix.size())) << length;
  }
}

TEST(IcmpTest, AnEchoHasNoCode) {
  for (const std::uint8_t type : {std::uint8_t{8}, std::uint8_t{0}}) {
    const Bytes bytes = message(type, 1, 0);
    EXPECT_FALSE(parse_icmp(IcmpFamily::kIcmp, bytes, bytes.size()));
  }
}

TEST(IcmpTest, RequestsOfOneLengthHaveNoOther) {
  for (const auto& [type, length] : {std::pair<std::uint8_t, std::size_t>{13, 12}, {15, 0}, {17, 4}, {14, 12}}) {
    for (std::size_t payload = 0; payload < 20; ++payload) {
      const Bytes bytes = message(type, 0, payload);
      EXPECT_EQ(parse_icmp(IcmpFamily::kIcmp, bytes, bytes.size()).has_value(), payload == length) << int{type};
    }
  }
}

TEST(IcmpTest, NoTypeIsARequestInBothFamilies) {
  for (unsigned type = 0; type < 256; ++type) {
    const auto kind_of = [&](IcmpFamily family) {
      for (const std::size_t payload : {std::size_t{0}, std::size_t{4}, std::size_t{12}}) {
        const Bytes bytes = message(static_cast<std::uint8_t>(type), 0, payload);
        if (const auto read = parse_icmp(family, bytes, bytes.size())) return read->kind;
      }
      return IcmpKind::kOther;
    };
    EXPECT_FALSE(kind_of(IcmpFamily::kIcmp) == IcmpKind::kRequest && kind_of(IcmpFamily::kIcmpv6) == IcmpKind::kRequest) << type;
    EXPECT_EQ(kind_of(IcmpFamily::kIcmp) == IcmpKind::kRequest, type == 8 || type == 13 || type == 15 || type == 17) << type;
    EXPECT_EQ(kind_of(IcmpFamily::kIcmpv6) == IcmpKind::kRequest, type == 128 || type == 139) << type;
  }
}

TEST(IcmpTest, ErrorsAndWhatIsForTheLinkAreToldApart) {
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{3, 4, 5, 9, 10, 11, 12}) {
    EXPECT_EQ(parse_icmp(IcmpFamily::kIcmp, message(type, 1, 28), 36)->kind, IcmpKind::kError) << int{type};
  }
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143}) {
    EXPECT_EQ(parse_icmp(IcmpFamily::kIcmpv6, message(type, 1, 28), 36)->kind, IcmpKind::kError) << int{type};
  }
  EXPECT_EQ(parse_icmp(IcmpFamily::kIcmp, message(42, 0, 0), 8)->kind, IcmpKind::kOther);
  EXPECT_EQ(reply_type_of(IcmpFamily::kIcmp, 8), 0);
  EXPECT_EQ(reply_type_of(IcmpFamily::kIcmpv6, 128), 129);
}

}  // namespace
}  // namespace sallyport::parsers
