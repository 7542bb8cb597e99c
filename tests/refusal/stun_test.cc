#include "sallyport/refusal/stun.h"

#include <gtest/gtest.h>

#include "sallyport/parsers/stun.h"
#include "sallyport/parsers/realtime.h"
#include "sizes.h"
#include "support/client_hello_builder.h"
#include "support/stun_builder.h"

namespace sallyport::testing {
namespace {

using refusal::Buffer;
using refusal::Notice;

constexpr std::size_t kAnySize = 1'500;

Bytes forbidden(const Bytes& request, std::size_t size_max = kAnySize, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return stun_forbidden(out, notice, request, size_max); }, refusal::kRefusalMax);
}

// phrase_of reads the ERROR-CODE that begins behind the header.
std::string phrase_of(const Bytes& response) {
  const std::size_t length = static_cast<std::size_t>(response.at(22) << 8 | response.at(23));
  return {response.begin() + 28, response.begin() + 24 + static_cast<std::ptrdiff_t>(length)};
}

TEST(RefusalStunTest, AnAllocationIsAnsweredWithTheseBytes) {
  const Notice no = {.text = "no", .name = {}, .scope = {}, .rule = {}, .reason = {}};
  EXPECT_EQ(forbidden(StunBuilder(0x0003, "allocation12").build(), kAnySize, no),
            hex("0113 000c 2112a442 616c6c6f636174696f6e3132 0009 0006 00000403 6e6f0000"));
  EXPECT_EQ(forbidden(StunBuilder(0x0003, "allocation12").fingerprint().build(), kAnySize, no),
            hex("0113 0014 2112a442 616c6c6f636174696f6e3132 0009 0006 00000403 6e6f0000 8028 0004 c069b5e9"));
}

TEST(RefusalStunTest, MethodAndTransactionAreTheRequests) {
  for (const std::uint16_t type : std::initializer_list<std::uint16_t>{0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x02ef}) {
    const Bytes request = StunBuilder(type, "mine").build();
    const auto asked = parsers::read_stun_head(request);
    ASSERT_TRUE(asked);
    ASSERT_EQ(asked->kind, parsers::StunClass::kRequest) << type;
    const Bytes response = forbidden(request);
    const auto head = parsers::read_stun_head(response);
    ASSERT_TRUE(head) << type;
    EXPECT_EQ(head->kind, parsers::StunClass::kError);
    EXPECT_EQ(head->method, asked->method);
    EXPECT_EQ(as_text(head->transaction_id), "mine........");
    EXPECT_EQ(phrase_of(response), kNotice.text);
  }
}

TEST(RefusalStunTest, AFingerprintIsAnsweredWithOneThatIsRight) {
  const Bytes response = forbidden(StunBuilder::check().signed_and_built());
  EXPECT_TRUE(parsers::is_ice_message(response)) << "the parser checks the sum";
  const Bytes with(response.end() - 8, response.end() - 4);
  EXPECT_EQ(with, hex("80280004"));
  const Bytes bare = forbidden(StunBuilder::check().integrity().build());
  EXPECT_EQ(bare.size() + 8, response.size());
}

TEST(RefusalStunTest, OnlyRequestsAreAnswered) {
  EXPECT_TRUE(forbidden(StunBuilder(0x0011).build()).empty()) << "indication";
  EXPECT_TRUE(forbidden(StunBuilder::success().build()).empty());
  EXPECT_TRUE(forbidden(StunBuilder(0x0111).build()).empty()) << "error";
  Bytes longer = StunBuilder(0x0001).build();
  longer.push_back(0);
  EXPECT_TRUE(forbidden(longer).empty()) << "as long as it says";
  const Bytes request = StunBuilder::check().signed_and_built();
  for (std::size_t length = 0; length < request.size(); ++length) {
    EXPECT_TRUE(forbidden(Bytes(request.begin(), request.begin() + static_cast<std::ptrdiff_t>(length))).empty()) << length;
  }
}

TEST(RefusalStunTest, ThePhraseIsCutToTheSize) {
  for (const bool fingerprint : {false, true}) {
    StunBuilder builder(0x0003);
    const Bytes request = fingerprint ? builder.fingerprint().build() : builder.build();
    const std::size_t least = fingerprint ? 36 : 28;
    for (std::size_t size = 0; size <= 200; ++size) {
      const Bytes response = forbidden(request, size);
      ASSERT_EQ(response.empty(), size < least) << size;
      if (response.empty()) continue;
      ASSERT_LE(response.size(), size);
      ASSERT_TRUE(parsers::read_stun_head(response)) << size;
      ASSERT_EQ(phrase_of(response), kNotice.text.substr(0, (size - least) / 4 * 4)) << size;
    }
  }
}

TEST(RefusalStunTest, ThePhraseHasAtMost127Characters) {
  const std::string text(500, 'x');
  const Notice notice = {.text = text, .name = {}, .scope = {}, .rule = {}, .reason = {}};
  const Bytes response = forbidden(StunBuilder(0x0001).build(), kAnySize, notice);
  EXPECT_EQ(phrase_of(response).size(), 127u);
  EXPECT_EQ(response.size(), 20u + 8 + 128);
}

TEST(RefusalStunTest, TheAnswerIsWholeInEveryBuffer) {
  const Bytes request = StunBuilder::check().signed_and_built();
  every_size([&](Buffer out) { return stun_forbidden(out, kNotice, request, kAnySize); },
             [](const Bytes& response, std::size_t size) {
               ASSERT_EQ(response.empty(), size < 36) << size;
               ASSERT_EQ(parsers::is_ice_message(response), size >= 36) << size;
             });
}

}  // namespace
}  // namespace sallyport::testing
