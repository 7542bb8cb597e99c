// [events]: where events go, and what is wrong with what says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;
using Kind = EventOutput::Kind;

std::vector<std::string> problem(std::string_view line) {
  return problems("version = 1\n[events]\n" + std::string(line) + "\n");
}

TEST(EventsPolicyTest, WithoutTheTableLinesGoToStandardOutputAndAreFolded) {
  const auto policy = load("");
  EXPECT_THAT(policy->events().outputs, ElementsAre(EventOutput{}));
  EXPECT_FALSE(policy->events().format);
  EXPECT_EQ(policy->events().fold, std::chrono::seconds(10));
}

TEST(EventsPolicyTest, AnOutputIsATextOrATable) {
  const auto policy = load(R"([events]
output = ["stdout", "journald", {to = "file:/var/log/sallyport/eve.json", format = "eve"}, "unix:/run/collector.sock", "unix:@collector"]
format = "json"
fold = "60s"
)");
  EXPECT_THAT(policy->events().outputs,
              ElementsAre(EventOutput{}, EventOutput{Kind::kJournald}, EventOutput{Kind::kFile, "/var/log/sallyport/eve.json", EventFormat::kEve},
                          EventOutput{Kind::kUnix, "/run/collector.sock"}, EventOutput{Kind::kUnix, "@collector"}));
  EXPECT_EQ(policy->events().format, EventFormat::kJson);
  EXPECT_EQ(policy->events().fold, std::chrono::seconds(60));
  EXPECT_EQ(load("[events]\noutput = \"journald\"\nfold = \"0s\"\n")->events().fold, Duration{});
  EXPECT_THAT(load("[events]\noutput = []\n")->events().outputs, IsEmpty());
}

TEST(EventsPolicyTest, ProblemsHaveTheirPlaceAndWhatToWrite) {
  EXPECT_THAT(problem("output = \"stdot\""), ElementsAre(R"(p.toml:3:10: events.output: "stdot": expected "stdout", "journald", "file:/PATH" or "unix:/PATH"; did you mean "stdout"?)"));
  EXPECT_THAT(problem("output = \"/var/log/x\""), ElementsAre(testing::HasSubstr(R"(did you mean "file:/var/log/x"?)")));
  EXPECT_THAT(problem("output = \"file:log\""), ElementsAre(StartsWith(R"(p.toml:3:10: events.output: "file:log": expected an absolute path)")));
  EXPECT_THAT(problem("output = \"file:/var/log/\""), ElementsAre(testing::HasSubstr("expected the path of a file")));
  EXPECT_THAT(problem("output = \"unix:/" + std::string(107, 'x') + "\""), ElementsAre(testing::HasSubstr("at most 107 octets")));
  EXPECT_THAT(problem("output = [\"stdout\", {to = \"stdout\", format = \"eve\"}]"), ElementsAre("p.toml:3:27: events.output: \"stdout\": named twice"));
  EXPECT_THAT(problem("output = {format = \"eve\"}"), ElementsAre("p.toml:3:10: events.output.to: required: where the events go"));
  EXPECT_THAT(problem("output = {to = \"journald\", format = \"eve\"}"), ElementsAre(testing::HasSubstr("events.output.format: the journal has fields of its own")));
  EXPECT_THAT(problem("output = {to = \"stdout\", fromat = \"eve\"}"), ElementsAre(testing::HasSubstr("events.output.fromat: unknown key; did you mean \"format\"?")));
  EXPECT_THAT(problem("output = 1"), ElementsAre(StartsWith("p.toml:3:10: events.output: expected")));
  EXPECT_THAT(problem("format = \"xml\""), ElementsAre(StartsWith("p.toml:3:10: events.format: ")));
  EXPECT_THAT(problem("fold = \"2h\""), ElementsAre(StartsWith("p.toml:3:8: events.fold: \"2h\": expected a time of at most an hour")));
  EXPECT_THAT(problem("foldd = \"2s\""), ElementsAre(R"(p.toml:3:1: events.foldd: unknown key; did you mean "fold"?)"));
  std::string many = "output = [";
  for (int i = 0; i < 9; ++i) many += "\"file:/x" + std::to_string(i) + "\", ";
  EXPECT_THAT(problem(many + "]"), ElementsAre(testing::HasSubstr("at most 8 outputs")));
  EXPECT_THAT(problems("version = 1\nevents = 1\n"), ElementsAre("p.toml:2:10: events: expected a table, got an integer"));
}

TEST(EventsPolicyTest, NoVerdictGoesByIt) {
  EXPECT_EQ(load("")->fingerprint(), load("[events]\noutput = \"journald\"\n")->fingerprint());
}

}  // namespace
}  // namespace sallyport::policy
