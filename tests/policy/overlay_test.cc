#include "sallyport/policy/overlay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "policy_support.h"
#include "sallyport/policy/duration.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kPolicy = R"(version = 1
[scopes.agent]
users = [1000]
[scopes.other]
users = [1001]
[[rules]]
to = ["known.example"]
action = "allow"
[[rules]]
to = [".denied.example"]
action = "deny"
)";

Timestamp now() {
  return std::chrono::system_clock::now();
}
constexpr auto kHour = std::chrono::hours(1);

Grant grant(std::string target, std::uint32_t id = 1) {
  Grant result;
  result.id = id;
  result.target = std::move(target);
  return result;
}

std::shared_ptr<const Policy> load(const Overlay& overlay, const char* text = kPolicy) {
  LoadResult loaded = load_policy_text(text, "policy.toml", overlay);
  if (loaded) return *loaded;
  for (const Problem& problem : loaded.error()) ADD_FAILURE() << problem.to_string();
  return nullptr;
}

PolicyMatch ask(const Policy& policy, std::string_view name, Protocol protocol = Protocol::kTls, std::uint16_t port = 443, ScopeSet scopes = 0,
                Timestamp when = now()) {
  const auto domain = DomainName::parse(name);
  FlowQuery query;
  query.scopes = scopes;
  query.protocol = protocol;
  query.destination = *IpAddress::parse("192.0.2.1");
  query.port = port;
  query.name = &*domain;
  query.now = when;
  query.bound = query.claimed = true;
  return policy.match(query);
}

std::string only_problem(const Overlay& overlay, const char* text = kPolicy) {
  const auto policy = load(overlay, text);
  if (policy == nullptr || policy->grant_problems().size() != 1) return "not one problem";
  return policy->grant_problems().front().message;
}

TEST(OverlayTest, AGrantIsARuleWithItsIdForAPlace) {
  const auto policy = load({{grant("new.example", 7)}, {}});
  const PolicyMatch match = ask(*policy, "new.example");
  EXPECT_EQ(match.action, Action::kAllow);
  EXPECT_EQ(policy->location(match.rule), "grant:7");
  EXPECT_THAT(policy->grant_problems(), IsEmpty());
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kSsh, 22).action, Action::kDeny);
  EXPECT_EQ(policy->location(ask(*policy, "known.example").rule), "policy.toml:6");
}

TEST(OverlayTest, EveryFormOfTargetIsTaken) {
  const auto policy = load({{grant("*.wild.example", 1), grant("203.0.113.0/24", 2), grant(".apex.example", 3), grant("any", 4)}, {}});
  EXPECT_THAT(policy->grant_problems(), IsEmpty());
  EXPECT_EQ(policy->location(ask(*policy, "a.wild.example").rule), "grant:1");
  EXPECT_EQ(policy->location(ask(*policy, "apex.example").rule), "grant:3");
}

TEST(OverlayTest, TheSpellingsOfATargetHaveOneNormalForm) {
  for (const auto& [spelling, normal] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Denied.TEST.", "denied.test"}, {"*.Denied.test", "*.denied.test"}, {".denied.test", ".denied.test"}, {"b\u00fccher.example", "xn--bcher-kva.example"},
           {"B\u00dcCHER.example", "xn--bcher-kva.example"}, {"192.0.2.1", "192.0.2.1/32"}, {"192.0.2.1/32", "192.0.2.1/32"}, {"2001:DB8:0::/32", "2001:db8::/32"},
           {"any", "any"}, {"10.0.0.1/8", "10.0.0.1/8"}, {"a..b", "a..b"}, {"", ""}}) {
    EXPECT_EQ(normal_target(spelling), normal) << spelling;
  }
}

TEST(OverlayTest, AGrantEndsAtItsTimeAndOneThatHasEndedIsNoRule) {
  Grant timed = grant("new.example", 1);
  timed.expires = now() + kHour;
  Grant ended = grant("old.example", 2);
  ended.expires = now() - std::chrono::seconds(1);
  const auto policy = load({{timed, ended}, {}});
  EXPECT_EQ(policy->rules().size(), 3U);
  EXPECT_EQ(ask(*policy, "new.example").action, Action::kAllow);
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kTls, 443, 0, *timed.expires).action, Action::kDeny);
}

TEST(OverlayTest, ProtocolsPortsAndScopeAreARules) {
  Grant narrow = grant("new.example");
  narrow.protocols = {"ssh", "tls"};
  narrow.ports = {"2222", "8000-8010"};
  narrow.scope = "agent";
  const auto policy = load({{narrow}, {}});
  EXPECT_THAT(policy->grant_problems(), IsEmpty());
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kSsh, 2222, 1).action, Action::kAllow);
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kTls, 8010, 1).action, Action::kAllow);
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kTls, 443, 1).action, Action::kDeny);
  EXPECT_EQ(ask(*policy, "new.example", Protocol::kTls, 8010, 2).action, Action::kDeny);
}

