#include "sallyport/replay/transcript.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "sallyport/replay/json_rows.h"
#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::replay {
namespace {

using engine::Detail;
using engine::FlowEvent;
using engine::FlowVerdict;
using testing::at;

FlowEvent event(FlowEvent::Kind kind, std::uint64_t flow, std::string_view text = {}) {
  FlowEvent out;
  out.kind = kind;
  out.flow = flow;
  out.key = {Transport::kTcp, 6, testing::endpoint("192.0.2.1", static_cast<std::uint16_t>(4000 + flow)),
             testing::endpoint("198.51.100.7", 443)};
  out.time = at();
  out.protocol = Protocol::kTls;
  out.text = text;
  return out;
}

FlowEvent verdict(std::uint64_t flow, FlowVerdict value, Reason reason, RuleId rule, std::string_view name) {
  FlowEvent out = event(FlowEvent::Kind::kVerdict, flow, name);
  out.verdict = value;
  out.reason = reason;
  out.rule = rule;
  return out;
}

FlowEvent detail(std::uint64_t flow, Detail what, std::string_view text) {
  FlowEvent out = event(FlowEvent::Kind::kDetail, flow, text);
  out.detail = what;
  return out;
}

Decision decision(Verdict verdict) {
  Decision out;
  out.verdict = verdict;
  out.reason = Reason::kNeedMoreData;
  return out;
}

void send(Transcript& transcript, std::uint64_t frame, Verdict answer, std::optional<std::uint64_t> flow,
          std::vector<FlowEvent> events = {}, std::vector<engine::Release> releases = {}) {
  transcript.begin_frame(frame, at(std::chrono::milliseconds(frame)));
  transcript.releases(releases);
  transcript.packet(decision(answer), flow, 100, {});
  transcript.events(events);
}

nlohmann::json flow_json(const FlowRow& row) {
  std::string text;
  append_flow_json(row, "dir/input.pcap", [](RuleId rule) {
    return rule == kNoRule ? std::string("default") : "policy.toml:" + std::to_string(rule);
  }, text);
  EXPECT_TRUE(text.ends_with("}\n"));
  return nlohmann::json::parse(text);
}

nlohmann::json frame_json(const FrameRow& row) {
  std::string text;
  append_frame_json(row, "input.pcap", text);
  return nlohmann::json::parse(text);
}

TEST(TranscriptTest, ARowTellsAFlowFromItsFirstPacketOn) {
  Transcript transcript(false);
  send(transcript, 3, Verdict::kAccept, 70);
  send(transcript, 4, Verdict::kHold, 70,
       {event(FlowEvent::Kind::kName, 70, "github.com"), detail(70, Detail::kAlpn, "h2"),
        verdict(70, FlowVerdict::kAllow, Reason::kRuleAllows, 12, "github.com")});
  const auto rows = transcript.take_flows();
  ASSERT_EQ(rows.size(), 1u);
  const auto expected = nlohmann::json::parse(R"({
    "file": "dir/input.pcap", "flow": 1, "time": "2026-01-31T12:00:00.003000Z", "proto": "tcp",
    "src": "192.0.2.1", "sport": 4070, "dst": "198.51.100.7", "dport": 443, "protocol": "tls",
    "name": "github.com", "names": ["github.com"], "verdict": "allow", "reason": "rule_allows",
    "rule": "policy.toml:12", "packets": 2, "bytes": 200, "first_frame": 3, "alpn": ["h2"]})");
  EXPECT_EQ(flow_json(rows[0]), expected);
}

TEST(TranscriptTest, RowsAreInTheOrderOfFirstPackets) {
  Transcript transcript(false);
  send(transcript, 1, Verdict::kAccept, 9);
  send(transcript, 2, Verdict::kAccept, 4);
  send(transcript, 3, Verdict::kAccept, 9, {verdict(4, FlowVerdict::kDeny, Reason::kNoName, kNoRule, "")});
  const auto rows = transcript.take_flows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].flow, 1u);
  EXPECT_EQ(rows[0].verdict, FlowVerdict::kPending);
  EXPECT_EQ(rows[0].packets, 2u);
  EXPECT_EQ(rows[1].first_frame, 2u);
  EXPECT_EQ(rows[1].verdict, FlowVerdict::kDeny);
}

