// The resolver's thread against a server on the loopback. Nothing here waits for a fixed time: each wait ends with what
// it waits for, or fails the test after ten seconds.
#include "sallyport/resolver/name_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "fake_dns_server.h"
#include "sallyport/core/limits.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::resolver {
namespace {

using sallyport::testing::FakeDnsServer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool wait_for(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Timestamp wall_now() {
  return Timestamp(std::chrono::system_clock::now().time_since_epoch());
}
IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
DomainName name(std::string_view text) {
  return DomainName::parse(text).value();
}

std::string rule(const std::string& names, const std::string& more = R"(protocols = ["tls"])") {
  return "[[rules]]\nto = [" + names + "]\n" + more + "\naction = \"allow\"\n";
}

class NameResolverTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server_.ok()); }
  void TearDown() override {
    if (resolver_) resolver_->stop();
  }

  void open(const std::string& rules, const std::string& resolv_conf = "nameserver 127.0.0.1\n") {
    auto policy = policy::load_policy_text("version = 1\n" + rules, "p.toml");
    ASSERT_TRUE(policy) << (policy ? "" : policy.error().front().to_string());
    policy_ = *policy;
    resolv_conf_ = resolv_conf;
    ResolverOptions options;
    options.policy = policy_;
    options.bindings = bindings_;
    options.resolvers = resolvers_;
    options.say = [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      said_.push_back(line);
    };
    options.read_file = [this](const char* path) -> std::optional<std::string> {
      if (std::string_view(path) != "/etc/resolv.conf") return std::nullopt;
      return resolv_conf_;
    };
    options.port = server_.port();
    auto opened = NameResolver::open(options);
    ASSERT_TRUE(opened) << opened.error();
    resolver_ = std::move(*opened);
  }
  void start(const std::string& rules) {
    open(rules);
    resolver_->start();
  }
  bool bound(std::string_view address, std::string_view to, policy::View view = 0) const {
    return bindings_->bound(ip(address), name(to), view, wall_now());
  }
  std::vector<std::string> said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

  FakeDnsServer server_;
  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<engine::NameBindings> bindings_ = std::make_shared<engine::NameBindings>(1'024);
  std::shared_ptr<engine::Resolvers> resolvers_ = std::make_shared<engine::Resolvers>();
  std::string resolv_conf_;
  std::mutex mutex_;
  std::vector<std::string> said_;
  std::unique_ptr<NameResolver> resolver_;
};

TEST_F(NameResolverTest, ExactNamesOfRulesAreBoundWithoutBeingAskedFor) {
  server_.set("a.example", {"198.51.100.1", "198.51.100.2", "2001:db8::1"});
  start(rule(R"("a.example", "*.b.example")"));
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.1", "a.example") && bound("2001:db8::1", "a.example"); }));
  EXPECT_TRUE(bound("198.51.100.2", "a.example"));
  EXPECT_FALSE(bound("198.51.100.1", "other.example"));
  EXPECT_TRUE(wait_for([&] { return resolver_->status().under_way == 0 && resolver_->status().lookups == 1; }));
  EXPECT_EQ(server_.questions(), 2) << "A and AAAA of one name, once";
  EXPECT_EQ(resolver_->status().names, 1U);
}

TEST_F(NameResolverTest, NothingIsAskedBeforeTheStart) {
  open(rule(R"("a.example")"));
  EXPECT_TRUE(resolvers_->trusts(ip("127.0.0.1")));
  EXPECT_EQ(server_.questions(), 0);
}

TEST_F(NameResolverTest, AnAnswerOfRebindingBindsNothing) {
  server_.set("a.example", {"10.0.0.1", "198.51.100.1"});
  server_.set("b.example", {"198.51.100.2"});
  start(rule(R"("a.example", "b.example")"));
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.2", "b.example") && resolver_->status().private_answers == 1; }));
  EXPECT_FALSE(bound("198.51.100.1", "a.example")) << "clients are refused the whole of it";
}

