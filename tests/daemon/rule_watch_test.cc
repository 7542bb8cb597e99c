#include "rule_watch.h"

#include <gtest/gtest.h>

#include <vector>

namespace sallyport::daemon {
namespace {

using namespace std::chrono_literals;
using Time = RepairPace::Time;

const Time kStart = Time() + 1h;

// repairs returns the moments of repair of somebody who displaces the rules anew `gap` after each of them, which takes `took`.
std::vector<Time> repairs(RepairPace& pace, std::size_t count, std::chrono::milliseconds gap, std::chrono::milliseconds took = 0ms, Time now = kStart) {
  std::vector<Time> moments;
  for (std::size_t i = 0; i < count; ++i) {
    now = std::max(now + gap, pace.earliest());
    pace.repaired(now, now + took);
    now += took;
    moments.push_back(now);
  }
  return moments;
}

TEST(RepairPaceTest, AFewRepairsAreAtOnce) {
  RepairPace pace;
  const std::vector<Time> moments = repairs(pace, RepairPace::kAtOnce, 0ms);
  EXPECT_LE(moments.back() - moments.front(), RepairPace::kAtOnce * 200ms);
  EXPECT_FALSE(pace.fighting());
}

TEST(RepairPaceTest, OneASecondOverHoursIsNoFight) {
  RepairPace pace;
  (void)repairs(pace, 10'000, 1'100ms);
  EXPECT_FALSE(pace.fighting());
  EXPECT_EQ(pace.interval(), 200ms);
}

TEST(RepairPaceTest, AFightEndsUpAtTheLongestIntervalAndNeverStops) {
  RepairPace pace;
  const std::vector<Time> moments = repairs(pace, 100, 10ms);
  EXPECT_TRUE(pace.fighting());
  EXPECT_EQ(pace.interval(), RepairPace::kLongest);
  for (std::size_t i = 1; i < moments.size(); ++i) EXPECT_LE(moments[i] - moments[i - 1], RepairPace::kLongest + 10ms);
  std::size_t in_ten_seconds = 0;
  for (const Time moment : moments) in_ten_seconds += moment - moments.front() <= 10s ? 1U : 0U;
  EXPECT_LE(in_ten_seconds, 13U);
}

TEST(RepairPaceTest, AFightIsOneOnASlowMachineToo) {
  RepairPace pace;
  (void)repairs(pace, 12, 10ms, 4s);
  EXPECT_TRUE(pace.fighting());
}

TEST(RepairPaceTest, PeaceMakesTheNextRepairImmediate) {
  RepairPace pace;
  const Time last = repairs(pace, 30, 10ms).back();
  const Time next = last + RepairPace::kLongest + RepairPace::kQuiet;
  pace.repaired(next, next);
  EXPECT_FALSE(pace.fighting());
  EXPECT_EQ(pace.interval(), 200ms);
}

}  // namespace
}  // namespace sallyport::daemon
