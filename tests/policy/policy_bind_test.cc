// Names count at addresses that belong to them; what is asked of names alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Timestamp kNow = Timestamp(std::chrono::seconds(1'800'000'000));

DomainName name_of(std::string_view text) {
  return DomainName::parse(text).value();
}

std::vector<std::string> texts(const std::vector<DomainName>& names) {
  std::vector<std::string> out;
  for (const DomainName& name : names) out.emplace_back(name.text());
  return out;
}

Ask tls(std::string_view name, bool bound) {
  return {.name = name, .bound = bound};
}

// by_address asks for a name that the address has and the bytes do not carry.
Ask by_address(std::string_view name, Protocol protocol, std::uint16_t port, Transport transport = Transport::kTcp) {
  return {.name = name, .protocol = protocol, .port = port, .transport = transport, .claimed = false};
}

TEST(PolicyBindTest, StrictRuleMatchesItsNamesOnlyWhereTheyAreBound) {
  const auto policy = load("[[rules]]\nto = [\"a.example\", \"*.b.example\"]\n");
  for (const std::string_view name : {"a.example", "x.b.example"}) {
    EXPECT_TRUE(allows(*policy, tls(name, true)));
    const PolicyMatch unbound = ask(*policy, tls(name, false));
    EXPECT_EQ(unbound.action, Action::kDeny);
    EXPECT_EQ(unbound.rule, kNoRule);
    EXPECT_EQ(unbound.unbound, 0u);
    EXPECT_EQ(unbound.nearest, kNoRule);
  }
}

TEST(PolicyBindTest, RuleThatBindsNothingMatchesByTheClaim) {
  const auto policy = load("[[rules]]\nto = \"a.example\"\nbind = \"any\"\n");
  EXPECT_TRUE(allows(*policy, tls("a.example", false)));
  const auto by_default = load("[defaults]\nbind = \"any\"\n[[rules]]\nto = \"a.example\"\n[[rules]]\nto = \"b.example\"\nbind = \"strict\"\n");
  EXPECT_EQ(by_default->defaults().bind, Bind::kAny);
  EXPECT_TRUE(allows(*by_default, tls("a.example", false)));
  EXPECT_FALSE(allows(*by_default, tls("b.example", false)));
}

TEST(PolicyBindTest, AddressesAndAnyNeedNoBinding) {
  const auto address = load("[[rules]]\nto = [\"a.example\", \"198.51.100.0/24\"]\n");
  EXPECT_TRUE(allows(*address, tls("a.example", false)));
  EXPECT_TRUE(allows(*address, tls("other.example", false)));
  const auto any = load("[[rules]]\nto = \"any\"\n");
  EXPECT_TRUE(allows(*any, tls("a.example", false)));
}

TEST(PolicyBindTest, DenyRuleMatchesWithoutABinding) {
  const auto policy = load("[[rules]]\nto = \"any\"\n[[rules]]\nto = \"*.evil.example\"\naction = \"deny\"\n");
  EXPECT_FALSE(allows(*policy, tls("a.evil.example", false)));
  EXPECT_FALSE(allows(*policy, tls("a.evil.example", true)));
}

TEST(PolicyBindTest, NameOfAProtocolWithoutNamesGoesByTheAddress) {
  const auto policy = load("[[rules]]\nto = \"git.example\"\nprotocols = [\"ssh\", \"tls\"]\nports = [22, 443]\n");
  EXPECT_TRUE(allows(*policy, by_address("git.example", Protocol::kSsh, 22)));
  EXPECT_TRUE(allows(*policy, by_address("git.example", Protocol::kSsh, 443)));
  EXPECT_FALSE(allows(*policy, by_address("other.example", Protocol::kSsh, 22)));
  // Else a hello for evil.example would pass as a flow to git.example, at whose address it is.
  EXPECT_FALSE(allows(*policy, by_address("git.example", Protocol::kTls, 443)));
}

