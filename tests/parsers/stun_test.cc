#include "sallyport/parsers/stun.h"

#include <gtest/gtest.h>

#include "support/stun_builder.h"

namespace sallyport::testing {
namespace {

using parsers::MediaKind;
using parsers::StunClass;

TEST(StunTest, ReadsClassMethodAndTransaction) {
  const Bytes request = StunBuilder(0x0003, "allocation12").build();
  const auto head = parsers::read_stun_head(request);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->kind, StunClass::kRequest);
  EXPECT_EQ(head->method, parsers::kTurnAllocate);
  EXPECT_EQ(as_text(head->transaction_id), "allocation12");
  EXPECT_EQ(parsers::read_stun_head(StunBuilder(0x0101).build())->kind, StunClass::kSuccess);
  EXPECT_EQ(parsers::read_stun_head(StunBuilder(0x0111).build())->kind, StunClass::kError);
  EXPECT_EQ(parsers::read_stun_head(StunBuilder(0x0011).build())->kind, StunClass::kIndication);
  EXPECT_FALSE(parsers::read_stun_head(StunBuilder(0x0811).build())) << "its first byte is not STUN's among media";
}

TEST(StunTest, ACheckNeedsAllOfItsAttributes) {
  EXPECT_TRUE(parsers::is_ice_check(StunBuilder::check().signed_and_built()));
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder::check().fingerprint().build())) << "no integrity";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder::check().integrity().build())) << "no fingerprint";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder::check().integrity().fingerprint(1).build())) << "a wrong fingerprint";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder(0x0001).attribute(0x0006, "a:b").attribute(0x0024, "prio").signed_and_built())) << "no role";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder(0x0001).attribute(0x0006, "a:b").attribute(0x8029, "tiebreak").signed_and_built())) << "no priority";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder(0x0001).attribute(0x0024, "prio").attribute(0x8029, "tiebreak").signed_and_built())) << "no username";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder::check().attribute(0x8029, "tiebreak").signed_and_built())) << "both roles";
  EXPECT_FALSE(parsers::is_ice_check(StunBuilder::success().signed_and_built()));
}

TEST(StunTest, NothingStandsBehindTheIntegrityOrTheFingerprint) {
  EXPECT_FALSE(parsers::is_ice_message(StunBuilder::check().integrity().attribute(0x8022, "soft").fingerprint().build()));
  EXPECT_FALSE(parsers::is_ice_message(StunBuilder::check().integrity().fingerprint().attribute(0x8022, "soft").build()));
  EXPECT_TRUE(parsers::is_ice_message(StunBuilder::success().signed_and_built()));
  EXPECT_TRUE(parsers::is_ice_message(StunBuilder(0x0011).build())) << "an indication that keeps a NAT open";
  EXPECT_FALSE(parsers::is_ice_message(StunBuilder(0x0003).build())) << "another method";
}

TEST(StunTest, NoPrefixAndNothingLongerIsACheck) {
  Bytes check = StunBuilder::check().signed_and_built();
  for (std::size_t length = 0; length < check.size(); ++length) {
    const Bytes prefix(check.begin(), check.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(parsers::is_ice_check(prefix)) << length;
    EXPECT_FALSE(parsers::read_stun_head(prefix)) << length;
  }
  check.push_back(0);
  EXPECT_FALSE(parsers::is_ice_check(check));
}

TEST(StunTest, EveryFlippedBitIsSeenByTheFingerprint) {
  const Bytes check = StunBuilder::check().signed_and_built();
  for (std::size_t bit = 0; bit < check.size() * 8; ++bit) {
    Bytes other = check;
    other[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_FALSE(parsers::is_ice_check(other)) << bit;
  }
}

TEST(StunTest, MediaIsToldByTheFirstOctet) {
  EXPECT_EQ(parsers::media_kind(StunBuilder::check().build()), MediaKind::kStun);
  EXPECT_EQ(parsers::media_kind(rtp_packet(96, 1, 2)), MediaKind::kRtp);
  for (const auto& [octet, kind] : {std::pair{19, MediaKind::kZrtp}, {20, MediaKind::kDtls}, {63, MediaKind::kDtls}, {64, MediaKind::kTurnChannel},
                                    {79, MediaKind::kTurnChannel}, {80, MediaKind::kOther}, {191, MediaKind::kRtp}, {192, MediaKind::kQuic}, {4, MediaKind::kOther}}) {
    EXPECT_EQ(parsers::media_kind(Bytes{static_cast<std::uint8_t>(octet)}), kind) << octet;
  }
  EXPECT_EQ(parsers::media_kind({}), MediaKind::kOther);
}

}  // namespace
}  // namespace sallyport::testing
