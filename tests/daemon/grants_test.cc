#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "grant_commands.h"
#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kPolicy = R"(version = 1
[scopes.agent]
users = [1000]
[[rules]]
to = [".denied.example"]
action = "deny"
)";

class GrantsTest : public testing::Test {
 protected:
  GrantsTest() {
    char folder[] = "/tmp/sallyport-grants-XXXXXX";
    folder_ = ::mkdtemp(folder);
    control_ = folder_ + "/control.sock";
    restart();
  }
  ~GrantsTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  // restart is another run of the service at the same place; it starts with what was kept.
  void restart() {
    server_.reset();
    store_ = std::make_unique<GrantStore>(grants_path(control_));
    restored_ = store_->restore(now_);
    commands_ = std::make_unique<GrantCommands>(*store_, host());
    server_ = ControlServer::open(control_).value();
    commands_->register_at(*server_);
  }
  GrantHost host() {
    GrantHost host;
    host.compile = [](const policy::Overlay& overlay) { return policy::load_policy_text(kPolicy, "policy.toml", overlay); };
    host.adopt = [this](std::shared_ptr<const policy::Policy> policy, const std::string& why) -> std::expected<nlohmann::ordered_json, std::string> {
      if (adopt_fails_) return std::unexpected(std::string("the workers do not answer"));
      policy_ = std::move(policy);
      reasons_.push_back(why);
      return nlohmann::ordered_json{{"cut", 2}};
    };
    host.report = [this](std::string_view kind, nlohmann::ordered_json fields) { events_.push_back(std::string(kind) + " " + fields.dump()); };
    host.say = [this](const std::string& text) { said_.push_back(text); };
    host.observing = [this] { return observing_; };
    host.now = [this] { return now_; };
    host.policy = [this] { return policy_; };
    host.rules_now = [this] { return now_; };
    host.judge_again = [this](const std::string& why) {
      reasons_.push_back(why);
      if (adopt_fails_) return false;
      commands_->policy_changed(now_);
      return true;
    };
    return host;
  }
  json ask(const json& request) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = unix_address(control_);
    EXPECT_EQ(::connect(fd, address->get(), address->size), 0);
    EXPECT_TRUE(send_all(fd, request.dump() + '\n'));
    serve();
    set_timeouts(fd, 1);
    const auto line = read_line(fd, 1u << 20);
    ::close(fd);
    return json::parse(line.value_or("null"), nullptr, false);
  }
  void serve(int wait_ms = 0) {
    pollfd ready{server_->fd(), POLLIN, 0};
    while (::poll(&ready, 1, wait_ms) > 0) server_->serve();
  }
  bool allows(std::string_view name) const {
    const auto domain = DomainName::parse(name);
    policy::FlowQuery query;
    query.protocol = Protocol::kTls;
    query.port = 443;
    query.name = &*domain;
    query.now = now_;
    query.bound = query.claimed = true;
    return policy_ != nullptr && policy_->match(query).action == policy::Action::kAllow;
  }

  std::string folder_;
  std::string control_;
  Timestamp now_ = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  bool observing_ = false;
  bool adopt_fails_ = false;
  std::shared_ptr<const policy::Policy> policy_ = policy::load_policy_text(kPolicy, "policy.toml").value();
  std::vector<std::string> reasons_;
  std::vector<std::string> events_;
  std::vector<std::string> said_;
  std::unique_ptr<GrantStore> store_;
  std::expected<void, std::string> restored_;
  std::unique_ptr<GrantCommands> commands_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(GrantsTest, AGrantIsInForceAtOnceAndSaysWhoMadeIt) {
  const json answer = ask({{"command", "allow"}, {"name", "new.example"}, {"for", "10m"}});
  ASSERT_TRUE(answer.contains("ok")) << answer.dump();
  EXPECT_EQ(answer["id"], 1);
  EXPECT_EQ(answer["cut"], 2);
  EXPECT_EQ(answer["grant"]["left_s"], 600);
  EXPECT_EQ(answer["grant"]["by"]["uid"], ::geteuid());
  EXPECT_TRUE(allows("new.example"));
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], testing::AllOf(HasSubstr("grant {\"grant\":1"), HasSubstr("\"state\":\"begin\""), HasSubstr("for 10m; made by uid")));
  EXPECT_THAT(ask({{"command", "grants"}})["grants"], SizeIs(1));
}