TEST(TranscriptTest, AFlowThatTurnsGetsAFurtherRowBehindItsOwn) {
  Transcript transcript(false);
  send(transcript, 1, Verdict::kAccept, 1, {verdict(1, FlowVerdict::kAllow, Reason::kRuleAllows, 3, "a.example")});
  send(transcript, 2, Verdict::kAccept, 2, {verdict(2, FlowVerdict::kAllow, Reason::kRuleAllows, 3, "b.example")});
  FlowEvent turned = verdict(1, FlowVerdict::kDeny, Reason::kNameNotAllowed, kNoRule, "evil.example");
  turned.time = at(std::chrono::milliseconds(3));
  send(transcript, 3, Verdict::kDrop, 1, {event(FlowEvent::Kind::kName, 1, "evil.example"), turned});
  const auto rows = transcript.take_flows();
  ASSERT_EQ(rows.size(), 3u);
  const auto first = flow_json(rows[0]);
  const auto further = flow_json(rows[1]);
  EXPECT_EQ(first["verdict"], "allow");
  EXPECT_EQ(first["name"], "a.example");
  EXPECT_FALSE(first.contains("turned"));
  EXPECT_EQ(further["flow"], 1);
  EXPECT_EQ(further["turned"], true);
  EXPECT_EQ(further["verdict"], "deny");
  EXPECT_EQ(further["name"], "evil.example");
  EXPECT_EQ(further["names"], nlohmann::json({"a.example", "evil.example"}));
  EXPECT_EQ(further["rule"], "default");
  EXPECT_EQ(further["first_frame"], 3);
  EXPECT_EQ(further["time"], "2026-01-31T12:00:00.003000Z");
  EXPECT_EQ(rows[2].flow, 2u);
}

TEST(TranscriptTest, NamesAndDetailsAreListedOnceAndBounded) {
  Transcript transcript(false);
  send(transcript, 1, Verdict::kAccept, 1);
  for (int i = 0; i < 200; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    const FlowEvent events[] = {event(FlowEvent::Kind::kName, 1, name), event(FlowEvent::Kind::kName, 1, name),
                                detail(1, Detail::kAnswer, name), detail(1, Detail::kQueryType, name)};
    transcript.events(events);
  }
  const auto row = flow_json(transcript.take_flows().at(0));
  EXPECT_EQ(row["name"], "n0.example");
  EXPECT_EQ(row["names"].size(), kNamesPerRowMax);
  EXPECT_EQ(row["answer"].size(), kValuesPerDetailMax);
  EXPECT_EQ(row["answer"][1], "n1.example");
  EXPECT_EQ(row["query_type"], "n0.example") << "the first stands";
}

TEST(TranscriptTest, AFlowThatEndsUndecidedIsPendingWithItsReason) {
  Transcript transcript(false);
  FlowEvent end = event(FlowEvent::Kind::kEnd, 1);
  end.reason = Reason::kConnecting;
  send(transcript, 1, Verdict::kAccept, 1, {end});
  const auto row = flow_json(transcript.take_flows().at(0));
  EXPECT_EQ(row["verdict"], "pending");
  EXPECT_EQ(row["reason"], "connecting");
  EXPECT_EQ(row["name"], "");
}

TEST(TranscriptTest, AHeldFrameIsCompletedByTheFrameThatReleasedIt) {
  Transcript transcript(true);
  send(transcript, 1, Verdict::kHold, 1);
  send(transcript, 2, Verdict::kHold, 1);
  send(transcript, 3, Verdict::kAccept, 1, {}, {{1, decision(Verdict::kAccept)}, {2, decision(Verdict::kDrop)}});
  const auto rows = transcript.take_frames();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(frame_json(rows[0]), nlohmann::json::parse(R"({"file": "input.pcap", "frame": 1,
      "time": "2026-01-31T12:00:00.001000Z", "flow": 1, "verdict": "hold", "reason": "need_more_data",
      "released": "accept", "released_by": 3})"));
  EXPECT_EQ(frame_json(rows[1])["released"], "drop");
  EXPECT_FALSE(frame_json(rows[2]).contains("released"));
}