TEST(PolicyBindTest, TcpRuleWithANameAllowsWhateverTheBytesAre) {
  const auto policy = load(
      "[[rules]]\nto = \"good.example\"\nprotocols = [\"tcp\", \"udp\"]\nports = 443\n"
      "[[rules]]\nto = \"evil.example\"\nprotocols = \"tls\"\naction = \"deny\"\n");
  for (std::size_t i = 0; i < kProtocolCount; ++i) {
    const auto protocol = static_cast<Protocol>(i);
    EXPECT_TRUE(allows(*policy, by_address("good.example", protocol, 443))) << to_string(protocol);
    EXPECT_TRUE(allows(*policy, by_address("good.example", protocol, 443, Transport::kUdp)));
  }
  // The claim is asked first: other.example is nothing to this policy, and evil.example is denied.
  EXPECT_EQ(ask(*policy, tls("other.example", false)).rule, kNoRule);
  EXPECT_EQ(ask(*policy, tls("evil.example", false)).rule, 1u);
  EXPECT_TRUE(allows(*policy, tls("good.example", true)));
  EXPECT_EQ(ask(*policy, tls("good.example", false)).unbound, 0u);
  const auto named = load("[[rules]]\nto = \"good.example\"\n[[rules]]\nto = \"other.example\"\nprotocols = \"ssh\"\n");
  EXPECT_EQ(ask(*named, by_address("good.example", Protocol::kTls, 443)).nearest, kNoRule);
  EXPECT_EQ(ask(*named, by_address("other.example", Protocol::kTls, 443)).nearest, 1u);
  // A deny rule for tls is about what the bytes claim, not about other names of the address.
  EXPECT_EQ(ask(*policy, by_address("evil.example", Protocol::kTls, 443)).rule, kNoRule);
}

TEST(PolicyBindTest, DenyRuleForTcpMatchesTheAddressesOfItsNames) {
  const auto policy = load(
      "[[rules]]\nto = \"good.example\"\nprotocols = \"tcp\"\nports = 25\n"
      "[[rules]]\nto = \"evil.example\"\nprotocols = \"tcp\"\nports = 25\naction = \"deny\"\n");
  EXPECT_EQ(ask(*policy, by_address("good.example", Protocol::kSmtp, 25)).rule, 0u);
  EXPECT_EQ(ask(*policy, by_address("evil.example", Protocol::kSmtp, 25)).rule, 1u);
}

TEST(PolicyBindTest, TunnelsMayHaveNames) {
  const auto policy = load(
      "[[rules]]\nto = \"far.example\"\nprotocols = [\"gre\", \"vxlan\"]\n");
  EXPECT_TRUE(allows(*policy, by_address("far.example", Protocol::kGre, 0, Transport::kOther)));
  EXPECT_TRUE(allows(*policy, by_address("far.example", Protocol::kVxlan, 4789, Transport::kUdp)));
  EXPECT_FALSE(allows(*policy, by_address("near.example", Protocol::kGre, 0, Transport::kOther)));
  const auto early = policy->match_early(0, Transport::kOther, IpAddress::v4(1), 0, kNow);
  EXPECT_EQ(early.match, EarlyMatch::kUndecided);
  EXPECT_TRUE(early.needs_binding);
  EXPECT_EQ(policy->match_early(0, Transport::kIcmp, IpAddress::v4(1), 0, kNow).match, EarlyMatch::kDeny);
}

TEST(PolicyBindTest, DnsRuleByNameNeedsATrustedResolver) {
  const auto policy = load("[[rules]]\nto = \"a.example\"\nprotocols = \"dns\"\n[[rules]]\nto = \"b.example\"\nprotocols = \"dns\"\nbind = \"any\"\n");
  const auto question = [](std::string_view name, bool trusted) {
    return Ask{.name = name, .protocol = Protocol::kDns, .port = 53, .transport = Transport::kUdp, .bound = trusted};
  };
  EXPECT_TRUE(allows(*policy, question("a.example", true)));
  EXPECT_FALSE(allows(*policy, question("a.example", false)));
  EXPECT_TRUE(allows(*policy, question("b.example", false)));
}

