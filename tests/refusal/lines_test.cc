#include "sallyport/refusal/lines.h"

#include "refusal_support.h"

namespace sallyport::refusal {
namespace {

using namespace sallyport::testing;

std::string line(const LineRefusal& refusal, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return line_refusal(out, notice, refusal); });
}

const std::string kLine = std::string(kText) + "\r\n";
constexpr std::array kProtocols = {Protocol::kFtp, Protocol::kSmtp, Protocol::kImap, Protocol::kPop3, Protocol::kRedis};

TEST(LineRefusalTest, InPlaceOfAGreeting) {
  EXPECT_EQ(line({.protocol = Protocol::kFtp, .greeting = true}), "530 " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kSmtp, .greeting = true}), "554 " + kLine);    // RFC 5321 §3.1
  EXPECT_EQ(line({.protocol = Protocol::kImap, .greeting = true}), "* BYE " + kLine);  // RFC 9051 §7.1.5
  EXPECT_EQ(line({.protocol = Protocol::kPop3, .greeting = true}), "-ERR " + kLine);   // RFC 1939 §3
}

TEST(LineRefusalTest, InAnswerToACommand) {
  EXPECT_EQ(line({.protocol = Protocol::kFtp}), "530 " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kSmtp}), "550 5.7.1 " + kLine);  // RFC 3463 §3.8
  EXPECT_EQ(line({.protocol = Protocol::kImap}), "* BYE " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kImap, .tag = "A7"}), "* BYE " + kLine + "A7 NO [NOPERM] " + kLine);  // RFC 5530 §3
  EXPECT_EQ(line({.protocol = Protocol::kPop3}), "-ERR " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kRedis}), "-NOPERM " + kLine);
}

TEST(LineRefusalTest, HeloBehindARefusedEhloHasItsAnswer) {
  const std::string reply = "550 5.7.1 " + kLine;
  EXPECT_EQ(line({.protocol = Protocol::kSmtp, .ehlo = true}), reply + reply);
  EXPECT_EQ(line({.protocol = Protocol::kSmtp, .greeting = true, .ehlo = true}), "554 " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kFtp, .ehlo = true}), "530 " + kLine);
}

TEST(LineRefusalTest, ATagThatIsNoneIsNotRepeated) {
  const std::string untagged = "* BYE " + kLine;
  for (const std::string& tag : {std::string("a b"), std::string("a\r\nb"), std::string("*"), std::string("+"), std::string("a+"),
                                 std::string("{3}"), std::string("a\"b"), std::string("a\\b"), std::string("(a)"), std::string("%"),
                                 std::string("\x80"), std::string(1, '\0'), std::string(65, 'a')}) {
    EXPECT_EQ(line({.protocol = Protocol::kImap, .tag = tag}), untagged) << tag;
  }
  EXPECT_EQ(line({.protocol = Protocol::kImap, .greeting = true, .tag = "A7"}), untagged) << "nothing is answered before the greeting";
  const std::string longest(64, 'a');
  EXPECT_EQ(line({.protocol = Protocol::kImap, .tag = longest}), untagged + longest + " NO [NOPERM] " + kLine);
  EXPECT_EQ(line({.protocol = Protocol::kImap, .tag = "A]7"}), untagged + "A]7 NO [NOPERM] " + kLine);
}

TEST(LineRefusalTest, OtherProtocolsHaveNone) {
  for (std::size_t i = 0; i < kProtocolCount; ++i) {
    const auto protocol = static_cast<Protocol>(i);
    const bool has_one = std::ranges::find(kProtocols, protocol) != kProtocols.end();
    EXPECT_EQ(line({.protocol = protocol}).empty(), !has_one) << to_string(protocol);
  }
}

// is_lines tells that there are `count` lines of printable ASCII, none longer than replies may be (RFC 5321 §4.5.3.1.5).
bool is_lines(const std::string& bytes, long count) {
  if (!bytes.ends_with("\r\n") || std::ranges::count(bytes, '\n') != count || std::ranges::count(bytes, '\r') != count) return false;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = bytes.find("\r\n", begin);
    if (end == std::string::npos || end - begin > 510) return false;
    begin = end + 2;
  }
  return std::ranges::all_of(bytes, [](char c) { return (c >= ' ' && c <= '~') || c == '\r' || c == '\n'; });
}

TEST(LineRefusalTest, ATextCannotEndItsLine) {
  for_each_hostile_notice([](const Notice& notice) {
    for (const Protocol protocol : kProtocols) {
      for (const bool greeting : {false, true}) {
        EXPECT_TRUE(is_lines(line({.protocol = protocol, .greeting = greeting}, notice), 1)) << to_string(protocol);
      }
    }
    EXPECT_TRUE(is_lines(line({.protocol = Protocol::kImap, .tag = "A7"}, notice), 2));
    const std::string text = notice.text.empty() ? "refused by policy" : printable(notice.text);
    EXPECT_EQ(line({.protocol = Protocol::kPop3}, notice), "-ERR " + text + "\r\n");
  });
}

TEST(LineRefusalTest, IsWholeOrNothing) {
  for (const Protocol protocol : kProtocols) {
    SCOPED_TRACE(to_string(protocol));
    const auto build = [&](Buffer out) { return line_refusal(out, kNotice, {.protocol = protocol}); };
    expect_whole_or_nothing(build, [](const std::string& bytes) { return is_lines(bytes, 1); });
  }
  const auto tagged = [](Buffer out) { return line_refusal(out, kNotice, {.protocol = Protocol::kImap, .tag = "A7"}); };
  expect_whole_or_nothing(tagged, [](const std::string& bytes) { return is_lines(bytes, 2) && bytes.find("A7 NO [NOPERM] ") != std::string::npos; });
}

}  // namespace
}  // namespace sallyport::refusal
