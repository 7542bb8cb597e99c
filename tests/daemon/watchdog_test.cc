#include "watchdog.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <unistd.h>

namespace sallyport::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Said {
  std::vector<std::string> lines;
  std::function<void(const std::string&)> say = [this](const std::string& text) { lines.push_back(text); };
};
const Watchdog::Clock::time_point kStart = Watchdog::Clock::time_point(seconds(1'000));

std::vector<std::uint64_t> rounds(std::uint64_t first, std::uint64_t second) { return {first, second}; }

TEST(WatchdogTest, PingsEachQuarterOfTheLimit) {
  Said said;
  Watchdog watchdog(seconds(20));
  EXPECT_EQ(watchdog.sleep_ms(30'000), 5'000);
  EXPECT_TRUE(watchdog.look(kStart, rounds(1, 1), said.say));
  EXPECT_FALSE(watchdog.look(kStart + milliseconds(4'999), rounds(2, 2), said.say));
  EXPECT_TRUE(watchdog.look(kStart + seconds(5), rounds(2, 2), said.say));
  EXPECT_TRUE(said.lines.empty());
}

TEST(WatchdogTest, ServiceWithAWorkerThatStandsStillIsNotAlive) {
  Said said;
  Watchdog watchdog(seconds(20));
  EXPECT_TRUE(watchdog.look(kStart, rounds(1, 1), said.say));
  for (int i = 1; i < 5; ++i) EXPECT_FALSE(watchdog.look(kStart + seconds(5 * i), rounds(static_cast<std::uint64_t>(1 + i), 1), said.say));
  ASSERT_EQ(said.lines.size(), 1u) << "it is said once";
  EXPECT_NE(said.lines[0].find("worker 1 stands still"), std::string::npos);
  EXPECT_TRUE(watchdog.look(kStart + seconds(25), rounds(9, 2), said.say));
}

TEST(WatchdogTest, AWorkerThatWentRoundOnceIsComparedWithTheLastPing) {
  Said said;
  Watchdog watchdog(seconds(20));
  EXPECT_TRUE(watchdog.look(kStart, rounds(1, 1), said.say));
  EXPECT_FALSE(watchdog.look(kStart + seconds(5), rounds(2, 1), said.say));
  EXPECT_TRUE(watchdog.look(kStart + seconds(10), rounds(2, 2), said.say));
  EXPECT_FALSE(watchdog.look(kStart + seconds(15), rounds(2, 3), said.say));
}

TEST(WatchdogTest, NobodyAsks) {
  Said said;
  Watchdog watchdog(seconds(0));
  EXPECT_EQ(watchdog.sleep_ms(30'000), 30'000);
  EXPECT_FALSE(watchdog.look(kStart, rounds(1, 1), said.say));
}

TEST(WatchdogTest, EnvironmentOfAnotherProcessIsNotOurs) {
  ::setenv("WATCHDOG_USEC", "20000000", 1);
  EXPECT_EQ(Watchdog::from_environment().sleep_ms(30'000), 5'000);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(Watchdog::from_environment().sleep_ms(30'000), 5'000);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(Watchdog::from_environment().sleep_ms(30'000), 30'000);
  ::unsetenv("WATCHDOG_PID");
  for (const char* nonsense : {"", "x", "12x", "-5"}) {
    ::setenv("WATCHDOG_USEC", nonsense, 1);
    EXPECT_EQ(Watchdog::from_environment().sleep_ms(30'000), 30'000) << nonsense;
  }
  ::unsetenv("WATCHDOG_USEC");
}

}  // namespace
}  // namespace sallyport::daemon