TEST_F(NameResolverTest, PrivateAddressesBindOnlyWhereThePolicySaysSo) {
  server_.set("a.example", {"10.0.0.1", "198.51.100.1"});
  server_.set("a.corp.example", {"10.0.0.2"});
  start("[dns]\nprivate = [\"*.corp.example\"]\nrebinding = \"log\"\n" + rule(R"("a.example", "a.corp.example")"));
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.1", "a.example") && bound("10.0.0.2", "a.corp.example"); }));
  EXPECT_FALSE(bound("10.0.0.1", "a.example"));
  EXPECT_TRUE(wait_for([&] { return resolver_->status().private_answers == 1; }));
}

TEST_F(NameResolverTest, AMissLooksTheNamesOfItsPortUpAgain) {
  server_.set("a.example", {"198.51.100.1"});
  server_.set("b.example", {"198.51.100.9"});
  start(rule(R"("a.example")", R"(protocols = ["ssh"])") + rule(R"("b.example")"));
  ASSERT_TRUE(wait_for([&] { return resolver_->status().under_way == 0 && resolver_->status().lookups == 2; }));
  server_.set("a.example", {"198.51.100.2"});
  const int before = server_.questions_for("b.example");
  engine::BindingMiss miss;
  miss.port = 22;
  miss.destination = ip("198.51.100.2");
  // A name that was looked up a moment ago is not asked again: the flow's retransmitted SYN finds it then.
  EXPECT_TRUE(wait_for([&] {
    resolver_->request(miss);
    return bound("198.51.100.2", "a.example");
  }));
  EXPECT_TRUE(bound("198.51.100.1", "a.example")) << "the old address lives for its time";
  EXPECT_EQ(server_.questions_for("b.example"), before) << "443 is not 22";
}

TEST_F(NameResolverTest, AClaimedNameIsLookedUpOnlyIfARuleHasTheVeryName) {
  server_.set("a.example", {"198.51.100.1"});
  server_.set("secret.b.example", {"198.51.100.2"});
  start(rule(R"("a.example", "*.b.example")"));
  ASSERT_TRUE(wait_for([&] { return bound("198.51.100.1", "a.example"); }));
  const int before = server_.questions_for("a.example");
  engine::BindingMiss miss;
  miss.port = 443;
  EXPECT_TRUE(wait_for([&] {
    for (const char* claimed : {"secret.b.example", "other.example", "a.example"}) {
      miss.name = name(claimed);
      resolver_->request(miss);
    }
    return server_.questions_for("a.example") > before;
  }));
  EXPECT_EQ(server_.questions_for("secret.b.example"), 0) << "a client's own label must not leave in our question";
  EXPECT_EQ(server_.questions_for("other.example"), 0);
}

