#include "sallyport/view/text.h"

#include <gmock/gmock.h>

#include <sstream>

#include "sallyport/view/table.h"
#include "view/frames.h"

namespace sallyport::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextTest, OnlyVisibleAsciiStays) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const char c : view::visible(std::string(1, static_cast<char>(byte)))) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << byte;
  }
  EXPECT_EQ(view::visible("a b\x1b[2J\xff"), "a b\\x1b[2J\\xff");
}

TEST(TextTest, CutsToTheWidth) {
  EXPECT_EQ(view::cut_left("github.com.evil.example", 13), "~evil.example");
  EXPECT_EQ(view::cut_right("name_not_allowed", 6), "name_~");
  for (std::size_t width = 0; width < 30; ++width) {
    EXPECT_LE(view::cut_left("github.com.evil.example", width).size(), width);
    EXPECT_LE(view::cut_right("github.com.evil.example", width).size(), width);
  }
}

TEST(TextTest, FiguresForPeople) {
  EXPECT_EQ(view::count_text(0), "0");
  EXPECT_EQ(view::count_text(999), "999");
  EXPECT_EQ(view::count_text(1'234'567), "1,234,567");
  EXPECT_EQ(view::rate_text(0), "0");
  EXPECT_EQ(view::rate_text(0.25), "0.25");
  EXPECT_EQ(view::rate_text(0.999), "1.0");
  EXPECT_EQ(view::rate_text(9.97), "10");
  EXPECT_EQ(view::rate_text(1'204.4), "1,204");
  EXPECT_EQ(view::span_text(59), "59 s");
  EXPECT_EQ(view::span_text(7'500), "2 h 05 min");
  EXPECT_EQ(view::span_text(180'000), "2 d 2 h");
}

TEST(TextTest, Base64HasThePaddingOfEachLength) {
  EXPECT_EQ(view::base64(""), "");
  EXPECT_EQ(view::base64("f"), "Zg==");
  EXPECT_EQ(view::base64("fo"), "Zm8=");
  EXPECT_EQ(view::base64("foo"), "Zm9v");
  EXPECT_EQ(view::base64("\xff\xfe\xfd"), "//79");
}

class TableTest : public ViewTest {};

TEST_F(TableTest, AlignsFlowsAndCutsNamesToTheTerminal) {
  view::FlowTable pipe(0, false), narrow(100, false);
  for (view::FlowTable* each : {&pipe, &narrow}) {
    each->add(flow_row(1, "github.com").dump());
    each->add(flow_row(2, std::string(60, 'x') + ".evil.example", "deny").dump());
  }
  EXPECT_THAT(pipe.text(), HasSubstr(std::string(60, 'x') + ".evil.example"));
  EXPECT_THAT(narrow.text(), HasSubstr("~xxx.evil.example"));
  EXPECT_EQ(pipe.text().find("VERDICT") - pipe.text().find("TIME"), pipe.text().find("allow") - pipe.text().find("10:00:01"));
  EXPECT_EQ(view::FlowTable(80, false).text(), "no such flow\n");
}

TEST_F(TableTest, AHostileRowCannotReachTheTerminal) {
  view::FlowTable table(0, true);
  Json row = flow_row(1, "x", "pending");
  row["name"] = "\x1b]0;title\a";
  row["verdict"] = "\x1b[2J";
  table.add(row.dump());
  EXPECT_THAT(table.text(), Not(HasSubstr("\x1b")));
}

TEST_F(TableTest, StatusTellsQuestionsOverTcpFromThoseOverUdp) {
  Json udp = denied_row("secret.example", 1), tcp = udp;
  udp["protocol"] = tcp["protocol"] = "dns";
  udp["proto"] = "udp";
  tcp["proto"] = "tcp";
  const Json status{{"version", "0.1.0"}, {"mode", "enforce"}, {"flow_book", {{"top_denied", Json::array({udp, tcp})}}}};
  const std::string text = view::status_text(status.dump(), 80, false);
  EXPECT_THAT(text, HasSubstr("(name_not_allowed)\n"));
  EXPECT_THAT(text, HasSubstr("(name_not_allowed, over TCP)\n"));
}

TEST_F(TableTest, StatusIsLaidOutWithinTheTerminal) {
  Json reasons = Json::object();
  for (int i = 0; i < 30; ++i) reasons["a_reason_" + std::to_string(i)] = 1'000 * i;
  const Json status{{"version", "0.1.0"}, {"pid", 7}, {"mode", "enforce"}, {"policy", "policy.toml"}, {"uptime_s", 7'500}, {"rules", "nft"},
                    {"flows_active", 3}, {"held", 1}, {"awaiting_binding", 0}, {"flows", {{"allow", 12'000}, {"deny", 3}}},
                    {"packets", {{"accept", 5}}}, {"packet_reasons", reasons}, {"events_lost", 0},
                    {"flow_book", {{"live", 2}, {"rates", {{"opened_minute", 0.5}}}, {"top_denied", Json::array({denied_row("two.example", 7)})}}},
                    {"grants", Json::array({Json{{"id", 3}, {"action", "allow"}, {"name", "github.com"}, {"protocols", {"tls"}}}})},
                    {"resolver", {{"trusted", {"192.0.2.53"}}, {"names", 4}}},
                    {"queues", Json::array({Json{{"queue", 0}, {"packets", 9}, {"waiting", 0}, {"queue_dropped", 0}, {"user_dropped", 0}}})}};
  const std::string text = view::status_text(status.dump(), 80, false);
  EXPECT_THAT(text, HasSubstr("sallyport  0.1.0, pid 7, up 2 h 05 min\n"));
  EXPECT_THAT(text, HasSubstr("flows      12,000 allow, 3 deny\n"));
  EXPECT_THAT(text, HasSubstr("top denied       7  tls    two.example:443  (name_not_allowed)\n"));
  EXPECT_THAT(text, HasSubstr("grants     #3 allow github.com tls\n"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  EXPECT_EQ(view::status_text("{}", 80, false), "");
  EXPECT_EQ(view::status_text("nonsense", 80, false), "");
}

}  // namespace
}  // namespace sallyport::testing
