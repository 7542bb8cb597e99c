#include "sallyport/learn/learner.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "sallyport/policy/policy_file.h"
#include "sallyport/replay/replay.h"

namespace sallyport::testing {
namespace {

using learn::Learned;
using learn::LearnOptions;
using ::testing::HasSubstr;
using ::testing::Not;

std::filesystem::path capture(std::string_view name) {
  return std::filesystem::path(SALLYPORT_SOURCE_DIR) / "pcaps" / name / "input.pcap";
}

Learned learned_from(std::string_view name, const std::function<void(LearnOptions&)>& change = {}) {
  LearnOptions options;
  options.captures = {capture(name)};
  options.jobs = 1;
  if (change) change(options);
  auto learned = learn::learn(options);
  if (learned) return *learned;
  ADD_FAILURE() << name << ": " << learned.error().front().to_string();
  return {};
}

using Rows = std::multiset<std::pair<std::uint64_t, bool>>;  // A flow may be denied several times.

// denied_rows replays a capture under a policy, without the learner's own judgement.
Rows denied_rows(const std::filesystem::path& file, const std::string& policy) {
  const auto loaded = policy::load_policy_text(policy, "learned");
  if (!loaded) {
    ADD_FAILURE() << file << ": " << loaded.error().front().to_string() << '\n' << policy;
    return {};
  }
  replay::ReplayOptions options;
  options.policy = *loaded;
  std::atomic<std::uint64_t> read{0};
  Rows rows;
  for (const replay::FlowRow& row : replay::replay_capture(file, options, read).flows) {
    if (row.verdict == engine::FlowVerdict::kDeny) rows.emplace(row.flow, row.turned);
  }
  return rows;
}

std::string without(const Learned& learned, std::size_t left_out) {
  std::string text = learned.head;
  for (std::size_t i = 0; i < learned.rules.size(); ++i) {
    if (i != left_out) text += '\n' + learned.rules[i];
  }
  return text;
}

TEST(LearnerTest, EveryCaseIsAllowedButForWhatIsListedAndNeedsEveryRule) {
  std::size_t cases = 0, rules = 0;
  for (const auto& folder : std::filesystem::directory_iterator(std::filesystem::path(SALLYPORT_SOURCE_DIR) / "pcaps")) {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().stem() != "input") continue;
      SCOPED_TRACE(file.path().string());
      LearnOptions options;
      options.captures = {file.path()};
      options.jobs = 1;
      const auto learned = learn::learn(options);
      ASSERT_TRUE(learned) << learned.error().front().to_string();
      EXPECT_TRUE(learned->verified);
      EXPECT_TRUE(learned->minimal);
      const Rows denied = denied_rows(file.path(), learned->policy);
      std::uint64_t listed = 0;
      for (const learn::NotLearned& one : learned->not_learned) listed += one.flows;
      std::set<std::uint64_t> flows;
      for (const auto& [flow, turned] : denied) flows.insert(flow);
      EXPECT_EQ(flows.size(), listed) << learned->policy;
      for (std::size_t i = 0; i < learned->rules.size(); ++i) {
        const Rows more = denied_rows(file.path(), without(*learned, i));
        EXPECT_FALSE(std::ranges::includes(denied, more)) << "nothing needs\n" << learned->rules[i];
      }
      ++cases;
      rules += learned->rules.size();
    }
  }
  EXPECT_GE(cases, 150u);
  EXPECT_GE(rules, 150u);
}

TEST(LearnerTest, TheSameCapturesGiveTheSameText) {
  const LearnOptions options;
  EXPECT_EQ(learned_text(learned_from("http-keepalive-second-host-denied"), options),
            learned_text(learned_from("http-keepalive-second-host-denied"), options));
}

TEST(LearnerTest, ANameWhoseAnswerWasSeenIsStrict) {
  const Learned learned = learned_from("address-rotates");
  EXPECT_THAT(learned.policy, HasSubstr("to = [\"rotated.test\"]\nprotocols = [\"tls\"]\n"));
  EXPECT_THAT(learned.policy, HasSubstr("resolvers = [\"10.91.9.2\"]"));
  EXPECT_THAT(learned.policy, Not(HasSubstr("bind")));
}

TEST(LearnerTest, ANameWithoutAnAnswerIsTakenAsClaimedAndSaysSo) {
  const Learned learned = learned_from("tls-allowed");
  EXPECT_THAT(learned.policy, HasSubstr("bind = \"any\"\n"));
  EXPECT_THAT(learned.policy, HasSubstr("# No answer that was seen"));
}

TEST(LearnerTest, AnFtpDataConnectionNeedsNoRule) {
  EXPECT_THAT(learned_from("ftp-passive").policy, Not(HasSubstr("40041")));
}

