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

}  // namespace
}  // namespace sallyport::daemon
