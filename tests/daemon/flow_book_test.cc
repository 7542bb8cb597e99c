#include "flow_book.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "flow_json.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {
namespace {

using engine::FlowEvent;
using engine::FlowVerdict;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Timestamp kStart{std::chrono::seconds(1'790'935'200)};

std::shared_ptr<const policy::Policy> policy() {
  const auto loaded = policy::load_policy_text("version = 1\n[scopes.builds]\nusers = [\"root\"]\n[[rules]]\nto = [\"allowed.test\"]\n", "policy.toml");
  EXPECT_TRUE(loaded) << "the policy does not load";
  return loaded.value_or(nullptr);
}

struct Book {
  explicit Book(std::size_t live = 100, std::size_t ended = 50) : book(live, ended) {}

  // decide tells of a verdict `at` seconds behind the start, and returns the event's id.
  std::string decide(std::uint64_t flow, FlowVerdict verdict, std::string_view name, int at = 0, unsigned worker = 0) {
    EventRecord record = record_of(flow, FlowEvent::Kind::kVerdict, verdict, name, at, worker);
    const std::string id = "k-" + std::to_string(++ids);
    book.observe(record, id, *judge);
    return id;
  }
  void end(std::uint64_t flow, FlowVerdict verdict = FlowVerdict::kAllow, int at = 1, unsigned worker = 0) {
    book.observe(record_of(flow, FlowEvent::Kind::kEnd, verdict, "", at, worker), verdict == FlowVerdict::kPending ? "k-end" : "", *judge);
  }
  static EventRecord record_of(std::uint64_t flow, FlowEvent::Kind kind, FlowVerdict verdict, std::string_view name, int at, unsigned worker) {
    FlowEvent event;
    event.kind = kind;
    event.flow = flow;
    event.key.transport = Transport::kTcp;
    event.key.client = {*IpAddress::parse("192.0.2.10"), static_cast<std::uint16_t>(flow)};
    event.key.server = {*IpAddress::parse("203.0.113.7"), 443};
    event.opened = event.time = kStart + std::chrono::seconds(at);
    event.uid = 4'000'000'000U;
    event.scopes = 1;
    event.protocol = Protocol::kTls;
    event.verdict = verdict;
    event.reason = verdict == FlowVerdict::kDeny ? Reason::kNameNotAllowed : Reason::kRuleAllows;
    event.text = name;
    EventRecord record = EventRecord::of(event);
    record.worker = worker;
    return record;
  }
  std::vector<std::string> names(const FlowQuery& query) const {
    std::vector<std::string> list;
    for (const FlowRow& row : book.flows(query)) list.push_back(row.name);
    return list;
  }
  const std::shared_ptr<const policy::Policy> judge = policy();
  FlowBook book;
  int ids = 0;
};

TEST(FlowBookTest, ListsLivingFlowsTheNewestFirstWithWhatIsKnown) {
  Book it;
  it.decide(1, FlowVerdict::kAllow, "allowed.test");
  const std::string id = it.decide(2, FlowVerdict::kDeny, "denied.test");
  it.decide(1, FlowVerdict::kAllow, "same.number.other.worker", 0, 1);
  EXPECT_THAT(it.names({}), ElementsAre("same.number.other.worker", "denied.test", "allowed.test"));
  const FlowRow row = it.book.flows({}).at(1);
  EXPECT_EQ(row.id, id);
  EXPECT_EQ(row.user, "4000000000");
  EXPECT_THAT(row.scopes, ElementsAre("builds"));
  EXPECT_EQ(row.rule, "default");
  EXPECT_EQ(row.verdict, FlowVerdict::kDeny);
}

TEST(FlowBookTest, TellsWhetherRulesForNoScopeAreForAFlow) {
  Book it;
  const policy::ScopeSet sets[] = {0, 1, policy::kUnnamedWorkload, policy::kUnknownOwner};
  for (std::uint64_t i = 0; i < std::size(sets); ++i) {
    EventRecord record = Book::record_of(i, FlowEvent::Kind::kVerdict, FlowVerdict::kDeny, "n" + std::to_string(i), 0, 0);
    record.scopes = sets[i];
    it.book.observe(record, "k-" + std::to_string(i), *it.judge);
  }
  for (const FlowRow& row : it.book.flows({})) EXPECT_EQ(flow_row_json(row)["in_none"], row.name == "n0") << row.name;
  for (const auto& name : denied_json(it.book.top_denied(9))) EXPECT_EQ(name["in_none"], name["name"] == "n0") << name;
}

TEST(FlowBookTest, AFlowWhoseVerdictTurnsStaysOneFlow) {
  Book it;
  it.decide(1, FlowVerdict::kAllow, "a.test");
  it.decide(2, FlowVerdict::kAllow, "b.test");
  const std::string second = it.decide(1, FlowVerdict::kDeny, "a.test", 5);
  const auto rows = it.book.flows({});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].name, "a.test");
  EXPECT_EQ(rows[1].verdict, FlowVerdict::kDeny);
  EXPECT_EQ(rows[1].id, second);
  EXPECT_EQ(it.book.event("k-1")->verdict, FlowVerdict::kAllow) << "the older event is still what it was";
}

TEST(FlowBookTest, EndedFlowsAreListedWhenAskedForAndFlowsWithoutAVerdictHaveEnded) {
  Book it;
  it.decide(1, FlowVerdict::kAllow, "a.test");
  it.decide(2, FlowVerdict::kDeny, "b.test");
  it.end(1);
  it.end(3, FlowVerdict::kPending);
  it.end(77);  // Not known: nothing happens.
  EXPECT_THAT(it.names({}), ElementsAre("b.test"));
  FlowQuery all;
  all.ended = true;
  EXPECT_THAT(it.names(all), ElementsAre("", "b.test", "a.test"));
  EXPECT_EQ(it.book.totals().live, 1U);
  EXPECT_EQ(it.book.totals().ended, 2U);
}

TEST(FlowBookTest, FiltersByVerdictNameAndPages) {
  Book it;
  for (std::uint64_t i = 1; i <= 20; ++i) it.decide(i, i % 2 == 0 ? FlowVerdict::kDeny : FlowVerdict::kAllow, "host" + std::to_string(i) + ".test");
  FlowQuery query;
  query.verdict = FlowVerdict::kDeny;
  query.limit = 2;
  EXPECT_THAT(it.names(query), ElementsAre("host20.test", "host18.test"));
  query.below = it.book.flows(query).back().number;
  EXPECT_THAT(it.names(query), ElementsAre("host16.test", "host14.test"));
  FlowQuery glob;
  glob.name = "HOST1*.TEST";
  EXPECT_EQ(it.names(glob).size(), 11U);
  glob.name = "203.0.113.*";
  EXPECT_THAT(it.names(glob), IsEmpty()) << "flows with names are not found by their address";
}

TEST(FlowBookTest, FindsTheFlowBetweenTwoEndsWhicheverOpenedIt) {
  Book it;
  for (std::uint64_t i = 1; i <= 20; ++i) it.decide(i, FlowVerdict::kAllow, "host" + std::to_string(i) + ".test");
  it.end(5);
  const auto found = [&](const char* proto, const char* src, unsigned sport, const char* dst, unsigned dport, bool ended = false) {
    const auto query = flow_query({{"proto", proto}, {"src", src}, {"sport", sport}, {"dst", dst}, {"dport", dport}, {"ended", ended}});
    return query ? it.names(*query) : std::vector<std::string>{query.error()};
  };
  EXPECT_THAT(found("tcp", "192.0.2.10", 7, "203.0.113.7", 443), ElementsAre("host7.test"));
  EXPECT_THAT(found("tcp", "203.0.113.7", 443, "192.0.2.10", 7), ElementsAre("host7.test"));
  EXPECT_THAT(found("udp", "192.0.2.10", 7, "203.0.113.7", 443), IsEmpty());
  EXPECT_THAT(found("tcp", "192.0.2.10", 7, "203.0.113.7", 444), IsEmpty());
  EXPECT_THAT(found("tcp", "192.0.2.10", 5, "203.0.113.7", 443), IsEmpty());
  EXPECT_THAT(found("tcp", "192.0.2.10", 5, "203.0.113.7", 443, true), ElementsAre("host5.test"));
}

TEST(FlowBookTest, HalfATupleIsAnError) {
  const nlohmann::json whole{{"proto", "tcp"}, {"src", "192.0.2.10"}, {"sport", 7U}, {"dst", "203.0.113.7"}, {"dport", 443U}};
  EXPECT_TRUE(flow_query(whole));
  for (const char* key : {"proto", "src", "sport", "dst", "dport"}) {
    nlohmann::json part = whole;
    part.erase(key);
    EXPECT_FALSE(flow_query(part)) << "without " << key;
    for (const nlohmann::json& bad : {nlohmann::json("icmp"), nlohmann::json(65'536), nlohmann::json(-1), nlohmann::json(nullptr)}) {
      nlohmann::json wrong = whole;
      wrong[key] = bad;
      EXPECT_FALSE(flow_query(wrong)) << key << " " << bad;
    }
  }
}

TEST(FlowBookTest, AtTheBoundTheFlowLongestUnchangedIsForgottenAndCounted) {
  Book it(10, 5);
  for (std::uint64_t i = 1; i <= 25; ++i) it.decide(i, FlowVerdict::kAllow, "n" + std::to_string(i));
  EXPECT_EQ(it.book.totals().live, 10U);
  EXPECT_EQ(it.book.totals().forgotten, 15U);
  EXPECT_EQ(it.names({}).back(), "n16");
  it.end(3);  // Forgotten: its end finds nothing.
  EXPECT_EQ(it.book.totals().ended, 0U);
  for (std::uint64_t i = 16; i <= 25; ++i) it.end(i);
  EXPECT_EQ(it.book.totals().live, 0U);
  EXPECT_EQ(it.book.totals().ended, 5U);
}

TEST(FlowBookTest, TheNewestEventsAreFoundById) {
  Book it(10, 5);
  for (std::uint64_t i = 1; i <= kFlowBookEvents + 10; ++i) it.decide(i, FlowVerdict::kDeny, "n" + std::to_string(i));
  EXPECT_FALSE(it.book.event("k-10"));
  ASSERT_TRUE(it.book.event("k-11"));
  EXPECT_EQ(it.book.event("k-11")->name, "n11");
  EXPECT_FALSE(it.book.event(""));
  EXPECT_TRUE(event_answer(it.book, {{"id", "k-11"}}).contains("event"));
  EXPECT_TRUE(event_answer(it.book, {{"id", "k-10"}}).contains("error"));
  EXPECT_TRUE(event_answer(it.book, {{"id", 3}}).contains("error"));
}

TEST(FlowBookTest, WhatIsDeniedMostIsFoundAmongAFloodOfOtherNames) {
  Book it;
  for (std::uint64_t i = 1; i <= 60'000; ++i) {
    const bool heavy = i % 10 == 0;
    it.decide(i, FlowVerdict::kDeny, heavy ? "heavy.test" : "random" + std::to_string(i) + ".test");
  }
  const auto top = it.book.top_denied(5);
  ASSERT_EQ(top.size(), 5U);
  EXPECT_EQ(top[0].name, "heavy.test");
  EXPECT_LE(top[0].count, 6'000U) << "a count is never more than what came";
  EXPECT_GE(top[0].count, 5'900U);
}

TEST(FlowBookTest, DenialsAreCountedByNameProtocolAndPort) {
  Book it;
  it.decide(1, FlowVerdict::kDeny, "a.test");
  it.decide(2, FlowVerdict::kDeny, "a.test");
  it.decide(3, FlowVerdict::kDeny, "");
  it.decide(4, FlowVerdict::kAllow, "b.test");
  const auto top = it.book.top_denied(9);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].name, "a.test");
  EXPECT_EQ(top[0].count, 2U);
  EXPECT_EQ(top[1].name, "203.0.113.7");
}

TEST(FlowBookTest, RatesAreOfTheLastWholeSecondAndMinute) {
  Book it;
  for (std::uint64_t i = 1; i <= 6; ++i) it.decide(i, FlowVerdict::kAllow, "a.test", 10);
  for (std::uint64_t i = 7; i <= 9; ++i) it.decide(i, FlowVerdict::kDeny, "b.test", 10);
  const FlowRates rates = it.book.rates(kStart + std::chrono::seconds(11));
  EXPECT_EQ(rates.opened, 9);
  EXPECT_EQ(rates.allowed, 6);
  EXPECT_EQ(rates.denied, 3);
  EXPECT_DOUBLE_EQ(rates.allowed_minute, 0.1);
  EXPECT_EQ(it.book.rates(kStart + std::chrono::seconds(12)).allowed, 0);
  EXPECT_EQ(it.book.rates(kStart + std::chrono::seconds(120)).allowed_minute, 0);
}

TEST(FlowBookTest, ChangesAreToldOnceAndTheNewestFirst) {
  Book it;
  std::uint64_t serial = 0;
  it.decide(1, FlowVerdict::kAllow, "a.test");
  it.decide(2, FlowVerdict::kAllow, "b.test");
  EXPECT_EQ(it.book.changed_since(serial, 10).size(), 2U);
  EXPECT_THAT(it.book.changed_since(serial, 10), IsEmpty());
  it.decide(3, FlowVerdict::kAllow, "c.test");
  it.end(1);
  const auto rows = it.book.changed_since(serial, 10);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].name, "a.test");
  EXPECT_TRUE(rows[0].ended);
  EXPECT_EQ(rows[1].name, "c.test");
  std::uint64_t from_start = 0;
  EXPECT_EQ(it.book.changed_since(from_start, 2).size(), 2U);
}

TEST(FlowBookTest, AnswersStayWithinTheirSizeWhateverTheNamesAre) {
  Book it(2'000, 10);
  for (std::uint64_t i = 1; i <= 2'000; ++i) it.decide(i, FlowVerdict::kDeny, std::string(250, '\x01'));
  const auto query = flow_query({{"limit", 5'000U}});
  ASSERT_TRUE(query);
  const auto answer = flows_answer(it.book, *query);
  EXPECT_LT(answer.dump().size(), 2 * kFlowAnswerMax);
  ASSERT_TRUE(answer.contains("below"));
  FlowQuery rest = *query;
  std::size_t rows = answer["flows"].size();
  for (auto next = answer; next.contains("below"); rows += next["flows"].size()) {
    rest.below = next["below"].get<std::uint64_t>();
    next = flows_answer(it.book, rest);
  }
  EXPECT_EQ(rows, 2'000U) << "the pages together have every flow once";
  EXPECT_THAT(answer["flows"][0]["name"].get<std::string>(), HasSubstr("\\x01\\x01"));
}

TEST(FlowBookTest, WrongArgumentsAreNamed) {
  for (const nlohmann::json& request : {nlohmann::json{{"limit", -1}}, nlohmann::json{{"limit", "9"}}, nlohmann::json{{"verdict", "denied"}},
                                        nlohmann::json{{"verdict", 3}}, nlohmann::json{{"name", 3}}, nlohmann::json{{"ended", 1}},
                                        nlohmann::json{{"below", 1.5}}, nlohmann::json{{"name", std::string(300, 'a')}}}) {
    const auto query = flow_query(request);
    ASSERT_FALSE(query) << request.dump();
    EXPECT_THAT(query.error(), HasSubstr(request.begin().key())) << request.dump();
  }
}

TEST(FlowBookTest, GlobsMatchWholeTexts) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*c*e", "abcde"));
  EXPECT_TRUE(glob_matches("*.GitHub.com", "api.github.com"));
  EXPECT_FALSE(glob_matches("*.github.com", "github.com"));
  EXPECT_FALSE(glob_matches("github.com", "github.com.evil.test"));
  EXPECT_FALSE(glob_matches("a", ""));
  EXPECT_TRUE(glob_matches(std::string(100, '*') + "b", std::string(5'000, 'a') + "b"));
  EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*a*a*b", std::string(5'000, 'a')));
}

TEST(FlowBookThreadsTest, ReadersAndTheLogsThreadDoNotHarmEachOther) {
  Book it(200, 100);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    std::uint64_t serial = 0;
    while (!stop.load()) {
      (void)it.book.flows({});
      (void)it.book.changed_since(serial, 50);
      (void)it.book.top_denied(10);
      (void)it.book.rates(kStart);
      (void)it.book.event("k-5");
    }
  });
  for (std::uint64_t i = 1; i <= 5'000; ++i) {
    it.decide(i, i % 2 == 0 ? FlowVerdict::kDeny : FlowVerdict::kAllow, "n" + std::to_string(i));
    if (i > 100) it.end(i - 100);
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(it.book.totals().live, 100U);
}

}  // namespace
}  // namespace sallyport::daemon
