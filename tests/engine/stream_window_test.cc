#include "stream_window.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace sallyport::engine {
namespace {

class StreamWindowTest : public ::testing::Test {
 protected:
  StreamWindowTest() { window_.reset(storage_.get(), 0); }

  static std::vector<std::uint8_t> bytes(std::size_t count, std::uint8_t first = 0) {
    std::vector<std::uint8_t> out(count);
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint8_t>(first + i * 7 + i / 256);
    return out;
  }

  std::unique_ptr<std::uint8_t[]> storage_ = std::make_unique<std::uint8_t[]>(kStreamWindowSize);
  StreamWindow window_;
};

TEST_F(StreamWindowTest, JoinsSegmentsInAnyOrder) {
  const auto data = bytes(300);
  const ByteSpan all(data);
  EXPECT_EQ(window_.put(200, all.subspan(200)).put, StreamWindow::Put::kOk);
  EXPECT_TRUE(window_.contiguous().empty());
  EXPECT_EQ(window_.put(0, all.first(100)).put, StreamWindow::Put::kOk);
  EXPECT_EQ(window_.contiguous().size(), 100U);
  EXPECT_EQ(window_.put(50, all.subspan(50, 200)).put, StreamWindow::Put::kOk);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), window_.contiguous().begin(), window_.contiguous().end()));
}

TEST_F(StreamWindowTest, SeesABytesThatDiffersAheadAndInHistory) {
  const auto data = bytes(100);
  window_.put(0, data);
  auto other = data;
  other[60] ^= 1;
  EXPECT_EQ(window_.put(0, other).put, StreamWindow::Put::kConflict);
  window_.consume(80);
  EXPECT_EQ(window_.put(0, other).put, StreamWindow::Put::kConflict);
  EXPECT_EQ(window_.put(61, ByteSpan(other).subspan(61)).put, StreamWindow::Put::kOk) << "the same bytes pass";
}

TEST_F(StreamWindowTest, LetsBodyBytesDifferAndStillRemembersTheHeadBeforeThem) {
  const auto head = bytes(100);
  window_.put(0, head);
  window_.consume(100);
  window_.skip(1'000'000);
  EXPECT_EQ(window_.base(), 1'000'100U);
  EXPECT_EQ(window_.put(50'000, bytes(1000, 3)).put, StreamWindow::Put::kOk);
  EXPECT_EQ(window_.put(50'000, bytes(1000, 9)).put, StreamWindow::Put::kOk);
  auto other = head;
  other[0] ^= 1;
  EXPECT_EQ(window_.put(0, other).put, StreamWindow::Put::kConflict);
  EXPECT_EQ(window_.put(0, head).put, StreamWindow::Put::kOk);
}

TEST_F(StreamWindowTest, SkipKeepsWhatLiesBehindTheSkippedBytes) {
  const auto data = bytes(100);
  window_.put(0, data);
  window_.skip(40);
  EXPECT_TRUE(std::equal(data.begin() + 40, data.end(), window_.contiguous().begin(), window_.contiguous().end()));
}

TEST_F(StreamWindowTest, TakesNoMoreThanTheBoundAheadOfTheBase) {
  const auto data = bytes(kStreamAheadMax + 100);
  const auto result = window_.put(0, data);
  EXPECT_EQ(result.put, StreamWindow::Put::kOk);
  EXPECT_EQ(result.stored_end, kStreamAheadMax);
  EXPECT_EQ(window_.put(kStreamAheadMax, bytes(1)).put, StreamWindow::Put::kTooFar);
}

TEST_F(StreamWindowTest, BoundsTheNumberOfGaps) {
  for (std::size_t i = 0; i < kStreamRangesMax; ++i) {
    EXPECT_EQ(window_.put(1 + i * 4, bytes(1)).put, StreamWindow::Put::kOk);
  }
  EXPECT_EQ(window_.put(1 + kStreamRangesMax * 4, bytes(1)).put, StreamWindow::Put::kTooManyRanges);
}

TEST_F(StreamWindowTest, AnswersStaleForWhatItForgot) {
  const auto data = bytes(10'000);
  std::uint64_t offset = 0;
  for (int i = 0; i < 10; ++i, offset += data.size()) {
    ASSERT_EQ(window_.put(offset, data).put, StreamWindow::Put::kOk);
    window_.consume(data.size());
  }
  EXPECT_EQ(window_.put(0, data).put, StreamWindow::Put::kStale);
  EXPECT_EQ(window_.put(offset - data.size(), data).put, StreamWindow::Put::kOk) << "the youngest is remembered";
}

TEST_F(StreamWindowTest, TellsWhetherBytesAreNew) {
  EXPECT_TRUE(window_.put(10, bytes(10)).fresh);
  EXPECT_FALSE(window_.put(10, bytes(10)).fresh);
  EXPECT_FALSE(window_.put(12, ByteSpan(bytes(10)).subspan(2)).fresh);
}

// Against a model that is a map from offset to byte.
TEST_F(StreamWindowTest, AgreesWithASimpleModel) {
  std::mt19937 random(7);
  const auto stream = bytes(200'000);
  for (int round = 0; round < 300; ++round) {
    window_.reset(storage_.get(), 0);
    std::map<std::uint64_t, std::uint8_t> model;
    for (int step = 0; step < 200; ++step) {
      const std::uint64_t base = window_.base();
      const std::uint64_t low = base > 500 ? base - 500 : 0;
      const std::uint64_t offset = low + random() % 3000;
      const std::size_t length = 1 + random() % 1500;
      const auto result = window_.put(offset, ByteSpan(stream).subspan(offset, length));
      ASSERT_NE(result.put, StreamWindow::Put::kConflict);
      if (result.put == StreamWindow::Put::kOk) {
        for (std::uint64_t i = offset; i < result.stored_end; ++i) model[i] = stream[i];
      }
      std::uint64_t end = base;
      while (model.contains(end)) ++end;
      ASSERT_EQ(window_.contiguous().size(), end - base);
      ASSERT_TRUE(std::equal(window_.contiguous().begin(), window_.contiguous().end(),
                             stream.begin() + static_cast<std::ptrdiff_t>(base)));
      if (random() % 3 == 0 && end > base) window_.consume(1 + random() % (end - base));
      if (random() % 7 == 0) {
        const std::uint64_t skipped = random() % 800;
        window_.skip(skipped);
      }
      if (window_.base() > 150'000) break;
    }
  }
}

}  // namespace
}  // namespace sallyport::engine
