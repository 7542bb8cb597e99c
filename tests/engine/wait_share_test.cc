// Flows that wait for a binding have a share of the held packets, and each client a share of that.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "wait_shares.h"

namespace sallyport::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr const char* kPolicy = R"(
version = 1
[defaults]
bind = "strict"
[[rules]]
to = ["good.example", "time.example"]
protocols = ["tls"]
[[rules]]
to = ["time.example"]
protocols = ["udp"]
ports = [123]
)";
constexpr std::size_t kAll = 512, kOfClient = 64, kHeld = 1'024;

class WaitShareTest : public ::testing::Test {
 protected:
  WaitShareTest() : bindings_(std::make_shared<engine::NameBindings>(4'096)), fw_(kPolicy, options(bindings_)) { bind("good.example", kGood); }

  static engine::InspectorOptions options(std::shared_ptr<engine::NameBindings> bindings) {
    engine::InspectorOptions options;
    options.flows = 8'192;
    options.stream_windows = 1'024;
    options.held_packets = kHeld;
    options.awaiting = kAll;
    options.awaiting_of_client = kOfClient;
    options.bindings = std::move(bindings);
    options.on_miss = [](const engine::BindingMiss&) {};
    return options;
  }
  void bind(const char* name, const char* address) {
    bindings_->bind({*IpAddress::parse(address), *DomainName::parse(name), fw_.now() + hours(1), engine::BindingSource::kLookup, 0}, fw_.now());
  }
  static std::string unbound(std::uint32_t i) { return IpAddress::v4(0x08000000U + i).to_string(); }
  Outcome knock(const std::string& client, std::uint32_t i, std::uint16_t port = 443) {
    TcpConversation tcp(endpoint(client, static_cast<std::uint16_t>(1'024 + i % 60'000)), endpoint(unbound(i), port));
    return fw_.client(tcp.syn());
  }
  // expect_hello_passes: a hello that comes in pieces, which are held.
  void expect_hello_passes(const std::string& client) {
    TcpConversation tcp(endpoint(client, 50'000), endpoint(kGood, 443));
    ASSERT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
    (void)fw_.server(tcp.syn_ack());
    const auto pieces = tcp.client_segments(ClientHelloBuilder::typical("good.example").record(), 100);
    ASSERT_GT(pieces.size(), 2U);
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) EXPECT_EQ(fw_.client(pieces[i]).decision.verdict, Verdict::kHold);
    EXPECT_EQ(fw_.client(pieces.back()).decision.verdict, Verdict::kAccept);
  }
  std::uint64_t awaiting() { return fw_.inspector().counters().flows_awaiting.load(); }
  std::uint64_t held() { return fw_.inspector().counters().packets_held.load(); }

  static constexpr const char* kGood = "198.51.100.7";
  std::shared_ptr<engine::NameBindings> bindings_;
  InspectorHarness fw_;
};

TEST_F(WaitShareTest, WhoKnocksAtThousandsOfAddressesLeavesOthersTheirs) {
  std::size_t waiting = 0;
  for (std::uint32_t i = 0; i < 3'000; ++i) {
    const Outcome syn = knock("10.0.0.66", i);
    waiting += syn.decision.verdict == Verdict::kHold ? 1U : 0U;
    if (waiting < kOfClient || syn.decision.verdict == Verdict::kHold) continue;
    ASSERT_EQ(syn.decision.reason, Reason::kWaitLimit);
    ASSERT_EQ(syn.decision.verdict, Verdict::kDrop);
    ASSERT_EQ(syn.decision.mark, FlowMark::kReset) << "it is told so at once";
  }
  EXPECT_EQ(waiting, kOfClient);
  EXPECT_EQ(awaiting(), kOfClient);
  expect_hello_passes("10.0.0.1");
  EXPECT_EQ(knock("10.0.0.2", 5'000).decision.verdict, Verdict::kHold) << "another client may wait";
  bind("time.example", unbound(5'000).c_str());
  std::size_t passed = 0;
  for (const auto& release : fw_.wait(milliseconds(10)).releases) passed += release.decision.verdict == Verdict::kAccept ? 1U : 0U;
  EXPECT_EQ(passed, 1U);
}

TEST_F(WaitShareTest, AThousandClientsTogetherLeaveHalfOfTheHeldPacketsToHellos) {
  std::size_t waiting = 0;
  for (std::uint32_t i = 0; i < 3'000; ++i) {
    const Outcome syn = knock(IpAddress::v4(0x0a010000U + i % 1'000).to_string(), i);
    if (syn.decision.verdict == Verdict::kHold) ++waiting;
    else ASSERT_EQ(syn.decision.reason, Reason::kWaitLimit);
  }
  EXPECT_EQ(waiting, kAll);
  EXPECT_EQ(held(), kAll);
  expect_hello_passes("10.0.0.1");
}

TEST_F(WaitShareTest, DatagramsThatWaitCountOneByOne) {
  const std::vector<std::uint8_t> ntp(48, 0x1b);
  for (std::uint32_t flow = 0; flow < 40; ++flow) {
    for (int i = 0; i < 10; ++i) {
      const auto datagram = PacketBuilder::udp(endpoint("10.0.0.66", static_cast<std::uint16_t>(2'000 + flow)), endpoint(unbound(flow), 123));
      EXPECT_NE(fw_.client(PacketBuilder(datagram).payload(ByteSpan(ntp)).build()).decision.verdict, Verdict::kAccept);
    }
  }
  EXPECT_EQ(held(), kOfClient);
  expect_hello_passes("10.0.0.1");
}

// A hello whose name belongs to another address waits with all of its segments.
TEST_F(WaitShareTest, HellosThatWaitCountWithTheirSegments) {
  for (std::uint32_t i = 0; i < kBindingsPerName - 1; ++i) {
    const std::string server = IpAddress::v4(0xc6336400U + i).to_string();
    if (server == kGood) continue;  // Not to be forgotten for the others.
    bind("good.example", server.c_str());  // The port's rules know the address; the hello names another.
    TcpConversation tcp(endpoint("10.0.0.66", static_cast<std::uint16_t>(3'000 + i)), endpoint(server, 443));
    ASSERT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
    (void)fw_.server(tcp.syn_ack());
    for (const auto& piece : tcp.client_segments(ClientHelloBuilder::typical("time.example").record(), 100)) (void)fw_.client(piece);
  }
  EXPECT_LE(held(), kOfClient);
  EXPECT_GT(awaiting(), 0U);
  expect_hello_passes("10.0.0.1");
}

TEST_F(WaitShareTest, EveryShareIsGivenBack) {
  const auto flood = [&](std::uint32_t from) {
    std::size_t waiting = 0;
    for (std::uint32_t i = 0; i < 200; ++i) waiting += knock("10.0.0.66", from + i).decision.verdict == Verdict::kHold ? 1U : 0U;
    return waiting;
  };
  EXPECT_EQ(flood(0), kOfClient);
  (void)fw_.wait(milliseconds(1'100));  // Refused.
  EXPECT_EQ(awaiting(), 0U);
  EXPECT_EQ(held(), 0U);
  EXPECT_EQ(flood(1'000), kOfClient);
  for (std::uint32_t i = 0; i < 32; ++i) bind("time.example", unbound(1'000 + i).c_str());  // Allowed.
  (void)fw_.wait(milliseconds(10));
  EXPECT_EQ(awaiting(), kOfClient - 32);
  EXPECT_EQ(flood(2'000), 32U);
  fw_.end();  // Forgotten.
  EXPECT_EQ(awaiting(), 0U);
  EXPECT_EQ(flood(3'000), kOfClient);
}

TEST(WaitSharesTest, AClientIsAnAddressAndAUserAndInATunnelTheTunnel) {
  engine::WaitShares shares(100, 10, {7, 9});
  const auto from = [](const char* client, std::uint64_t tunnel = 0) {
    FlowKey key{Transport::kTcp, 6, endpoint(client, 40'000), endpoint("198.51.100.7", 443), tunnel};
    return key;
  };
  EXPECT_EQ(shares.place_of(from("10.0.0.1"), 1'000), shares.place_of(from("10.0.0.1"), 1'000));
  EXPECT_NE(shares.place_of(from("10.0.0.1"), 1'000), shares.place_of(from("10.0.0.1"), 1'001));
  EXPECT_NE(shares.place_of(from("10.0.0.1"), 1'000), shares.place_of(from("10.0.0.2"), 1'000));
  EXPECT_NE(shares.place_of(from("2001:db8::1"), 1'000), shares.place_of(from("2001:db8::2"), 1'000));
  EXPECT_EQ(shares.place_of(from("10.0.0.1", 5), 1'000), shares.place_of(from("10.0.0.2", 5), 1'000));
}

}  // namespace
}  // namespace sallyport::testing
