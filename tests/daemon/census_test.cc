#include "census.h"

#include <gtest/gtest.h>

#include "sallyport/core/limits.h"

namespace sallyport::testing {
namespace {

using daemon::Census;
using netfilter::ConntrackEntry;
using Entries = std::expected<std::vector<ConntrackEntry>, std::string>;

ConntrackEntry entry_of(Transport transport, std::uint16_t port, bool over = false) {
  ConntrackEntry entry;
  entry.key = {transport, 0, {*IpAddress::parse("192.0.2.1"), port}, {*IpAddress::parse("2001:db8::7"), 443}, 0};
  entry.over = over;
  return entry;
}

TEST(CensusTest, TellsConnectionsAndDatagramsAlone) {
  const std::vector<ConntrackEntry> entries = {entry_of(Transport::kTcp, 1), entry_of(Transport::kIcmp, 2), entry_of(Transport::kTcp, 3, true),
                                               entry_of(Transport::kUdp, 4), entry_of(Transport::kOther, 0)};
  const auto sightings = daemon::sightings_of(entries);
  ASSERT_EQ(sightings.size(), 3U);
  EXPECT_EQ(sightings[0].key, entries[0].key);
  EXPECT_FALSE(sightings[0].over);
  EXPECT_TRUE(sightings[1].over);
  EXPECT_EQ(sightings[2].key, entries[3].key);
}

TEST(CensusTest, IsDueAtOnceThenAtItsInterval) {
  Census census;
  const auto begun = Census::Clock::now();
  ASSERT_TRUE(census.due(begun));
  census.take([] { return Entries(); }, {}, [](const std::string& text) { FAIL() << text; });
  EXPECT_FALSE(census.due(begun + kCensusInterval));
  EXPECT_TRUE(census.due(Census::Clock::now() + kCensusInterval));
}

TEST(CensusTest, ALongLookIsRarer) {
  Census census;
  constexpr std::chrono::milliseconds kLong{60};
  const auto list = [&] {
    const auto end = Census::Clock::now() + kLong;
    while (Census::Clock::now() < end) {
    }
    return Entries();
  };
  census.take(list, {}, [](const std::string&) {});
  EXPECT_FALSE(census.due(Census::Clock::now() + kLong * (kCensusShare - 1)));
}

TEST(CensusTest, AFailureIsSaidOnceUntilItWorksAgain) {
  Census census;
  std::vector<std::string> said;
  const auto say = [&](const std::string& text) { said.push_back(text); };
  const auto fails = [] { return Entries(std::unexpected("ctnetlink: no")); };
  census.take(fails, {}, say);
  census.take(fails, {}, say);
  EXPECT_EQ(said, std::vector<std::string>{"which connections are over is not known: ctnetlink: no"});
  census.take([] { return Entries(); }, {}, say);
  census.take(fails, {}, say);
  EXPECT_EQ(said.size(), 2U);
}

}  // namespace
}  // namespace sallyport::testing
