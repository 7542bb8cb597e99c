#include "sallyport/advice/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "sallyport/advice/reason_text.h"
#include "sallyport/replay/replay.h"

namespace sallyport::advice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Timestamp kNow{std::chrono::seconds(1'800'000'000)};

std::shared_ptr<const policy::Policy> load(const std::string& text) {
  auto loaded = policy::load_policy_text("version = 1\n" + text, "p.toml");
  if (loaded) return *loaded;
  for (const auto& problem : loaded.error()) ADD_FAILURE() << problem.to_string();
  return policy::embedded_policy();
}

Question tls_to(const std::string& name, std::uint16_t port = 443) {
  Question question;
  question.protocol = Protocol::kTls;
  question.name = DomainName::parse(name);
  question.shown_name = name;
  question.port = port;
  question.now = kNow;
  return question;
}

Explanation explained(const std::string& text, const Question& question) {
  const auto policy = load(text);
  RuleTexts texts(*policy);
  return explain(*policy, question, texts, [&](const std::string& more) { return policy::load_policy_text("version = 1\n" + text + "\n" + more, "p.toml"); });
}

TEST(ReasonTextTest, EveryReasonHasAMeaningAndSomethingToDo) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    const ReasonText& text = text_of(static_cast<Reason>(i));
    EXPECT_GE(text.meaning.size(), 15u) << kReasonInfo[i].word;
    EXPECT_GE(text.to_do.size(), 5u) << kReasonInfo[i].word;
    EXPECT_THAT(text.meaning + text.to_do, Not(HasSubstr("`"))) << kReasonInfo[i].word;
    EXPECT_THAT(text.meaning + text.to_do, Not(HasSubstr("]("))) << kReasonInfo[i].word;
  }
}

TEST(ExplanationTest, NamesTheRuleThatAllows) {
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\n", tls_to("a.test"));
  EXPECT_TRUE(out.allowed());
  EXPECT_EQ(out.rule.location, "p.toml:2");
  EXPECT_TRUE(out.suggestion.toml.empty());
}

TEST(ExplanationTest, SaysWhichPortTheNearestRuleIsFor) {
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\n", tls_to("a.test", 8443));
  EXPECT_EQ(out.verdict, engine::FlowVerdict::kDeny);
  ASSERT_EQ(out.nearest.size(), 1u);
  EXPECT_EQ(out.nearest[0].why_not, "it is for port 443, not 8443");
  EXPECT_EQ(out.suggestion.toml, "[[rules]]\nto = [\"a.test\"]\nprotocols = [\"tls\"]\nports = [8443]\n");
  EXPECT_TRUE(out.suggestion.proven);
}

TEST(ExplanationTest, APingThatOnlyOtherProtocolsAreAllowedForIsOfTheWrongTransport) {
  Question ping = tls_to("a.test", 0);
  ping.transport = Transport::kIcmp;
  ping.protocol = Protocol::kIcmp;
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\n", ping);
  EXPECT_EQ(out.verdict, engine::FlowVerdict::kDeny);
  EXPECT_EQ(out.reason, Reason::kTransportNotAllowed);
  for (const auto& each : out.nearest) EXPECT_THAT(each.why_not, Not(HasSubstr("not 0")));
  const auto other = explained("[[rules]]\nto = [\"a.test\"]\nprotocols = [\"icmp\"]\nexpires = 2020-01-01T00:00:00Z\n[[rules]]\nto = [\"a.test\"]\n", ping);
  EXPECT_EQ(other.reason, Reason::kTransportNotAllowed) << "a rule that has expired is none";
}

TEST(ExplanationTest, BeforeAQuestionIsReadPort53IsOpenToResolvers) {
  Question question = tls_to("a.test", 53);
  question.transport = Transport::kUdp;
  question.protocol = Protocol::kDns;
  question.address = IpAddress::parse("192.0.2.53");
  question.bound = true;
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\n", question);
  EXPECT_TRUE(out.allowed());
  for (const auto& step : out.steps) EXPECT_THAT(step.text, Not(HasSubstr("no rule can allow"))) << step.title;
}

TEST(ExplanationTest, SaysThatARuleHasTheNamesBelow) {
  const auto out = explained("[[rules]]\nto = [\"*.a.test\"]\n", tls_to("a.test"));
  ASSERT_EQ(out.nearest.size(), 1u);
  EXPECT_EQ(out.nearest[0].why_not, "it has the names below a.test, not a.test itself");
}

