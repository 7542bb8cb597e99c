#include "saved_flows.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "sallyport/policy/policy_file.h"

namespace sallyport::testing {
namespace {

using daemon::FlowsByWorker;
using daemon::SavedFlows;
using engine::RememberedFlow;

std::shared_ptr<const policy::Policy> policy_for(const std::string& name) {
  return policy::load_policy_text("version = 1\n[[rules]]\nto = \"" + name + "\"\n", "p.toml").value();
}

RememberedFlow flow_of(const char* address, std::uint16_t port) {
  RememberedFlow flow;
  flow.key = {Transport::kTcp, 6, {*IpAddress::parse(address), port}, {*IpAddress::parse("2001:db8::7"), 443}, 0};
  flow.uid = 1000;
  flow.client_link = 3;
  flow.scopes = policy::kUnknownOwner | 5;
  flow.rule = 0;
  flow.protocol = flow.stage = Protocol::kTls;
  flow.early = flow.offers_ech = true;
  flow.name = *DomainName::parse("a.example");
  return flow;
}

class SavedFlowsTest : public ::testing::Test {
 protected:
  SavedFlowsTest() { std::filesystem::remove(path_); }
  ~SavedFlowsTest() override { std::filesystem::remove(path_); }

  const std::string path_ = ::testing::TempDir() + "saved-flows-test." + std::to_string(::getpid()) + ".json";
  const std::shared_ptr<const policy::Policy> policy_ = policy_for("a.example");
  std::string said_;
  const SavedFlows::Say say_ = [this](const std::string& text) { said_ += text; };
};

TEST_F(SavedFlowsTest, ComeBackOnceToTheirWorkers) {
  RememberedFlow nameless = flow_of("192.0.2.1", 2);
  nameless.name.reset();
  nameless.uid.reset();
  nameless.rule = kNoRule;
  nameless.reason = Reason::kDefaultAllows;
  nameless.hello_named = nameless.by_address = nameless.name_of_address = true;
  const FlowsByWorker flows = {{flow_of("192.0.2.1", 1)}, {nameless, flow_of("2001:db8::1", 3)}};
  const SavedFlows saved(path_);
  saved.save(flows, *policy_, say_);
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(saved.take(*policy_, 2, say_), flows);
  EXPECT_EQ(saved.take(*policy_, 2, say_), FlowsByWorker(2)) << "a kill must not find them again";
  EXPECT_EQ(said_, "");
}

TEST_F(SavedFlowsTest, AnotherPolicyOrOtherQueuesGetNone) {
  const std::string text = daemon::flows_text({{flow_of("192.0.2.1", 1)}}, *policy_);
  EXPECT_EQ(daemon::flows_from_text(text, *policy_, 1).at(0).size(), 1U);
  EXPECT_EQ(daemon::flows_from_text(text, *policy_for("b.example"), 1), FlowsByWorker(1));
  EXPECT_EQ(daemon::flows_from_text(text, *policy_, 2), FlowsByWorker(2));
}

TEST_F(SavedFlowsTest, NoPieceOfAFileIsMoreThanItSays) {
  const std::string text = daemon::flows_text({{flow_of("192.0.2.1", 1)}}, *policy_);
  for (std::size_t size = 0; size + 2 < text.size(); ++size) {
    EXPECT_EQ(daemon::flows_from_text(text.substr(0, size), *policy_, 1), FlowsByWorker(1)) << size;
  }
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string other = text;
    const std::size_t place = other.find(from);
    EXPECT_NE(place, std::string::npos) << from;
    return daemon::flows_from_text(other.replace(place, from.size(), to), *policy_, 1).at(0).size();
  };
  EXPECT_EQ(with("\"192.0.2.1\",1,", "\"192.0.2.1\",70000,"), 0U);
  EXPECT_EQ(with("\"192.0.2.1\"", "\"x\""), 0U);
  EXPECT_EQ(with("\"tls\"", "\"nothing\""), 0U);
  EXPECT_EQ(with("\"a.example\"", "\"a b\""), 0U);
  EXPECT_EQ(with("\"workers\":[[[", "\"workers\":[[[],["), 1U);
}

TEST_F(SavedFlowsTest, ARuleThatThePolicyLacksIsNone) {
  RememberedFlow flow = flow_of("192.0.2.1", 1);
  flow.rule = 7;
  EXPECT_EQ(daemon::flows_from_text(daemon::flows_text({{flow}}, *policy_), *policy_, 1), FlowsByWorker(1));
}

TEST(SavedFlowsPathTest, IsBesideTheControlSocket) {
  EXPECT_EQ(daemon::saved_flows_path("/run/x/control.sock"), "/run/x/control.flows.json");
  EXPECT_EQ(daemon::saved_flows_path("@x"), "");
}

}  // namespace
}  // namespace sallyport::testing