TEST(PolicyEarlyBindingTest, NeedsABindingWhereOnlyStrictNamesCouldAllow) {
  const auto early = [](std::string_view text, std::uint16_t port, std::string_view address = "192.0.2.1") {
    return load(text)->match_early(0, Transport::kTcp, IpAddress::parse(address).value(), port, kNow);
  };
  const std::string strict = "[[rules]]\nto = \"a.example\"\nprotocols = [\"tls\", \"ssh\"]\n";
  EXPECT_TRUE(early(strict, 443).needs_binding);
  EXPECT_TRUE(early(strict, 22).needs_binding);
  EXPECT_EQ(early(strict, 80).match, EarlyMatch::kDeny);
  EXPECT_FALSE(early(strict + "[[rules]]\nto = \"b.example\"\nbind = \"any\"\n", 443).needs_binding);
  EXPECT_TRUE(early(strict + "[[rules]]\nto = \"b.example\"\nbind = \"any\"\n", 22).needs_binding);
  EXPECT_FALSE(early(strict + "[[rules]]\nto = \"192.0.2.1\"\n", 443).needs_binding);
  EXPECT_TRUE(early(strict + "[[rules]]\nto = \"192.0.2.2\"\n", 443).needs_binding);
  EXPECT_FALSE(early("[defaults]\naction = \"allow\"\n" + strict + "[[rules]]\nto = \"b.example\"\naction = \"deny\"\n", 443).needs_binding);
  const auto denied = early(strict + "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"tcp\"\nports = 443\naction = \"deny\"\n", 443);
  EXPECT_EQ(denied.match, EarlyMatch::kDeny);
  EXPECT_FALSE(denied.needs_binding);
}

TEST(PolicyNamesCoverTest, AsksForAllowRulesOfThePort) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\n"
      "[[rules]]\nto = [\"a.example\", \"*.b.example\"]\nprotocols = [\"tls\", \"ssh\"]\n"
      "[[rules]]\nto = \"s.example\"\nscope = \"s\"\n"
      "[[rules]]\nto = \"e.example\"\nexpires = 2020-01-01T00:00:00Z\n"
      "[[rules]]\nto = \"d.example\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"q.example\"\nprotocols = \"dns\"\n");
  const auto covers = [&](std::string_view name, std::uint16_t port, Transport transport = Transport::kTcp, ScopeSet scopes = 0) {
    return policy->names_cover(scopes, transport, port, name_of(name), kNow);
  };
  EXPECT_TRUE(covers("a.example", 443));
  EXPECT_TRUE(covers("x.y.b.example", 22));
  EXPECT_FALSE(covers("b.example", 22));
  EXPECT_FALSE(covers("a.example", 80));
  EXPECT_FALSE(covers("a.example", 443, Transport::kUdp));
  EXPECT_FALSE(covers("s.example", 443));
  EXPECT_TRUE(covers("s.example", 443, Transport::kTcp, 1));
  EXPECT_FALSE(covers("e.example", 443));
  EXPECT_FALSE(covers("d.example", 443));
  EXPECT_FALSE(covers("q.example", 53, Transport::kUdp)) << "the names asked for are not those of the resolver";
}

TEST(PolicyQuestionTest, NamesOfAllowRulesMayBeAsked) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\n[scopes.t]\nusers = 2\n"
      "[[rules]]\nto = [\"a.example\", \"*.b.example\", \"192.0.2.1\"]\nprotocols = \"ssh\"\n"
      "[[rules]]\nto = \"s.example\"\nscope = \"s\"\n"
      "[[rules]]\nto = \"q.example\"\nprotocols = \"dns\"\n"
      "[[rules]]\nto = \"e.example\"\nexpires = 2020-01-01T00:00:00Z\n");
  const auto asked = [&](std::string_view text, ScopeSet scopes = 0) {
    const DomainName name = name_of(text);
    return policy->match_question(scopes, &name, kNow);
  };
  EXPECT_EQ(asked("a.example").action, Action::kAllow);
  EXPECT_EQ(asked("a.example").rule, 0u);
  EXPECT_EQ(asked("x.b.example", 2).action, Action::kAllow);
  EXPECT_EQ(asked("other.example").action, Action::kDeny);
  EXPECT_EQ(asked("other.example").rule, kNoRule);
  EXPECT_EQ(asked("s.example", 1).action, Action::kAllow);
  EXPECT_EQ(asked("s.example", 2).action, Action::kDeny);
  EXPECT_EQ(asked("s.example", 0).action, Action::kAllow) << "the stub resolver asks for all scopes";
  EXPECT_EQ(asked("q.example").action, Action::kDeny) << "its own rule says where it may be asked";
  EXPECT_EQ(asked("e.example").action, Action::kDeny);
  EXPECT_EQ(policy->match_question(0, nullptr, kNow).action, Action::kDeny);
}