TEST(ExplanationTest, SaysThatTheAddressIsNotTheNames) {
  Question question = tls_to("a.test");
  question.address = IpAddress::parse("203.0.113.9");
  question.bound = false;
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\n", question);
  EXPECT_EQ(out.reason, Reason::kAddressNotBound);
  ASSERT_EQ(out.nearest.size(), 1u);
  EXPECT_EQ(out.nearest[0].changes[0].fact, policy::Fact::kBinding);
  EXPECT_THAT(out.suggestion.toml, HasSubstr("bind = \"any\""));
  EXPECT_TRUE(out.suggestion.proven);
}

TEST(ExplanationTest, SaysScopeAndExpiryTogether) {
  const std::string text =
      "[scopes.agent]\nsources = [\"10.0.0.0/8\"]\n[[rules]]\nto = [\"a.test\"]\nscope = \"agent\"\nexpires = 2026-01-01T00:00:00Z\n";
  const auto out = explained(text, tls_to("a.test"));
  ASSERT_EQ(out.nearest.size(), 1u);
  EXPECT_EQ(out.nearest[0].why_not, "it is for scope agent, and the flow is in none, and it expired at 2026-01-01T00:00:00Z");
}

TEST(ExplanationTest, SaysWhatARequestLacks) {
  Question question = tls_to("a.test", 80);
  question.protocol = Protocol::kHttp;
  question.request = Request{.method = "POST", .path = "/v1/x"};
  const auto out = explained("[[rules]]\nto = [\"a.test\"]\nprotocols = [\"http\"]\nmethods = [\"GET\"]\n", question);
  EXPECT_EQ(out.reason, Reason::kMethodNotAllowed);
  ASSERT_EQ(out.nearest.size(), 1u);
  EXPECT_EQ(out.nearest[0].why_not, "it allows GET, not POST");
  EXPECT_TRUE(out.suggestion.proven);
}

TEST(ExplanationTest, OffersNoRuleWhereADenyRuleWins) {
  const auto out = explained("[[rules]]\nto = [\"*.a.test\"]\n[[rules]]\nto = [\"b.a.test\"]\naction = \"deny\"\n", tls_to("b.a.test"));
  EXPECT_EQ(out.rule.location, "p.toml:4");
  EXPECT_TRUE(out.suggestion.toml.empty());
  EXPECT_THAT(out.suggestion.note, HasSubstr("p.toml:4 must be narrowed or go"));
  EXPECT_THAT(out.notes, ::testing::Contains("Without the deny rule an allow rule would allow it."));
}

TEST(ExplanationTest, QuicThatTheDefaultsDenyHasNoRule) {
  Question question = tls_to("a.test");
  question.protocol = Protocol::kQuic;
  question.transport = Transport::kUdp;
  const auto out = explained("[defaults]\nquic = \"deny\"\n[[rules]]\nto = [\"a.test\"]\n", question);
  EXPECT_EQ(out.reason, Reason::kQuicDenied);
  EXPECT_TRUE(out.suggestion.toml.empty());
}

TEST(ExplanationTest, HostileNamesMoveNoTerminalAndBreakNoJson) {
  Question question = tls_to("a.test");
  question.name.reset();
  question.shown_name = "\x1b[31m\"evil\xff</script>";
  const auto out = explained("", question);
  const std::string text = to_text(out, {});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\\x1b[31m\"evil\\xff"));
  EXPECT_TRUE(nlohmann::json::parse(to_json(out)).is_object());
}

TEST(ExplanationTest, TextIsAsRecorded) {
  const auto out = explained("[[rules]]\nname = \"mirror\"\nto = [\"a.test\"]\n", tls_to("a.test", 8443));
  EXPECT_EQ(to_text(out, {}), R"(deny  tls to a.test, TCP port 8443

  scope            the policy has none: every rule is for every flow
  deny rules       none has the name or the address
  allow rules      p.toml:2: it is for port 443, not 8443
  address          taken for granted here: the address is one that a trusted resolver gave for
                   the name
  default          no rule decides; [defaults] action is "deny"
  verdict          deny: no rule allows this protocol to this destination

why: protocol_not_allowed
  meaning          A rule covers the destination but not with this protocol: ssh on port 443 is
                   not tls. Or the client spoke SSH and the server does not.
  to do            Add the protocol to the rule, or the port if that is another than the rule's.

the nearest rule
  p.toml:2         it is for port 443, not 8443

a rule that allows it (tried: it does)
      [[rules]]
      to = ["a.test"]
      protocols = ["tls"]
      ports = [8443]
)");
}

