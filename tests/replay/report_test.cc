#include "sallyport/replay/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::replay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string locate(RuleId rule) {
  return rule == kNoRule ? "default" : "/etc/sallyport/policy.toml:" + std::to_string(rule);
}

FlowRow row(std::string_view name, engine::FlowVerdict verdict) {
  FlowRow out;
  out.flow = 1;
  out.time = testing::at();
  out.key = {Transport::kTcp, 6, testing::endpoint("2001:db8::1", 4000), testing::endpoint("2001:db8::2", 443)};
  out.protocol = Protocol::kTls;
  out.name = name;
  out.names = {std::string(name)};
  out.verdict = verdict;
  out.reason = verdict == engine::FlowVerdict::kAllow ? Reason::kRuleAllows : Reason::kNameNotAllowed;
  out.rule = verdict == engine::FlowVerdict::kAllow ? 7 : kNoRule;
  return out;
}

CaptureResult result() {
  CaptureResult out;
  out.file = "day.pcap";
  out.flows = {row("github.com", engine::FlowVerdict::kAllow), row("evil.example", engine::FlowVerdict::kDeny)};
  out.frames_read = 12;
  out.without_packet["not_ip"] = 2;
  return out;
}

std::size_t longest_line(const std::string& text) {
  std::istringstream in(text);
  std::size_t longest = 0;
  for (std::string line; std::getline(in, line);) longest = std::max(longest, line.size());
  return longest;
}

TEST(ReportTest, ALineTellsWhenWhoWhereWhatAndWhy) {
  Report report({}, locate);
  const std::string text = report.add(result(), true);
  EXPECT_THAT(text, HasSubstr("day.pcap\n"));
  EXPECT_THAT(text, HasSubstr("2026-01-31 12:00:00.000 2001:db8::1 [2001:db8::2]:443 tls/tcp  github.com"));
  EXPECT_THAT(text, HasSubstr("deny    name_not_allowed default\n"));
  EXPECT_THAT(text, HasSubstr("/etc/sallyport/policy.toml:7"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
}

TEST(ReportTest, LinesFitTheTerminal) {
  CaptureResult wide = result();
  wide.flows[0].name = std::string(200, 'n') + ".example";
  for (const std::size_t width : {200u, 140u, 124u}) {
    Report report({.width = width}, locate);
    EXPECT_LE(longest_line(report.add(wide, false)), width);
  }
  Report unlimited({}, locate);
  EXPECT_GT(longest_line(unlimited.add(wide, false)), 200u);
}

TEST(ReportTest, ColourIsOnlyForTerminals) {
  Report report({.width = 160, .colour = true}, locate);
  EXPECT_THAT(report.add(result(), false), HasSubstr("\033[32mallow\033[0m"));
}

TEST(ReportTest, NamesCannotMoveTheTerminal) {
  CaptureResult hostile = result();
  hostile.flows[0].name = "\x1b[2J\xe2\x80\xae.example\n";
  Report report({}, locate);
  const std::string text = report.add(hostile, false) + report.summary();
  EXPECT_THAT(text, HasSubstr("\\x1b[2J\\xe2\\x80\\xae.example\\x0a"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(ReportTest, TheSummaryCountsFlowsOnceAndNamesByVerdict) {
  Report report({}, locate);
  CaptureResult turned = result();
  turned.flows.push_back(turned.flows[0]);
  turned.flows.back().turned = true;
  turned.flows.back().verdict = engine::FlowVerdict::kDeny;
  report.add(turned, false);
  report.add(result(), false);
  const std::string text = report.summary();
  EXPECT_THAT(text, HasSubstr("4 flows in 24 frames of 2 captures\n"));
  EXPECT_THAT(text, HasSubstr("verdict     allow 2  deny 2  turned 1\n"));
  EXPECT_THAT(text, HasSubstr("protocol    tls 4\n"));
  EXPECT_THAT(text, HasSubstr("not IP      not_ip 4\n"));
  EXPECT_THAT(text, HasSubstr("names       deny         2  evil.example\n"
                              "            allow        2  github.com\n"
                              "            deny         1  github.com\n"));
}

}  // namespace
}  // namespace sallyport::replay
