#include "sallyport/engine/name_bindings.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "sallyport/engine/resolvers.h"

namespace sallyport::engine {
namespace {

using Outcome = NameBindings::Outcome;
using std::chrono::hours;
using std::chrono::seconds;

const Timestamp kNow{seconds(1'800'000'000)};

DomainName name(const std::string& text) { return *DomainName::parse(text); }
IpAddress address(std::uint32_t number) { return IpAddress::v4(0xc6336400U + number); }

class NameBindingsTest : public ::testing::Test {
 protected:
  Outcome bind(const IpAddress& to, const std::string& text, Timestamp now = kNow, Duration life = seconds(60),
               policy::View view = 0) {
    return bindings_.bind({to, name(text), now + life, BindingSource::kAnswer, view}, now);
  }
  Outcome answer(policy::ScopeSet scopes, const IpAddress& to, const std::string& text, Timestamp now = kNow) {
    return bindings_.bind({to, name(text), now + seconds(60), BindingSource::kAnswer, 0, scopes}, now);
  }
  Outcome look_up(const IpAddress& to, const std::string& text, Timestamp now = kNow) {
    return bindings_.bind({to, name(text), now + seconds(60), BindingSource::kLookup, 0}, now);
  }
  static std::string numbered(std::uint32_t number) { return "n" + std::to_string(number) + ".example"; }
  bool bound(const IpAddress& to, const std::string& text, Timestamp now = kNow, policy::View view = 0) const {
    return bindings_.bound(to, name(text), view, now);
  }
  std::vector<std::string> names_of(const IpAddress& to, Timestamp now = kNow, std::size_t at_most = 32) const {
    std::vector<DomainName> room(at_most);
    room.resize(bindings_.names_of(to, 0, now, room));
    std::vector<std::string> texts;
    for (const DomainName& each : room) texts.emplace_back(each.text());
    return texts;
  }

  NameBindings bindings_{1'024};
};

TEST_F(NameBindingsTest, BindsOnlyTheNameAndTheAddressThatWereTold) {
  EXPECT_EQ(bind(address(1), "a.example"), Outcome::kNew);
  EXPECT_TRUE(bound(address(1), "a.example"));
  EXPECT_FALSE(bound(address(2), "a.example"));
  EXPECT_FALSE(bound(address(1), "b.example"));
  EXPECT_FALSE(bound(address(1), "example"));
  EXPECT_FALSE(bound(*IpAddress::parse("2001:db8::1"), "a.example"));
}

TEST_F(NameBindingsTest, EndsWithItsTime) {
  bind(address(1), "a.example", kNow, seconds(60));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(59)));
  EXPECT_FALSE(bound(address(1), "a.example", kNow + seconds(60)));
  EXPECT_TRUE(names_of(address(1), kNow + seconds(60)).empty());
  EXPECT_TRUE(bindings_.list(kNow + seconds(60)).empty());
  EXPECT_EQ(bind(address(1), "a.example", kNow + seconds(61)), Outcome::kNew);
}

TEST_F(NameBindingsTest, DoesNotMakeABindingThatHasExpiredAlready) {
  EXPECT_EQ(bind(address(1), "a.example", kNow, seconds(0)), Outcome::kFull);
  EXPECT_FALSE(bound(address(1), "a.example"));
}

TEST_F(NameBindingsTest, AnotherAnswerProlongsAndNeverShortens) {
  bind(address(1), "a.example", kNow, seconds(600));
  EXPECT_EQ(bind(address(1), "a.example", kNow, seconds(60)), Outcome::kRefreshed);
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(599)));
  EXPECT_EQ(bind(address(1), "a.example", kNow + seconds(500), seconds(600)), Outcome::kRefreshed);
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(1'099)));
  EXPECT_EQ(bindings_.size(), 1U);
}

TEST_F(NameBindingsTest, AViewSeesNothingOfAnother) {
  bind(address(1), "a.example", kNow, seconds(60), 3);
  EXPECT_TRUE(bound(address(1), "a.example", kNow, 3));
  EXPECT_FALSE(bound(address(1), "a.example", kNow, 0));
  EXPECT_FALSE(bound(address(1), "a.example", kNow, 4));
  EXPECT_TRUE(names_of(address(1)).empty());
}

TEST_F(NameBindingsTest, GivesTheNamesOfAnAddressTheNewestFirst) {
  for (const char* each : {"a.example", "b.example", "c.example"}) bind(address(1), each);
  bind(address(2), "d.example");
  EXPECT_EQ(names_of(address(1)), (std::vector<std::string>{"c.example", "b.example", "a.example"}));
  bind(address(1), "a.example");
  EXPECT_EQ(names_of(address(1)), (std::vector<std::string>{"a.example", "c.example", "b.example"}));
  EXPECT_EQ(names_of(address(1), kNow, 1), (std::vector<std::string>{"a.example"}));
}

TEST_F(NameBindingsTest, ANameThatRotatesForgetsItsOwnOldestAddressAndNoOther) {
  bind(address(2'000), "other.example", kNow, seconds(10));
  for (std::uint32_t i = 0; i < kBindingsPerName; ++i) {
    EXPECT_EQ(bind(address(i), "cdn.example", kNow, seconds(100 + static_cast<int>(i))), Outcome::kNew);
  }
  EXPECT_EQ(bind(address(1'000), "cdn.example", kNow, seconds(300)), Outcome::kReplaced);
  EXPECT_TRUE(bound(address(1'000), "cdn.example"));
  EXPECT_FALSE(bound(address(0), "cdn.example"));
  EXPECT_TRUE(bound(address(1), "cdn.example"));
  EXPECT_TRUE(bound(address(2'000), "other.example"));
  EXPECT_EQ(bindings_.size(), kBindingsPerName + 1);
}

TEST_F(NameBindingsTest, AnAddressTakesNoMoreNamesThanItsBoundUntilSomeExpire) {
  for (std::size_t i = 0; i < kBindingsPerAddress; ++i) {
    EXPECT_EQ(bind(address(1), numbered(static_cast<std::uint32_t>(i))), Outcome::kNew);
  }
  EXPECT_EQ(bind(address(1), "late.example"), Outcome::kMadeRoom);
  EXPECT_EQ(bindings_.size(), kBindingsPerAddress);
  EXPECT_EQ(bind(address(1), "later.example", kNow + seconds(61)), Outcome::kNew);
}

TEST_F(NameBindingsTest, AnswersLeaveAQuarterOfTheTableToOwnLookUps) {
  for (std::uint32_t i = 0; i < 768; ++i) EXPECT_EQ(bind(address(i), numbered(i)), Outcome::kNew);
  EXPECT_EQ(bind(address(5'000), "late.example"), Outcome::kMadeRoom);
  EXPECT_EQ(bindings_.size(), 768U);
  EXPECT_TRUE(bound(address(5'000), "late.example"));
  for (std::uint32_t i = 0; i < 256; ++i) EXPECT_EQ(look_up(address(i), "own" + numbered(i)), Outcome::kNew);
  EXPECT_EQ(bindings_.size(), 1'024U);
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(look_up(address(300 + i), "more" + numbered(i)), Outcome::kMadeRoom);
  for (std::uint32_t i = 0; i < 5'000; ++i) bind(address(i), "flood" + numbered(i));
  for (std::uint32_t i = 0; i < 256; ++i) EXPECT_TRUE(bound(address(i), "own" + numbered(i))) << i;
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_TRUE(bound(address(300 + i), "more" + numbered(i))) << i;
}

TEST_F(NameBindingsTest, ATableFullOfOwnLookUpsRefusesTheNewcomer) {
  for (std::uint32_t i = 0; i < 1'024; ++i) EXPECT_EQ(look_up(address(i), numbered(i)), Outcome::kNew);
  EXPECT_EQ(look_up(address(5'000), "late.example"), Outcome::kFull);
  EXPECT_EQ(bind(address(5'000), "late.example"), Outcome::kFull);
  for (std::uint32_t i = 0; i < 1'024; ++i) EXPECT_TRUE(bound(address(i), numbered(i)));
  EXPECT_EQ(bind(address(5'000), "late.example", kNow + seconds(61)), Outcome::kNew) << "what has expired makes room";
}

TEST_F(NameBindingsTest, WhoAsksForManyNamesDrivesOutHisOwnAndNotThoseOfAnotherScope) {
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(answer(2, address(i), "quiet" + numbered(i)), Outcome::kNew);
  for (std::uint32_t i = 0; i < 20'000; ++i) answer(1, address(1'000 + i), "loud" + numbered(i), kNow + seconds(1));
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_TRUE(bound(address(i), "quiet" + numbered(i))) << i;
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(answer(4, address(500 + i), "third" + numbered(i)), Outcome::kMadeRoom);
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_TRUE(bound(address(i), "quiet" + numbered(i))) << i;
}

TEST_F(NameBindingsTest, OfOneSourceWhatIsUsedOutlivesWhatIsNot) {
  for (std::uint32_t i = 0; i < 20; ++i) bind(address(i), "used" + numbered(i), kNow, hours(10));
  Timestamp now = kNow;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    if (i % 100 == 0) {
      now += seconds(1);
      for (std::uint32_t j = 0; j < 20; ++j) bindings_.keep_until(address(j), name("used" + numbered(j)), 0, now, now + hours(1));
    }
    bind(address(1'000 + i), numbered(i), now, hours(10));
  }
  for (std::uint32_t i = 0; i < 20; ++i) EXPECT_TRUE(bound(address(i), "used" + numbered(i), now)) << i;
}

TEST_F(NameBindingsTest, AnAddressFullOfSomebodysNamesTakesALookUpAndAnothersName) {
  for (std::uint32_t i = 0; i < kBindingsPerAddress; ++i) EXPECT_EQ(answer(1, address(1), numbered(i)), Outcome::kNew);
  EXPECT_EQ(look_up(address(1), "exact.example"), Outcome::kMadeRoom);
  EXPECT_EQ(answer(2, address(1), "others.example"), Outcome::kMadeRoom);
  for (std::uint32_t i = 0; i < 1'000; ++i) EXPECT_EQ(answer(1, address(1), "again" + numbered(i)), Outcome::kMadeRoom);
  EXPECT_TRUE(bound(address(1), "exact.example"));
  EXPECT_TRUE(bound(address(1), "others.example"));
  EXPECT_EQ(names_of(address(1)).front(), "exact.example") << "own look-ups first, however many newer names there are";
}

TEST_F(NameBindingsTest, WhatOwnLookUpsGaveStaysTheirsAndWhatTheyRepeatBecomesTheirs) {
  bind(address(1), "a.example");
  look_up(address(1), "a.example");
  look_up(address(2), "b.example");
  bind(address(2), "b.example");
  for (const Binding& each : bindings_.list(kNow)) EXPECT_EQ(each.source, BindingSource::kLookup);
  for (std::uint32_t i = 0; i < 5'000; ++i) bind(address(100 + i), numbered(i), kNow + seconds(1));
  EXPECT_TRUE(bound(address(1), "a.example"));
  EXPECT_TRUE(bound(address(2), "b.example"));
}

TEST_F(NameBindingsTest, OutcomesAreCounted) {
  bind(address(1), "a.example");
  bind(address(1), "a.example");
  bind(address(1), "late.example", kNow, seconds(0));
  for (std::uint32_t i = 0; i < 800; ++i) bind(address(i), "b" + numbered(i));
  EXPECT_EQ(bindings_.outcome_count(Outcome::kNew), 768U);
  EXPECT_EQ(bindings_.outcome_count(Outcome::kRefreshed), 1U);
  EXPECT_EQ(bindings_.outcome_count(Outcome::kMadeRoom), 33U);
  EXPECT_EQ(bindings_.outcome_count(Outcome::kFull), 0U);
}

TEST_F(NameBindingsTest, AReferenceKeepsItsBindingAndNoOtherThatTookItsPlace) {
  bind(address(1), "a.example", kNow, seconds(60));
  const BindingRef ref = bindings_.keep_until(address(1), name("a.example"), 0, kNow, kNow + seconds(70));
  bindings_.keep_until(ref, address(1), kNow, kNow + seconds(600));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(599)));
  bindings_.keep_until(ref, address(2), kNow, kNow + hours(2));
  EXPECT_FALSE(bound(address(1), "a.example", kNow + seconds(600))) << "of another address";
  const Timestamp later = kNow + seconds(600);
  bindings_.keep_until(ref, address(1), later, later + hours(1));
  EXPECT_FALSE(bound(address(1), "a.example", later)) << "nothing is brought back";
  bind(address(1), "b.example", later, seconds(60));  // In the same slot.
  bindings_.keep_until(ref, address(1), later, later + hours(1));
  EXPECT_EQ(bindings_.size(), 1U);
  EXPECT_FALSE(bound(address(1), "b.example", later + seconds(60)));
  bindings_.keep_until(BindingRef{}, address(1), later, later + hours(1));
}

TEST_F(NameBindingsTest, ARestoredBindingIsKeptNoLongerThanItsResolversWordAllows) {
  bindings_.bind({address(1), name("a.example"), kNow + seconds(60), BindingSource::kState, 0, 0, kNow - hours(23)}, kNow);
  bindings_.keep_until(address(1), name("a.example"), 0, kNow, kNow + hours(10));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + hours(1) - seconds(1)));
  EXPECT_FALSE(bound(address(1), "a.example", kNow + hours(1)));
  EXPECT_EQ(bindings_.list(kNow).at(0).told, kNow - hours(23));
}

TEST_F(NameBindingsTest, WhatHasExpiredIsGivenBackInTheCourseOfTime) {
  for (std::uint32_t i = 0; i < 1'000; ++i) bind(address(i), "n" + std::to_string(i) + ".example");
  const Timestamp later = kNow + seconds(61);
  for (int i = 0; i < 200; ++i) bind(address(1), "again.example", later);
  EXPECT_EQ(bindings_.size(), 1U);
}

TEST_F(NameBindingsTest, AFlowKeepsItsBindingButNotForEver) {
  bind(address(1), "a.example", kNow, seconds(60));
  bindings_.keep_until(address(1), name("a.example"), 0, kNow, kNow + seconds(30));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(59))) << "never shorter";
  bindings_.keep_until(address(1), name("a.example"), 0, kNow, kNow + hours(1));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + seconds(3'599)));
  bindings_.keep_until(address(1), name("a.example"), 0, kNow, kNow + hours(1'000));
  EXPECT_TRUE(bound(address(1), "a.example", kNow + kBindingKeptMax - seconds(1)));
  EXPECT_FALSE(bound(address(1), "a.example", kNow + kBindingKeptMax));
}

TEST_F(NameBindingsTest, KeepingBringsNothingBack) {
  bind(address(1), "a.example", kNow, seconds(60));
  const Timestamp later = kNow + seconds(60);
  bindings_.keep_until(address(1), name("a.example"), 0, later, later + hours(1));
  bindings_.keep_until(address(2), name("a.example"), 0, kNow, kNow + hours(1));
  EXPECT_FALSE(bound(address(1), "a.example", later));
  EXPECT_FALSE(bound(address(2), "a.example"));
}

TEST_F(NameBindingsTest, TheVersionChangesWithWhatIsNewAlone) {
  const std::uint64_t before = bindings_.version();
  bind(address(1), "a.example");
  const std::uint64_t after = bindings_.version();
  EXPECT_NE(before, after);
  bind(address(1), "a.example");
  EXPECT_EQ(bindings_.version(), after);
}

TEST_F(NameBindingsTest, WhatADistrustedServerToldLastIsForgotten) {
  const auto tell = [&](std::uint32_t to, const char* text, std::optional<IpAddress> teller, BindingSource source, policy::View view = 0) {
    bindings_.bind({address(to), name(text), kNow + seconds(60), source, view, 0, {}, teller}, kNow);
  };
  const IpAddress honest = *IpAddress::parse("192.0.2.53"), liar = *IpAddress::parse("192.0.2.66");
  tell(1, "a.example", honest, BindingSource::kAnswer);
  tell(2, "b.example", liar, BindingSource::kAnswer);
  tell(3, "both.example", liar, BindingSource::kAnswer);
  tell(3, "both.example", honest, BindingSource::kAnswer);
  tell(4, "turned.example", honest, BindingSource::kAnswer);
  tell(4, "turned.example", liar, BindingSource::kAnswer);
  tell(5, "looked.example", {}, BindingSource::kLookup);
  tell(6, "restored.example", {}, BindingSource::kState);
  tell(7, "bad.example", liar, BindingSource::kAnswer);
  tell(8, "view.example", liar, BindingSource::kAnswer, 1);
  const auto is_bad = [](const DomainName& each) { return each.text() == "bad.example"; };
  EXPECT_EQ(bindings_.forget_untrusted(std::array{honest}, false, kNow, is_bad), 3U);
  EXPECT_TRUE(bound(address(1), "a.example"));
  EXPECT_FALSE(bound(address(2), "b.example"));
  EXPECT_TRUE(bound(address(3), "both.example")) << "an honest one said it last";
  EXPECT_FALSE(bound(address(4), "turned.example"));
  EXPECT_TRUE(bound(address(5), "looked.example"));
  EXPECT_FALSE(bound(address(6), "restored.example")) << "nobody knows who told it";
  EXPECT_TRUE(bound(address(7), "bad.example"));
  EXPECT_TRUE(bindings_.bound(address(8), name("view.example"), 1, kNow)) << "a view of its own";
  EXPECT_EQ(bindings_.forget_untrusted(std::array{honest}, true, kNow, is_bad), 1U);
  EXPECT_FALSE(bound(address(5), "looked.example"));
  tell(2, "b.example", honest, BindingSource::kAnswer);
  EXPECT_TRUE(bound(address(2), "b.example")) << "it may be told again";
}

TEST_F(NameBindingsTest, WhatIsForgottenGivesItsRoomBack) {
  for (std::uint32_t i = 0; i < 600; ++i) {
    bindings_.bind({address(i), name("n" + std::to_string(i) + ".example"), kNow + hours(1), BindingSource::kAnswer, static_cast<policy::View>(i % 2)}, kNow);
  }
  bindings_.forget_views();
  EXPECT_EQ(bindings_.forget_untrusted({}, true, kNow, [](const DomainName&) { return false; }), 300U);
  for (int i = 0; i < 200; ++i) bind(address(1), "again.example", kNow);
  EXPECT_EQ(bindings_.size(), 1U);
}

TEST_F(NameBindingsTest, ListsEverythingThatLives) {
  bind(address(1), "a.example");
  bindings_.bind({address(2), name("b.example"), kNow + seconds(7), BindingSource::kLookup, 5}, kNow);
  auto all = bindings_.list(kNow);
  ASSERT_EQ(all.size(), 2U);
  if (all[0].view == 5) std::swap(all[0], all[1]);
  EXPECT_EQ(all[1].address, address(2));
  EXPECT_EQ(all[1].name, name("b.example"));
  EXPECT_EQ(all[1].expires, kNow + seconds(7));
  EXPECT_EQ(all[1].source, BindingSource::kLookup);
}

// A small table, so that threads meet: writers bind, prolong, replace and expire while readers look.
TEST(NameBindingsThreadsTest, AgreeWithEachOther) {
  NameBindings bindings(256, {1, 2});
  bindings.bind({address(60'000), name("always.example"), kNow + hours(1'000), BindingSource::kLookup, 0}, kNow);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> lost{0}, wrong{0};
  const auto write = [&](unsigned seed) {
    std::mt19937 generator(seed);
    const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
    BindingRef kept, before;
    for (int i = 0; i < 20'000; ++i) {
      const Timestamp now = kNow + seconds(i / 20);
      const std::uint32_t which = random() % 16;
      const DomainName own = name("n" + std::to_string(which) + ".example");
      const BindingSource source = random() % 16 == 0 ? BindingSource::kLookup : BindingSource::kAnswer;
      bindings.bind({address(which * 1'000 + random() % 80), own, now + seconds(1 + random() % 60), source, 0, random() % 8}, now);
      const IpAddress used = address(which * 1'000 + random() % 80);
      kept = bindings.keep_until(used, own, 0, now, now + seconds(90));
      bindings.keep_until(before, used, now, now + seconds(90));
      if (random() % 4 == 0) before = kept;
    }
  };
  const auto read = [&](unsigned seed) {
    std::mt19937 source(seed);
    const auto random = [&] { return static_cast<std::uint32_t>(source()); };
    std::array<DomainName, 8> room;
    while (!stop.load()) {
      if (!bindings.bound(address(60'000), name("always.example"), 0, kNow + seconds(2'000))) lost.fetch_add(1);
      const std::uint32_t which = random() % 16;
      const std::size_t count = bindings.names_of(address(which * 1'000 + random() % 80), 0, kNow, room);
      for (std::size_t i = 0; i < count; ++i) {
        if (room[i].text() != "n" + std::to_string(which) + ".example") wrong.fetch_add(1);
      }
      (void)bindings.list(kNow);
    }
  };
  std::vector<std::thread> readers, writers;
  for (unsigned i = 0; i < 2; ++i) readers.emplace_back(read, i);
  for (unsigned i = 0; i < 3; ++i) writers.emplace_back(write, 100 + i);
  for (std::thread& thread : writers) thread.join();
  stop = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(lost.load(), 0U);
  EXPECT_EQ(wrong.load(), 0U);
  EXPECT_LE(bindings.size(), 256U);
}

TEST(ResolversTest, TrustsExactlyTheSet) {
  Resolvers resolvers;
  EXPECT_FALSE(resolvers.trusts(IpAddress{}));
  const IpAddress first = *IpAddress::parse("192.0.2.53"), second = *IpAddress::parse("2001:db8::53");
  EXPECT_TRUE(resolvers.set(std::array{first, second}));
  EXPECT_TRUE(resolvers.trusts(first));
  EXPECT_TRUE(resolvers.trusts(second));
  EXPECT_TRUE(resolvers.trusts(*IpAddress::parse("::ffff:192.0.2.53")));
  EXPECT_FALSE(resolvers.trusts(*IpAddress::parse("192.0.2.54")));
  EXPECT_TRUE(resolvers.set(std::array{second}));
  EXPECT_FALSE(resolvers.trusts(first));
  EXPECT_FALSE(resolvers.set(std::vector<IpAddress>(Resolvers::kMax + 1, second)));
  EXPECT_TRUE(resolvers.trusts(second));
  resolvers.set_any();
  EXPECT_TRUE(resolvers.trusts(first));
}

TEST(ResolversThreadsTest, AReaderNeverSeesHalfAnAddress) {
  Resolvers resolvers;
  const IpAddress a = *IpAddress::parse("2001:db8:1::1"), b = *IpAddress::parse("2001:db8:2::2");
  const IpAddress mixed = *IpAddress::parse("2001:db8:1::2");
  ASSERT_TRUE(resolvers.set(std::array{a}));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 50'000; ++i) resolvers.set(std::array{i % 2 == 0 ? b : a});
    stop = true;
  });
  std::uint64_t torn = 0;
  while (!stop.load()) torn += resolvers.trusts(mixed) ? 1U : 0U;
  writer.join();
  EXPECT_EQ(torn, 0U);
}

}  // namespace
}  // namespace sallyport::engine