TEST_F(NameResolverTest, AFloodOfMissesAsksEachNameOnceASecond) {
  server_.set("a.example", {"198.51.100.1"});
  start(rule(R"("a.example")"));
  engine::BindingMiss miss;
  miss.port = 443;
  for (int i = 0; i < 20'000; ++i) resolver_->request(miss);
  EXPECT_TRUE(wait_for([&] { return resolver_->status().misses + resolver_->status().misses_lost == 20'000; }));
  EXPECT_LE(server_.questions(), 2 * 3);
}

TEST_F(NameResolverTest, ManyNamesGoThroughAFewSockets) {
  std::string names;
  for (int i = 0; i < 500; ++i) {
    const std::string one = "n" + std::to_string(i) + ".example";
    server_.set(one, {"198.51.100." + std::to_string(i % 250)});
    names += (i == 0 ? "\"" : ", \"") + one + "\"";
  }
  start(rule(names));
  EXPECT_TRUE(wait_for([&] { return bindings_->size() == 500; })) << bindings_->size();
  EXPECT_LE(resolver_->status().under_way, kResolverLookups);
  EXPECT_EQ(resolver_->status().failures, 0U);
}

TEST_F(NameResolverTest, ASilentServerIsAFailureAndNoHang) {
  server_.be_silent(true);
  start(rule(R"("a.example")"));
  EXPECT_TRUE(wait_for([&] { return resolver_->status().failing == 1; }));
  EXPECT_THAT(resolver_->status().last_error, HasSubstr("a.example: "));
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(NameResolverTest, ANameThatDoesNotExistIsNoFailure) {
  start(rule(R"("a.example")"));
  EXPECT_TRUE(wait_for([&] { return resolver_->status().lookups == 1 && resolver_->status().under_way == 0; }));
  EXPECT_EQ(resolver_->status().failing, 0U);
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(NameResolverTest, AStopWithQuestionsUnderWayEndsAtOnce) {
  server_.be_silent(true);
  start(rule(R"("a.example", "b.example")"));
  ASSERT_TRUE(wait_for([&] { return server_.questions() >= 4; }));
  const auto before = std::chrono::steady_clock::now();
  resolver_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
}

TEST_F(NameResolverTest, WithoutAServerItSaysSoAndNothingIsTrusted) {
  open(rule(R"("a.example")"), "search corp.example\n");
  resolver_->start();
  EXPECT_THAT(said(), ElementsAre(HasSubstr("no DNS resolver is configured")));
  EXPECT_TRUE(wait_for([&] { return resolver_->status().failing == 1; }));
  EXPECT_THAT(resolver_->status().trusted, IsEmpty());
  EXPECT_FALSE(resolvers_->trusts(ip("127.0.0.1")));
  EXPECT_EQ(server_.questions(), 0);
}

TEST_F(NameResolverTest, ThePolicysOwnResolversStandBesideTheSystems) {
  open("[dns]\nresolvers = [\"system\", \"192.0.2.53\"]\n");
  EXPECT_THAT(resolver_->status().trusted, ElementsAre(ip("127.0.0.1"), ip("192.0.2.53")));
  open("[dns]\nresolvers = [\"192.0.2.53\"]\n");
  EXPECT_THAT(resolver_->status().trusted, ElementsAre(ip("192.0.2.53")));
  EXPECT_FALSE(resolvers_->trusts(ip("127.0.0.1")));
}

TEST_F(NameResolverTest, WhatAServerToldThatIsNotTrustedAnyMoreIsForgottenAndAskedAgain) {
  server_.set("a.example", {"198.51.100.1"});
  server_.set("bad.example", {"198.51.100.66"});
  const std::string rules = rule(R"("a.example", "*.b.example")") + "[[rules]]\nto = \"bad.example\"\nprotocols = [\"ssh\"]\naction = \"deny\"\n";
  start("[dns]\nresolvers = [\"127.0.0.1\", \"192.0.2.53\"]\n" + rules);
  ASSERT_TRUE(wait_for([&] { return bound("198.51.100.1", "a.example") && bound("198.51.100.66", "bad.example"); }));
  const auto tell = [&](std::string_view address, std::string_view to, std::string_view teller) {
    bindings_->bind({ip(address), name(to), wall_now() + std::chrono::hours(1), engine::BindingSource::kAnswer, 0, 0, {}, ip(teller)}, wall_now());
  };
  tell("198.51.100.7", "x.b.example", "192.0.2.53");
  tell("198.51.100.8", "y.b.example", "127.0.0.1");
  tell("198.51.100.9", "bad.example", "192.0.2.53");
  ASSERT_TRUE(wait_for([&] { return resolver_->status().under_way == 0; }));
  server_.set("a.example", {"198.51.100.2"});
  auto next = policy::load_policy_text("version = 1\n[dns]\nresolvers = [\"127.0.0.1\"]\n" + rules, "p.toml");
  ASSERT_TRUE(next);
  resolver_->set_policy(*next);
  EXPECT_FALSE(bound("198.51.100.7", "x.b.example"));
  EXPECT_TRUE(bound("198.51.100.8", "y.b.example"));
  EXPECT_TRUE(bound("198.51.100.9", "bad.example")) << "what is only denied stays known";
  EXPECT_FALSE(bound("198.51.100.1", "a.example")) << "one of both servers told it";
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.2", "a.example"); })) << "asked again at once";
  EXPECT_THAT(said(), Contains(HasSubstr("not trusted any more: forgot 2 addresses")));
}

TEST_F(NameResolverTest, AScopesOwnResolversBindInItsViewAlone) {
  server_.set("a.example", {"198.51.100.1"});
  open("[scopes.agent]\nsources = [\"192.0.2.0/24\"]\nresolvers = [\"127.0.0.1\"]\n" +
           rule(R"("a.example")", "scope = \"agent\"\nprotocols = [\"tls\"]"),
       "");
  resolver_->start();
  engine::BindingMiss miss;
  miss.scopes = 1;
  miss.port = 443;
  ASSERT_EQ(policy_->view_of(miss.scopes), 1);
  EXPECT_TRUE(wait_for([&] {
    resolver_->request(miss);
    return bound("198.51.100.1", "a.example", 1);
  }));
  EXPECT_FALSE(bound("198.51.100.1", "a.example", 0));
}

TEST_F(NameResolverTest, ADeniedNameIsBoundInEveryView) {
  server_.set("bad.example", {"198.51.100.66"});
  server_.set("a.example", {"198.51.100.1"});
  start("[scopes.agent]\nsources = [\"192.0.2.0/24\"]\nresolvers = [\"127.0.0.1\"]\n" + rule(R"("a.example")") +
        "[[rules]]\nto = [\"bad.example\", \"*.worse.example\"]\nprotocols = [\"ssh\"]\naction = \"deny\"\n" +
        "[[rules]]\nto = \"tls.example\"\naction = \"deny\"\n");
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.66", "bad.example", 0) && bound("198.51.100.66", "bad.example", 1); }));
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.1", "a.example"); }));
  EXPECT_EQ(server_.questions_for("tls.example"), 0) << "its bytes say its name";
  EXPECT_EQ(resolver_->status().names, 3U);
}

TEST_F(NameResolverTest, AClaimedNameBehindThousandsIsLookedUp) {
  std::string names;
  for (std::size_t i = 0; i <= kResolverNames; ++i) names += "\"n" + std::to_string(i) + ".example\", ";
  server_.set("last.example", {"198.51.100.99"});
  start(rule(names + "\"last.example\""));
  EXPECT_THAT(said(), Contains(HasSubstr("more than 4096 names")));
  engine::BindingMiss miss;
  miss.port = 443;
  miss.name = name("last.example");
  const auto before = std::chrono::steady_clock::now();
  resolver_->request(miss);
  EXPECT_TRUE(wait_for([&] { return bound("198.51.100.99", "last.example"); }));
  EXPECT_LT(server_.questions(), static_cast<int>(2 * kResolverNames)) << "not behind the others";
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST_F(NameResolverTest, ThePortsOfItsSocketsAreKnownWhileTheyAreOpen) {
  server_.be_silent(true);
  start(rule(R"("a.example")"));
  ASSERT_TRUE(wait_for([&] { return server_.questions() >= 2; }));
  const std::set<std::uint16_t> asked_from = server_.ports();
  EXPECT_FALSE(asked_from.empty());
  for (const std::uint16_t port : asked_from) EXPECT_TRUE(resolvers_->is_own_port(Transport::kUdp, port)) << port;
  EXPECT_FALSE(resolvers_->is_own_port(Transport::kUdp, server_.port()));
  resolver_.reset();
  for (std::uint32_t port = 0; port <= 0xffff; ++port) {
    EXPECT_FALSE(resolvers_->is_own_port(Transport::kUdp, static_cast<std::uint16_t>(port))) << port;
  }
}

}  // namespace
}  // namespace sallyport::resolver
