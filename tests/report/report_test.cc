#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sallyport/policy/policy_file.h"
#include "sallyport/report/comparison.h"
#include "sallyport/report/html_report.h"

namespace sallyport::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const policy::Policy> load(const std::string& text) {
  auto loaded = policy::load_policy_text("version = 1\n" + text, "p.toml");
  if (loaded) return *loaded;
  ADD_FAILURE() << loaded.error().front().to_string();
  return policy::embedded_policy();
}

replay::FlowRow row_of(std::uint64_t number, const std::string& name, engine::FlowVerdict verdict, Reason reason, RuleId rule = kNoRule) {
  replay::FlowRow row;
  row.flow = number;
  row.time = Timestamp(std::chrono::seconds(1'790'000'000 + number));
  row.key = {Transport::kTcp, 6, {*IpAddress::parse("10.0.0.1"), 40'000}, {*IpAddress::parse("203.0.113.5"), 443}, 0};
  row.protocol = Protocol::kTls;
  row.name = name;
  row.verdict = verdict;
  row.reason = reason;
  row.rule = rule;
  row.packets = 7;
  row.bytes = 4'242;
  return row;
}

// data_of returns the page's JSON block, which must end where it should.
nlohmann::json data_of(const std::string& page) {
  const std::string begin = "<script id=\"data\" type=\"application/json\">";
  const std::size_t at = page.find(begin) + begin.size();
  return nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at));
}

TEST(HtmlReportTest, HostileNamesStayInsideTheirString) {
  const std::string hostile = "</script><img src=x onerror=alert(1)><!--<script>&\x80\x1b[2J";
  HtmlReport report(policy::embedded_policy(), {});
  replay::CaptureResult result;
  result.file = "</script><b>.pcap";
  result.flows.push_back(row_of(1, hostile, engine::FlowVerdict::kDeny, Reason::kNameInvalid));
  report.add(result);
  const std::string page = report.page(nullptr);
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  const nlohmann::json data = data_of(page);
  EXPECT_EQ(data["flows"][0][7], "</script><img src=x onerror=alert(1)><!--<script>&\\x80\\x1b[2J");
  EXPECT_EQ(data["files"][0], "</script><b>.pcap");
}

TEST(HtmlReportTest, HasNoOtherFileAndNoNetwork) {
  const std::string page = HtmlReport(policy::embedded_policy(), {}).page(nullptr);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* outside : {"src=", "href=", "@import", "url(", "fetch(", "innerHTML", "document.write", "%%DATA%%"}) EXPECT_THAT(page, Not(HasSubstr(outside))) << outside;
}

TEST(HtmlReportTest, RowsBeyondTheBoundAreCountedAndSaid) {
  HtmlReport report(policy::embedded_policy(), {});
  replay::CaptureResult result;
  for (std::uint64_t i = 1; i <= kFlowsShownMax + 3; ++i) result.flows.push_back(row_of(i, "a.test", engine::FlowVerdict::kDeny, Reason::kNameNotAllowed));
  report.add(result);
  const nlohmann::json data = data_of(report.page(nullptr));
  EXPECT_EQ(data["flows"].size(), kFlowsShownMax);
  EXPECT_EQ(data["left_out"], 3);
  EXPECT_EQ(data["totals"][1], kFlowsShownMax + 3);
}

TEST(ComparisonTest, TellsWhatIsNewlyAllowedDeniedAndOtherwiseDecided) {
  const auto before = load("[[rules]]\nto = [\"a.test\"]\n[[rules]]\nto = [\"c.test\"]\n");
  const auto after = load("[[rules]]\nto = [\"*.test\"]\n");
  using enum engine::FlowVerdict;
  replay::CaptureResult old_rows, new_rows;
  old_rows.flows = {row_of(1, "a.test", kAllow, Reason::kRuleAllows, 0), row_of(2, "b.test", kDeny, Reason::kNameNotAllowed), row_of(3, "c.test", kAllow, Reason::kRuleAllows, 1),
                    row_of(4, "d.test", kDeny, Reason::kNameNotAllowed)};
  new_rows.flows = {row_of(1, "a.test", kDeny, Reason::kNameNotAllowed), row_of(2, "b.test", kAllow, Reason::kRuleAllows, 0), row_of(3, "c.test", kAllow, Reason::kRuleAllows, 0),
                    row_of(4, "d.test", kDeny, Reason::kNameNotAllowed)};
  Comparison comparison;
  comparison.add_old(old_rows, *before);
  comparison.add_new(new_rows, *after);
  EXPECT_EQ(comparison.count(Difference::kAllowed), 1u);
  EXPECT_EQ(comparison.count(Difference::kDenied), 1u);
  EXPECT_EQ(comparison.flows(), 4u);
  EXPECT_TRUE(comparison.changes_verdicts());
  EXPECT_THAT(comparison.to_text(false), HasSubstr("newly denied: 1\n  tls a.test 203.0.113.5:443\n    allow rule_allows (p.toml:2) -> deny name_not_allowed (default)\n"));
}

TEST(ComparisonTest, AFlowThatTurnsCountsByItsLastVerdict) {
  using enum engine::FlowVerdict;
  replay::CaptureResult rows;
  rows.flows = {row_of(1, "a.test", kAllow, Reason::kRuleAllows), row_of(1, "b.test", kDeny, Reason::kNameNotAllowed)};
  rows.flows.back().turned = true;
  Comparison comparison;
  comparison.add_old(rows, *policy::embedded_policy());
  rows.flows.pop_back();
  comparison.add_new(rows, *policy::embedded_policy());
  EXPECT_EQ(comparison.count(Difference::kAllowed), 1u);
}

}  // namespace
}  // namespace sallyport::report