TEST(OverlayTest, ADenyGrantDeniesWhatTheFileAllows) {
  Grant deny = grant("known.example", 3);
  deny.action = Action::kDeny;
  const auto policy = load({{deny}, {}});
  const PolicyMatch match = ask(*policy, "known.example");
  EXPECT_EQ(match.action, Action::kDeny);
  EXPECT_EQ(policy->location(match.rule), "grant:3");
  EXPECT_THAT(policy->grant_problems(), IsEmpty());  // The rule of the file is no mistake because of it.
}

TEST(OverlayTest, WhatARuleRefusesAGrantRefusesInTheSameWords) {
  EXPECT_THAT(only_problem({{grant("*.*.example")}, {}}), HasSubstr("a wildcard may only be the first label"));
  EXPECT_THAT(only_problem({{grant("*.com")}, {}}), HasSubstr("is a public suffix"));
  EXPECT_THAT(only_problem({{grant("10.0.0.1/8")}, {}}), HasSubstr("10.0.0.1/8"));
  EXPECT_THAT(only_problem({{grant("")}, {}}), HasSubstr("rules[0].to"));
  Grant wrong = grant("new.example");
  wrong.protocols = {"tsl"};
  EXPECT_THAT(only_problem({{wrong}, {}}), HasSubstr("did you mean \"tls\"?"));
  wrong = grant("new.example");
  wrong.ports = {"0"};
  EXPECT_THAT(only_problem({{wrong}, {}}), HasSubstr("expected a port from 1 to 65535"));
  wrong = grant("new.example");
  wrong.scope = "agnet";
  EXPECT_THAT(only_problem({{wrong}, {}}), HasSubstr("no such scope; did you mean \"agent\"?"));
  wrong = grant("192.0.2.1");
  wrong.protocols = {"tcp"};
  EXPECT_THAT(only_problem({{wrong}, {}}), HasSubstr("\"ports\" is required"));
}

TEST(OverlayTest, AGrantThatCannotBeReadIsLeftOutAndTheRestStands) {
  const auto policy = load({{grant("*.*.x", 1), grant("new.example", 2)}, {}});
  ASSERT_THAT(policy->grant_problems(), SizeIs(1));
  EXPECT_EQ(policy->grant_problems().front().file, kGrantFile);
  EXPECT_EQ(policy->grant_problems().front().line, 1U);
  EXPECT_EQ(ask(*policy, "new.example").action, Action::kAllow);
}

TEST(OverlayTest, AGrantThatADenyRuleCoversIsSaidToAllowNothing) {
  EXPECT_THAT(only_problem({{grant("a.denied.example")}, {}}), HasSubstr("all of it is denied by rules[1] (policy.toml:9)"));
}

TEST(OverlayTest, TwoGrantsMaySayTheSame) {
  EXPECT_THAT(load({{grant("new.example", 1), grant("new.example", 2), grant("known.example", 3)}, {}})->grant_problems(), IsEmpty());
}

TEST(OverlayTest, SshToANameIsBoundWhateverTheDefaultIs) {
  Grant ssh = grant("new.example");
  ssh.protocols = {"ssh"};
  const auto policy = load({{ssh}, {}}, "version = 1\n[defaults]\nbind = \"any\"\n");
  EXPECT_THAT(policy->grant_problems(), IsEmpty());
  EXPECT_TRUE(policy->needs_bindings());
}

TEST(OverlayTest, TextOfAGrantIsNoToml) {
  const auto policy = load({{grant("a.example\"]\naction = \"allow\"\nto = [\"any")}, {}});
  EXPECT_THAT(policy->grant_problems(), SizeIs(1));
  EXPECT_EQ(ask(*policy, "b.example").action, Action::kDeny);
}

TEST(OverlayTest, ABypassIsForItsScopeAndItsTime) {
  const Timestamp end = now() + kHour;
  const auto policy = load({{}, {{1, "agent", end}}});
  EXPECT_TRUE(policy->bypassed(1, now()));
  EXPECT_TRUE(policy->bypassed(3, now()));
  EXPECT_FALSE(policy->bypassed(2, now()));
  EXPECT_FALSE(policy->bypassed(0, now()));
  EXPECT_FALSE(policy->bypassed(1, end));
  EXPECT_TRUE(load({{}, {{1, "", end}}})->bypassed(0, now()));
  EXPECT_TRUE(load({{}, {{1, "none", end}}})->bypassed(0, now()));
  EXPECT_FALSE(load({{}, {{1, "none", end}}})->bypassed(1, now()));
  EXPECT_FALSE(load({})->bypassed(1, now()));
  // Whose owner is not known is in no scope for certain.
  EXPECT_FALSE(policy->bypassed(kUnknownOwner, now()));
  EXPECT_THAT(only_problem({{}, {{1, "agnet", end}}}), HasSubstr("did you mean \"agent\"?"));
}