TEST_F(GrantsTest, ArgumentsThatMeanNothingChangeNothing) {
  for (const json& request : {json{{"command", "allow"}}, json{{"command", "allow"}, {"name", ""}}, json{{"command", "allow"}, {"name", 7}},
                              json{{"command", "allow"}, {"name", "a.example"}, {"fro", "10m"}}, json{{"command", "allow"}, {"name", "a.example"}, {"for", "10"}},
                              json{{"command", "allow"}, {"name", "a.example"}, {"for", "0s"}}, json{{"command", "allow"}, {"name", "a.example"}, {"for", "400d"}},
                              json{{"command", "allow"}, {"name", "*.*.example"}}, json{{"command", "allow"}, {"name", "*.com"}},
                              json{{"command", "allow"}, {"name", "a.example"}, {"protocols", "tsl"}}, json{{"command", "allow"}, {"name", "a.example"}, {"ports", {-1}}},
                              json{{"command", "allow"}, {"name", "a.example"}, {"scope", "agnet"}}, json{{"command", "allow"}, {"name", "a.denied.example"}},
                              json{{"command", "deny"}, {"name", {"a.example"}}}, json{{"command", "revoke"}}, json{{"command", "revoke"}, {"id", 5}},
                              json{{"command", "revoke"}, {"id", 1}, {"all", true}}, json{{"command", "revoke"}, {"all", false}},
                              json{{"command", "bypass"}}, json{{"command", "bypass"}, {"for", "5m"}}, json{{"command", "bypass"}, {"for", "25h"}, {"all", true}},
                              json{{"command", "bypass"}, {"for", "5m"}, {"all", true}, {"scope", "agent"}}, json{{"command", "bypass"}, {"for", "5m"}, {"scope", "x"}},
                              json{{"command", "bypass"}, {"end", true}, {"for", "5m"}}}) {
    const json answer = ask(request);
    EXPECT_TRUE(answer.is_object() && answer.contains("error") && answer["error"].get<std::string>().size() > 5) << request << " -> " << answer;
  }
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_THAT(reasons_, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(grants_path(control_)));
}

TEST_F(GrantsTest, AProblemIsTheSentenceOfARuleWithoutItsPlace) {
  EXPECT_EQ(ask({{"command", "allow"}, {"name", "a.example"}, {"protocols", "tsl"}})["error"].get<std::string>().substr(0, 16), "protocols: \"tsl\"");
  EXPECT_THAT(ask({{"command", "allow"}, {"name", "a.denied.example"}})["error"].get<std::string>(), HasSubstr("policy.toml:4"));
}

