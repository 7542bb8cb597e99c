// Outputs of events: real files, sockets and pipes.
#include "event_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "sallyport/core/limits.h"
#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Folder is a scratch folder.
class Folder {
 public:
  Folder() {
    std::string pattern = ::testing::TempDir() + "sallyport-events-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const char* name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

// Said collects what an output says.
struct Said {
  std::mutex mutex;
  std::vector<std::string> lines;

  std::function<void(const std::string&)> say() {
    return [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      lines.push_back(line);
    };
  }
  std::string all() {
    const std::lock_guard lock(mutex);
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return text;
  }
};

bool wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 1'000; ++i) {
    if (condition()) return true;
    ::usleep(5'000);
  }
  return false;
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Listener is a unix socket of a collector.
class Listener {
 public:
  Listener(const std::string& path, int type) : fd_(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
    ::unlink(path.c_str());
    const auto address = unix_address(path);
    EXPECT_EQ(::bind(fd_, address->get(), address->size), 0);
    if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd_, 4), 0);
  }
  ~Listener() { close(); }
  void close() {
    if (peer_ >= 0) ::close(peer_);
    if (fd_ >= 0) ::close(fd_);
    peer_ = fd_ = -1;
  }
  void accept() { peer_ = ::accept(fd_, nullptr, nullptr); }
  // read returns what comes within two seconds, until it has `size` octets.
  std::string read(std::size_t size) {
    std::string text;
    char block[4'096];
    while (text.size() < size) {
      pollfd in{peer_ >= 0 ? peer_ : fd_, POLLIN, 0};
      if (::poll(&in, 1, 2'000) <= 0) break;
      const ssize_t got = ::recv(in.fd, block, sizeof block, 0);
      if (got <= 0) break;
      text.append(block, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  int fd_;
  int peer_ = -1;
};

TEST(FileSinkTest, AppendsWithAModeOfItsOwnAndFollowsARotation) {
  const Folder folder;
  const std::string path = folder.file("log");
  const auto sink = file_sink(path);
  EXPECT_EQ(sink->write(std::vector<std::string>{"a\n", "b\n"}).done, 2U);
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640U, 0U);
  std::filesystem::rename(path, folder.file("log.1"));
  EXPECT_TRUE(wait_until([&] {
    sink->idle();
    return std::filesystem::exists(path);
  }));
  EXPECT_EQ(sink->write(std::vector<std::string>{"c\n"}).done, 1U);
  EXPECT_EQ(content(folder.file("log.1")), "a\nb\n");
  EXPECT_EQ(content(path), "c\n");
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);  // copytruncate
  EXPECT_EQ(sink->write(std::vector<std::string>{"d\n"}).done, 1U);
  EXPECT_EQ(content(path), "d\n");
}

TEST(FileSinkTest, AFullDiskIsSaidOnceAndNothingCountsAsDone) {
  const auto sink = file_sink("/dev/full");
  const std::vector<std::string> lines = {"a\n"};
  const auto first = sink->write(lines);
  EXPECT_EQ(first.done, 0U);
  EXPECT_EQ(first.state, EventSink::State::kLater);
  EXPECT_THAT(first.error, HasSubstr("No space left"));
  EXPECT_EQ(sink->write(lines).error, "");
}

TEST(FileSinkTest, ALineThatAnEarlierRunCutIsEnded) {
  const Folder folder;
  std::ofstream(folder.file("log")) << "whole\ncut";
  const auto sink = file_sink(folder.file("log"));
  EXPECT_EQ(sink->write(std::vector<std::string>{"next\n"}).done, 1U);
  EXPECT_EQ(content(folder.file("log")), "whole\ncut\nnext\n");
}

TEST(UnixSinkTest, GoesToAStreamAndAgainWhenTheCollectorIsBack) {
  const Folder folder;
  const std::string path = folder.file("socket");
  Said said;
  EventOutput output("unix:" + path, unix_sink(path), said.say());
  output.add("before\n");  // Nobody is there yet: it waits.
  EXPECT_TRUE(wait_until([&] { return !output.error().empty(); }));
  {
    Listener collector(path, SOCK_STREAM);
    collector.accept();
    EXPECT_EQ(collector.read(7), "before\n");
    output.add("during\n");
    EXPECT_EQ(collector.read(7), "during\n");
  }
  EXPECT_TRUE(wait_until([&] {
    output.add("between\n");
    return !output.error().empty();
  }));
  Listener collector(path, SOCK_STREAM);
  collector.accept();
  EXPECT_THAT(collector.read(8), HasSubstr("between\n"));
  EXPECT_TRUE(wait_until([&] { return output.error().empty(); }));
  EXPECT_THAT(said.all(), HasSubstr("takes events again"));
}

TEST(UnixSinkTest, EachLineIsADatagramOfItsOwn) {
  const Folder folder;
  const std::string path = folder.file("socket");
  Listener collector(path, SOCK_DGRAM);
  EventOutput output("unix:" + path, unix_sink(path), [](const std::string&) {});
  output.add("one\n");
  output.add("two\n");
  EXPECT_EQ(collector.read(1), "one\n");
  EXPECT_EQ(collector.read(1), "two\n");
}

TEST(JournalSinkTest, SendsEntriesAndNeverWaitsForAJournalThatIsStuck) {
  const Folder folder;
  const std::string path = folder.file("journal");
  Listener journal(path, SOCK_DGRAM);
  const auto sink = journal_sink(path);
  const std::vector<std::string> entries(5'000, "MESSAGE=" + std::string(500, 'x') + '\n');
  const auto begun = std::chrono::steady_clock::now();
  const auto progress = sink->write(entries);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(1));
  EXPECT_GT(progress.done, 0U);
  EXPECT_LT(progress.done, entries.size());
  EXPECT_EQ(progress.state, EventSink::State::kLater);
  EXPECT_EQ(journal.read(1), entries.front());
}

TEST(EventOutputTest, AStuckReaderCostsEventsThatAreCountedAndNoTime) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Said said;
  const auto begun = std::chrono::steady_clock::now();
  constexpr std::size_t kLines = 20'000;
  std::uint64_t written = 0, lost = 0;
  {
    EventOutput output("standard output", descriptor_sink(ends[1], "standard output"), said.say());
    for (std::size_t i = 0; i < kLines; ++i) output.add(std::string(999, 'x') + '\n');
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
    EXPECT_GT(output.lost(), kLines - kEventBufferBytes / 1'000 - 200);
    written = output.written();
    lost = output.lost();
  }
  EXPECT_GT(written + lost, 0U);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5)) << "a stop gives up";
  EXPECT_THAT(said.all(), HasSubstr("events lost"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(EventOutputTest, WhatIsBrokenIsSaidOnceAndCounted) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  Said said;
  EventOutput output("standard output", descriptor_sink(full, "standard output"), said.say());
  output.add("a\n");
  EXPECT_TRUE(wait_until([&] { return output.lost() == 1; }));
  output.add("b\n");
  EXPECT_EQ(output.lost(), 2U);
  EXPECT_THAT(said.all(), HasSubstr("standard output takes no more events: No space left"));
  ::close(full);
}

TEST(EventOutputTest, EverythingIsWrittenWhenItStops) {
  const Folder folder;
  const std::string path = folder.file("log");
  constexpr int kLines = 10'000;
  {
    EventOutput output("file:" + path, file_sink(path), [](const std::string&) {});
    for (int i = 0; i < kLines; ++i) output.add(std::to_string(i) + '\n');
  }
  std::ifstream file(path);
  std::string line;
  int next = 0;
  while (std::getline(file, line)) ASSERT_EQ(line, std::to_string(next++));
  EXPECT_EQ(next, kLines);
}

}  // namespace
}  // namespace sallyport::daemon
