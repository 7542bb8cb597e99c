#include "sallyport/view/screen.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "sallyport/view/keys.h"
#include "view/frames.h"

namespace sallyport::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using view::Key;

Key character(char c) {
  return {Key::Kind::kCharacter, c};
}
Key key(Key::Kind kind) {
  return {kind, 0};
}

// expect_golden compares with tests/view/golden/NAME.txt; SALLYPORT_WRITE_GOLDEN=1 writes it.
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(SALLYPORT_SOURCE_DIR) + "/tests/view/golden/" + name + ".txt";
  if (std::getenv("SALLYPORT_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream wanted;
  wanted << file.rdbuf();
  EXPECT_EQ(text, wanted.str()) << path;
}

class ScreenTest : public ViewTest {
 protected:
  ScreenTest() {
    Json denied = flow_row(3, "tracker.denied.example", "deny");
    denied["scopes"] = {"builds"};
    Json address = flow_row(4, "", "deny", "unknown");
    address["dport"] = 22;
    Json v6 = flow_row(5, "a-very-long-label-that-goes-on-and-on.and-on-and-on.github.com.evil.example", "deny", "quic");
    v6["dst"] = "2001:db8::7";
    v6["proto"] = "udp";
    Json ended = flow_row(2, "files.example.org", "allow", "http");
    ended["state"] = "ended";
    ended["dport"] = 80;
    Json forwarded = flow_row(6, "api.example.com");
    forwarded.erase("user");
    const Json rows = {flow_row(1, "github.com"), ended, denied, address, v6, forwarded};
    Json top = Json::array({denied_row("tracker.denied.example", 12'345), denied_row("203.0.113.7", 4)});
    EXPECT_TRUE(model.apply_frame(frame(0, Json::array()).dump()));
    EXPECT_TRUE(model.apply_frame(frame(1, rows, top).dump()));
  }
  std::string screen(std::size_t width, std::size_t height) { return view::draw(model, {width, height}).text(); }
};

TEST_F(ScreenTest, DrawsTheUsualTerminal) {
  expect_golden("80x24", screen(80, 24));
}

TEST_F(ScreenTest, DrawsTheSmallestTerminal) {
  expect_golden("40x10", screen(40, 10));
}

TEST_F(ScreenTest, DrawsAWideTerminalWithWhoAndWhy) {
  expect_golden("170x40", screen(170, 40));
}

TEST_F(ScreenTest, DrawsDetailsWithTheRuleThatWouldAllow) {
  for (int i = 0; i < 4; ++i) view::press(model, key(Key::Kind::kDown), 10);
  view::press(model, key(Key::Kind::kEnter), 10);
  expect_golden("details", screen(80, 24));
}

TEST_F(ScreenTest, DetailsOfAWorkloadThatNoScopeNamesGiveTheWholeCommand) {
  Json row = flow_row(9, "a-rather-long-name.workload.example", "deny");
  row["in_none"] = false;
  Json with = frame(0, Json::array({row}));
  with["has_scopes"] = true;
  ASSERT_TRUE(model.apply_frame(with.dump()));
  view::press(model, key(Key::Kind::kDown), 10);
  view::press(model, key(Key::Kind::kEnter), 10);
  EXPECT_THAT(screen(96, 24), HasSubstr("No rule by a key: no scope has this flow; for all flows:\n"
                                        "    sallyport allow a-rather-long-name.workload.example --protocol tls --port 443 --for 10m\n"));
}

TEST_F(ScreenTest, DrawsHelp) {
  view::press(model, character('?'), 10);
  expect_golden("help", screen(80, 24));
}

TEST_F(ScreenTest, DrawsNamesDeniedMostWithASelection) {
  view::press(model, key(Key::Kind::kTab), 10);
  view::press(model, character('j'), 10);
  const view::Grid grid = view::draw(model, {80, 24});
  std::size_t selected = 0;
  for (std::size_t y = 0; y < 24; ++y) selected += grid.at(0, y).style == view::Style::kSelected ? 1U : 0U;
  EXPECT_EQ(selected, 1U);
}

TEST_F(ScreenTest, ObservingSaysWouldDeny) {
  Json observing = frame(2, Json::array());
  observing["mode"] = "observe";
  ASSERT_TRUE(model.apply_frame(observing.dump()));
  EXPECT_THAT(screen(80, 24), HasSubstr("would deny"));
  EXPECT_THAT(screen(80, 24), HasSubstr("observing"));
}

TEST_F(ScreenTest, SaysThatTheServiceIsGone) {
  model.connected = false;
  model.connection_problem = "it is not running";
  for (const view::Size size : {view::Size{80, 24}, view::Size{40, 10}}) EXPECT_THAT(screen(size.width, size.height), HasSubstr("no service: it is"));
}

TEST_F(ScreenTest, CutsLongNamesOnTheLeftSoThatTheirOwnersAreSeen) {
  const std::string text = screen(80, 24);
  EXPECT_THAT(text, HasSubstr("github.com.evil.example"));
  EXPECT_THAT(text, Not(HasSubstr("a-very-long-label")));
}

TEST_F(ScreenTest, EverySizeIsDrawnWithinItsBounds) {
  for (std::size_t width = 1; width <= 200; width += width < 60 ? 1 : 7) {
    for (std::size_t height = 1; height <= 60; ++height) {
      const view::Grid grid = view::draw(model, {width, height});
      ASSERT_EQ(grid.size().width, width);
      ASSERT_EQ(grid.size().height, height);
      ASSERT_EQ(std::ranges::count(grid.text(), '\n'), static_cast<std::ptrdiff_t>(height));
    }
  }
}

TEST_F(ScreenTest, TooSmallATerminalIsTold) {
  EXPECT_THAT(screen(60, 9), HasSubstr("too small"));
  EXPECT_THAT(screen(39, 24), HasSubstr("too small"));
}

TEST_F(ScreenTest, NoByteOfAHostileNameReachesTheGrid) {
  // The service escapes them; should it not, the view does.
  std::string hostile;
  for (int byte = 1; byte < 256; ++byte) hostile += static_cast<char>(byte);
  Json row = flow_row(9, "x");
  row["name"] = "\x1b]52;c;ZXZpbA==\a\x1b[2Jevil.example\r\n\t\xc2\x9b" "31m\xe2\x80\xae";
  row["user"] = "\x1b[31mroot";
  row["rule"] = "\x1bP";
  std::string line = frame(3, Json::array({row}), Json::array({denied_row("\x1b[2J\x07.example", 3)})).dump(-1, ' ', false, Json::error_handler_t::replace);
  ASSERT_TRUE(model.apply_frame(line));
  model.message = hostile;
  for (int pass = 0; pass < 3; ++pass) {
    for (const view::Size size : {view::Size{40, 10}, view::Size{80, 24}, view::Size{200, 50}}) {
      const view::Grid grid = view::draw(model, size);
      for (std::size_t y = 0; y < size.height; ++y) {
        for (std::size_t x = 0; x < size.width; ++x) {
          const auto c = static_cast<unsigned char>(grid.at(x, y).character);
          ASSERT_TRUE((c >= 0x20 && c < 0x7f) || c == view::kLine) << int{c};
        }
      }
    }
    if (pass == 0) view::press(model, character('j'), 10);
    view::press(model, key(Key::Kind::kEnter), 10);
  }
  EXPECT_THAT(screen(200, 50), HasSubstr("\\x1b"));
}

TEST_F(ScreenTest, ShowsGrantsAndABypass) {
  const Json status{{"mode", "enforce"},
                    {"grants", Json::array({Json{{"id", 3}, {"action", "allow"}, {"name", "github.com"}, {"protocols", {"tls"}}, {"ports", {"443"}}, {"expires", 1'790'935'861.0}}})},
                    {"bypasses", Json::array({Json{{"id", 4}, {"scope", "agent"}, {"expires", 1'790'935'561.0}}})}};
  ASSERT_TRUE(model.apply_grants(status.dump()));
  const std::string text = screen(120, 24);
  EXPECT_THAT(text, HasSubstr("1 grant: allow github.com tls 443 for 10 min"));
  EXPECT_THAT(text, HasSubstr("bypass: agent for 5 min"));
  EXPECT_THAT(text, HasSubstr("BYPASS"));
}

TEST_F(ScreenTest, ThePlainLineHasTheFigures) {
  EXPECT_EQ(view::plain_line(model.header()),
            "10:01:01  enforcing  new 12/s  allowed 9/s  denied 3/s  held 2  live 214  waiting 3  packets 40/s");
}

}  // namespace
}  // namespace sallyport::testing
