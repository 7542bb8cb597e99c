#include "sallyport/resolver/bindings_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "sallyport/core/limits.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::resolver {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Timestamp kNow{std::chrono::hours(500'000)};

engine::Binding binding(std::string_view address, std::string_view name, Duration life, policy::View view = 0) {
  return {IpAddress::parse(address).value(), DomainName::parse(name).value(), kNow + life,
          engine::BindingSource::kAnswer, view};
}

std::shared_ptr<const policy::Policy> empty_policy() {
  return policy::load_policy_text("version = 1\n", "p.toml").value();
}

std::string entry(std::string_view address, std::string_view name, Duration life, std::string_view more = "") {
  const auto end = std::chrono::duration_cast<std::chrono::seconds>((kNow + life).time_since_epoch()).count();
  return R"({"address":")" + std::string(address) + R"(","name":")" + std::string(name) + R"(","expires":)" +
         std::to_string(end) + std::string(more) + "}";
}

std::vector<engine::Binding> read(const std::string& entries) {
  return bindings_from_text(R"({"version":1,"bindings":[)" + entries + "]}", *empty_policy(), kNow).value();
}

class BindingsFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sallyport-bindings-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/control.bindings.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_, path_;
};

TEST(BindingsTextTest, WhatIsWrittenIsReadAgain) {
  const std::vector<engine::Binding> all = {binding("192.0.2.1", "github.example", 10min),
                                            binding("2001:db8::1", "github.example", 1h)};
  const auto restored = bindings_from_text(bindings_to_text(all, *empty_policy(), kNow), *empty_policy(), kNow);
  ASSERT_TRUE(restored);
  ASSERT_THAT(*restored, SizeIs(2));
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ((*restored)[i].address, all[i].address);
    EXPECT_EQ((*restored)[i].name, all[i].name);
    EXPECT_EQ((*restored)[i].expires, all[i].expires);
    EXPECT_EQ((*restored)[i].view, 0);
    EXPECT_EQ((*restored)[i].source, engine::BindingSource::kState);
  }
}

TEST(BindingsTextTest, WhatHasExpiredIsNeitherWrittenNorRead) {
  const std::vector<engine::Binding> all = {binding("192.0.2.1", "a.example", 0s), binding("192.0.2.2", "b.example", 1min)};
  const std::string text = bindings_to_text(all, *empty_policy(), kNow);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("a.example")));
  EXPECT_THAT(bindings_from_text(text, *empty_policy(), kNow).value(), SizeIs(1));
  EXPECT_THAT(bindings_from_text(text, *empty_policy(), kNow + 1min).value(), IsEmpty());
}

TEST(BindingsTextTest, NothingLivesLongerThanABindingMay) {
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 24h)), SizeIs(1));
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 24h * 365)), IsEmpty());
}

TEST(BindingsTextTest, EntriesThatDoNotParseAreLeftOutAndTheOthersKept) {
  const std::string good = entry("192.0.2.1", "a.example", 1min);
  for (const std::string& bad :
       {entry("192.0.2.256", "a.example", 1min), entry("192.0.2.1", "a..example", 1min), entry("192.0.2.1", "", 1min),
        entry("192.0.2.1", "192.0.2.1", 1min), entry("192.0.2.1", "a.example", 1min, R"(,"scope":"nobody")"),
        entry("192.0.2.1", "a.example", 1min, R"(,"expires":"soon")"), std::string("null"), std::string("[]"),
        std::string("{}"), std::string(R"({"address":1,"name":2,"expires":3})"),
        std::string(R"({"address":"192.0.2.1","name":"a.example","expires":1e300})"),
        std::string(R"({"address":"192.0.2.1","name":"a.example","expires":18446744073709551615})"),
        std::string(R"({"address":"192.0.2.1","name":"a.example","expires":-9223372036854775808})")}) {
    EXPECT_THAT(read(bad), IsEmpty()) << bad;
    EXPECT_THAT(read(bad + "," + good), SizeIs(1)) << bad;
  }
}

TEST(BindingsTextTest, NoMoreAreReadThanThereIsRoomFor) {
  std::string entries = entry("192.0.2.1", "a.example", 1min);
  for (std::size_t i = 0; i <= kBindings; ++i) entries += "," + entry("192.0.2.1", "a.example", 1min);
  EXPECT_THAT(read(entries), SizeIs(kBindings));
}

TEST(BindingsTextTest, ATextThatIsNoneOfOursIsRefused) {
  for (const char* text : {"", "{", "[]", "null", "{}", R"({"version":2,"bindings":[]})", R"({"version":1})",
                           R"({"version":1,"bindings":{}})", R"({"version":"1","bindings":[]})"}) {
    EXPECT_FALSE(bindings_from_text(text, *empty_policy(), kNow)) << text;
  }
  const std::string whole = bindings_to_text(std::vector{binding("192.0.2.1", "a.example", 1min)}, *empty_policy(), kNow);
  for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
    const std::vector<char> prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(bindings_from_text({prefix.data(), prefix.size()}, *empty_policy(), kNow)) << length;
  }
}

TEST_F(BindingsFileTest, AFileIsReplacedAsAWholeAndForItsOwnerAlone) {
  ASSERT_TRUE(write_bindings_file(path_, "first"));
  ASSERT_TRUE(write_bindings_file(path_, "second"));
  EXPECT_EQ(read_bindings_file(path_).value(), "second");
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "nothing beside it";
}

TEST_F(BindingsFileTest, NoFileIsAnEmptyText) {
  EXPECT_EQ(read_bindings_file(path_).value(), "");
}

TEST_F(BindingsFileTest, WhatOthersCouldHaveWrittenIsNotRead) {
  ASSERT_TRUE(write_bindings_file(path_, "text"));
  ASSERT_EQ(::chmod(path_.c_str(), 0620), 0);
  EXPECT_FALSE(read_bindings_file(path_));
  ASSERT_EQ(::chmod(path_.c_str(), 0602), 0);
  EXPECT_FALSE(read_bindings_file(path_));
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  EXPECT_TRUE(read_bindings_file(path_));
}

TEST_F(BindingsFileTest, LinksPipesAndFoldersAreNotRead) {
  const std::string other = folder_ + "/other";
  ASSERT_TRUE(write_bindings_file(other, "text"));
  std::filesystem::create_symlink(other, path_);
  EXPECT_FALSE(read_bindings_file(path_));
  std::filesystem::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(read_bindings_file(path_));
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(read_bindings_file(path_));
}

TEST_F(BindingsFileTest, ALinkInTheNewFilesPlaceIsNotFollowed) {
  const std::string other = folder_ + "/other";
  ASSERT_TRUE(write_bindings_file(other, "precious"));
  std::filesystem::create_symlink(other, path_ + ".new");
  ASSERT_TRUE(write_bindings_file(path_, "text"));
  EXPECT_EQ(read_bindings_file(other).value(), "precious");
  EXPECT_EQ(read_bindings_file(path_).value(), "text");
}

TEST_F(BindingsFileTest, AFailureNamesTheFileAndKeepsTheOldOne) {
  const auto written = write_bindings_file(folder_ + "/none/x", "text");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error(), HasSubstr("none/x: cannot be written"));
}

TEST_F(BindingsFileTest, ATooLargeFileIsNotRead) {
  ASSERT_TRUE(write_bindings_file(path_, "text"));
  std::filesystem::resize_file(path_, kBindingsFileMax + 1);
  EXPECT_FALSE(read_bindings_file(path_));
}

}  // namespace
}  // namespace sallyport::resolver