TEST(PolicyQuestionTest, DenyRuleTakesAwayWhatItCovers) {
  const std::string allow = "[scopes.s]\nusers = 1\n[scopes.t]\nusers = 2\n[[rules]]\nto = \"*.x.example\"\nprotocols = [\"tls\", \"http\"]\n";
  const auto asked = [&](const std::string& deny, ScopeSet scopes = 0) {
    const DomainName name = name_of("bad.x.example");
    return load(allow + deny)->match_question(scopes, &name, kNow);
  };
  const std::string rule = "[[rules]]\naction = \"deny\"\nto = \"bad.x.example\"\n";
  EXPECT_EQ(asked(rule).action, Action::kDeny);
  EXPECT_EQ(asked(rule).rule, 1u);
  EXPECT_EQ(asked(rule + "protocols = \"tls\"\n").action, Action::kAllow) << "http is left";
  EXPECT_EQ(asked(rule + "protocols = [\"tls\", \"http\"]\nports = [80]\n").action, Action::kAllow) << "tls on 443 is left";
  EXPECT_EQ(asked(rule + "protocols = \"tcp\"\nports = \"any\"\n").action, Action::kDeny);
  EXPECT_EQ(asked(rule + "protocols = \"udp\"\nports = \"any\"\n").action, Action::kAllow);
  EXPECT_EQ(asked(rule + "expires = 2020-01-01T00:00:00Z\n").action, Action::kAllow);
  EXPECT_EQ(asked(rule + "scope = \"s\"\n", 1).action, Action::kDeny);
  EXPECT_EQ(asked(rule + "scope = \"s\"\n", 2).action, Action::kAllow);
  EXPECT_EQ(asked(rule + "scope = \"s\"\n", 0).action, Action::kAllow) << "others may reach it";
  EXPECT_EQ(asked(rule + "protocols = \"tls\"\n[[rules]]\naction = \"deny\"\nto = \"bad.x.example\"\nprotocols = \"http\"\n").action, Action::kDeny)
      << "two rules together";
}

TEST(PolicyQuestionTest, AnyAndTheDefaultHaveEveryName) {
  const DomainName name = name_of("a.example");
  for (const char* text : {"[[rules]]\nto = \"any\"\n", "[defaults]\naction = \"allow\"\n"}) {
    const auto policy = load(text);
    EXPECT_EQ(policy->match_question(0, &name, kNow).action, Action::kAllow);
    EXPECT_EQ(policy->match_question(0, nullptr, kNow).action, Action::kAllow);
  }
  EXPECT_EQ(load("[[rules]]\nto = \"0.0.0.0/0\"\n")->match_question(0, &name, kNow).action, Action::kDeny);
}

TEST(PolicyQuestionTest, ReverseLookupsNeedARule) {
  const DomainName name = name_of("7.100.51.198.in-addr.arpa");
  EXPECT_EQ(load("[[rules]]\nto = \"198.51.100.7\"\n")->match_question(0, &name, kNow).action, Action::kDeny);
  const auto policy = load("[[rules]]\nto = [\"*.in-addr.arpa\", \"*.ip6.arpa\"]\nprotocols = \"dns\"\n");
  EXPECT_TRUE(allows(*policy, {.name = "7.100.51.198.in-addr.arpa", .protocol = Protocol::kDns, .port = 53, .transport = Transport::kUdp}));
  EXPECT_EQ(policy->warnings().size(), 2u);
}

