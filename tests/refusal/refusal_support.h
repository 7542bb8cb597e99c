// What the tests of all builders share: notices, hostile ones among them, and the sweep over sizes of the buffer.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::testing {

inline constexpr std::string_view kText = "sallyport: evil.example is not allowed for agent (policy.toml:21)";
inline constexpr refusal::Notice kNotice = {
    .text = kText, .name = "evil.example", .scope = "agent", .rule = "policy.toml:21", .reason = "no_rule"};

// built_in runs `build(buffer)` on a heap block of just `size` bytes, so that AddressSanitizer sees a write one byte too far.
template <typename Build>
std::string built_in(std::size_t size, Build&& build) {
  std::vector<std::uint8_t> block(size);
  block.shrink_to_fit();
  const std::size_t written = build(refusal::Buffer(block));
  EXPECT_LE(written, size);
  return std::string(as_text(ByteSpan(block).first(std::min(written, size))));
}
template <typename Build>
std::string built(Build&& build) {
  return built_in(refusal::kRefusalMax, build);
}

// expect_whole_or_nothing builds in each size of buffer: nothing below some size, and from there on only what `is_whole` accepts.
// `wanted` is how much room the longest answer takes beside what is written: the content of an answer to HEAD.
template <typename Build, typename IsWhole>
void expect_whole_or_nothing(Build&& build, IsWhole&& is_whole, std::size_t wanted = 0) {
  const std::string full = built(build);
  ASSERT_FALSE(full.empty());
  bool fitted = false;
  std::size_t last = 0;
  for (std::size_t size = 0; size <= refusal::kRefusalMax; ++size) {
    const std::string bytes = built_in(size, build);
    ASSERT_TRUE(!bytes.empty() || !fitted) << "fits into " << size - 1 << " bytes, but not into " << size;
    if (bytes.empty()) continue;
    fitted = true;
    ASSERT_TRUE(is_whole(bytes)) << size << " bytes of buffer: " << bytes;
    ASSERT_GE(bytes.size(), last) << "a larger buffer says less";
    last = bytes.size();
    if (size >= full.size() + wanted) {
      ASSERT_EQ(bytes, full) << "fits into " << size << " bytes whole";
    }
  }
  ASSERT_TRUE(fitted);
  // No larger answer, however large the buffer.
  EXPECT_EQ(built_in(2 * refusal::kRefusalMax, build), full);
}

// hostile_texts are what a notice should never hold, and may.
inline std::vector<std::string> hostile_texts() {
  using namespace std::string_literals;
  std::string every_byte;
  for (unsigned c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  return {
      "",
      "\"}\r\nX: y\r\n\r\n<script>alert(1)</script>",
      "</p><img src=x onerror=alert(1)>&amp;'\"",
      "a\0b\x7f\x80\xff\x1b[31m"s,
      "\\\"\\",
      "\r\n",
      "\n250 ok\r\n",
      every_byte,
      std::string(400, 'x'),
      std::string(401, 'y'),
      std::string(2'000, '"'),
      std::string(2'000, '&'),
      std::string(70'000, '\\'),
  };
}

// printable is what a builder makes of `text` before it escapes it.
inline std::string printable(std::string_view text) {
  std::string out(text.substr(0, refusal::kNoticeTextMax));
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

// for_each_notice calls with each hostile text in each member, and in all of them.
template <typename Use>
void for_each_hostile_notice(Use&& use) {
  for (const std::string& text : hostile_texts()) {
    SCOPED_TRACE(text.substr(0, 60));
    use(refusal::Notice{.text = text});
    use(refusal::Notice{.text = text, .name = text, .scope = text, .rule = text, .reason = text});
    refusal::Notice notice = kNotice;
    notice.name = text;
    use(notice);
    notice = kNotice;
    notice.rule = text;
    use(notice);
  }
}

}  // namespace sallyport::testing