TEST(LearnerTest, APeerOfAStunServerNeedsTheServersRuleAlone) {
  const Learned learned = learned_from("webrtc-peer");
  ASSERT_EQ(learned.rules.size(), 1u);
  EXPECT_THAT(learned.rules.front(), HasSubstr("ice = \"allow\"\n"));
}

TEST(LearnerTest, AProxyIsOneAndWhatItIsAskedForHasRulesOfItsOwn) {
  const Learned learned = learned_from("proxy-connect");
  EXPECT_THAT(learned.policy, HasSubstr("ports = [3128]\nproxy = true\n"));
  EXPECT_THAT(learned.policy, HasSubstr("to = [\"allowed.test\"]\nprotocols = [\"tls\"]\n"));
}

TEST(LearnerTest, PingsHaveTheLargestPayloadThatWasSeen) {
  EXPECT_THAT(learned_from("icmp-echo-by-rule").policy, HasSubstr("icmp_payload = 57\n"));
}

TEST(LearnerTest, WhatTwoReadersReadDifferentlyIsListedAndNotAllowed) {
  const Learned learned = learned_from("http-two-hosts");
  EXPECT_TRUE(learned.rules.empty());
  ASSERT_EQ(learned.not_learned.size(), 1u);
  EXPECT_THAT(learned.not_learned.front().text, HasSubstr("ambiguous"));
}

TEST(LearnerTest, HostKeysArePinnedWhereAsked) {
  EXPECT_THAT(learned_from("ssh-two-names-one-port").policy, HasSubstr("\n# host_keys = [\"SHA256:"));
  const Learned pinned = learned_from("ssh-two-names-one-port", [](LearnOptions& options) { options.pin_host_keys = true; });
  EXPECT_THAT(pinned.policy, HasSubstr("\nhost_keys = [\"SHA256:"));
  EXPECT_TRUE(denied_rows(capture("ssh-two-names-one-port"), pinned.policy).empty());
}

TEST(LearnerTest, AScopeHasTheClientsThatWereSeen) {
  const Learned learned = learned_from("tls-allowed", [](LearnOptions& options) { options.scope = "agent"; });
  EXPECT_THAT(learned.policy, HasSubstr("[scopes.agent]\nsources = [\"10.91.0.1\"]\n"));
  EXPECT_THAT(learned.policy, HasSubstr("scope = \"agent\"\n"));
  EXPECT_TRUE(denied_rows(capture("tls-allowed"), learned.policy).empty());
}

TEST(LearnerTest, ADiffAgainstItselfIsEmptyAndAgainstAnotherIsWhatIsMissing) {
  const auto running = std::filesystem::path(SALLYPORT_SOURCE_DIR) / "pcaps/tls-allowed/policy.toml";
  const auto diff = [&](LearnOptions& options) { options.running = running; };
  const Learned same = learned_from("tls-allowed", diff);
  EXPECT_TRUE(same.policy.empty()) << same.policy;
  EXPECT_TRUE(same.unused.empty());
  const Learned other = learned_from("http-denied", diff);
  EXPECT_THAT(other.policy, HasSubstr("denied.test"));
  EXPECT_THAT(other.policy, Not(HasSubstr("version")));
  ASSERT_EQ(other.unused.size(), 1u);
  EXPECT_THAT(other.unused.front(), HasSubstr("policy.toml:"));
}

TEST(LearnerTest, ADiffForAPolicyThatTakesNamesAsClaimedHasStrictRules) {
  const auto running = std::filesystem::path(SALLYPORT_SOURCE_DIR) / "pcaps/tls-allowed/policy.toml";
  const Learned learned = learned_from("amqp-by-name", [&](LearnOptions& options) { options.running = running; });
  EXPECT_TRUE(learned.verified);
  EXPECT_THAT(learned.policy, HasSubstr("protocols = [\"amqp\"]"));
}

learn::Sighting event(std::string name, std::string_view address = "192.0.2.1") {
  learn::Sighting event;
  event.key.transport = Transport::kTcp;
  event.key.server = {*IpAddress::parse(address), 443};
  event.protocol = Protocol::kTls;
  event.names = {name};
  event.name = std::move(name);
  event.verdict = engine::FlowVerdict::kDeny;
  event.reason = Reason::kNameNotAllowed;
  return event;
}

TEST(LearnerTest, WhatAnEnforcingServiceDeniedIsLeftOutUnlessAskedFor) {
  LearnOptions options;
  options.events = {event("a.example"), event("b.example")};
  options.events.back().enforced = true;
  const auto learned = learn::learn(options);
  ASSERT_TRUE(learned);
  EXPECT_THAT(learned->policy, HasSubstr("a.example"));
  EXPECT_THAT(learned->policy, Not(HasSubstr("b.example")));
  EXPECT_EQ(learned->skipped, 1u);
  options.denied = true;
  EXPECT_THAT(learn::learn(options)->policy, HasSubstr("b.example"));
}

