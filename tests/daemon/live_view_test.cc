#include "live_view.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "event_support.h"
#include "sallyport/daemon/control_client.h"

namespace sallyport::daemon {
namespace {

using nlohmann::json;
using sallyport::testing::make_policy;
using ::testing::ElementsAre;

constexpr const char* kScopes = "[scopes.builds]\nusers = [\"root\"]\n";

// Rig is a view behind a control socket, both served by the test's own thread.
class Rig {
 public:
  explicit Rig(std::shared_ptr<const policy::Policy> policy)
      : view_(std::move(policy), [] { return nlohmann::ordered_json{{"mode", "enforce"}}; }) {
    std::string pattern = ::testing::TempDir() + "sallyport-view-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    auto opened = ControlServer::open(folder_ + "/control.sock");
    EXPECT_TRUE(opened);
    if (!opened) return;
    server_ = std::move(*opened);
    view_.serve(*server_);
  }
  ~Rig() {
    view_.stop();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  LiveView& view() { return view_; }
  // frame returns the first frame of a new client.
  json frame() {
    auto client = ControlConnection::open(folder_ + "/control.sock", R"({"command":"watch"})");
    EXPECT_TRUE(client);
    std::vector<std::string> lines;
    for (int i = 0; client && i < 1'000 && lines.size() < 2; ++i) {
      pollfd ready{server_->fd(), POLLIN, 0};
      if (::poll(&ready, 1, 10) > 0) server_->serve();
      (void)client->read(lines);
    }
    return lines.size() < 2 ? json() : json::parse(lines[1], nullptr, false);
  }

 private:
  LiveView view_;
  std::string folder_;
  std::unique_ptr<ControlServer> server_;
};

TEST(LiveViewTest, FramesTellWhetherThePolicyThatJudgesHasScopes) {
  Rig rig(make_policy(""));
  EXPECT_EQ(rig.frame()["has_scopes"], false);
  rig.view().set_policy(make_policy(kScopes));
  const json frame = rig.frame();
  EXPECT_EQ(frame["has_scopes"], true);
  EXPECT_EQ(frame["mode"], "enforce");
  rig.view().set_policy(make_policy(""));
  EXPECT_EQ(rig.frame()["has_scopes"], false);
}

TEST(LiveViewTest, AFlowIsWordedWithThePolicyThatJudgedIt) {
  const auto older = make_policy(std::string(kScopes) + "[events]\noutput = []\n[[rules]]\nto = \"a.example\"\n");
  const auto newer = make_policy("[scopes.another]\nusers = [\"root\"]\n" + std::string(kScopes) +
                                 "[events]\noutput = []\n\n\n[[rules]]\nto = \"a.example\"\n");
  Rig rig(older);
  {
    EventLog log({.policy = older, .mode = policy::Mode::kEnforce, .processes = false, .say = {}});
    rig.view().attach(log);
    log.set_policy(newer);
    rig.view().set_policy(newer);
    engine::FlowEvent event;
    event.kind = engine::FlowEvent::Kind::kVerdict;
    event.verdict = engine::FlowVerdict::kAllow;
    event.rule = 0;
    for (const auto& [policy, scopes] : {std::pair{newer, 2U}, std::pair{older, 1U}}) {  // A worker that has not gone over yet is last.
      ++event.flow;
      event.policy = policy.get();
      event.scopes = scopes;
      event.time = event.opened = Timestamp(std::chrono::seconds(1'700'000'000 + event.flow));
      log.add(0, event);
    }
    log.start();
  }
  const auto rows = rig.view().book().flows({});
  ASSERT_EQ(rows.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(rows[i].scopes, ElementsAre("builds"));
    EXPECT_EQ(rows[i].rule, (i == 0 ? older : newer)->location(0));
  }
  EXPECT_NE(rows[0].rule, rows[1].rule);
}

}  // namespace
}  // namespace sallyport::daemon