TEST(PolicyWildcardTest, WidestWildcardUnlessARuleHasTheName) {
  const auto policy = load(
      "[[rules]]\nto = [\"*.x.example\", \"*.y.x.example\", \"exact.x.example\"]\n"
      "[[rules]]\nto = \".z.example\"\n"
      "[[rules]]\nto = \"*.example\"\naction = \"deny\"\nprotocols = \"quic\"\n"
      "[[rules]]\nto = \"*.e.example\"\nexpires = 2020-01-01T00:00:00Z\n");
  const auto wildcard = [&](std::string_view name) { return policy->wildcard_of(0, name_of(name), kNow); };
  EXPECT_EQ(wildcard("a.x.example"), "x.example");
  EXPECT_EQ(wildcard("a.b.y.x.example"), "x.example");
  EXPECT_EQ(wildcard("exact.x.example"), "");
  EXPECT_EQ(wildcard("x.example"), "");
  EXPECT_EQ(wildcard("z.example"), "");
  EXPECT_EQ(wildcard("a.z.example"), "z.example");
  EXPECT_EQ(wildcard("other.example"), "");
  EXPECT_EQ(wildcard("a.e.example"), "");
}

TEST(PolicyExactNamesTest, AreThoseOfStrictAllowRulesInOrder) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\n"
      "[[rules]]\nto = [\"b.example\", \"a.example\", \"*.w.example\", \".x.example\", \"192.0.2.1\"]\n"
      "[[rules]]\nto = [\"a.example\", \"c.example\"]\nprotocols = \"ssh\"\nscope = \"s\"\n"
      "[[rules]]\nto = \"d.example\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"q.example\"\nprotocols = \"dns\"\n"
      "[[rules]]\nto = \"l.example\"\nbind = \"any\"\n"
      "[[rules]]\nto = \"e.example\"\nexpires = 2020-01-01T00:00:00Z\n");
  EXPECT_THAT(texts(policy->exact_names(kNow, 100)), ElementsAre("b.example", "a.example", "x.example", "c.example"));
  EXPECT_THAT(texts(policy->exact_names(kNow, 2)), ElementsAre("b.example", "a.example"));
  EXPECT_THAT(texts(policy->exact_names(Timestamp(), 100)), testing::Contains("e.example"));
  const auto names_for = [&](ScopeSet scopes, std::uint16_t port, Transport transport = Transport::kTcp) {
    return texts(policy->exact_names_for(scopes, transport, port, kNow, 100));
  };
  EXPECT_THAT(names_for(0, 443), ElementsAre("b.example", "a.example", "x.example"));
  EXPECT_THAT(names_for(0, 22), IsEmpty());
  EXPECT_THAT(names_for(1, 22), ElementsAre("a.example", "c.example"));
  EXPECT_THAT(names_for(0, 80, Transport::kUdp), IsEmpty());
  EXPECT_THAT(names_for(0, 53), IsEmpty());
  EXPECT_THAT(texts(Policy().exact_names(kNow, 9)), IsEmpty());
}

TEST(PolicyDeniedNamesTest, AreThoseOfDenyRulesForProtocolsThatCarryNone) {
  const auto policy = load(
      "[[rules]]\nto = \"allowed.example\"\n"
      "[[rules]]\nto = [\"a.example\", \"*.w.example\", \".x.example\", \"192.0.2.1\"]\naction = \"deny\"\nprotocols = \"ssh\"\n"
      "[[rules]]\nto = [\"a.example\", \"b.example\"]\naction = \"deny\"\nprotocols = [\"tls\", \"tcp\"]\nports = 443\n"
      "[[rules]]\nto = \"named.example\"\naction = \"deny\"\nprotocols = [\"tls\", \"quic\", \"http\", \"dtls\", \"dns\"]\nports = 443\n"
      "[[rules]]\nto = \"e.example\"\naction = \"deny\"\nprotocols = \"ntp\"\nexpires = 2020-01-01T00:00:00Z\n");
  EXPECT_THAT(texts(policy->denied_names(kNow, 100)), ElementsAre("a.example", "x.example", "b.example"));
  EXPECT_THAT(texts(policy->denied_names(kNow, 1)), ElementsAre("a.example"));
  EXPECT_THAT(texts(policy->exact_names(kNow, 100)), ElementsAre("allowed.example"));
  EXPECT_THAT(texts(policy->exact_names_for(0, Transport::kTcp, 22, kNow, 100)), IsEmpty()) << "nobody waits for them";
  for (const char* each : {"allowed.example", "a.example", "x.example", "b.example", "e.example"}) EXPECT_TRUE(policy->looks_up(name_of(each))) << each;
  for (const char* each : {"named.example", "y.x.example", "w.example", "other.example"}) EXPECT_FALSE(policy->looks_up(name_of(each))) << each;
}