TEST_F(GrantsTest, WhatIsKeptIsInForceAfterARestart) {
  (void)ask({{"command", "allow"}, {"name", "new.example"}, {"protocols", {"tls", "ssh"}}, {"ports", {443, "8000-8010"}}, {"scope", "agent"}, {"for", "10m"}});
  (void)ask({{"command", "deny"}, {"name", "old.example"}});
  (void)ask({{"command", "bypass"}, {"scope", "agent"}, {"for", "5m"}});
  const policy::Overlay before = store_->overlay();
  struct stat status {};
  ASSERT_EQ(::stat(grants_path(control_).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  restart();
  ASSERT_TRUE(restored_);
  EXPECT_EQ(store_->overlay().grants, before.grants);
  EXPECT_EQ(store_->overlay().bypasses, before.bypasses);
  EXPECT_EQ(ask({{"command", "deny"}, {"name", "third.example"}})["id"], 4);
}

TEST_F(GrantsTest, WhatEndedMeanwhileIsGone) {
  (void)ask({{"command", "allow"}, {"name", "new.example"}, {"for", "10m"}});
  now_ += std::chrono::minutes(10);
  restart();
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_EQ(ask({{"command", "allow"}, {"name", "new.example"}})["id"], 2);  // Its number is not used again.
}

TEST_F(GrantsTest, AtItsEndAGrantIsTakenOutAndSaid) {
  now_ = std::chrono::system_clock::now() - std::chrono::minutes(10) + std::chrono::milliseconds(50);
  (void)ask({{"command", "allow"}, {"name", "new.example"}, {"for", "10m"}});
  EXPECT_TRUE(allows("new.example"));
  now_ += std::chrono::minutes(10);
  serve(500);  // The alarm is of the wall clock.
  EXPECT_FALSE(allows("new.example"));
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_THAT(events_.back(), HasSubstr("its time is over"));
  EXPECT_EQ(reasons_.back(), "grant ended");
}

TEST_F(GrantsTest, AtTheEndOfARuleOfTheFileFlowsAreJudgedAgain) {
  now_ = Timestamp(std::chrono::sys_days(std::chrono::year(2100) / 1 / 1)) - std::chrono::milliseconds(100);
  const char* text = "version = 1\n[[rules]]\nto = [\"a.example\"]\nexpires = 2100-01-01T00:00:00Z\n[[rules]]\nto = [\"b.example\"]\nexpires = 2000-01-01T00:00:00Z\n";
  policy_ = policy::load_policy_text(text, "test").value();
  const auto end = policy_->next_expiry(now_);
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, now_ + std::chrono::milliseconds(100));
  commands_->policy_changed(now_);
  now_ = *end;
  commands_->ring();
  EXPECT_THAT(reasons_, IsEmpty()) << "a worker's clock may be behind";
  now_ += std::chrono::milliseconds(30);
  adopt_fails_ = true;
  commands_->ring();
  adopt_fails_ = false;
  commands_->ring();
  commands_->ring();
  EXPECT_EQ(reasons_, (std::vector<std::string>{"a rule has expired", "a rule has expired"})) << "it is tried until it is done, and once";
  EXPECT_FALSE(policy_->next_expiry(now_));
}

TEST_F(GrantsTest, RevokeTakesByNumberNameOrAll) {
  for (const char* name : {"a.example", "b.example", "b.example", "c.example", "d.example"}) (void)ask({{"command", "allow"}, {"name", name}});
  (void)ask({{"command", "bypass"}, {"all", true}, {"for", "5m"}});
  EXPECT_THAT(ask({{"command", "revoke"}, {"id", 1}})["revoked"], SizeIs(1));
  EXPECT_THAT(ask({{"command", "revoke"}, {"name", "b.example"}})["revoked"], SizeIs(2));
  EXPECT_THAT(ask({{"command", "revoke"}, {"all", true}})["revoked"], SizeIs(2));
  ASSERT_THAT(store_->list(), SizeIs(1));  // What is bypassed ends by its own command.
  EXPECT_EQ(ask({{"command", "bypass"}, {"end", true}})["ended"], 1);
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_TRUE(ask({{"command", "revoke"}, {"all", true}}).contains("ok"));
}

TEST_F(GrantsTest, ABypassIsLoggedAtBothEnds) {
  (void)ask({{"command", "bypass"}, {"scope", "agent"}, {"for", "5m"}});
  EXPECT_TRUE(policy_->bypassed(1, now_));
  (void)ask({{"command", "bypass"}, {"end", true}});
  EXPECT_FALSE(policy_->bypassed(1, now_));
  ASSERT_THAT(events_, SizeIs(2));
  EXPECT_THAT(events_[0], HasSubstr("BYPASS 1 begins: scope agent, for 5m; made by uid"));
  EXPECT_THAT(events_[1], HasSubstr("BYPASS 1 ends: scope agent, ended; made by uid"));
}

TEST_F(GrantsTest, AServiceThatObservesGrantsNothing) {
  observing_ = true;
  EXPECT_TRUE(ask({{"command", "allow"}, {"name", "a.example"}}).contains("error"));
  EXPECT_TRUE(ask({{"command", "bypass"}, {"for", "5m"}, {"all", true}}).contains("error"));
}

TEST_F(GrantsTest, WhatCannotBePutInForceIsNotKept) {
  adopt_fails_ = true;
  EXPECT_EQ(ask({{"command", "allow"}, {"name", "a.example"}})["error"], "the workers do not answer");
  EXPECT_THAT(store_->list(), IsEmpty());
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(GrantsTest, GrantsAreBounded) {
  GrantList list;
  for (std::uint32_t id = 1; id <= kGrantsMax; ++id) {
    GrantEntry entry;
    entry.grant.id = id;
    entry.grant.target = "n" + std::to_string(id) + ".example";
    list.push_back(entry);
  }
  ASSERT_TRUE(store_->commit(list));
  EXPECT_THAT(ask({{"command", "allow"}, {"name", "a.example"}})["error"].get<std::string>(), HasSubstr("1000 grants"));
  restart();
  EXPECT_THAT(store_->list(), SizeIs(kGrantsMax));
}

TEST_F(GrantsTest, AFileThatMakesNoSenseIsNotHalfRead) {
  (void)ask({{"command", "deny"}, {"name", "a.example"}});
  (void)ask({{"command", "allow"}, {"name", "b.example"}});
  const std::string path = grants_path(control_);
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (std::size_t size = 0; size + 2 < text.size(); ++size) {
    const std::string prefix(text.data(), size);
    EXPECT_FALSE(grants_from_text(prefix)) << size;
  }
  for (const char* wrong : {"[]", "{}", R"({"version":2,"next_id":1,"grants":[]})", R"({"version":1,"next_id":0,"grants":[]})",
                            R"({"version":1,"next_id":2,"grants":[{}]})", R"({"version":1,"next_id":2,"grants":{}})"}) {
    EXPECT_FALSE(grants_from_text(wrong)) << wrong;
  }
  // A number that is used twice, and one that will be.
  auto state = json::parse(text);
  state["grants"][1]["id"] = 1;
  EXPECT_FALSE(grants_from_text(state.dump()));
  state["grants"][1]["id"] = 99;
  EXPECT_FALSE(grants_from_text(state.dump()));
  std::ofstream(path) << "{";
  restart();
  EXPECT_FALSE(restored_);
  EXPECT_THAT(store_->list(), IsEmpty());
  std::ofstream(path) << text;
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  restart();
  EXPECT_THAT(restored_.error(), HasSubstr("others could have written it"));
}

TEST(GrantsPathTest, StandsBesideTheSocket) {
  EXPECT_EQ(grants_path("/run/sallyport/control.sock"), "/run/sallyport/control.grants.json");
  EXPECT_EQ(grants_path("@name"), "");
}

}  // namespace
}  // namespace sallyport::daemon