TEST(TranscriptTest, ARewrittenFrameSaysSoAndNoOther) {
  Transcript transcript(true);
  send(transcript, 1, Verdict::kAccept, 1);
  transcript.rewritten();
  send(transcript, 2, Verdict::kAccept, 1);
  const auto rows = transcript.take_frames();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(frame_json(rows[0])["rewritten"], true);
  EXPECT_FALSE(frame_json(rows[1]).contains("rewritten"));
  Transcript without_frames(false);
  send(without_frames, 1, Verdict::kAccept, 1);
  without_frames.rewritten();
  EXPECT_TRUE(without_frames.take_frames().empty());
}

TEST(TranscriptTest, FragmentsShareTheFateOfTheirDatagram) {
  Transcript transcript(true);
  transcript.begin_frame(1, at());
  transcript.fragment_kept();
  transcript.begin_frame(2, at());
  transcript.fragment_dropped();
  transcript.begin_frame(3, at());
  const PacketId earlier[] = {1};
  transcript.packet(decision(Verdict::kHold), 5, 1'500, earlier);
  send(transcript, 4, Verdict::kAccept, 5, {}, {{3, decision(Verdict::kAccept)}});
  transcript.begin_frame(5, at());
  transcript.without_packet("not_ip");
  const auto flows = transcript.take_flows();
  EXPECT_EQ(flows.at(0).packets, 3u);
  const auto rows = transcript.take_frames();
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].released, Verdict::kAccept);
  EXPECT_EQ(rows[0].released_by, 4u);
  EXPECT_EQ(rows[0].flow, 1u);
  EXPECT_EQ(frame_json(rows[1])["verdict"], "drop");
  EXPECT_EQ(rows[2].released, Verdict::kAccept);
  EXPECT_EQ(frame_json(rows[4])["verdict"], "none");
  EXPECT_EQ(frame_json(rows[4])["reason"], "not_ip");
}

TEST(TranscriptTest, FramesAreNotKeptUnlessAsked) {
  Transcript transcript(false);
  send(transcript, 1, Verdict::kHold, 1);
  send(transcript, 2, Verdict::kAccept, 1, {}, {{1, decision(Verdict::kAccept)}});
  EXPECT_TRUE(transcript.take_frames().empty());
}

TEST(JsonRowsTest, HostileTextBecomesValidJson) {
  const auto round_trip = [](std::string_view text) {
    std::string out;
    append_json_string(text, out);
    return nlohmann::json::parse(out).get<std::string>();
  };
  EXPECT_EQ(round_trip("plain \"quoted\" \\ back"), "plain \"quoted\" \\ back");
  EXPECT_EQ(round_trip(std::string_view("\0\n\x1b[2J\x7f", 8)), std::string("\0\n\x1b[2J\x7f", 8));
  EXPECT_EQ(round_trip("b\xc3\xbc" "cher"), "b\xc3\xbc" "cher");
  EXPECT_EQ(round_trip("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(round_trip("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(round_trip("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(round_trip("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
  EXPECT_EQ(round_trip("cut \xe2\x82"), "cut \\xe2\\x82");
}

TEST(JsonRowsTest, EveryByteAndEveryPairGivesValidUtf8) {
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      std::string out;
      append_json_string(text, out);
      ASSERT_FALSE(nlohmann::json::parse(out, nullptr, false).is_discarded()) << first << " " << second;
      for (const char c : out) ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20) << "no control goes out raw";
    }
  }
}

TEST(JsonRowsTest, TimesAreWrittenInUtcWithMicroseconds) {
  EXPECT_EQ(format_time(at(std::chrono::nanoseconds(1'999))), "2026-01-31T12:00:00.000001Z");
  EXPECT_EQ(format_time(Timestamp{}), "1970-01-01T00:00:00.000000Z");
}

TEST(JsonRowsTest, Ipv6AddressesHaveNoBrackets) {
  FlowRow row;
  row.key = {Transport::kUdp, 17, testing::endpoint("2001:db8::1", 1), testing::endpoint("2001:db8::2", 443)};
  EXPECT_EQ(flow_json(row)["dst"], "2001:db8::2");
}

}  // namespace
}  // namespace sallyport::replay
