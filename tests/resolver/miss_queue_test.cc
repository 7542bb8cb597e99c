#include "miss_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "miss_filter.h"

namespace sallyport::resolver {
namespace {

TEST(MissQueueTest, GivesBackWhatCameInItsOrderAndRefusesWhenFull) {
  MissQueue<int> queue(4);
  int item = 0;
  EXPECT_FALSE(queue.pop(item));
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(queue.push(i));
    EXPECT_FALSE(queue.push(4));
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(queue.pop(item));
      EXPECT_EQ(item, i);
    }
    EXPECT_FALSE(queue.pop(item));
  }
}

TEST(MissQueueTest, ManyProducersLoseNothingThatWasTaken) {
  constexpr int kProducers = 4, kItems = 20'000;
  MissQueue<int> queue(64);
  std::array<std::size_t, kProducers> taken{};
  std::vector<std::thread> producers;
  for (int producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&queue, &taken, producer] {
      for (int i = 0; i < kItems; ++i) {
        if (queue.push(producer * kItems + i)) ++taken[static_cast<std::size_t>(producer)];
      }
    });
  }
  std::array<std::size_t, kProducers> read{};
  std::array<int, kProducers> last{-1, -1, -1, -1};
  const auto drain = [&] {
    int item = 0;
    while (queue.pop(item)) {
      const auto producer = static_cast<std::size_t>(item / kItems);
      EXPECT_LT(last[producer], item % kItems) << "each producer's items keep their order";
      last[producer] = item % kItems;
      ++read[producer];
    }
  };
  for (int i = 0; i < 2'000; ++i) {
    drain();
    std::this_thread::yield();
  }
  for (std::thread& producer : producers) producer.join();
  drain();
  EXPECT_EQ(read, taken);
}

engine::BindingMiss miss_on(std::uint16_t port) {
  engine::BindingMiss miss;
  miss.port = port;
  return miss;
}

TEST(MissFilterTest, FoldsTheMissesOfOnePortIntoRounds) {
  MissFilter filter;
  const Timestamp start(std::chrono::hours(1));
  EXPECT_TRUE(filter.admit(miss_on(22), start));
  EXPECT_FALSE(filter.admit(miss_on(22), start + kResolverMissAgain - Duration(1)));
  EXPECT_TRUE(filter.admit(miss_on(23), start));
  EXPECT_TRUE(filter.admit(miss_on(22), start + kResolverMissAgain));
  engine::BindingMiss other = miss_on(22);
  other.scopes = 2;
  EXPECT_TRUE(filter.admit(other, start + kResolverMissAgain));
  other = miss_on(22);
  other.transport = Transport::kUdp;
  EXPECT_TRUE(filter.admit(other, start + kResolverMissAgain));
}

TEST(MissFilterTest, RemembersABoundedNumberOfPorts) {
  MissFilter filter;
  const Timestamp start(std::chrono::hours(1));
  for (std::size_t port = 0; port < kResolverMissPorts; ++port) {
    EXPECT_TRUE(filter.admit(miss_on(static_cast<std::uint16_t>(port)), start));
  }
  EXPECT_FALSE(filter.admit(miss_on(0), start));
  EXPECT_FALSE(filter.admit(miss_on(60'000), start)) << "one scope has them all";
  EXPECT_TRUE(filter.admit(miss_on(60'000), start + kResolverMissAgain)) << "the others say nothing any more";
  EXPECT_EQ(filter.size(), 1U);
}

TEST(MissFilterTest, AScopeWithManyPortsResetsNoOther) {
  MissFilter filter;
  const Timestamp start(std::chrono::hours(1));
  const auto miss_of = [](policy::ScopeSet scopes, std::uint16_t port) {
    engine::BindingMiss miss = miss_on(port);
    miss.scopes = scopes;
    return miss;
  };
  for (const std::uint16_t port : std::array<std::uint16_t, 3>{22, 23, 24}) EXPECT_TRUE(filter.admit(miss_of(2, port), start));
  for (std::uint32_t port = 0; port < 10'000; ++port) (void)filter.admit(miss_of(1, static_cast<std::uint16_t>(port)), start);
  for (const std::uint16_t port : std::array<std::uint16_t, 3>{22, 23, 24}) EXPECT_FALSE(filter.admit(miss_of(2, port), start)) << port;
  EXPECT_TRUE(filter.admit(miss_of(4, 22), start)) << "a third scope finds room";
  EXPECT_EQ(filter.size(), kResolverMissPorts);
}

}  // namespace
}  // namespace sallyport::resolver
