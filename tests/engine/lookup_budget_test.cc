#include "sallyport/engine/lookup_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace sallyport::engine {
namespace {

constexpr std::string_view kWild = "cdn.example";
const Timestamp kStart{std::chrono::seconds(1'800'000'000)};

std::string name(int i) { return "n" + std::to_string(i) + ".cdn.example"; }

TEST(LookupBudgetTest, CountsDistinctNamesExactly) {
  LookupBudget budget({1, 2});
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(budget.admit(1, kWild, name(i), 1'000, kStart)) << i;
  }
  for (int i = 1'000; i < 3'000; ++i) EXPECT_FALSE(budget.admit(1, kWild, name(i), 1'000, kStart)) << i;
  EXPECT_TRUE(budget.admit(1, kWild, name(7), 1'000, kStart)) << "a name that was asked may be asked again";
}

TEST(LookupBudgetTest, ScopesAndWildcardsCountForThemselves) {
  LookupBudget budget({1, 2});
  EXPECT_TRUE(budget.admit(1, kWild, name(1), 1, kStart));
  EXPECT_FALSE(budget.admit(1, kWild, name(2), 1, kStart));
  EXPECT_TRUE(budget.admit(2, kWild, name(2), 1, kStart));
  EXPECT_TRUE(budget.admit(1, "example", name(2), 1, kStart));
}

TEST(LookupBudgetTest, BeginsAnewAfterAnHour) {
  LookupBudget budget({1, 2});
  EXPECT_TRUE(budget.admit(1, kWild, name(1), 1, kStart));
  EXPECT_FALSE(budget.admit(1, kWild, name(2), 1, kStart + std::chrono::minutes(59)));
  EXPECT_TRUE(budget.admit(1, kWild, name(2), 1, kStart + std::chrono::minutes(60)));
  EXPECT_FALSE(budget.admit(1, kWild, name(1), 1, kStart + std::chrono::minutes(61)));
  EXPECT_FALSE(budget.admit(1, kWild, name(1), 1, kStart)) << "a clock that is behind ends no hour";
}

TEST(LookupBudgetTest, ZeroIsNoBound) {
  LookupBudget budget({1, 2}, 4, 4);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(budget.admit(1, kWild, name(i), 0, kStart));
}

TEST(LookupBudgetTest, UsedUpMemoryRefusesNewNames) {
  LookupBudget few_names({1, 2}, 10, 4);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(few_names.admit(1, kWild, name(i), 100, kStart));
  EXPECT_FALSE(few_names.admit(1, kWild, name(10), 100, kStart));
  EXPECT_TRUE(few_names.admit(1, kWild, name(3), 100, kStart));

  LookupBudget few_counts({1, 2}, 100, 2);
  EXPECT_TRUE(few_counts.admit(1, "a.example", "x.a.example", 5, kStart));
  EXPECT_TRUE(few_counts.admit(1, "b.example", "x.b.example", 5, kStart));
  EXPECT_FALSE(few_counts.admit(1, "c.example", "x.c.example", 5, kStart));
  EXPECT_TRUE(few_counts.admit(1, "b.example", "y.b.example", 5, kStart));
}

TEST(LookupBudgetThreadsTest, WorkersShareOneBudget) {
  LookupBudget budget({3, 4});
  std::atomic<int> admitted{0};
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&, worker] {
      for (int i = 0; i < 500; ++i) admitted += budget.admit(1, kWild, name(worker * 500 + i), 700, kStart) ? 1 : 0;
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(admitted, 700);
}

}  // namespace
}  // namespace sallyport::engine