TEST(PolicyDeniedNamesTest, BindingsAreNeededByRulesWhoseNamesCountAtTheirAddressesAlone) {
  const auto needs = [](const std::string& rule) { return load("[[rules]]\n" + rule)->needs_bindings(); };
  EXPECT_TRUE(needs("to = \"a.example\"\n"));
  EXPECT_TRUE(needs("to = \"*.a.example\"\naction = \"deny\"\nprotocols = \"ssh\"\n"));
  EXPECT_FALSE(needs("to = \"a.example\"\naction = \"deny\"\n"));
  EXPECT_FALSE(needs("to = \"a.example\"\nbind = \"any\"\n"));
  EXPECT_FALSE(needs("to = \"a.example\"\nprotocols = \"dns\"\n"));
  EXPECT_FALSE(needs("to = \"192.0.2.1\"\nprotocols = \"ssh\"\n"));
  EXPECT_FALSE(Policy().needs_bindings());
}

TEST(PolicyDeniedNamesTest, ANameThatSomeRuleAllowsIsNotOnlyDenied) {
  const auto policy = load(
      "[[rules]]\nto = [\"*.both.example\", \"a.example\"]\n"
      "[[rules]]\nto = [\"a.both.example\", \"*.bad.example\"]\naction = \"deny\"\n"
      "[[rules]]\nto = \"old.example\"\naction = \"deny\"\nexpires = 2020-01-01T00:00:00Z\n");
  EXPECT_TRUE(policy->only_denies(name_of("x.bad.example"), kNow));
  for (const char* each : {"a.both.example", "b.both.example", "a.example", "bad.example", "old.example", "other.example"}) {
    EXPECT_FALSE(policy->only_denies(name_of(each), kNow)) << each;
  }
}

TEST(PolicyDeniedNamesTest, APortHasThemOnlyForProtocolsThatCarryNone) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\n"
      "[[rules]]\nto = \"a.example\"\naction = \"deny\"\n"
      "[[rules]]\nto = \"b.example\"\naction = \"deny\"\nprotocols = [\"tls\", \"ssh\"]\nports = [22, 8443]\nscope = \"s\"\n"
      "[[rules]]\nto = \"192.0.2.1\"\naction = \"deny\"\nprotocols = \"tcp\"\nports = 9\n");
  const auto denies = [&](ScopeSet scopes, std::uint16_t port, Transport transport = Transport::kTcp) {
    return policy->denies_names_at(scopes, transport, port, kNow);
  };
  EXPECT_FALSE(denies(1, 443));
  EXPECT_TRUE(denies(1, 22));
  EXPECT_TRUE(denies(1, 8443));
  EXPECT_FALSE(denies(0, 22));
  EXPECT_FALSE(denies(1, 22, Transport::kUdp));
  EXPECT_FALSE(denies(1, 9));
}

TEST(PolicyDeniedNamesTest, AMatchTellsWhetherARuleThatHasTheNameAllows) {
  const auto policy = load("[[rules]]\nto = \"any\"\n[[rules]]\nto = \"a.example\"\n");
  EXPECT_TRUE(ask(*policy, {.name = "a.example"}).by_name);
  EXPECT_FALSE(ask(*policy, {.name = "b.example"}).by_name);
  EXPECT_FALSE(ask(*policy, {.name = "a.example", .bound = false}).by_name) << "it allows nothing then";
}

