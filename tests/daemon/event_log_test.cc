#include "event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "event_support.h"

namespace sallyport::daemon {
namespace {

using sallyport::testing::make_policy;
using ::testing::HasSubstr;
using ::testing::SizeIs;

engine::FlowEvent make_event(std::string_view name, engine::FlowVerdict verdict = engine::FlowVerdict::kDeny) {
  engine::FlowEvent event;
  event.key.transport = Transport::kTcp;
  event.key.client = {IpAddress::parse("10.0.0.2").value(), 40'000};
  event.key.server = {IpAddress::parse("192.0.2.10").value(), 443};
  event.time = event.opened = std::chrono::system_clock::now();
  event.protocol = Protocol::kTls;
  event.verdict = verdict;
  event.reason = Reason::kNameNotAllowed;
  event.text = name;
  return event;
}

// Rig is a log whose policy names one file.
class Rig {
 public:
  explicit Rig(std::string events = "fold = \"10s\"\n") : events_(std::move(events)) {
    std::string pattern = ::testing::TempDir() + "sallyport-log-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Rig() { std::filesystem::remove_all(folder_); }

  std::string file(const char* name = "events") const { return folder_ + '/' + name; }
  std::shared_ptr<const policy::Policy> policy(const char* name = "events", const std::string& rules = {}) const {
    return make_policy("[events]\noutput = \"file:" + file(name) + "\"\n" + events_ + rules);
  }
  EventLogOptions options() const { return {.policy = policy(), .mode = policy::Mode::kEnforce, .processes = false, .say = {}}; }
  std::vector<nlohmann::json> rows(const char* name = "events") const {
    std::ifstream in(file(name));
    std::vector<nlohmann::json> rows;
    for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
    return rows;
  }

 private:
  std::string events_;
  std::string folder_;
};

TEST(EventLogTest, IdsAreUniqueAlsoOverRuns) {
  const Rig rig;
  for (int run = 0; run < 2; ++run) {
    EventLog log(rig.options());
    log.start();
    for (int i = 0; i < 50; ++i) log.add(0, make_event(std::to_string(i) + ".example"));
    log.add_event("reload", {{"cut", 2}});
  }
  std::set<std::string> ids;
  for (const auto& row : rig.rows()) ids.insert(row["id"].get<std::string>());
  EXPECT_THAT(ids, SizeIs(102));
}

TEST(EventLogTest, RepeatedDenialsAreCountedAndComeWithTheStop) {
  const Rig rig;
  {
    EventLog log(rig.options());
    log.start();
    for (int i = 0; i < 30; ++i) log.add(0, make_event("again.example"));
    for (int i = 0; i < 5; ++i) log.add(0, make_event("fine.example", engine::FlowVerdict::kAllow));
  }
  const auto rows = rig.rows();
  std::size_t denials = 0, allowed = 0, lines = 0;
  for (const auto& row : rows) {
    if (row["verdict"] == "allow") {
      ++allowed;
      continue;
    }
    ++lines;
    denials += row.value("count", 1U);
    if (row.contains("count")) {
      EXPECT_EQ(row["of"], rows.front()["id"]);
    }
  }
  EXPECT_EQ(denials, 30U);
  EXPECT_EQ(lines, 2U);
  EXPECT_EQ(allowed, 5U);
}

TEST(EventLogTest, ARecordIsWordedWithThePolicyThatJudgedIt) {
  const Rig rig;
  const std::string one = "[[rules]]\nto = \"a.example\"\nname = \"old\"\n";
  const std::string two = "# A line more.\n[[rules]]\nto = \"a.example\"\nname = \"new\"\n";
  EventLogOptions options = rig.options();
  options.policy = rig.policy("events", one);
  {
    EventLog log(options);
    engine::FlowEvent event = make_event("a.example", engine::FlowVerdict::kAllow);
    event.rule = 0;
    event.policy = options.policy.get();
    log.add(0, event);
    const auto newer = rig.policy("events", two);
    log.set_policy(newer);
    event.policy = newer.get();
    log.add(0, event);
    event.policy = options.policy.get();  // A worker that has not gone over yet.
    log.add(0, event);
    log.start();
  }
  const auto rows = rig.rows();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["rule_name"], "old");
  EXPECT_EQ(rows[1]["rule_name"], "new");
  EXPECT_EQ(rows[2]["rule_name"], "old");
  EXPECT_NE(rows[0]["rule"], rows[1]["rule"]);
}

TEST(EventLogTest, AnotherPolicyMayNameOtherOutputs) {
  const Rig rig;
  {
    EventLog log(rig.options());
    log.start();
    log.add(0, make_event("a.example"));
    while (rig.rows().empty()) ::usleep(5'000);
    log.set_policy(rig.policy("elsewhere"));
    for (int i = 0; rig.rows("elsewhere").empty() && i < 500; ++i) {
      log.add(0, make_event(std::to_string(i) + ".example"));
      ::usleep(5'000);
    }
  }
  EXPECT_FALSE(rig.rows("elsewhere").empty());
  EXPECT_EQ(rig.rows()[0]["name"], "a.example");
}

TEST(EventLogTest, AnOutputThatHangsWhenItIsTakenAwayKeepsNobodyWaiting) {
  const Rig rig("fold = \"0s\"\n");
  std::atomic<bool> hangs{false}, let_go{false};
  EventLogOptions options = rig.options();
  const std::string nowhere = "unix:" + rig.file("nobody");
  options.policy = make_policy("[events]\noutput = \"" + nowhere + "\"\n");
  options.say = [&](const std::string& text) {
    if (text.find("nobody") == std::string::npos) return;
    hangs.store(true);
    while (!let_go.load()) ::usleep(1'000);
  };
  EventLog log(options);
  log.start();
  log.add(0, make_event("a.example"));
  while (!hangs.load()) ::usleep(1'000);
  log.set_policy(rig.policy("elsewhere"));
  for (int i = 0; rig.rows("elsewhere").empty() && i < 1'000; ++i) {
    log.add(0, make_event(std::to_string(i) + ".example"));
    ::usleep(5'000);
  }
  EXPECT_FALSE(rig.rows("elsewhere").empty()) << "the log goes on";
  auto asked = std::async(std::launch::async, [&] { return log.status().size() + log.dropped(); });
  EXPECT_EQ(asked.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  let_go.store(true);
}

TEST(EventLogTest, WhatAnOutputLosesWhileItEndsIsCountedOnce) {
  const Rig rig("fold = \"0s\"\n");
  EventLogOptions options = rig.options();
  options.policy = make_policy("[events]\noutput = \"unix:" + rig.file("nobody") + "\"\nfold = \"0s\"\n");
  EventLog log(options);
  for (int i = 0; i < 7; ++i) log.add(0, make_event(std::to_string(i) + ".example"));
  log.start();
  while (log.status()[0].value("error", "").empty()) ::usleep(1'000);
  log.set_policy(rig.policy("elsewhere"));
  for (int i = 0; log.dropped() < 7 && i < 1'000; ++i) ::usleep(5'000);
  EXPECT_EQ(log.dropped(), 7U);
  ::usleep(200'000);  // The log forgets the output.
  EXPECT_EQ(log.dropped(), 7U);
}

TEST(EventLogTest, TheObserverGetsEachRecordBeforeItIsFolded) {
  const Rig rig;
  std::vector<std::string> ids;
  {
    EventLog log(rig.options());
    log.set_observer([&](const EventRecord&, std::string_view id, const policy::Policy&) { ids.emplace_back(id); });
    log.start();
    for (int i = 0; i < 30; ++i) log.add(0, make_event("again.example"));
    engine::FlowEvent end = make_event("again.example");
    end.kind = engine::FlowEvent::Kind::kEnd;
    log.add(0, end);
  }
  EXPECT_EQ(std::ranges::count_if(ids, [](const std::string& id) { return !id.empty(); }), 30);
  EXPECT_EQ(std::ranges::count(ids, std::string()), 1) << "an end is no row";
}

TEST(EventLogTest, StandardOutputGetsWhatTheCommandLineAsksFor) {
  const Rig rig;
  const auto printed = [&](bool json, bool quiet, const char* output) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    EventLogOptions options = rig.options();
    options.policy = make_policy(std::string("[events]\noutput = ") + output + "\nfold = \"0s\"\n");
    options.json = json;
    options.quiet = quiet;
    options.standard_output = ends[1];
    {
      EventLog log(options);
      log.start();
      log.add(0, make_event("a.example"));
      log.add_event("reload", {{"cut", 2}});
    }
    ::close(ends[1]);
    std::string text(4'096, '\0');
    const ssize_t size = ::read(ends[0], text.data(), text.size());
    ::close(ends[0]);
    return text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  };
  EXPECT_THAT(printed(false, false, "\"stdout\""), HasSubstr("deny (name_not_allowed)\n"));
  EXPECT_THAT(printed(true, false, "\"stdout\""), HasSubstr("\"name\":\"a.example\""));
  EXPECT_THAT(printed(true, false, "[]"), HasSubstr("\"name\":\"a.example\"")) << "who asks for it, reads it";
  EXPECT_THAT(printed(false, false, R"({to = "stdout", format = "eve"})"), HasSubstr("\"event_type\":\"alert\""));
  EXPECT_EQ(printed(false, false, "[]"), "");
  const std::string quiet = printed(false, true, "\"stdout\"");
  EXPECT_THAT(quiet, HasSubstr("reload: cut=2"));
  EXPECT_THAT(quiet, ::testing::Not(HasSubstr("a.example")));
}

TEST(EventLogTest, FiftyThousandEventsASecondAreWorded) {
  const auto policy = make_policy("[scopes.a]\nusers = [1]\n");
  EventFormatter formatter(false);
  const EventRecord record = sallyport::testing::make_record({"www.example.com"});
  const ProcessFacts facts{.pid = 1, .process = "curl", .program = "/usr/bin/curl", .cgroup = "/a", .unit = "", .container_id = "", .container = ""};
  const EventRow row{record, "abc-1", *policy, policy::Mode::kEnforce, &facts, nullptr};
  // Of a thread's own time, since other tests run beside this one. Instrumented builds are slower, and not measured.
  timespec begin{}, end{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  constexpr int kEvents = 20'000;
  std::size_t size = 0;
  for (int i = 0; i < kEvents; ++i) size += json_line(formatter.fields(row)).size();
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  const double seconds = static_cast<double>(end.tv_sec - begin.tv_sec) + static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e9;
  EXPECT_GT(size, 0U);
  RecordProperty("events_per_second", std::to_string(kEvents / seconds));
  std::printf("%.0f events a second\n", kEvents / seconds);
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_GT(kEvents / seconds, 50'000);
#endif
}

}  // namespace
}  // namespace sallyport::daemon
