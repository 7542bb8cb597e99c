#include "sallyport/netfilter/mark_field.h"

#include <gtest/gtest.h>

namespace sallyport::netfilter {
namespace {

TEST(MarkFieldTest, DefaultIsTheHighestByte) {
  const MarkField field;
  EXPECT_EQ(field.mask(), 0xff000000U);
  EXPECT_EQ(field.verdict_mask(), 0xe0000000U);
  EXPECT_EQ(field.encode(FlowMark::kAllow, 1), 0x21000000U);
  EXPECT_EQ(field.encode(FlowMark::kPass, 0), 0xa0000000U);
  EXPECT_EQ(field.encode(FlowMark::kIcmp, 31), 0xff000000U);
}

TEST(MarkFieldTest, TakesOnlyEightContiguousBits) {
  for (const std::uint32_t mask :
       {0x0U, 0x1U, 0x7fU, 0x1ffU, 0xff00ff00U, 0xfe000000U, 0xffffffffU, 0x0000fe01U}) {
    EXPECT_FALSE(MarkField::from_mask(mask)) << std::hex << mask;
  }
  for (unsigned shift = 0; shift <= 24; ++shift) {
    const auto field = MarkField::from_mask(0xffU << shift);
    ASSERT_TRUE(field) << shift;
    EXPECT_EQ(field->mask(), 0xffU << shift);
  }
}

TEST(MarkFieldTest, EveryVerdictAndGenerationComesBack) {
  for (unsigned shift = 0; shift <= 24; ++shift) {
    const MarkField field = MarkField::from_mask(0xffU << shift).value();
    for (unsigned verdict = 0; verdict < 8; ++verdict) {
      for (unsigned generation = 0; generation < 32; ++generation) {
        const std::uint32_t foreign = 0xa5c3965aU;
        const std::uint32_t mark =
            field.replace(foreign, static_cast<FlowMark>(verdict), static_cast<Generation>(generation));
        EXPECT_EQ(field.verdict_of(mark), static_cast<FlowMark>(verdict));
        EXPECT_EQ(field.generation_in(mark), 31 - generation);  // A fresh one.
        EXPECT_EQ(mark & field.mask(), field.fresh(static_cast<FlowMark>(verdict), static_cast<Generation>(generation)));
        EXPECT_EQ(mark & ~field.mask(), foreign & ~field.mask());
      }
    }
  }
}

// A rule of others may copy the ct mark to the packet: that must not be taken for a verdict that the worker just gave.
TEST(MarkFieldTest, NoCtMarkIsAFreshVerdictOfItsOwnGeneration) {
  const MarkField field;
  for (unsigned generation = 0; generation < 32; ++generation) {
    const auto own = static_cast<Generation>(generation);
    for (unsigned stored = 0; stored < 8; ++stored) {
      for (unsigned given = 0; given < 8; ++given) {
        EXPECT_NE(field.encode(static_cast<FlowMark>(stored), own), field.fresh(static_cast<FlowMark>(given), own));
      }
    }
  }
}

TEST(MarkFieldTest, NoPolicyHasTheGenerationOfObserveMode) {
  for (std::uint64_t fingerprint = 0; fingerprint < 1000; ++fingerprint) {
    EXPECT_NE(generation_of(fingerprint), kObserveGeneration);
    EXPECT_LE(generation_of(fingerprint), 31);
  }
  EXPECT_LE(generation_of(~std::uint64_t{0}), 31);
  EXPECT_NE(generation_of(7), generation_of(8));
}

}  // namespace
}  // namespace sallyport::netfilter