TEST(PolicyViewTest, FirstScopeWithResolversOfItsOwn) {
  const auto policy = load(
      "[scopes.a]\nusers = 1\n[scopes.b]\nusers = 2\nresolvers = [\"192.0.2.53\", \"2001:db8::53\"]\n"
      "[scopes.c]\nusers = 3\nresolvers = \"192.0.2.54\"\n");
  EXPECT_EQ(policy->view_of(0), 0);
  EXPECT_EQ(policy->view_of(0b001), 0);
  EXPECT_EQ(policy->view_of(0b010), 2);
  EXPECT_EQ(policy->view_of(0b111), 2);
  EXPECT_EQ(policy->view_of(0b101), 3);
  const auto trusts = [&](View view, std::string_view address) { return policy->view_trusts(view, IpAddress::parse(address).value()); };
  EXPECT_TRUE(trusts(2, "192.0.2.53"));
  EXPECT_TRUE(trusts(2, "::ffff:192.0.2.53"));
  EXPECT_TRUE(trusts(2, "2001:db8::53"));
  EXPECT_FALSE(trusts(2, "192.0.2.54"));
  EXPECT_TRUE(trusts(3, "192.0.2.54"));
  EXPECT_FALSE(trusts(0, "192.0.2.54"));
  EXPECT_FALSE(trusts(1, "192.0.2.54"));
  EXPECT_FALSE(trusts(255, "192.0.2.54"));
}