TEST(QuestionTest, ReadsAnEventLine) {
  const auto policy = load("[scopes.agent]\nsources = [\"10.0.0.0/8\"]\n");
  const auto question = question_of_json(
      R"({"v":1,"id":"x-1","time":1790000000.5,"proto":"tcp","src":"10.0.0.7","sport":4000,"dst":"203.0.113.7","dport":443,"protocol":"tls",)"
      R"("name":"a.test","verdict":"deny","reason":"address_not_bound","rule":"default"})", *policy);
  ASSERT_TRUE(question) << question.error();
  EXPECT_EQ(question->protocol, Protocol::kTls);
  EXPECT_EQ(question->name->text(), "a.test");
  EXPECT_EQ(question->scopes, 1u);
  EXPECT_FALSE(question->bound);
  EXPECT_EQ(question->outcome->reason, Reason::kAddressNotBound);
}

TEST(QuestionTest, RefusesWhatIsNoFlow) {
  const auto policy = load("");
  for (const char* line : {"", "[]", "{}", "nonsense", R"({"proto":"tcp","dst":"nowhere"})", R"({"proto":1,"dst":2})"}) {
    EXPECT_FALSE(question_of_json(line, *policy)) << line;
  }
}

// random_policy and random_question keep to few values, so that they meet.
class RandomPolicyTest : public ::testing::TestWithParam<unsigned> {};

template <typename T>
T pick(std::mt19937& random, std::initializer_list<T> of) {
  return *(of.begin() + static_cast<std::ptrdiff_t>(random() % of.size()));
}

std::string random_policy(std::mt19937& random) {
  std::string text = random() % 4 == 0 ? "[defaults]\nbind = \"any\"\n" : "";
  text += "[scopes.a]\nsources = [\"10.0.0.0/8\"]\n[scopes.b]\nsources = [\"172.16.0.0/12\"]\n";
  for (std::size_t i = 0, count = random() % 6; i < count; ++i) {
    text += "[[rules]]\nto = [\"" + pick<std::string>(random, {"a.test", "*.a.test", ".b.test", "c.b.test", "203.0.113.0/24", "203.0.113.7"}) + "\"]\n";
    text += "protocols = [\"" + pick<std::string>(random, {"tls", "quic", "http", "ssh", "tcp", "udp", "dns"}) + "\"]\nports = [" +
            pick<std::string>(random, {"443", "80, 8080", "22", "1000-2000"}) + "]\n";
    if (random() % 3 == 0) text += "scope = \"" + pick<std::string>(random, {"a", "b", "none"}) + "\"\n";
    if (random() % 4 == 0) text += "expires = " + pick<std::string>(random, {"2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"}) + "\n";
    if (random() % 5 == 0) text += "action = \"deny\"\n";
  }
  return text;
}

Question random_question(std::mt19937& random) {
  Question question = tls_to(pick<std::string>(random, {"a.test", "x.a.test", "b.test", "c.b.test", "other.test"}));
  question.protocol = pick(random, {Protocol::kTls, Protocol::kQuic, Protocol::kHttp, Protocol::kSsh, Protocol::kUnknown, Protocol::kDns});
  question.transport = question.protocol == Protocol::kQuic ? Transport::kUdp : Transport::kTcp;
  if (random() % 5 == 0) question.name.reset();
  if (random() % 2 == 0) question.address = IpAddress::parse(pick<std::string_view>(random, {"203.0.113.7", "198.51.100.1"}));
  question.port = pick<std::uint16_t>(random, {443, 80, 22, 1500, 9});
  question.scopes = pick<policy::ScopeSet>(random, {0, 1, 2, 3});
  question.bound = random() % 3 != 0;
  return question;
}

