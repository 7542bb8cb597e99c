#include "writer.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "text.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_literals;

TEST(WriterTest, IntegersAreInNetworkOrder) {
  std::array<std::uint8_t, 18> block{};
  Writer writer{Buffer(block)};
  writer.u8(1);
  writer.u16(0x0203);
  writer.u24(0x040506);
  writer.u32(0x0708090a);
  writer.u64(0x0b0c0d0e0f101112);
  ASSERT_EQ(writer.finish(), 18U);
  for (std::size_t i = 0; i < block.size(); ++i) EXPECT_EQ(block[i], i + 1);
}

TEST(WriterTest, WhatDoesNotFitSpoilsAllAndWritesNothing) {
  std::array<std::uint8_t, 5> block{};
  Writer writer{Buffer(block)};
  writer.u16(0xffff);
  writer.u32(0xffff'ffff);
  EXPECT_EQ(writer.finish(), 0U);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.room(), 0U);
  EXPECT_EQ(block[2], 0) << "no part of the value that did not fit";
  writer.u8(1);
  EXPECT_EQ(writer.finish(), 0U) << "what would fit does not mend it";
  EXPECT_TRUE(writer.written().empty());
}

TEST(WriterTest, APlaceholderTakesWhatIsKnownLater) {
  std::array<std::uint8_t, 8> block{};
  Writer writer{Buffer(block)};
  const std::size_t at = writer.placeholder<2>();
  writer.text("abc");
  writer.patch<2>(at, writer.size() - 2);
  ASSERT_EQ(writer.finish(), 5U);
  EXPECT_EQ(as_text(ByteSpan(block).first(5)), "\0\3abc"s);
}

TEST(WriterTest, APatchThatCannotBeSpoils) {
  std::array<std::uint8_t, 8> block{};
  Writer too_large{Buffer(block)};
  too_large.patch<1>(too_large.placeholder<1>(), 256);
  EXPECT_EQ(too_large.finish(), 0U);
  Writer outside{Buffer(block)};
  outside.u16(0);
  outside.patch<2>(1, 0);
  EXPECT_EQ(outside.finish(), 0U) << "one byte of it is not written yet";
}

TEST(WriterTest, CutTakesBack) {
  std::array<std::uint8_t, 8> block{};
  Writer writer{Buffer(block)};
  writer.text("abcdef");
  writer.cut(7);
  EXPECT_EQ(writer.size(), 6U);
  writer.cut(2);
  writer.text("X");
  ASSERT_EQ(writer.finish(), 3U);
  EXPECT_EQ(as_text(ByteSpan(block).first(3)), "abX");
}

TEST(WriterTest, TheLongestTextIsFoundForEachRoom) {
  std::array<std::uint8_t, 600> block{};
  std::string all(kNoticeTextMax + 100, 'z');
  for (std::size_t room = 0; room <= block.size(); ++room) {
    const std::size_t written = with_longest_text(Buffer(block).first(room), [&](Writer& writer, std::size_t text_max) {
      writer.text("begin:");
      put_plain(writer, all, text_max);
    });
    const std::size_t expected = room < 6 ? 0 : std::min(room, 6 + kNoticeTextMax);
    ASSERT_EQ(written, expected) << room;
  }
}

TEST(WriterTest, DecimalNumbersHaveNoLeadingZeros) {
  for (const std::size_t value : {0UL, 7UL, 10UL, 99UL, 100UL, 1'200UL, 18'446'744'073'709'551'615UL}) {
    std::array<std::uint8_t, 20> block{};
    Writer writer{Buffer(block)};
    put_decimal(writer, value);
    EXPECT_EQ(as_text(writer.written()), std::to_string(value));
  }
}

}  // namespace
}  // namespace sallyport::refusal
