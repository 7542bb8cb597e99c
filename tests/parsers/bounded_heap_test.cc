#include "bounded_heap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace sallyport::parsers {
namespace {

TEST(BoundedHeapTest, GivesNullBeyondItsSizeAndTakesAllBack) {
  const auto heap = std::make_unique<BoundedHeap>();
  EXPECT_EQ(heap->allocate(BoundedHeap::kSize), nullptr);
  EXPECT_EQ(heap->allocate(SIZE_MAX), nullptr);
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> blocks;
    while (void* const block = heap->allocate(100)) blocks.push_back(block);
    EXPECT_EQ(blocks.size(), BoundedHeap::kSize / 128);
    EXPECT_EQ(heap->resize(blocks[0], 1'000), nullptr);
    for (void* const block : blocks) heap->release(block);
    void* const whole = heap->allocate(BoundedHeap::kSize - 16);
    EXPECT_NE(whole, nullptr);
    heap->release(whole);
  }
  heap->release(nullptr);
}

TEST(BoundedHeapTest, BlocksDoNotOverlap) {
  struct Block {
    unsigned char* bytes;
    std::size_t size;
    unsigned char fill;
  };
  const auto heap = std::make_unique<BoundedHeap>();
  std::mt19937 random(20260103);  // NOLINT: the same in every run.
  std::vector<Block> blocks;
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t size = random() % 900;
    if (!blocks.empty() && random() % 2 == 0) {
      Block& block = blocks[random() % blocks.size()];
      for (std::size_t i = 0; i < block.size; ++i) ASSERT_EQ(block.bytes[i], block.fill) << round;
      if (random() % 3 == 0) {
        void* const moved = heap->resize(block.bytes, size);
        if (moved == nullptr) continue;
        block.bytes = static_cast<unsigned char*>(moved);
        for (std::size_t i = 0; i < std::min(size, block.size); ++i) ASSERT_EQ(block.bytes[i], block.fill);
        block.size = size;
        std::memset(block.bytes, block.fill, size);
        continue;
      }
      heap->release(block.bytes);
      block = blocks.back();
      blocks.pop_back();
    } else if (void* const bytes = heap->allocate(size)) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes) % 16, 0U);
      blocks.push_back({static_cast<unsigned char*>(bytes), size, static_cast<unsigned char>(round)});
      std::memset(bytes, blocks.back().fill, size);
    }
  }
  EXPECT_FALSE(blocks.empty());
}

}  // namespace
}  // namespace sallyport::parsers
