#include "existing_start.h"

#include <gtest/gtest.h>

namespace sallyport::testing {
namespace {

using daemon::keep_existing;
using netfilter::ConntrackEntry;
using netfilter::MarkField;

ConntrackEntry entry_of(Transport transport, std::uint16_t port, std::uint32_t mark, bool answered = true) {
  ConntrackEntry entry;
  entry.key.transport = transport;
  entry.key.client = {*IpAddress::parse("192.0.2.1"), 40'000};
  entry.key.server = {*IpAddress::parse("198.51.100.7"), port};
  entry.mark = mark;
  entry.confirmed_reply = answered;
  return entry;
}

bool kept(const ConntrackEntry& entry, bool guarded) {
  return keep_existing({&entry, 1}, MarkField(), guarded).size() == 1;
}

TEST(KeepExistingTest, AnsweredTcpAndUdpThatNobodyJudgedIsKept) {
  EXPECT_TRUE(kept(entry_of(Transport::kTcp, 443, 0), false));
  EXPECT_TRUE(kept(entry_of(Transport::kUdp, 443, 0x00123456), false));  // Marks of others say nothing.
  EXPECT_FALSE(kept(entry_of(Transport::kTcp, 443, 0, false), false));
  EXPECT_FALSE(kept(entry_of(Transport::kIcmp, 0, 0), false));
  EXPECT_FALSE(kept(entry_of(Transport::kOther, 0, 0), false));
}

TEST(KeepExistingTest, QuestionsAreAlwaysJudged) {
  EXPECT_FALSE(kept(entry_of(Transport::kUdp, 53, 0), false));
  EXPECT_FALSE(kept(entry_of(Transport::kTcp, 53, MarkField().encode(FlowMark::kAllow, 3)), true));
}

TEST(KeepExistingTest, BehindRulesOfAnEarlierRunOnlyWhatItAllowedOrObservedIsKept) {
  EXPECT_FALSE(kept(entry_of(Transport::kTcp, 443, 0), true));
  EXPECT_TRUE(kept(entry_of(Transport::kTcp, 443, MarkField().encode(FlowMark::kAllow, 3)), true));
  EXPECT_TRUE(kept(entry_of(Transport::kTcp, 443, MarkField().encode(FlowMark::kWatch, netfilter::kObserveGeneration)), true));
  EXPECT_FALSE(kept(entry_of(Transport::kTcp, 443, MarkField().encode(FlowMark::kWatch, 3)), true));
}

TEST(KeepExistingTest, WhatWasDeniedStaysDenied) {
  for (const FlowMark verdict : {FlowMark::kReset, FlowMark::kSilent, FlowMark::kIcmp}) {
    for (const bool guarded : {false, true}) {
      EXPECT_FALSE(kept(entry_of(Transport::kTcp, 443, MarkField().encode(verdict, 3)), guarded));
    }
  }
}

}  // namespace
}  // namespace sallyport::testing