TEST(PolicyDnsTest, KeysAreRead) {
  const auto defaults = load("");
  EXPECT_TRUE(defaults->dns().system_resolvers);
  EXPECT_TRUE(defaults->dns().resolvers.empty());
  EXPECT_EQ(defaults->dns().names, DnsNames::kPolicy);
  EXPECT_EQ(defaults->dns().ech, Ech::kStrip);
  EXPECT_EQ(defaults->dns().grace, std::chrono::hours(1));
  EXPECT_EQ(defaults->dns().miss_wait, std::chrono::seconds(1));
  EXPECT_EQ(defaults->dns().wildcard_budget, 1'000u);
  const auto policy = load(
      "[dns]\nresolvers = [\"192.0.2.53\", \"2001:db8::53\", \"192.0.2.53\"]\nnames = \"any\"\nech = \"deny\"\n"
      "edns = [\"padding\", 65001, \"client-subnet\"]\nwildcard_budget = 0\ngrace = \"90s\"\nmiss_wait = \"250ms\"\n");
  const Dns& dns = policy->dns();
  EXPECT_FALSE(dns.system_resolvers);
  EXPECT_THAT(dns.resolvers, ElementsAre(IpAddress::parse("192.0.2.53").value(), IpAddress::parse("2001:db8::53").value()));
  EXPECT_EQ(dns.names, DnsNames::kAny);
  EXPECT_EQ(dns.ech, Ech::kDeny);
  EXPECT_THAT(dns.edns_options, ElementsAre(8, 12, 65'001));
  EXPECT_EQ(dns.wildcard_budget, 0u);
  EXPECT_EQ(dns.grace, std::chrono::seconds(90));
  EXPECT_EQ(dns.miss_wait, std::chrono::milliseconds(250));
  EXPECT_TRUE(load("[dns]\nresolvers = [\"192.0.2.53\", \"system\"]\n")->dns().system_resolvers);
  EXPECT_FALSE(load("[dns]\nresolvers = []\n")->dns().system_resolvers);
}

TEST(PolicyDnsTest, PrivateNamesAreThoseOfTheKey) {
  const auto none = load("");
  EXPECT_FALSE(none->may_be_private(name_of("corp.example")));
  const auto some = load("[dns]\nprivate = [\"a.corp.example\", \".lan\", \"*.b.example\"]\n");
  EXPECT_TRUE(some->may_be_private(name_of("a.corp.example")));
  EXPECT_FALSE(some->may_be_private(name_of("x.a.corp.example")));
  EXPECT_TRUE(some->may_be_private(name_of("lan")));
  EXPECT_TRUE(some->may_be_private(name_of("x.y.lan")));
  EXPECT_TRUE(some->may_be_private(name_of("x.b.example")));
  EXPECT_FALSE(some->may_be_private(name_of("b.example")));
  EXPECT_FALSE(some->may_be_private(name_of("xlan")));
  EXPECT_TRUE(load("[dns]\nprivate = \"any\"\n")->may_be_private(name_of("any.example")));
}

TEST(PolicyEchTest, RuleSaysOtherThanTheSection) {
  const auto policy = load("[dns]\nech = \"deny\"\n[[rules]]\nto = \"a.example\"\nech = \"allow\"\n[[rules]]\nto = \"b.example\"\n");
  EXPECT_EQ(policy->ech_of(0), Ech::kAllow);
  EXPECT_EQ(policy->ech_of(1), Ech::kDeny);
  EXPECT_EQ(policy->ech_of(kNoRule), Ech::kDeny);
  EXPECT_EQ(Policy().ech_of(kNoRule), Ech::kStrip);
}

TEST(PolicyBindFingerprintTest, EachKeyCounts) {
  const std::string rule = "[[rules]]\nto = \"a.example\"\n";
  const std::string scope = "[scopes.s]\nusers = 1\n";
  const std::uint64_t first = load(scope + rule)->fingerprint();
  for (const std::string& other : {
           scope + rule + "bind = \"any\"\n",
           scope + "[defaults]\nbind = \"any\"\n" + rule,
           scope + rule + "ech = \"allow\"\n",
           scope + "resolvers = \"192.0.2.53\"\n" + rule,
           scope + "[dns]\nresolvers = []\n" + rule,
           scope + "[dns]\nresolvers = [\"system\", \"192.0.2.53\"]\n" + rule,
           scope + "[dns]\nnames = \"any\"\n" + rule,
           scope + "[dns]\nech = \"allow\"\n" + rule,
           scope + "[dns]\nedns = 8\n" + rule,
           scope + "[dns]\nwildcard_budget = 7\n" + rule,
           scope + "[dns]\ngrace = \"7s\"\n" + rule,
           scope + "[dns]\nmiss_wait = \"0s\"\n" + rule,
           scope + "[dns]\nprivate = \"any\"\n" + rule,
           scope + "[dns]\nprivate = \"a.example\"\n" + rule,
           scope + "[dns]\nprivate = \"*.a.example\"\n" + rule,
       }) {
    EXPECT_NE(load(other)->fingerprint(), first) << other;
  }
  EXPECT_EQ(load("[dns]\ngrace = \"60m\"\nresolvers = \"system\"\n" + scope + rule + "bind = \"strict\"\n")->fingerprint(), first);
}

std::vector<std::string> warnings_of(const std::string& text) {
  return lines_of(load(text)->warnings());
}

TEST(PolicyBindWarningTest, TellsWhatNamesCannotDoWithoutKeysAndLookups) {
  EXPECT_THAT(warnings_of("[[rules]]\nto = \"a.example\"\nprotocols = \"ssh\"\n"),
              ElementsAre("p.toml:3:6: rules[0].to: names for ssh without \"host_keys\": whoever answers at an address of the name is taken for it"));
  EXPECT_THAT(warnings_of("[[rules]]\nto = \".x.example\"\nprotocols = \"udp\"\nports = 9\n"),
              ElementsAre("p.toml:3:6: rules[0].to: udp carries no name: an address belongs to a name below \"x.example\" only while a lookup of "
                          "that name was seen"));
  EXPECT_THAT(warnings_of("[[rules]]\nto = \"192.0.2.1\"\nbind = \"strict\"\n"),
              ElementsAre("p.toml:4:8: rules[0].bind: no target is a name, so there is nothing to bind"));
  EXPECT_THAT(warnings_of("[[rules]]\nto = \"*.x.example\"\nprotocols = \"tcp\"\nports = 9\naction = \"deny\"\n"),
              ElementsAre("p.toml:3:6: rules[0].to: tcp carries no name: an address belongs to a name below \"x.example\" only while a lookup of "
                          "that name was seen, and no other is denied"));
  EXPECT_THAT(warnings_of("[[rules]]\nto = \"*.x.example\"\naction = \"deny\"\n"), IsEmpty());
  EXPECT_THAT(warnings_of("[[rules]]\nto = \"a.example\"\nprotocols = \"ssh\"\naction = \"deny\"\n"), IsEmpty());
  EXPECT_THAT(warnings_of("[[rules]]\nto = [\"*.x.example\", \"a.example\"]\n[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\n"), IsEmpty());
}

}  // namespace
}  // namespace sallyport::policy
