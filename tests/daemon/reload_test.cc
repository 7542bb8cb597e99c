#include "reload.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {
namespace {

class ReloadTest : public testing::Test {
 protected:
  ReloadTest() {
    std::string pattern = testing::TempDir() + "reload_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ReloadTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  static std::shared_ptr<const policy::Policy> policy(const std::string& name) {
    return policy::load_policy_text("version = 1\n[[rules]]\nto = [\"" + name + "\"]\n", "test").value();
  }

  std::filesystem::path folder_;
  std::vector<std::string> said_;
  SavedGeneration::Say say_ = [this](const std::string& text) { said_.push_back(text); };
};

TEST(CutTest, WhatFailsIsTriedAgainAndInTheEndSaid) {
  int attempts = 0, pauses = 0;
  const auto pause = [&](std::chrono::milliseconds time) { pauses += time == kCutPause ? 1 : 0; };
  const auto fails_until = [&](int last) {
    attempts = pauses = 0;
    return carried_out([&, last] { return ++attempts < last ? std::string("busy") : std::string(); }, pause);
  };
  EXPECT_EQ(fails_until(1), "");
  EXPECT_EQ(pauses, 0);
  EXPECT_EQ(fails_until(kCutTries), "");
  EXPECT_EQ(attempts, kCutTries);
  EXPECT_EQ(fails_until(1'000), "busy (tried 4 times)");
  EXPECT_EQ(attempts, kCutTries);
  EXPECT_EQ(pauses, kCutTries - 1);
}

TEST_F(ReloadTest, TheSamePolicyGoesOnWithItsMarks) {
  const SavedGeneration saved((folder_ / "control.policy.json").string());
  const auto one = policy("one.example");
  EXPECT_EQ(saved.restore(*one, say_), std::nullopt);
  saved.save(one->fingerprint(), 17, say_);
  EXPECT_EQ(saved.restore(*one, say_), netfilter::Generation{17});
  EXPECT_TRUE(said_.empty());
}

TEST_F(ReloadTest, AnotherPolicyNeverHasTheGenerationOfTheMarksThatAreThere) {
  const SavedGeneration saved((folder_ / "control.policy.json").string());
  const auto one = policy("one.example"), two = policy("two.example");
  const netfilter::Generation own = netfilter::generation_of(two->fingerprint());
  for (unsigned generation = 1; generation <= 31; ++generation) {
    for (const auto& fingerprint : {std::optional(one->fingerprint()), std::optional<std::uint64_t>()}) {
      saved.save(fingerprint, static_cast<netfilter::Generation>(generation), say_);
      const auto restored = saved.restore(*two, say_);
      ASSERT_TRUE(restored);
      EXPECT_NE(*restored, generation);
      EXPECT_TRUE(*restored >= 1 && *restored <= 31);
      if (generation != own) { EXPECT_EQ(*restored, own); }
    }
  }
}

TEST_F(ReloadTest, WhatIsBeingWrittenIsNotRead) {
  PolicyFiles files;
  files.watch({write("policy.toml", "version = 1\n")});
  EXPECT_FALSE(files.settled());
  write("policy.toml", "version = 1\n[[ru");
  EXPECT_FALSE(files.settled()) << "it has just changed";
  write("policy.toml", "version = 1\n[[rules]]\n");
  EXPECT_FALSE(files.settled()) << "and again";
  EXPECT_TRUE(files.settled());
  EXPECT_FALSE(files.settled()) << "once is enough";
}

}  // namespace
}  // namespace sallyport::daemon