// The verdict is the matcher's, each near miss is a rule that does not allow, and what is offered as proven allows when it is
// loaded and asked for itself.
TEST_P(RandomPolicyTest, ExplainsWhatMatchSaysAndOffersWhatAllows) {
  std::mt19937 random(GetParam());
  std::size_t denied = 0, proven = 0;
  for (int round = 0; round < 40; ++round) {
    const std::string text = random_policy(random);
    const auto loaded = policy::load_policy_text("version = 1\n" + text, "p.toml");
    if (!loaded) continue;  // A rule that repeats another is an error of its own.
    RuleTexts texts(**loaded);
    const auto with = [&](const std::string& more) { return policy::load_policy_text("version = 1\n" + text + "\n" + more, "p.toml"); };
    for (int i = 0; i < 25; ++i) {
      const Question question = random_question(random);
      const Explanation out = explain(**loaded, question, texts, with);
      const Answer answer = ask(**loaded, question);
      ASSERT_EQ(out.allowed(), answer.match.action == policy::Action::kAllow) << text << out.subject;
      if (out.allowed()) continue;
      ++denied;
      for (const NearRule& near : out.nearest) {
        EXPECT_FALSE(near.changes.empty());
        EXPECT_EQ(policy::terms_of(**loaded, near.rule.id).action, policy::Action::kAllow);
      }
      if (answer.match.rule != kNoRule) {
        EXPECT_TRUE(out.suggestion.toml.empty());
        continue;
      }
      if (out.suggestion.toml.empty()) {
        EXPECT_FALSE(question.address || (question.name && question.bound)) << text << out.subject;
        continue;
      }
      const auto more = with(out.suggestion.toml);
      ASSERT_TRUE(more) << out.suggestion.toml << more.error().front().to_string();
      EXPECT_TRUE(out.suggestion.proven) << text << "\n" << out.subject << "\n" << out.suggestion.toml;
      EXPECT_EQ(ask(**more, question).match.action, policy::Action::kAllow) << text << out.suggestion.toml;
      proven += out.suggestion.proven ? 1 : 0;
    }
  }
  EXPECT_GT(denied, 100u);
  EXPECT_GT(proven, 80u);
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomPolicyTest, ::testing::Range(1u, 9u));

// What the inspector said of the flows of every case in pcaps/ is what the explanation finds the rules to say, wherever a
// verdict is the rules' and the row has all that they went by.
TEST(ExplanationTest, AgreesWithTheInspectorOverEveryCase) {
  std::size_t compared = 0, agree = 0;
  for (const auto& folder : std::filesystem::directory_iterator(SALLYPORT_SOURCE_DIR "/pcaps")) {
    const auto loaded = policy::load_policy_file(folder.path() / "policy.toml");
    if (!loaded || !std::filesystem::exists(folder.path() / "input.pcap")) continue;
    replay::ReplayOptions options;
    options.policy = *loaded;
    std::atomic<std::uint64_t> bytes = 0;
    RuleTexts texts(**loaded);
    const auto rows = replay::replay_capture(folder.path() / "input.pcap", options, bytes).flows;
    for (const replay::FlowRow& row : rows) {
      const Question question = question_of_flow(row, **loaded);
      const Explanation out = explain(**loaded, question, texts, {});
      EXPECT_EQ(out.verdict, row.verdict);
      EXPECT_FALSE(to_text(out, {}).empty());
      const bool by_rules = row.reason == Reason::kRuleAllows || row.reason == Reason::kRuleDenies || row.reason == Reason::kNameNotAllowed ||
                            row.reason == Reason::kProtocolNotAllowed || row.reason == Reason::kMethodNotAllowed || row.reason == Reason::kNoName;
      const bool through_proxy = std::ranges::any_of(row.details, [](const auto& one) { return one.first == engine::Detail::kProxyTarget; });
      // The row of a flow that turns has the facts of both verdicts; that a server does not speak SSH is in none.
      const bool turns = std::ranges::any_of(rows, [&](const auto& other) { return other.turned && other.flow == row.flow; });
      const bool server_side = row.protocol == Protocol::kSsh && row.reason == Reason::kProtocolNotAllowed;
      if (!by_rules || turns || through_proxy || server_side) continue;
      ++compared;
      const Answer answer = ask(**loaded, question);
      const bool same = (answer.match.action == policy::Action::kAllow) == (row.verdict == engine::FlowVerdict::kAllow);
      agree += same ? 1 : 0;
      EXPECT_TRUE(same) << folder.path().filename() << " flow " << row.flow << ": " << out.subject << ", " << to_string(row.reason) << " / " << to_string(answer.reason);
    }
  }
  EXPECT_GT(compared, 120u);
}

}  // namespace
}  // namespace sallyport::advice
