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
  EXPECT_FALSE(saved.restore(*one, say_));
  saved.save(one->fingerprint(), 17, Timestamp(std::chrono::milliseconds(1'700'000'000'900)), say_);
  const auto marks = saved.restore(*one, say_);
  ASSERT_TRUE(marks);
  EXPECT_EQ(marks->generation, netfilter::Generation{17});
  EXPECT_EQ(marks->judged, Timestamp(std::chrono::seconds(1'700'000'000)));
  EXPECT_TRUE(said_.empty());
}

TEST_F(ReloadTest, AnotherPolicyNeverHasTheGenerationOfTheMarksThatAreThere) {
  const SavedGeneration saved((folder_ / "control.policy.json").string());
  const auto one = policy("one.example"), two = policy("two.example");
  const netfilter::Generation own = netfilter::generation_of(two->fingerprint());
  for (unsigned generation = 1; generation <= 31; ++generation) {
    for (const auto& fingerprint : {std::optional(one->fingerprint()), std::optional<std::uint64_t>()}) {
      saved.save(fingerprint, static_cast<netfilter::Generation>(generation), Timestamp(std::chrono::hours(1)), say_);
      const auto restored = saved.restore(*two, say_);
      ASSERT_TRUE(restored);
      EXPECT_NE(restored->generation, generation);
      EXPECT_TRUE(restored->generation >= 1 && restored->generation <= 31);
      EXPECT_FALSE(restored->judged);
      if (generation != own) { EXPECT_EQ(restored->generation, own); }
    }
  }
}

engine::Remark remark(std::uint16_t port, FlowMark mark) {
  return {{Transport::kTcp, 6, {IpAddress::v4(1), port}, {IpAddress::v4(2), 443}, 0}, mark, true, false};
}

TEST(UnfinishedCutTest, WhatIsLeftGoesWithTheNextChangeUnlessThatHasItself) {
  UnfinishedCut unfinished;
  EXPECT_TRUE(unfinished.empty());
  auto slow = std::make_shared<netfilter::PolicyChange>();
  Changed left;
  left.remarks = {remark(1, FlowMark::kWatch), remark(2, FlowMark::kWatch)};
  left.unfinished = {slow};
  left.older.emplace_back().key = remark(7, FlowMark::kAllow).key;
  unfinished.keep(std::move(left));
  EXPECT_FALSE(unfinished.empty());
  EXPECT_EQ(unfinished.take_finished().unfinished.size(), 1U);
  slow->remarks = {remark(3, FlowMark::kWatch)};
  slow->done.store(true);
  Changed next;
  next.remarks = {remark(2, FlowMark::kAllow)};
  unfinished.add_to(next);
  EXPECT_TRUE(unfinished.empty());
  EXPECT_TRUE(next.complete());
  ASSERT_EQ(next.remarks.size(), 3U);
  EXPECT_EQ(next.remarks[0].mark, FlowMark::kAllow) << "the newer word";
  EXPECT_EQ(next.remarks[1].key.client.port, 1);
  EXPECT_EQ(next.remarks[2].key.client.port, 3);
  ASSERT_EQ(next.older.size(), 1U);
  EXPECT_EQ(next.older[0].key.client.port, 7);
}

TEST(UnfinishedCutTest, AListThatFailedIsOwedUntilItIsMade) {
  const auto port_is = [](std::uint16_t port) { return [port](const FlowKey& key) { return key.client.port == port; }; };
  UnfinishedCut unfinished;
  Changed left;
  left.relist = port_is(1);
  unfinished.keep(std::move(left));
  Changed next;
  next.relist = port_is(2);
  unfinished.add_to(next);
  ASSERT_TRUE(next.relist) << "both are owed";
  EXPECT_TRUE(next.relist(remark(1, FlowMark::kAllow).key));
  EXPECT_TRUE(next.relist(remark(2, FlowMark::kAllow).key));
  EXPECT_FALSE(next.relist(remark(3, FlowMark::kAllow).key));
  unfinished.keep(std::move(next));
  Changed without;
  unfinished.add_to(without);
  ASSERT_TRUE(without.relist);
  unfinished.keep(std::move(without));
  std::vector<netfilter::ConntrackEntry> listed(1);
  listed[0].key = remark(1, FlowMark::kAllow).key;
  unfinished.relisted(std::move(listed));
  EXPECT_FALSE(unfinished.take_finished().relist);
  EXPECT_EQ(unfinished.take_finished().older.size(), 1U);
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