TEST(OverlayTest, TheFingerprintHasTheOverlayInIt) {
  const Timestamp end = now() + kHour;
  const std::uint64_t bare = load({})->fingerprint();
  EXPECT_EQ(bare, load_policy_text(kPolicy, "policy.toml").value()->fingerprint());
  EXPECT_NE(bare, load({{grant("new.example")}, {}})->fingerprint());
  EXPECT_NE(bare, load({{}, {{1, "agent", end}}})->fingerprint());
  EXPECT_NE(load({{}, {{1, "other", end}}})->fingerprint(), load({{}, {{1, "agent", end}}})->fingerprint());
}

class PolicySourceTest : public testing::Test {
 protected:
  PolicySourceTest() {
    char folder[] = "/tmp/sallyport-source-XXXXXX";
    folder_ = ::mkdtemp(folder);
  }
  ~PolicySourceTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  std::filesystem::path folder_;
};

TEST_F(PolicySourceTest, AGrantAppliesToTheTextThatLastLoaded) {
  write("policy.toml", "version = 1\ninclude = [\"more.toml\"]\n");
  write("more.toml", "version = 1\n[[rules]]\nto = [\"one.example\"]\naction = \"allow\"\n");
  PolicySource source(folder_ / "policy.toml");
  ASSERT_TRUE(source.load({}));
  source.accept();
  write("policy.toml", "version = 1\nthis is broken");
  EXPECT_FALSE(source.load({}));
  std::filesystem::remove(folder_ / "more.toml");
  const auto applied = source.apply({{grant("new.example")}, {}});
  ASSERT_TRUE(applied);
  EXPECT_EQ(ask(**applied, "one.example").action, Action::kAllow);
  EXPECT_EQ(ask(**applied, "new.example").action, Action::kAllow);
}

TEST_F(PolicySourceTest, AnEditIsNotInForceBeforeItIsLoaded) {
  write("policy.toml", "version = 1\n");
  PolicySource source(folder_ / "policy.toml");
  ASSERT_TRUE(source.load({}));
  source.accept();
  write("policy.toml", "version = 1\n[[rules]]\nto = [\"one.example\"]\naction = \"allow\"\n");
  EXPECT_EQ(ask(*source.apply({}).value(), "one.example").action, Action::kDeny);
  EXPECT_EQ(ask(*source.load({}).value(), "one.example").action, Action::kAllow);
  EXPECT_EQ(ask(*source.apply({}).value(), "one.example").action, Action::kDeny) << "nobody said that it is in force";
  source.accept();
  EXPECT_EQ(ask(*source.apply({}).value(), "one.example").action, Action::kAllow);
}

TEST(DurationTest, HasANumberAndAUnit) {
  const Duration most = std::chrono::hours(24);
  EXPECT_EQ(parse_duration("500ms", most), std::chrono::milliseconds(500));
  EXPECT_EQ(parse_duration("90s", most), std::chrono::seconds(90));
  EXPECT_EQ(parse_duration("10m", most), std::chrono::minutes(10));
  EXPECT_EQ(parse_duration("1d", most), std::chrono::hours(24));
  for (const char* wrong : {"", "10", "m", "-1m", "1.5h", "1h30m", "25h", "2d", "10 m", "99999999999s", "0x5s"}) {
    EXPECT_FALSE(parse_duration(wrong, most)) << wrong;
  }
}

TEST(DurationTest, IsWrittenWithItsTwoLargestUnits) {
  EXPECT_EQ(duration_text(std::chrono::milliseconds(300)), "0s");
  EXPECT_EQ(duration_text(std::chrono::seconds(59)), "59s");
  EXPECT_EQ(duration_text(std::chrono::seconds(605)), "10m 5s");
  EXPECT_EQ(duration_text(std::chrono::seconds(600)), "10m");
  EXPECT_EQ(duration_text(std::chrono::hours(51) + std::chrono::seconds(5)), "2d 3h");
  EXPECT_EQ(duration_text(std::chrono::hours(24) + std::chrono::seconds(5)), "1d");
}

}  // namespace
}  // namespace sallyport::policy
