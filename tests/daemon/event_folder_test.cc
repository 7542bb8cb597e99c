#include "event_folder.h"

#include <gtest/gtest.h>

#include "event_support.h"

namespace sallyport::daemon {
namespace {

using sallyport::testing::make_record;
using std::chrono::seconds;

constexpr Timestamp kStart{seconds(1'700'000'000)};

EventRecord denial(const char* name, int second) {
  EventRecord record = make_record({name});
  record.time = kStart + seconds(second);
  return record;
}

TEST(EventFolderTest, TheFirstIsALineAndTheRestIsOneWithTheirCount) {
  EventFolder folder(seconds(10), 8);
  EXPECT_FALSE(folder.fold(denial("a.example", 0), "id-0", kStart));
  for (int i = 1; i <= 12; ++i) {
    EventRecord again = denial("a.example", i / 2);
    again.key.client.port = static_cast<std::uint16_t>(50'000 + i);  // Another connection each.
    EXPECT_TRUE(folder.fold(again, "id", kStart + seconds(i / 2)));
  }
  EXPECT_TRUE(folder.take_due(kStart + seconds(9), false).empty());
  const auto due = folder.take_due(kStart + seconds(10), false);
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].repeated.count, 12U);
  EXPECT_EQ(due[0].repeated.of, "id-0");
  EXPECT_EQ(due[0].repeated.first, kStart + seconds(0));
  EXPECT_EQ(due[0].repeated.last, kStart + seconds(6));
  EXPECT_EQ(due[0].record.key.client.port, 50'012);
}

TEST(EventFolderTest, WhatGoesOnIsOneLinePerWindowAndWhatStoppedBeginsAnew) {
  EventFolder folder(seconds(10), 8);
  EXPECT_FALSE(folder.fold(denial("a.example", 0), "id-0", kStart));
  EXPECT_TRUE(folder.fold(denial("a.example", 1), "id-1", kStart + seconds(1)));
  EXPECT_EQ(folder.take_due(kStart + seconds(10), false).size(), 1U);
  EXPECT_TRUE(folder.fold(denial("a.example", 12), "id-2", kStart + seconds(12))) << "the second window";
  EXPECT_EQ(folder.take_due(kStart + seconds(20), false).size(), 1U);
  EXPECT_TRUE(folder.take_due(kStart + seconds(30), false).empty());
  EXPECT_EQ(folder.size(), 0U);
  EXPECT_FALSE(folder.fold(denial("a.example", 31), "id-3", kStart + seconds(31)));
}

TEST(EventFolderTest, WhatDiffersIsToldApart) {
  const auto other_policy = policy::embedded_policy();
  EventFolder folder(seconds(10), 64);
  EXPECT_FALSE(folder.fold(denial("a.example", 0), "id", kStart));
  std::vector<EventRecord> others(9, denial("a.example", 0));
  others[0] = denial("b.example", 0);
  others[1].uid = 5;
  others[2].key.server.port = 444;
  others[3].reason = Reason::kRuleDenies;
  others[4].rule = 3;
  others[5].protocol = Protocol::kHttp;
  others[6].scopes = 1;
  others[7].policy = other_policy.get();
  others[8].key.client.address = IpAddress::parse("10.0.0.3").value();
  for (const EventRecord& each : others) EXPECT_FALSE(folder.fold(each, "id", kStart));
  EventRecord elsewhere = denial("a.example", 0);
  elsewhere.key.server.address = IpAddress::parse("192.0.2.99").value();
  EXPECT_TRUE(folder.fold(elsewhere, "id", kStart)) << "the name is what counts";
  EventRecord nameless = denial("", 0);
  EXPECT_FALSE(folder.fold(nameless, "id", kStart));
  nameless.key.server.address = elsewhere.key.server.address;
  EXPECT_FALSE(folder.fold(nameless, "id", kStart)) << "without one it is the address";
}

TEST(EventFolderTest, NothingIsLostWhateverTheBound) {
  EventFolder folder(seconds(10), 3);
  std::uint64_t lines = 0, counted = 0;
  constexpr int kAll = 1'000;
  for (int i = 0; i < kAll; ++i) {
    const std::string name = std::to_string(i % 7) + ".example";
    const Timestamp now = kStart + std::chrono::milliseconds(i * 37);
    if (!folder.fold(denial(name.c_str(), 0), "id", now)) ++lines;
    for (const auto& each : folder.take_due(now, false)) counted += each.repeated.count;
    EXPECT_LE(folder.size(), 3U);
  }
  for (const auto& each : folder.take_due(kStart, true)) counted += each.repeated.count;
  EXPECT_EQ(lines + counted, static_cast<std::uint64_t>(kAll));
  EXPECT_GT(counted, 0U);
}

TEST(EventFolderTest, AllowedFlowsAndAWindowOfNothingAreNotFolded) {
  EventFolder folder(seconds(10), 8);
  const EventRecord allowed = make_record({"a.example"}, engine::FlowVerdict::kAllow);
  EXPECT_FALSE(folder.fold(allowed, "id", kStart));
  EXPECT_FALSE(folder.fold(allowed, "id", kStart));
  EventFolder off(Duration{}, 8);
  EXPECT_FALSE(off.fold(denial("a.example", 0), "id", kStart));
  EXPECT_FALSE(off.fold(denial("a.example", 0), "id", kStart));
}

TEST(EventFolderTest, AClockThatGoesBackEndsTheWindow) {
  EventFolder folder(seconds(10), 8);
  EXPECT_FALSE(folder.fold(denial("a.example", 0), "id", kStart));
  EXPECT_TRUE(folder.fold(denial("a.example", 0), "id", kStart));
  EXPECT_EQ(folder.take_due(kStart - seconds(3'600), false).size(), 1U);
}

}  // namespace
}  // namespace sallyport::daemon
