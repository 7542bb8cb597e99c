// Scopes by who owns the flow's socket: groups, cgroups, units, containers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cgroup_pattern.h"
#include "policy_support.h"

namespace sallyport::policy {
namespace {

TEST(GlobTest, AStarStandsForAnyOctets) {
  EXPECT_TRUE(matches_glob("", ""));
  EXPECT_FALSE(matches_glob("", "a"));
  EXPECT_TRUE(matches_glob("*", ""));
  EXPECT_TRUE(matches_glob("docker-*.scope", "docker-0123.scope"));
  EXPECT_TRUE(matches_glob("docker-*.scope", "docker-.scope"));
  EXPECT_FALSE(matches_glob("docker-*.scope", "docker-0123.scope2"));
  EXPECT_TRUE(matches_glob("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(matches_glob("a*b*c", "a-c-b"));
  EXPECT_TRUE(matches_glob("*ab", "aab"));
  EXPECT_FALSE(matches_glob("ab", "abc"));
}

bool is_in(std::string_view pattern, std::string_view cgroup) {
  const auto parsed = CgroupPattern::path(pattern);
  EXPECT_TRUE(parsed) << pattern;
  return parsed && parsed->matches(cgroup);
}

TEST(CgroupPatternTest, MatchesTheCgroupAndEverythingBelow) {
  EXPECT_TRUE(is_in("/user.slice", "/user.slice"));
  EXPECT_TRUE(is_in("/user.slice", "/user.slice/user-7.slice"));
  EXPECT_FALSE(is_in("/user.slice", "/user.slice2"));
  EXPECT_FALSE(is_in("/user.slice", "/"));
  EXPECT_FALSE(is_in("/user.slice", "/x/user.slice"));
  EXPECT_FALSE(is_in("/user.slice", ""));
  EXPECT_TRUE(is_in("/", "/"));
  EXPECT_TRUE(is_in("/", "/a"));
  EXPECT_FALSE(is_in("/", ""));
}

TEST(CgroupPatternTest, AStarStaysWithinItsComponent) {
  EXPECT_TRUE(is_in("/system.slice/docker-*.scope", "/system.slice/docker-12.scope"));
  EXPECT_TRUE(is_in("/system.slice/docker-*.scope", "/system.slice/docker-12.scope/inner"));
  EXPECT_FALSE(is_in("/system.slice/docker-*.scope", "/system.slice/docker-1/2.scope"));
  EXPECT_TRUE(is_in("/*/a", "/x/a"));
  EXPECT_FALSE(is_in("/*/a", "/x/y/a"));
}

TEST(CgroupPatternTest, RefusesWhatIsNoPath) {
  for (const char* text : {"", "a", "a/b", "/a/", "//", "/a//b", "/a/../b", "/.", "/a**b", "/a\nb"}) {
    EXPECT_FALSE(CgroupPattern::path(text)) << text;
  }
  EXPECT_FALSE(CgroupPattern::path("/" + std::string(511, 'a')));
}

TEST(CgroupPatternTest, AUnitIsFoundBelowSlicesAlone) {
  const auto unit = CgroupPattern::unit("ci@*.service");
  ASSERT_TRUE(unit);
  EXPECT_TRUE(unit->matches("/system.slice/system-ci.slice/ci@7.service"));
  EXPECT_TRUE(unit->matches("/system.slice/ci@7.service/below"));
  EXPECT_TRUE(unit->matches("/ci@.service"));
  // A user's own manager, and a container, choose the names below them.
  EXPECT_FALSE(unit->matches("/user.slice/user-7.slice/user@7.service/app.slice/ci@7.service"));
  EXPECT_FALSE(unit->matches("/system.slice/docker-12.scope/ci@7.service"));
  EXPECT_FALSE(unit->matches("/docker/12/ci@7.service"));
  EXPECT_FALSE(unit->matches("/system.slice/other.service"));
  for (const char* text : {"", ".service", "ci", "a/ci.service", "ci.timer"}) EXPECT_FALSE(CgroupPattern::unit(text)) << text;
}

constexpr const char* kPolicy = R"([scopes.ci]
cgroups = ["/ci", "/system.slice/docker-*.scope"]
groups = [4242]
[scopes.unit]
units = "ci.service"
[scopes.web]
containers = ["web-*", "compose:shop/front"]
[scopes.user]
users = [7]
[[rules]]
to = ["ci.example"]
scope = "ci"
[[rules]]
to = ["*.evil.example"]
action = "deny"
scope = "ci"
[[rules]]
to = ["*.example"]
)";

TEST(OwnerScopesTest, AnyMemberOfAScopeWillDo) {
  const auto policy = load(kPolicy);
  const auto scopes = [&](ScopeFacts facts) { return policy->scopes_of(facts); };
  ScopeFacts facts;
  facts.source = IpAddress::parse("192.0.2.1").value();
  EXPECT_EQ(scopes(facts), 0U);
  facts.gid = 4242;
  EXPECT_EQ(scopes(facts), 1U);
  facts.gid = 4243;
  EXPECT_EQ(scopes(facts), 0U);
  facts.cgroup = "/ci/job-7";
  EXPECT_EQ(scopes(facts), 1U);
  facts.cgroup = "/system.slice/ci.service";
  EXPECT_EQ(scopes(facts), 2U);
  facts.containers = 8;
  facts.uid = 7;
  EXPECT_EQ(scopes(facts), 14U);
}

TEST(OwnerScopesTest, WhatIsNotKnownCountsAgainstAFlow) {
  const auto policy = load(kPolicy);
  ScopeFacts facts;
  facts.source = IpAddress::parse("192.0.2.1").value();
  facts.owner_unknown = true;
  const ScopeSet unknown = policy->scopes_of(facts);
  EXPECT_EQ(unknown, kUnknownOwner);
  const auto decide = [&](ScopeSet scopes, const char* name) {
    const DomainName domain = DomainName::parse(name).value();
    FlowQuery query;
    query.scopes = scopes;
    query.protocol = Protocol::kTls;
    query.destination = IpAddress::parse("192.0.2.2").value();
    query.port = 443;
    query.name = &domain;
    query.bound = query.claimed = true;
    return policy->match(query);
  };
  EXPECT_EQ(decide(0, "x.evil.example").action, Action::kAllow);
  EXPECT_EQ(decide(1, "x.evil.example").action, Action::kDeny);
  EXPECT_EQ(decide(unknown, "x.evil.example").action, Action::kDeny);
  EXPECT_EQ(decide(8, "x.evil.example").action, Action::kAllow);
  EXPECT_EQ(decide(1, "ci.example").rule, 0U);
  EXPECT_EQ(decide(unknown, "ci.example").rule, 2U);  // As everybody may, not as a member.
}

TEST(OwnerScopesTest, ContainersAreListedForWhoLooksThemUp) {
  const auto policy = load(kPolicy);
  EXPECT_TRUE(policy->has_cgroups());
  ASSERT_EQ(policy->containers().size(), 2U);
  const ContainerScope& by_name = policy->containers()[0];
  EXPECT_TRUE(by_name.matches("web-1", "", ""));
  EXPECT_FALSE(by_name.matches("front", "shop", "front"));
  const ContainerScope& service = policy->containers()[1];
  EXPECT_EQ(service.scopes, 8U);
  EXPECT_TRUE(service.matches("shop-front-1", "shop", "front"));
  EXPECT_FALSE(service.matches("front", "", ""));
  EXPECT_FALSE(service.matches("shop-front-1", "other", "front"));
  EXPECT_FALSE(load("")->has_cgroups());
}

}  // namespace
}  // namespace sallyport::policy
