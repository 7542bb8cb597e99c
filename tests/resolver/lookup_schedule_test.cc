#include "lookup_schedule.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "sallyport/core/limits.h"

namespace sallyport::resolver {
namespace {

using namespace std::chrono_literals;
using Asked = LookupSchedule::Asked;
using Result = LookupSchedule::Result;

constexpr Timestamp kStart{std::chrono::hours(500'000)};

DomainName name(std::string_view text) {
  return DomainName::parse(text).value();
}
DomainName numbered(int number) {
  return name("n" + std::to_string(number) + ".example");
}

// settle looks everything up that is due and returns how many names that were.
int settle(LookupSchedule& schedule, Timestamp now, Result result = Result::kAddresses, Duration ttl = 5min) {
  int count = 0;
  while (const auto lookup = schedule.take(now)) {
    schedule.finish(lookup->entry, result, ttl, now);
    ++count;
  }
  return count;
}

TEST(LookupScheduleTest, AWarmNameIsDueAtOnceAndAgainBeforeItsTtlEnds) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    LookupSchedule schedule(10, seed);
    ASSERT_TRUE(schedule.keep_warm(name("a.example"), 0, kStart));
    const auto lookup = schedule.take(kStart);
    ASSERT_TRUE(lookup);
    EXPECT_EQ(lookup->name, name("a.example"));
    EXPECT_FALSE(schedule.take(kStart)) << "it is under way";
    schedule.finish(lookup->entry, Result::kAddresses, 1'000s, kStart);
    EXPECT_FALSE(schedule.take(kStart + 799s));
    EXPECT_TRUE(schedule.take(kStart + 1'000s));
  }
}

TEST(LookupScheduleTest, NamesOfOneTtlSpread) {
  LookupSchedule schedule(1'000, 7);
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(schedule.keep_warm(numbered(i), 0, kStart));
  EXPECT_EQ(settle(schedule, kStart, Result::kAddresses, 1'000s), 1'000);
  int most = 0;
  for (Timestamp now = kStart; now <= kStart + 1'000s; now += 10s) {
    int count = 0;
    while (schedule.take(now)) ++count;
    most = std::max(most, count);
  }
  EXPECT_EQ(schedule.under_way(), 1'000U);
  EXPECT_LT(most, 150) << "200 s in steps of 10: about 50 each";
}

TEST(LookupScheduleTest, TtlsAreClamped) {
  LookupSchedule schedule(10);
  ASSERT_TRUE(schedule.keep_warm(name("short.example"), 0, kStart));
  EXPECT_EQ(settle(schedule, kStart, Result::kAddresses, 0s), 1);
  EXPECT_EQ(settle(schedule, kStart + kBindingTtlMin * 4 / 5 - 1s), 0);
  EXPECT_EQ(settle(schedule, kStart + kBindingTtlMin, Result::kAddresses, 10'000h), 1);
  EXPECT_EQ(settle(schedule, kStart + kBindingTtlMin + kBindingTtlMax), 1);
}

TEST(LookupScheduleTest, FailuresBackOffUpToABoundAndOneSuccessEndsIt) {
  LookupSchedule schedule(10);
  ASSERT_TRUE(schedule.keep_warm(name("a.example"), 0, kStart));
  Timestamp now = kStart;
  Duration least = kResolverBackOffMin;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(settle(schedule, now, Result::kFailed), 1);
    EXPECT_EQ(schedule.failing(), 1U);
    const Duration wait = schedule.next_due().value() - now;
    EXPECT_LE(wait, std::min(least, kResolverBackOffMax));
    EXPECT_GE(wait, std::min(least, kResolverBackOffMax) * 4 / 5 - 1s);
    least = std::min<Duration>(least * 2, kResolverBackOffMax);
    now = *schedule.next_due();
  }
  EXPECT_EQ(settle(schedule, now), 1);
  EXPECT_EQ(schedule.failing(), 0U);
}

TEST(LookupScheduleTest, AMissGoesBeforeWhatIsOnlyKeptWarm) {
  LookupSchedule schedule(100);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(schedule.keep_warm(numbered(i), 0, kStart));
  EXPECT_EQ(schedule.ask(numbered(49), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask(name("other.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.take(kStart)->name, numbered(49));
  EXPECT_EQ(schedule.take(kStart)->name, name("other.example"));
}

TEST(LookupScheduleTest, ANameIsAskedOnceAtATimeAndOnceASecond) {
  LookupSchedule schedule(10);
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart), Asked::kUnderWay);
  const auto lookup = schedule.take(kStart);
  ASSERT_TRUE(lookup);
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart + 10s), Asked::kUnderWay);
  schedule.finish(lookup->entry, Result::kAddresses, 1h, kStart + 10s);
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart + 10s + kResolverAskAgain - 1ns), Asked::kTooSoon);
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart + 10s + kResolverAskAgain), Asked::kQueued);
}

TEST(LookupScheduleTest, AMissesNameIsForgottenAndAWarmOneIsNot) {
  LookupSchedule schedule(2);
  ASSERT_TRUE(schedule.keep_warm(name("warm.example"), 0, kStart));
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask(name("b.example"), 0, kStart), Asked::kFull);
  EXPECT_EQ(settle(schedule, kStart), 2);
  EXPECT_EQ(schedule.ask(name("b.example"), 0, kStart), Asked::kFull) << "a.example must not be asked again yet";
  EXPECT_EQ(schedule.ask(name("b.example"), 0, kStart + kResolverAskAgain), Asked::kQueued);
  EXPECT_EQ(settle(schedule, kStart + kResolverAskAgain), 1);
  EXPECT_FALSE(schedule.keep_warm(name("c.example"), 0, kStart));
  EXPECT_EQ(settle(schedule, kStart + 1h), 1) << "only warm.example is looked up again";
  EXPECT_TRUE(schedule.keep_warm(name("c.example"), 0, kStart));
  EXPECT_EQ(schedule.warm(), 2U);
}

TEST(LookupScheduleTest, ANameOfAnotherViewIsAnotherName) {
  LookupSchedule schedule(10);
  ASSERT_TRUE(schedule.keep_warm(name("a.example"), 0, kStart));
  EXPECT_EQ(schedule.ask(name("a.example"), 3, kStart), Asked::kQueued);
  const auto first = schedule.take(kStart), second = schedule.take(kStart);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->view, 3);
  EXPECT_EQ(second->view, 0);
}

TEST(LookupScheduleTest, AMissOfManyNamesTakesTurns) {
  LookupSchedule schedule(100);
  std::vector<DomainName> names;
  for (int i = 0; i < 90; ++i) names.push_back(numbered(i));
  std::set<std::string> looked_up;
  Timestamp now = kStart;
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(schedule.ask_longest_untouched(names, 0, 30, now), 30U);
    while (const auto lookup = schedule.take(now)) {
      looked_up.emplace(lookup->name.text());
      schedule.finish(lookup->entry, Result::kNoAddress, 0s, now);
    }
    now += 100ms;
  }
  EXPECT_EQ(looked_up.size(), 90U);
  EXPECT_EQ(schedule.ask_longest_untouched(names, 0, 30, now), 0U) << "all of them a moment ago";
}

TEST(LookupScheduleTest, OtherServersMakeEverythingDue) {
  LookupSchedule schedule(10);
  ASSERT_TRUE(schedule.keep_warm(name("a.example"), 0, kStart));
  ASSERT_TRUE(schedule.keep_warm(name("b.example"), 0, kStart));
  EXPECT_EQ(settle(schedule, kStart, Result::kFailed), 2);
  EXPECT_EQ(settle(schedule, kStart), 0);
  schedule.all_due(kStart);
  EXPECT_EQ(settle(schedule, kStart), 2);
  EXPECT_EQ(schedule.under_way(), 0U);
}

TEST(LookupScheduleTest, AClaimedNameGoesBeforeAllOthersAndHasRoomInAFullSchedule) {
  LookupSchedule schedule(3);
  ASSERT_TRUE(schedule.keep_warm(name("warm.example"), 0, kStart));
  EXPECT_EQ(schedule.ask(name("a.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask(name("b.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask(name("c.example"), 0, kStart), Asked::kFull);
  EXPECT_EQ(schedule.ask_first(name("c.example"), 0, kStart), Asked::kQueued);
  EXPECT_EQ(schedule.ask_first(name("b.example"), 0, kStart), Asked::kQueued) << "it waited behind others";
  EXPECT_EQ(schedule.ask_first(name("b.example"), 0, kStart), Asked::kUnderWay);
  std::vector<std::string> order;
  while (const auto lookup = schedule.take(kStart)) order.emplace_back(lookup->name.text());
  EXPECT_EQ(order, (std::vector<std::string>{"c.example", "b.example", "a.example", "warm.example"}));
  for (int i = 0; i < static_cast<int>(kResolverMisses) - 1; ++i) {
    EXPECT_EQ(schedule.ask_first(numbered(i), 0, kStart), Asked::kQueued) << i;
  }
  EXPECT_EQ(schedule.ask_first(name("late.example"), 0, kStart), Asked::kFull) << "bounded";
}

TEST(LookupScheduleTest, FinishOfNothingIsHarmless) {
  LookupSchedule schedule(10);
  schedule.finish(0, Result::kFailed, 0s, kStart);
  schedule.finish(99, Result::kFailed, 0s, kStart);
  EXPECT_EQ(schedule.under_way(), 0U);
  EXPECT_EQ(schedule.failing(), 0U);
  EXPECT_FALSE(schedule.next_due());
}

}  // namespace
}  // namespace sallyport::resolver
