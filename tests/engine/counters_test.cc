// What the inspector's counters say of packets that were held.
#include <gtest/gtest.h>

#include <numeric>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

constexpr const char* kPolicy = "version = 1\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\n";

class CountersTest : public ::testing::Test {
 protected:
  std::uint64_t verdicts(Verdict verdict) { return counters().packets_by_verdict[static_cast<std::size_t>(verdict)].load(); }
  std::uint64_t reasons(Reason reason) { return counters().packets_by_reason[static_cast<std::size_t>(reason)].load(); }
  std::uint64_t protocols(Protocol protocol) { return counters().packets_by_protocol[static_cast<std::size_t>(protocol)].load(); }
  const engine::Counters& counters() { return fw_.inspector().counters(); }

  // hold_pieces sends all of a hello but its last segment; they are held.
  std::vector<Bytes> hold_pieces(const char* name) {
    TcpConversation tcp(endpoint("10.0.0.1", ++port_), endpoint("192.0.2.1", 443));
    EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
    (void)tcp.syn_ack();
    auto pieces = tcp.client_segments(ClientHelloBuilder::typical(name).record(), 100);
    EXPECT_GT(pieces.size(), 2U);
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) EXPECT_EQ(fw_.client(pieces[i]).decision.verdict, Verdict::kHold);
    return pieces;
  }
  // expect_sums: every packet that came was let go, dropped, or is held, and every decision has a reason.
  void expect_sums() {
    const std::uint64_t held_now = counters().packets_held.load();
    EXPECT_EQ(verdicts(Verdict::kAccept) + verdicts(Verdict::kDrop) + held_now, fw_.fed());
    EXPECT_EQ(verdicts(Verdict::kAccept), fw_.accepted());
    const auto sum = [](const auto& figures) { return std::accumulate(figures.begin(), figures.end(), std::uint64_t{0}); };
    EXPECT_EQ(sum(counters().packets_by_reason), sum(counters().packets_by_verdict));
  }

  InspectorHarness fw_{kPolicy};
  std::uint16_t port_ = 40'000;
};

TEST_F(CountersTest, AHeldPacketCountsAsHeldAndLaterAsWhatBecameOfIt) {
  const auto pieces = hold_pieces("good.example");
  const std::uint64_t held = pieces.size() - 1;
  EXPECT_EQ(reasons(Reason::kNeedMoreData), held);
  EXPECT_EQ(verdicts(Verdict::kHold), held);
  expect_sums();
  EXPECT_EQ(fw_.client(pieces.back()).releases.size(), held);
  EXPECT_EQ(verdicts(Verdict::kHold), held);
  EXPECT_EQ(verdicts(Verdict::kAccept), 1 + held + 1);
  EXPECT_EQ(reasons(Reason::kNeedMoreData), held) << "released for another reason";
  expect_sums();
}

TEST_F(CountersTest, AHandshakeCountsForWhatTheFlowTurnsOutToBe) {
  const auto pieces = hold_pieces("good.example");
  (void)fw_.client(pieces.back());
  EXPECT_EQ(protocols(Protocol::kTls), fw_.fed()) << "its SYN as well";
  EXPECT_EQ(protocols(Protocol::kUnknown), 0U);
}

TEST_F(CountersTest, EveryPacketCountsOnceForAProtocol) {
  (void)fw_.client(hold_pieces("good.example").back());
  (void)hold_pieces("evil.example");
  TcpConversation silent(endpoint("10.0.0.1", 9), endpoint("192.0.2.1", 443));
  (void)fw_.client(silent.syn());
  EXPECT_EQ(protocols(Protocol::kUnknown), 0U) << "it may speak yet";
  Bytes garbage(40, 0xff);
  (void)fw_.client(garbage);
  EXPECT_EQ(protocols(Protocol::kUnknown), 1U) << "it belongs to no flow";
  (void)fw_.end();
  EXPECT_EQ(protocols(Protocol::kUnknown), 2U);
  const auto& all = counters().packets_by_protocol;
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), std::uint64_t{0}), fw_.fed());
}

TEST_F(CountersTest, WhatAForbiddenNameHeldBackCountsAsDropped) {
  const auto pieces = hold_pieces("evil.example");
  (void)fw_.client(pieces.back());
  EXPECT_EQ(verdicts(Verdict::kDrop), pieces.size());
  EXPECT_EQ(reasons(Reason::kNameNotAllowed), pieces.size());
  expect_sums();
}

TEST_F(CountersTest, AWaitThatEndsInExpireCounts) {
  const std::uint64_t held = hold_pieces("good.example").size() - 1;
  EXPECT_EQ(reasons(Reason::kHoldTimeout), 0U);
  EXPECT_EQ(fw_.wait(kHoldTime).releases.size(), held);
  EXPECT_EQ(reasons(Reason::kHoldTimeout), held);
  EXPECT_EQ(verdicts(Verdict::kDrop), held);
  EXPECT_EQ(counters().packets_held.load(), 0U);
  expect_sums();
}

TEST_F(CountersTest, WhatIsStillHeldAtTheEndCounts) {
  const std::uint64_t held = hold_pieces("good.example").size() - 1;
  (void)fw_.end();
  EXPECT_EQ(verdicts(Verdict::kDrop), held);
  EXPECT_EQ(reasons(Reason::kHoldTimeout), held);
  expect_sums();
}

}  // namespace
}  // namespace sallyport::testing
