#include "sallyport/netfilter/command.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <thread>

namespace sallyport::testing {
namespace {

using namespace std::chrono_literals;
using netfilter::run_command;
using Clock = std::chrono::steady_clock;

TEST(RunCommandTest, GivesOutputErrorsAndExitCode) {
  const auto result = run_command({"sh", "-c", "cat; echo wrong >&2; exit 3"}, "text");
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->output, "text");
  EXPECT_EQ(result->errors, "wrong\n");
  EXPECT_EQ(result->exit_code, 3);
}

TEST(RunCommandTest, ItsProgramsAreKnownByTheirNumbers) {
  const auto result = run_command({"sh", "-c", "echo $$"});
  ASSERT_TRUE(result) << result.error();
  EXPECT_TRUE(netfilter::is_own_command(static_cast<std::uint32_t>(std::stoul(result->output))));
  EXPECT_FALSE(netfilter::is_own_command(static_cast<std::uint32_t>(::getpid())));
  EXPECT_FALSE(netfilter::is_own_command(0));
}

TEST(RunCommandTest, NamesAProgramThatIsNotThere) {
  const auto result = run_command({"no-such-program-at-all"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), "no-such-program-at-all is not installed");
}

TEST(RunCommandTest, ASignalIsAnExitCodeBehind128) {
  const auto result = run_command({"sh", "-c", "kill -9 $$"});
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_code, 128 + SIGKILL);
}

TEST(RunCommandTest, KillsWhatDoesNotEndAndNamesIt) {
  const auto begin = Clock::now();
  const auto result = run_command({"sleep", "60"}, {}, 100ms);
  const auto took = Clock::now() - begin;
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), "sleep 60: not done after 100 ms, killed");
  EXPECT_GE(took, 100ms);
  EXPECT_LT(took, 10s);
  errno = 0;
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // No zombie is left.
  EXPECT_EQ(errno, ECHILD);
}

TEST(RunCommandTest, KillsWhatIgnoresSignalsAndWhatItStarted) {
  std::string path = ::testing::TempDir() + "started-XXXXXX";
  const int file = ::mkstemp(path.data());
  ASSERT_GE(file, 0);
  const auto result = run_command({"sh", "-c", "trap '' TERM INT HUP; sleep 60 & echo $! > " + path + "; wait"}, {}, 500ms);
  EXPECT_FALSE(result);
  long started = 0;
  std::ifstream(path) >> started;
  ::close(file);
  ::unlink(path.c_str());
  ASSERT_GT(started, 0);
  // Whoever adopted the orphan reaps it, or not; it does not run.
  const auto runs = [&] {
    std::ifstream stat("/proc/" + std::to_string(started) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(stat), {}};
    return !text.empty() && text.find(") Z ") == std::string::npos;
  };
  for (int i = 0; i < 200 && runs(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(runs());
}

TEST(RunCommandTest, AFullOutputIsNoReasonToHang) {
  const auto result = run_command({"head", "-c", "1000000", "/dev/zero"}, {}, 10s);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->output.size(), 1'000'000U);
}

}  // namespace
}  // namespace sallyport::testing
