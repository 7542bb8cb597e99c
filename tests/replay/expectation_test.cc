#include "sallyport/replay/expectation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sallyport::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFlows =
    R"({"file":"a/input.pcap","flow":1,"proto":"tcp","src":"192.0.2.1","sport":4000,"dst":"192.0.2.2","dport":443,"name":"a.example","verdict":"allow","names":["a.example"]}
{"file":"a/input.pcap","flow":2,"proto":"udp","src":"192.0.2.1","sport":4001,"dst":"192.0.2.3","dport":53,"name":"b.example","verdict":"deny","names":["b.example"]}
{"file":"a/input.pcap","flow":3,"proto":"tcp","src":"192.0.2.1","sport":4002,"dst":"192.0.2.4","dport":22,"name":"","verdict":"pending","names":[]}
)";
constexpr const char* kFrames = R"({"file":"a/input.pcap","frame":1,"verdict":"accept"}
{"file":"a/input.pcap","frame":2,"verdict":"hold","released":"drop","released_by":3}
)";

std::vector<std::string> differences(std::string_view expected) {
  const auto expectation = Expectation::parse(expected, "expected.jsonl");
  EXPECT_TRUE(expectation);
  return expectation->differences(kFlows, kFrames);
}

TEST(ExpectationTest, OnlyListedKeysAreCompared) {
  EXPECT_THAT(differences(R"({"name":"a.example"}
{"verdict":"deny","dport":53}
{})"), IsEmpty());
}

TEST(ExpectationTest, BlankLinesAndCommentsAreLeftOut) {
  EXPECT_THAT(differences("# three flows\n\n{}\r\n  {}  \n{}\n\n"), IsEmpty());
}

TEST(ExpectationTest, FilesAreComparedByTheirBaseName) {
  EXPECT_THAT(differences(R"({"file":"input.pcap"}
{"file":"elsewhere/input.pcap"}
{"file":"other.pcap"})"), ElementsAre(HasSubstr(R"(file is "a/input.pcap", expected "other.pcap")")));
}

TEST(ExpectationTest, ADifferenceNamesTheLineTheFlowAndBothValues) {
  EXPECT_THAT(differences(R"({"name":"a.example"}

{"name":"b.example","verdict":"allow"}
{"name":""})"),
              ElementsAre("expected.jsonl:3: flow 2 (udp 192.0.2.1 port 4001 -> 192.0.2.3 port 53, b.example): "
                          "verdict is \"deny\", expected \"allow\""));
}

TEST(ExpectationTest, AKeyThatIsNotPrintedIsADifference) {
  EXPECT_THAT(differences(R"({"alpn":"h2"}
{}
{})"), ElementsAre(HasSubstr("alpn is absent, expected \"h2\"")));
}

TEST(ExpectationTest, AMissingRowIsOneDifference) {
  EXPECT_THAT(differences(R"({"flow":1}
{"name":"zero.example","flow":9}
{"flow":2}
{"flow":3})"), ElementsAre(R"(expected.jsonl:2: missing: {"name":"zero.example","flow":9})"));
}

TEST(ExpectationTest, ARowThatNobodyExpectedIsOneDifference) {
  EXPECT_THAT(differences(R"({"flow":1}
{"flow":3})"), ElementsAre(HasSubstr("expected.jsonl: not expected: {\"file\":\"a/input.pcap\",\"flow\":2,")));
}

TEST(ExpectationTest, AnEmptyExpectationExpectsNoFlow) {
  EXPECT_EQ(differences("").size(), 3u);
  EXPECT_THAT(Expectation::parse("", "x")->differences("", kFrames), IsEmpty());
}

TEST(ExpectationTest, ListsAndNumbersAreComparedWhole) {
  EXPECT_THAT(differences(R"({"names":["a.example"],"dport":443}
{"names":[],"dport":"53"}
{})"), ElementsAre(HasSubstr("names is [\"b.example\"], expected []"), HasSubstr("dport is 53, expected \"53\"")));
}

TEST(ExpectationTest, FrameRowsAreComparedOnlyWhereExpected) {
  EXPECT_THAT(differences(R"({"frame":1,"verdict":"accept"}
{"frame":2,"released":"drop"})"), IsEmpty()) << "and flows are not, when only frames are listed";
  EXPECT_THAT(differences(R"({"frame":1,"verdict":"accept"}
{"frame":2,"released":"accept"})"),
              ElementsAre("expected.jsonl:2: frame 2: released is \"drop\", expected \"accept\""));
}

TEST(ExpectationTest, WhatIsNotAnObjectIsNamedByItsLine) {
  for (const char* bad : {"{}\n{\"a\":", "{}\n[1]", "{}\nnull", "{}\n{} {}"}) {
    const auto expectation = Expectation::parse(bad, "expected.jsonl");
    ASSERT_FALSE(expectation) << bad;
    EXPECT_EQ(expectation.error(), "expected.jsonl:2: not a JSON object");
  }
}

}  // namespace
}  // namespace sallyport::replay