TEST(LearnerTest, WhatEventsNeedIsKeptBesideACaptureThatDoesNot) {
  const Learned learned = learned_from("tls-allowed", [](LearnOptions& options) {
    options.events = {event("seen.example"), event("asked.example")};
    options.events.back().protocol = Protocol::kDns;
    options.events.back().key.server.port = 53;
  });
  EXPECT_TRUE(learned.verified);
  EXPECT_THAT(learned.policy, HasSubstr("seen.example"));
  EXPECT_THAT(learned.policy, HasSubstr("to = [\"asked.example\"]\nprotocols = [\"dns\"]\n"));
  EXPECT_TRUE(denied_rows(capture("tls-allowed"), learned.policy).empty());
}

TEST(LearnerTest, ALookUpThatADnsRuleOfTheRunningPolicyHasIsNotMissing) {
  const std::filesystem::path running = std::filesystem::path(::testing::TempDir()) / "running-with-dns-rule.toml";
  std::ofstream(running) << "version = 1\n[[rules]]\nto = [\"asked.example\"]\nprotocols = [\"dns\"]\naction = \"allow\"\n";
  LearnOptions options;
  options.running = running;
  options.events = {event("asked.example")};
  options.events.front().protocol = Protocol::kDns;
  options.events.front().key.server.port = 53;
  const auto same = learn::learn(options);
  ASSERT_TRUE(same) << same.error().front().to_string();
  EXPECT_EQ(same->policy, "");
  EXPECT_TRUE(same->unused.empty());
  options.events.push_back(event("other.example"));
  options.events.back().protocol = Protocol::kDns;
  options.events.back().key.server.port = 53;
  const auto more = learn::learn(options);
  ASSERT_TRUE(more) << more.error().front().to_string();
  EXPECT_THAT(more->policy, HasSubstr("to = [\"other.example\"]\nprotocols = [\"dns\"]\n"));
  EXPECT_THAT(more->policy, Not(HasSubstr("asked.example")));
}

TEST(LearnerTest, NamesFoldWhereEnoughShareAParentThatIsNoPublicSuffix) {
  LearnOptions options;
  for (const char* name : {"a.x.example", "b.x.example", "c.d.x.example", "c.x.example", "a.co.uk", "b.co.uk", "c.co.uk",
                           "a.github.io", "b.github.io", "c.github.io", "x.example"}) {
    options.events.push_back(event(name));
  }
  EXPECT_THAT(learn::learn(options)->policy, Not(HasSubstr("*")));
  options.fold = 3;
  const std::string folded = learn::learn(options)->policy;
  EXPECT_THAT(folded, HasSubstr("\"*.x.example\""));
  EXPECT_THAT(folded, HasSubstr("\"x.example\""));  // The parent is not below itself.
  EXPECT_THAT(folded, Not(HasSubstr("d.x.example")));
  EXPECT_THAT(folded, Not(HasSubstr("*.co.uk")));
  EXPECT_THAT(folded, Not(HasSubstr("*.github.io")));
  options.fold = 4;
  EXPECT_THAT(learn::learn(options)->policy, Not(HasSubstr("*.x.example")));
}

TEST(LearnerTest, HostileNamesStayInCommentsAndAreEscapedThere) {
  LearnOptions options;
  options.events = {event("a\"]\n[[rules]]\nto = \"any\"\x1b[31m")};
  options.events.front().owner = "root\n[[rules]]\nto = \"any\"";
  options.events.front().where = "x\ny";
  const auto learned = learn::learn(options);
  ASSERT_TRUE(learned);
  const std::string text = learned_text(*learned, options);
  const auto loaded = policy::load_policy_text(text, "learned");
  ASSERT_TRUE(loaded) << text;
  ASSERT_EQ((*loaded)->rules().size(), 1u);
  EXPECT_THAT(learned->rules.front(), HasSubstr("to = [\"192.0.2.1\"]"));
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << static_cast<int>(c);
}

TEST(LearnerTest, ANameThatIsAWordOfThePolicyIsNotWritten) {
  // "any" is a host name, and in a rule it is every flow.
  for (const Protocol protocol : {Protocol::kTls, Protocol::kDns}) {
    LearnOptions options;
    options.events = {event("any")};
    options.events.front().protocol = protocol;
    options.events.front().key.server.port = protocol == Protocol::kDns ? 53 : 443;
    const auto learned = learn::learn(options);
    ASSERT_TRUE(learned);
    EXPECT_THAT(learned->policy, Not(HasSubstr("\"any\"")));
  }
}

}  // namespace
}  // namespace sallyport::testing
