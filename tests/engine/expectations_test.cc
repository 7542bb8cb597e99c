#include "sallyport/engine/expectations.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "support/packet_builder.h"

namespace sallyport::testing {
namespace {

using engine::Expectations;
using Owner = Expectations::Owner;

constexpr Timestamp kNow{std::chrono::seconds(1'800'000'000)};
const Endpoint kClient = endpoint("10.0.0.1", 50'000);
const Endpoint kServer = endpoint("192.0.2.1", 40'000);

FlowKey key(const Endpoint& client = kClient, const Endpoint& server = kServer) {
  return {Transport::kTcp, 6, client, server, 0};
}

TEST(ExpectationsTest, AConnectionIsExpectedOnceFromAnyPort) {
  Expectations expectations({1, 2});
  EXPECT_FALSE(expectations.take_connection(key(), {}, kNow));
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, {}, 7, kNow));
  EXPECT_FALSE(expectations.take_connection(key(kClient, endpoint("192.0.2.1", 40'001)), {}, kNow));
  EXPECT_FALSE(expectations.take_connection(key(kClient, endpoint("192.0.2.2", 40'000)), {}, kNow));
  EXPECT_FALSE(expectations.take_connection(key(endpoint("10.0.0.2", 50'000)), {}, kNow));
  EXPECT_EQ(expectations.take_connection(key(), {}, kNow), Expectations::Announcer{7});
  EXPECT_FALSE(expectations.take_connection(key(), {}, kNow));
}

TEST(ExpectationsTest, AnnouncedTwiceItIsStillOneConnection) {
  Expectations expectations({1, 2});
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, {}, 7, kNow));
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, {}, 8, kNow));
  EXPECT_EQ(expectations.take_connection(key(), {}, kNow), Expectations::Announcer{8});
  EXPECT_FALSE(expectations.take_connection(key(), {}, kNow));
}

TEST(ExpectationsTest, AConnectionComesTooLate) {
  Expectations expectations({1, 2});
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, {}, 7, kNow));
  EXPECT_FALSE(expectations.take_connection(key(), {}, kNow + kFtpDataTime));
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, {}, 7, kNow));
  EXPECT_TRUE(expectations.take_connection(key(), {}, kNow + kFtpDataTime - std::chrono::nanoseconds(1)));
}

TEST(ExpectationsTest, AnotherUserOrScopeIsNotExpected) {
  Expectations expectations({1, 2});
  const Owner owner{1, 1'000};
  ASSERT_TRUE(expectations.expect_connection(kClient.address, kServer, owner, 7, kNow));
  for (const Owner& other : {Owner{1, 1'001}, Owner{1, std::nullopt}, Owner{2, 1'000}, Owner{}}) {
    EXPECT_FALSE(expectations.take_connection(key(), other, kNow));
  }
  EXPECT_TRUE(expectations.take_connection(key(), owner, kNow));
}

TEST(ExpectationsTest, AMappedAddressIsTheSame) {
  Expectations expectations({1, 2});
  ASSERT_TRUE(expectations.expect_connection(endpoint("::ffff:10.0.0.1", 1).address, endpoint("::ffff:192.0.2.1", 40'000), {}, 7, kNow));
  EXPECT_TRUE(expectations.take_connection(key(), {}, kNow));
}

TEST(ExpectationsTest, AtTheBoundTheNewestIsRefusedUntilOneIsUsedOrExpires) {
  Expectations expectations({1, 2}, 1);
  const auto expect = [&](std::size_t i, Timestamp now) {
    return expectations.expect_connection(kClient.address, endpoint("192.0.2.1", static_cast<std::uint16_t>(10'000 + i)), {}, 7, now);
  };
  for (std::size_t i = 0; i < kExpectationsPerClient; ++i) EXPECT_TRUE(expect(i, kNow)) << i;
  EXPECT_FALSE(expect(99, kNow));
  EXPECT_FALSE(expectations.open_socket(kClient, {}, 7, kNow));
  EXPECT_TRUE(expectations.take_connection(key(kClient, endpoint("192.0.2.1", 10'003)), {}, kNow));
  EXPECT_TRUE(expect(99, kNow));
  EXPECT_FALSE(expect(100, kNow));
  EXPECT_TRUE(expect(100, kNow + kFtpDataTime));
}

TEST(ExpectationsTest, ClientsHaveTheirOwnRoom) {
  Expectations expectations({1, 2});
  for (std::size_t i = 0; i < 2 * kExpectationsPerClient; ++i) {
    (void)expectations.expect_connection(kClient.address, endpoint("192.0.2.1", static_cast<std::uint16_t>(10'000 + i)), {0, 1}, 7, kNow);
  }
  std::size_t refused = 0;
  for (std::uint32_t user = 2; user < 102; ++user) refused += expectations.expect_connection(kClient.address, kServer, {0, user}, 7, kNow) ? 0U : 1U;
  EXPECT_LE(refused, 3U) << "of a hundred users one in 256 shares the set";
}

TEST(ExpectationsTest, ASocketHasSoManyPeersAMinute) {
  Expectations expectations({1, 2});
  Expectations::Announcer rule = kNoRule;
  EXPECT_EQ(expectations.take_peer(kClient, {}, kNow, rule), Expectations::Peer::kNotOpen);
  ASSERT_TRUE(expectations.open_socket(kClient, {}, 7, kNow));
  EXPECT_TRUE(expectations.socket_open(kClient, {}, kNow));
  EXPECT_FALSE(expectations.socket_open(endpoint("10.0.0.1", 50'001), {}, kNow)) << "another port is another socket";
  for (std::size_t i = 0; i < kIcePeersPerSocket; ++i) EXPECT_EQ(expectations.take_peer(kClient, {}, kNow, rule), Expectations::Peer::kTaken);
  EXPECT_EQ(rule, Expectations::Announcer{7});
  EXPECT_EQ(expectations.take_peer(kClient, {}, kNow, rule), Expectations::Peer::kTooMany);
  const Timestamp later = kNow + kIceSocketTime - std::chrono::seconds(1);
  ASSERT_TRUE(expectations.open_socket(kClient, {}, 7, later));
  EXPECT_EQ(expectations.take_peer(kClient, {}, later, rule), Expectations::Peer::kTooMany) << "an answer gives no new peers";
  EXPECT_EQ(expectations.take_peer(kClient, {}, kNow + kIceSocketTime, rule), Expectations::Peer::kTaken);
  EXPECT_FALSE(expectations.socket_open(kClient, {}, later + kIceSocketTime));
}

TEST(ExpectationsTest, NoMinuteHasMorePeersWhereverItBegins) {
  for (const bool reopened : {false, true}) {
    Expectations expectations({1, 2});
    Expectations::Announcer rule = kNoRule;
    const auto take = [&](Duration at) { return expectations.take_peer(kClient, {}, kNow + at, rule); };
    ASSERT_TRUE(expectations.open_socket(kClient, {}, 7, kNow));
    EXPECT_EQ(take(std::chrono::seconds(0)), Expectations::Peer::kTaken);
    if (!reopened) (void)expectations.open_socket(kClient, {}, 7, kNow + std::chrono::seconds(59));
    for (std::size_t i = 1; i < kIcePeersPerSocket; ++i) EXPECT_EQ(take(std::chrono::seconds(59)), Expectations::Peer::kTaken) << i;
    if (reopened) (void)expectations.open_socket(kClient, {}, 7, kNow + kIceSocketTime);
    EXPECT_EQ(take(kIceSocketTime), Expectations::Peer::kTaken) << "in place of the first";
    EXPECT_EQ(take(kIceSocketTime), Expectations::Peer::kTooMany);
    EXPECT_EQ(take(kIceSocketTime + std::chrono::milliseconds(58'999)), Expectations::Peer::kTooMany);
    ASSERT_TRUE(expectations.open_socket(kClient, {}, 7, kNow + kIceSocketTime + std::chrono::seconds(59)));
    EXPECT_EQ(take(kIceSocketTime + std::chrono::seconds(59)), Expectations::Peer::kTaken);
  }
}

TEST(ExpectationsThreadsTest, EachIsTakenByOneWorkerAlone) {
  Expectations expectations({3, 4});
  constexpr std::uint16_t kPorts = 64;
  std::atomic<int> taken = 0;
  std::vector<std::thread> workers;
  for (std::uint16_t i = 0; i < kPorts; ++i) ASSERT_TRUE(expectations.expect_connection(kClient.address, endpoint("192.0.2.1", static_cast<std::uint16_t>(20'000 + i)), {}, 7, kNow));
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&] {
      for (std::uint16_t i = 0; i < kPorts; ++i) {
        if (expectations.take_connection(key(kClient, endpoint("192.0.2.1", static_cast<std::uint16_t>(20'000 + i))), {}, kNow)) ++taken;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(taken, kPorts);
}

}  // namespace
}  // namespace sallyport::testing
