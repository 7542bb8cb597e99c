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
          engine::BindingSource::kAnswer, view, 0, kNow - 1min};
}

std::shared_ptr<const policy::Policy> empty_policy() {
  return policy::load_policy_text("version = 1\n", "p.toml").value();
}

std::vector<IpAddress> trusted(const std::vector<std::string>& servers = {"192.0.2.53"}) {
  std::vector<IpAddress> list;
  for (const std::string& server : servers) list.push_back(IpAddress::parse(server).value());
  return list;
}

std::string text_of(const std::vector<engine::Binding>& bindings, const std::vector<IpAddress>& servers = trusted()) {
  return bindings_to_text(bindings, *empty_policy(), servers, kNow);
}
std::expected<std::vector<engine::Binding>, std::string> from_text(std::string_view text, Timestamp now = kNow,
                                                                   const std::vector<IpAddress>& servers = trusted()) {
  return bindings_from_text(text, *empty_policy(), servers, now);
}

std::string entry(std::string_view address, std::string_view name, Duration life, std::string_view more = "",
                  Duration told = 0s) {
  const auto end = std::chrono::duration_cast<std::chrono::seconds>((kNow + life).time_since_epoch()).count();
  return R"({"address":")" + std::string(address) + R"(","name":")" + std::string(name) + R"(","expires":)" +
         std::to_string(end) + R"(,"told":)" +
         std::to_string(std::chrono::duration_cast<std::chrono::seconds>((kNow - told).time_since_epoch()).count()) +
         std::string(more) + "}";
}

std::vector<engine::Binding> read(const std::string& entries) {
  return from_text(R"({"version":2,"resolvers":{"":["192.0.2.53"]},"bindings":[)" + entries + "]}").value();
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
  const auto restored = from_text(text_of(all));
  ASSERT_TRUE(restored);
  ASSERT_THAT(*restored, SizeIs(2));
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ((*restored)[i].address, all[i].address);
    EXPECT_EQ((*restored)[i].name, all[i].name);
    EXPECT_EQ((*restored)[i].expires, all[i].expires);
    EXPECT_EQ((*restored)[i].view, 0);
    EXPECT_EQ((*restored)[i].told, all[i].told) << "the resolver's word is not renewed by a restart";
    EXPECT_EQ((*restored)[i].source, engine::BindingSource::kState);
  }
}

TEST(BindingsTextTest, WhatHasExpiredIsNeitherWrittenNorRead) {
  const std::vector<engine::Binding> all = {binding("192.0.2.1", "a.example", 0s), binding("192.0.2.2", "b.example", 1min)};
  const std::string text = text_of(all);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("a.example")));
  EXPECT_THAT(from_text(text).value(), SizeIs(1));
  EXPECT_THAT(from_text(text, kNow + 1min).value(), IsEmpty());
}

TEST(BindingsTextTest, NothingLivesLongerThanABindingMay) {
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 24h)), SizeIs(1));
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 24h * 365)), IsEmpty());
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 10min, "", 24h)), SizeIs(1)) << "TTL and grace";
  EXPECT_THAT(read(entry("192.0.2.1", "a.example", 10min, "", 25h)), IsEmpty());
  const auto later = read(entry("192.0.2.1", "a.example", 10min, "", -1h));
  ASSERT_THAT(later, SizeIs(1)) << "the clock was set back";
  EXPECT_EQ(later[0].told, kNow);
}

TEST(BindingsTextTest, WhatAServerSaidThatIsNotTrustedAnyMoreIsLeftOut) {
  const std::string text = text_of({binding("192.0.2.1", "a.example", 1h)}, trusted({"192.0.2.53", "192.0.2.54"}));
  EXPECT_THAT(from_text(text, kNow, trusted({"192.0.2.54", "192.0.2.53"})).value(), SizeIs(1));
  EXPECT_THAT(from_text(text, kNow, trusted({"192.0.2.53", "192.0.2.54", "192.0.2.55"})).value(), SizeIs(1)) << "one more";
  EXPECT_THAT(from_text(text, kNow, trusted({"192.0.2.53"})).value(), IsEmpty());
  EXPECT_THAT(from_text(text, kNow, trusted({})).value(), IsEmpty());
  for (const char* resolvers : {R"({})", R"({"":[]})", R"({"":"192.0.2.53"})", R"({"":["192.0.2.53",7]})", R"({"":["nobody"]})"}) {
    const std::string odd = std::string(R"({"version":2,"resolvers":)") + resolvers + R"(,"bindings":[)" + entry("192.0.2.1", "a.example", 1h) + "]}";
    EXPECT_THAT(from_text(odd).value(), IsEmpty()) << resolvers;
  }
}

TEST(BindingsTextTest, AScopeGoesByItsOwnResolvers) {
  const auto policy_with = [](const char* servers) {
    return policy::load_policy_text(std::string("version = 1\n[scopes.agent]\nsources = [\"10.0.0.0/8\"]\nresolvers = [") + servers + "]\n", "p.toml").value();
  };
  const auto before = policy_with("\"192.0.2.60\"");
  const std::string text = bindings_to_text(std::vector{binding("192.0.2.1", "a.example", 1h, 1)}, *before, trusted({}), kNow);
  const auto restored = [&](const policy::Policy& policy) { return bindings_from_text(text, policy, {}, kNow).value(); };
  ASSERT_THAT(restored(*before), SizeIs(1));
  EXPECT_EQ(restored(*before)[0].view, 1);
  EXPECT_THAT(restored(*policy_with("\"192.0.2.60\", \"192.0.2.61\"")), SizeIs(1));
  EXPECT_THAT(restored(*policy_with("\"192.0.2.61\"")), IsEmpty());
}

TEST(BindingsTextTest, EntriesThatDoNotParseAreLeftOutAndTheOthersKept) {
  const std::string good = entry("192.0.2.1", "a.example", 1min);
  for (const std::string& bad :
       {entry("192.0.2.256", "a.example", 1min), entry("192.0.2.1", "a..example", 1min), entry("192.0.2.1", "", 1min),
        entry("192.0.2.1", "192.0.2.1", 1min), entry("192.0.2.1", "a.example", 1min, R"(,"scope":"nobody")"),
        entry("192.0.2.1", "a.example", 1min, R"(,"expires":"soon")"), entry("192.0.2.1", "a.example", 1min, R"(,"told":-1)"), std::string("null"), std::string("[]"),
        std::string("{}"), std::string(R"({"address":1,"name":2,"expires":3,"told":4})"),
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
  for (const char* text : {"", "{", "[]", "null", "{}", R"({"version":1,"resolvers":{},"bindings":[]})", R"({"version":2})",
                           R"({"version":2,"resolvers":{},"bindings":{}})", R"({"version":"2","resolvers":{},"bindings":[]})",
                           R"({"version":2,"bindings":[]})", R"({"version":2,"resolvers":[],"bindings":[]})"}) {
    EXPECT_FALSE(from_text(text)) << text;
  }
  const std::string whole = text_of({binding("192.0.2.1", "a.example", 1min)});
  for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
    const std::vector<char> prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(from_text({prefix.data(), prefix.size()})) << length;
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
