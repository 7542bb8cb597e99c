#include "file_watch.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace sallyport::resolver {
namespace {

TEST(FileWatchTest, SeesNewChangedReplacedAndRemovedFilesOnceEach) {
  std::string folder = ::testing::TempDir() + "sallyport-watch-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string first = folder + "/first", link = folder + "/link";
  const std::array<const char*, 2> paths = {first.c_str(), link.c_str()};
  const auto write = [](const std::string& path, const char* text) { std::ofstream(path) << text; };
  FileWatch watch(paths);
  EXPECT_FALSE(watch.changed()) << "nothing is there";
  write(first, "one");
  EXPECT_TRUE(watch.changed());
  EXPECT_FALSE(watch.changed());
  write(first, "longer");
  EXPECT_TRUE(watch.changed());
  write(folder + "/new", "longer");
  std::filesystem::rename(folder + "/new", first);
  EXPECT_TRUE(watch.changed()) << "an atomic replacement";
  write(folder + "/target", "text");
  std::filesystem::create_symlink(folder + "/target", link);
  EXPECT_TRUE(watch.changed());
  write(folder + "/target", "other text");
  EXPECT_TRUE(watch.changed()) << "behind a link";
  std::filesystem::remove(first);
  EXPECT_TRUE(watch.changed());
  EXPECT_FALSE(watch.changed());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sallyport::resolver
