// What keeps bindings alive, what deny rules by name need of them, and whose answers and look-ups make them.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/http2_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr const char* kServer = "198.51.100.7";
constexpr const char* kResolver = "192.0.2.53";

// World is an inspector under a policy, with bindings and misses to look at.
class World {
 public:
  explicit World(const std::string& policy, engine::InspectorOptions options = InspectorHarness::small_options())
      : fw_(policy, with_all(std::move(options))) {}

  engine::InspectorOptions with_all(engine::InspectorOptions options) {
    options.bindings = bindings_;
    return options;
  }
  void bind(const std::string& name, const char* address = kServer, Duration life = hours(1)) {
    bindings_->bind({*IpAddress::parse(address), *DomainName::parse(name), fw_.now() + life, engine::BindingSource::kLookup, 0}, fw_.now());
  }
  bool bound(const char* name, const char* address = kServer) const {
    return bindings_->bound(*IpAddress::parse(address), *DomainName::parse(name), 0, fw_.now());
  }
  Outcome ask(std::uint16_t id, const char* name, std::uint16_t server_port = 53, std::uint16_t port = 5'000) {
    const auto query = DnsMessageBuilder(id).question(name, 1).build();
    return fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", port), endpoint(kResolver, server_port)).payload(ByteSpan(query)).build());
  }
  Outcome answer(std::uint16_t id, const char* name, const char* address = kServer, std::uint16_t server_port = 53, std::uint16_t port = 5'000) {
    const auto bytes = DnsMessageBuilder(id).response().question(name, 1).a(name, address, 60).build();
    return fw_.server(PacketBuilder::udp(endpoint(kResolver, server_port), endpoint("10.0.0.1", port)).payload(ByteSpan(bytes)).build());
  }
  TcpConversation to(std::uint16_t port, const char* address = kServer) { return {endpoint("10.0.0.1", ++port_), endpoint(address, port)}; }
  Outcome connect(TcpConversation& tcp) {
    const auto syn = fw_.client(tcp.syn());
    (void)tcp.syn_ack();
    return syn;
  }
  // ssh returns what became of an SSH client's first bytes.
  Outcome ssh(const char* address = kServer) {
    TcpConversation tcp = to(22, address);
    if (const auto syn = connect(tcp); syn.decision.verdict != Verdict::kAccept) return syn;
    return fw_.client(tcp.client_data(std::string_view("SSH-2.0-OpenSSH_9.2\r\n")));
  }
  Outcome tls(const char* name, const char* address = kServer) {
    TcpConversation tcp = to(443, address);
    if (const auto syn = connect(tcp); syn.decision.verdict != Verdict::kAccept) return syn;
    return fw_.client(tcp.client_data(ClientHelloBuilder::typical(name).record()));
  }

  std::shared_ptr<engine::NameBindings> bindings_ = std::make_shared<engine::NameBindings>(4'096);
  InspectorHarness fw_;
  std::uint16_t port_ = 40'000;
};

const std::string kDns = std::string("version = 1\n[dns]\nresolvers = [\"") + kResolver + "\"]\nech = \"allow\"\n";
const std::string kStrict = kDns + "[[rules]]\nto = \"good.example\"\nprotocols = [\"tls\", \"http\", \"quic\"]\nbind = \"strict\"\n";
const std::string kAllowAll = kDns + "[defaults]\naction = \"allow\"\nbind = \"strict\"\n";
const std::string kDenySsh = kAllowAll + "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"ssh\"]\n";

// --- Keeping -------------------------------------------------------------------------------------------

TEST(BindingUpkeepTest, EachPacketThatIsSeenOfAnAllowedFlowKeepsItsBinding) {
  World it(kStrict);
  it.bind("good.example", kServer, seconds(60));
  TcpConversation tcp = it.to(80);
  it.connect(tcp);
  EXPECT_EQ(it.fw_.client(tcp.client_data(std::string_view("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 9000\r\n\r\n"))).decision.verdict,
            Verdict::kAccept);
  for (int i = 0; i < 6; ++i) {  // Three and a half hours of a body, without another request.
    it.fw_.wait(minutes(35));
    EXPECT_TRUE(it.bound("good.example")) << i;
    EXPECT_EQ(it.fw_.client(tcp.client_data(std::string_view("body"))).decision.verdict, Verdict::kAccept);
  }
  it.fw_.wait(minutes(61));
  EXPECT_FALSE(it.bound("good.example"));
}

TEST(BindingUpkeepTest, AFlowProlongsItsBindingAtMostOnceASecond) {
  World it(kStrict);
  it.bind("good.example", kServer, seconds(60));
  TcpConversation tcp = it.to(80);
  it.connect(tcp);
  it.fw_.client(tcp.client_data(std::string_view("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 9000\r\n\r\n")));
  const auto ends = [&] { return it.bindings_->list(it.fw_.now()).at(0).expires; };
  const Timestamp first = ends();
  it.fw_.wait(milliseconds(500));
  it.fw_.client(tcp.client_data(std::string_view("body")));
  EXPECT_EQ(ends(), first);
  it.fw_.wait(milliseconds(600));
  it.fw_.client(tcp.client_data(std::string_view("body")));
  EXPECT_GT(ends(), first);
}

TEST(BindingUpkeepTest, ADeniedFlowKeepsNothing) {
  World it(kStrict);
  it.bind("good.example", kServer, seconds(60));
  TcpConversation tcp = it.to(80);
  it.connect(tcp);
  it.fw_.client(tcp.client_data(std::string_view("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")));
  it.fw_.client(tcp.client_data(std::string_view("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")));
  EXPECT_EQ(it.fw_.verdicts().back().verdict, FlowVerdict::kDeny);
  const Timestamp before = it.bindings_->list(it.fw_.now()).at(0).expires;
  it.fw_.wait(seconds(20));
  it.fw_.client(tcp.client_data(std::string_view("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")));
  EXPECT_EQ(it.bindings_->list(it.fw_.now()).at(0).expires, before);
}

// --- Deny rules by name for protocols that carry none ------------------------------------------------------

TEST(DenyByNameTest, HoldsAtEveryAddressThatIsKnownUnderADefaultThatAllows) {
  World it(kDenySsh);
  EXPECT_EQ(it.ssh().decision.verdict, Verdict::kAccept) << "nobody knows the address";
  it.bind("bad.example");
  EXPECT_EQ(it.ssh().decision.verdict, Verdict::kDrop);
  EXPECT_EQ(it.fw_.verdicts().back().reason, Reason::kRuleDenies);
  EXPECT_EQ(it.ssh("198.51.100.8").decision.verdict, Verdict::kAccept);
}

TEST(DenyByNameTest, OtherNamesOfTheAddressDoNotHideTheDeniedOne) {
  World it(kDenySsh);
  it.bindings_->bind({*IpAddress::parse(kServer), *DomainName::parse("bad.example"), it.fw_.now() + hours(1), engine::BindingSource::kAnswer, 0}, it.fw_.now());
  for (int i = 0; i < 100; ++i) it.bind("n" + std::to_string(i) + ".example");
  EXPECT_EQ(it.ssh().decision.verdict, Verdict::kDrop);
}

TEST(DenyByNameTest, ARuleForTcpDeniesAHelloForAnotherNameThereUnlessARuleAllowsThatName) {
  const std::string deny = "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"tcp\"]\nports = [443]\n";
  for (const std::string& others : {kAllowAll, kDns + "[[rules]]\nto = \"any\"\nprotocols = \"tls\"\nbind = \"strict\"\n"}) {
    World it(others + deny);
    it.bind("bad.example");
    it.bind("good.example");
    EXPECT_EQ(it.tls("bad.example").decision.verdict, Verdict::kDrop);
    EXPECT_EQ(it.tls("innocent.example").decision.verdict, Verdict::kDrop) << others;
    EXPECT_EQ(it.fw_.verdicts().back().reason, Reason::kRuleDenies);
    EXPECT_EQ(it.tls("innocent.example", "198.51.100.8").decision.verdict, Verdict::kAccept);
  }
  World it(kStrict + deny);
  it.bind("bad.example");
  it.bind("good.example");
  EXPECT_EQ(it.tls("good.example").decision.verdict, Verdict::kAccept) << "the rule that has the name";
}

TEST(DenyByNameTest, AnswersBindThoughTheDefaultLetsTheFlowPassUnread) {
  World it(kDenySsh);
  EXPECT_EQ(it.ask(1, "bad.example").decision.verdict, Verdict::kAccept);
  const auto answered = it.answer(1, "bad.example").decision;
  EXPECT_EQ(answered.verdict, Verdict::kAccept);
  EXPECT_EQ(answered.mark, FlowMark::kWatch) << "the next answer must be seen, too";
  EXPECT_TRUE(it.bound("bad.example"));
  EXPECT_EQ(it.ssh().decision.verdict, Verdict::kDrop);
  for (std::uint16_t id = 2; id < 40; ++id) it.ask(id, "bad.example");
  it.answer(39, "bad.example", "198.51.100.9");
  EXPECT_TRUE(it.bound("bad.example", "198.51.100.9"));
}

TEST(DenyByNameTest, WhatTheDefaultLetsPassIsReadAndNotJudged) {
  World it(kDenySsh);
  const auto datagram = [&](std::string_view text, bool from_client) {
    const Endpoint client = endpoint("10.0.0.1", 5'001), server = endpoint(kResolver, 53);
    return from_client ? it.fw_.client(PacketBuilder::udp(client, server).payload(text).build())
                       : it.fw_.server(PacketBuilder::udp(server, client).payload(text).build());
  };
  EXPECT_EQ(datagram("no DNS at all", true).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(datagram("nor this", false).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(it.answer(7, "bad.example").decision.verdict, Verdict::kDrop) << "no flow at all";
  it.ask(8, "bad.example");
  EXPECT_EQ(it.answer(9, "bad.example").decision.verdict, Verdict::kAccept) << "an answer that nobody asked for";
  EXPECT_FALSE(it.bound("bad.example"));
  EXPECT_EQ(it.bindings_->size(), 0U);
}

TEST(DenyByNameTest, AnswersInAStreamBindThoughTheDefaultLetsItPassUnread) {
  World it(kDenySsh);
  TcpConversation tcp = it.to(53, kResolver);
  EXPECT_EQ(it.connect(tcp).decision.mark, FlowMark::kWatch);
  EXPECT_EQ(it.fw_.client(tcp.client_data(DnsMessageBuilder(1).question("bad.example", 1).build_tcp())).decision.verdict, Verdict::kAccept);
  const auto bytes = DnsMessageBuilder(1).response().question("bad.example", 1).a("bad.example", kServer, 60).build_tcp();
  for (const std::uint8_t byte : bytes) {
    EXPECT_EQ(it.fw_.server(tcp.server_data(ByteSpan(&byte, 1))).decision.verdict, Verdict::kAccept);
  }
  EXPECT_TRUE(it.bound("bad.example"));
  TcpConversation other = it.to(53, kResolver);
  it.connect(other);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(it.fw_.client(other.client_data(std::string(1'000, 'x'))).decision.verdict, Verdict::kAccept) << i;
    EXPECT_EQ(it.fw_.server(other.server_data(std::string(1'000, 'y'))).decision.verdict, Verdict::kAccept) << i;
  }
  it.fw_.wait(kHoldTime + seconds(1));
  EXPECT_EQ(it.fw_.verdicts().back().verdict, FlowVerdict::kAllow);
}

TEST(DenyByNameTest, WithoutARuleThatNeedsBindingsTheDefaultHandsDnsOver) {
  World it(kAllowAll + "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"tls\"]\n");
  TcpConversation tcp = it.to(53, kResolver);
  EXPECT_EQ(it.connect(tcp).decision.mark, FlowMark::kAllow);
}

TEST(DenyByNameTest, AnAddressRuleForUdpDoesNotHideAnswers) {
  World it(kStrict + "[[rules]]\nto = \"192.0.2.0/24\"\nprotocols = [\"udp\"]\nports = [53]\n");
  it.ask(1, "good.example");
  it.answer(1, "good.example");
  EXPECT_TRUE(it.bound("good.example"));
}

// --- Who is believed -----------------------------------------------------------------------------------------

TEST(TrustedAnswerTest, AnotherPortOfATrustedResolverBindsNothing) {
  World it(kStrict + "[[rules]]\nto = \"192.0.2.53\"\nprotocols = [\"dns\"]\nports = [53, 5300]\n");
  EXPECT_EQ(it.ask(1, "good.example", 5'300, 5'001).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(it.answer(1, "good.example", kServer, 5'300, 5'001).decision.verdict, Verdict::kAccept);
  EXPECT_FALSE(it.bound("good.example"));
  it.ask(1, "good.example");
  it.answer(1, "good.example");
  EXPECT_TRUE(it.bound("good.example"));
}

class OwnLookupTest : public ::testing::Test {
 protected:
  OwnLookupTest() { resolvers_->set(std::array{*IpAddress::parse(kResolver)}); }
  engine::InspectorOptions options() const {
    auto options = InspectorHarness::small_options();
    options.resolvers = resolvers_;
    options.own_uid = 0;
    return options;
  }
  static Decision ask(World& it, const char* name, std::optional<std::uint32_t> uid, std::uint16_t port, std::uint16_t type = 1) {
    const auto query = DnsMessageBuilder(1).question(name, type).build();
    const auto bytes = PacketBuilder::udp(endpoint("10.0.0.1", port), endpoint(kResolver, 53)).payload(ByteSpan(query)).build();
    Packet packet;
    packet.bytes = bytes;
    packet.wire_size = static_cast<std::uint32_t>(bytes.size());
    packet.origin = Origin::kOriginal;
    packet.uid = uid;
    return it.fw_.inspector().inspect(packet, it.fw_.policy(), it.fw_.now());
  }
  std::shared_ptr<engine::Resolvers> resolvers_ = std::make_shared<engine::Resolvers>();
};

TEST_F(OwnLookupTest, PassesForTheNamesOfRulesWhoeverElseMayNotAskThem) {
  const std::string deny = "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"tcp\", \"udp\"]\nports = \"any\"\n";
  for (const std::string& policy : {kStrict + deny, kAllowAll + deny}) {
    World it(policy, options());
    resolvers_->own_port(Transport::kUdp, 6'000, true);
    EXPECT_EQ(ask(it, "bad.example", 0, 6'000).verdict, Verdict::kAccept);
    EXPECT_NE(ask(it, "bad.example", 0, 6'001).verdict, Verdict::kAccept) << "another socket";
    EXPECT_NE(ask(it, "bad.example", 0, 6'000, 16).verdict, Verdict::kAccept) << "TXT is none of ours";
    resolvers_->own_port(Transport::kUdp, 6'000, false);
    EXPECT_NE(ask(it, "bad.example", 0, 6'000).verdict, Verdict::kAccept) << "closed";
  }
}

TEST_F(OwnLookupTest, OfAnotherUserOrAForwardedFlowIsNone) {
  World it(kStrict + "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"ssh\"]\n", options());
  resolvers_->own_port(Transport::kUdp, 6'000, true);
  EXPECT_NE(ask(it, "bad.example", 1'000, 6'000).verdict, Verdict::kAccept);
  World forwarded(kStrict + "[[rules]]\naction = \"deny\"\nto = \"bad.example\"\nprotocols = [\"ssh\"]\n", options());
  EXPECT_NE(ask(forwarded, "bad.example", std::nullopt, 6'000).verdict, Verdict::kAccept);
  World other(kStrict, options());
  EXPECT_NE(ask(other, "unmentioned.example", 0, 6'000).verdict, Verdict::kAccept);
}

// --- Waiting ---------------------------------------------------------------------------------------------------

class ClaimWaitTest : public ::testing::Test {
 protected:
  engine::InspectorOptions options() {
    auto options = InspectorHarness::small_options();
    options.on_miss = [this](const engine::BindingMiss& miss) { misses_.push_back(miss); };
    return options;
  }
  static Outcome request(World& it, TcpConversation& tcp, std::uint32_t stream, const char* name) {
    return it.fw_.client(tcp.client_data((stream == 1 ? h2_open() : std::string()) + h2_headers(stream, h2_get(name))));
  }
  std::vector<engine::BindingMiss> misses_;
  World it_{kStrict + "[[rules]]\nto = [\"other.example\", \"third.example\"]\nprotocols = [\"tls\", \"http\"]\nbind = \"strict\"\n", options()};
};

TEST_F(ClaimWaitTest, TellsTheNameThatTheFlowClaims) {
  it_.bind("other.example");
  EXPECT_EQ(it_.tls("good.example").decision.verdict, Verdict::kHold);
  ASSERT_EQ(misses_.size(), 1U);
  EXPECT_EQ(misses_[0].name, *DomainName::parse("good.example"));
  EXPECT_EQ(it_.tls("good.example", "198.51.100.9").decision.verdict, Verdict::kHold);
  ASSERT_EQ(misses_.size(), 2U);
  EXPECT_TRUE(misses_[1].name.empty()) << "a SYN has no name";
}

TEST_F(ClaimWaitTest, AnHttp2RequestWaitsAndGoes) {
  it_.bind("other.example");
  TcpConversation tcp = it_.to(80);
  it_.connect(tcp);
  const auto first = request(it_, tcp, 1, "good.example");
  EXPECT_EQ(first.decision.verdict, Verdict::kHold);
  EXPECT_EQ(first.decision.reason, Reason::kAwaitingBinding);
  ASSERT_EQ(misses_.size(), 1U);
  EXPECT_EQ(misses_[0].name, *DomainName::parse("good.example"));
  const auto second = request(it_, tcp, 3, "other.example");
  EXPECT_EQ(second.decision.verdict, Verdict::kHold) << "behind the one that waits";
  it_.bind("good.example");
  const auto woken = it_.fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 2U);
  for (const auto& release : woken.releases) EXPECT_EQ(release.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(it_.fw_.names(), (std::vector<std::string>{"good.example", "other.example"})) << "each told once";
  EXPECT_EQ(request(it_, tcp, 5, "evil.example").decision.verdict, Verdict::kDrop);
}

TEST_F(ClaimWaitTest, ALaterHttp2RequestWaitsAloneAndIsRefusedWhenNothingComes) {
  it_.bind("other.example");
  TcpConversation tcp = it_.to(80);
  it_.connect(tcp);
  EXPECT_EQ(request(it_, tcp, 1, "other.example").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(request(it_, tcp, 3, "good.example").decision.verdict, Verdict::kHold);
  it_.fw_.wait(seconds(1));
  EXPECT_EQ(it_.fw_.verdicts().back().reason, Reason::kAddressNotBound);
  EXPECT_EQ(it_.fw_.verdicts().back().verdict, FlowVerdict::kDeny);
  EXPECT_EQ(it_.fw_.accepted(), 2U) << "the SYN and the first request";
}

TEST_F(ClaimWaitTest, AWaitingConnectInHttp2IsRefusedWhenItsNameIsBound) {
  it_.bind("other.example");
  TcpConversation tcp = it_.to(80);
  it_.connect(tcp);
  EXPECT_EQ(it_.fw_.client(tcp.client_data(h2_open() + h2_headers(1, {{":method", "CONNECT"}, {":authority", "good.example:80"}}))).decision.verdict,
            Verdict::kHold);
  it_.bind("good.example");
  it_.fw_.wait(milliseconds(10));
  EXPECT_EQ(it_.fw_.verdicts().back().reason, Reason::kProtocolNotAllowed);
  EXPECT_EQ(it_.fw_.accepted(), 1U);
}

// Another name than the one that is asked for then may be bound first, at an address that has both.
TEST_F(ClaimWaitTest, AFlowWhoseSynWaitedMayWaitForItsNameToo) {
  TcpConversation tcp = it_.to(443);
  EXPECT_EQ(it_.fw_.client(tcp.syn()).decision.verdict, Verdict::kHold);
  it_.bind("other.example");
  ASSERT_EQ(it_.fw_.wait(milliseconds(10)).releases.size(), 1U);
  (void)it_.fw_.server(tcp.syn_ack());
  const auto hello = it_.fw_.client(tcp.client_data(ClientHelloBuilder::typical("good.example").record()));
  EXPECT_EQ(hello.decision.verdict, Verdict::kHold);
  EXPECT_EQ(hello.decision.reason, Reason::kAwaitingBinding);
  ASSERT_EQ(misses_.size(), 2U);
  EXPECT_EQ(misses_[1].name, *DomainName::parse("good.example"));
  it_.bind("good.example");
  const auto woken = it_.fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 1U);
  EXPECT_EQ(woken.releases[0].decision.verdict, Verdict::kAccept);
}

TEST_F(ClaimWaitTest, AHelloIsHeldForAsLongAsItWaitsAndRefusedBySendingItsReset) {
  it_.bind("other.example");
  EXPECT_EQ(it_.tls("good.example").decision.verdict, Verdict::kHold);
  EXPECT_TRUE(it_.fw_.wait(milliseconds(500)).releases.empty());
  const auto ended = it_.fw_.wait(milliseconds(500));
  ASSERT_EQ(ended.releases.size(), 1U);
  EXPECT_EQ(ended.releases[0].decision.reason, Reason::kAddressNotBound);
  EXPECT_EQ(ended.releases[0].decision.mark, FlowMark::kSilent);
}

TEST_F(ClaimWaitTest, ManyDatagramsBehindAQuicHelloThatWaitsDoNotCondemnIt) {
  World it(kStrict + "[[rules]]\nto = [\"other.example\", \"third.example\"]\nprotocols = [\"quic\"]\nbind = \"strict\"\n", options());
  it.bind("other.example");
  const auto datagram = [](const Bytes& payload) {
    return PacketBuilder::udp(endpoint("10.0.0.1", 7'000), endpoint(kServer, 443)).payload(payload).build();
  };
  Bytes first;
  for (const Bytes& payload : quic_hello_datagrams(ClientHelloBuilder::typical("third.example").message())) {
    if (first.empty()) first = payload;
    EXPECT_EQ(it.fw_.client(datagram(payload)).decision.verdict, Verdict::kHold);
  }
  std::size_t held = 1;
  for (std::size_t i = 0; i < 2 * kQuicInitialsPerFlowMax; ++i) {
    const auto again = it.fw_.client(datagram(first));
    EXPECT_EQ(again.decision.reason, Reason::kAwaitingBinding);
    held += again.decision.verdict == Verdict::kHold ? 1U : 0U;
  }
  EXPECT_EQ(held, kQuicInitialsPerFlowMax);
  it.bind("third.example");
  EXPECT_EQ(it.fw_.wait(milliseconds(10)).releases.size(), held);
  EXPECT_EQ(it.fw_.verdicts().back().verdict, FlowVerdict::kAllow);
}

// Names that another put at the address do not hide the one that is allowed.
TEST_F(ClaimWaitTest, AnEmptySegmentWithoutASynGoesOnlyWhereASynMay) {
  World it("version = 1\n[[rules]]\nto = [\"good.example\"]\nbind = \"strict\"\n");
  TcpConversation unbound = it.to(443, "203.0.113.9"), bound = it.to(443), other_port = it.to(4'444);
  it.bind("good.example");
  for (TcpConversation* tcp : {&unbound, &bound, &other_port}) {
    (void)tcp->syn();
    (void)tcp->syn_ack();
  }
  EXPECT_EQ(it.fw_.client(unbound.handshake_ack()).decision.reason, Reason::kMidstream);
  EXPECT_EQ(it.fw_.client(other_port.handshake_ack()).decision.reason, Reason::kMidstream);
  EXPECT_EQ(it.fw_.client(bound.handshake_ack()).decision.verdict, Verdict::kAccept);
}

TEST_F(ClaimWaitTest, ANameBehindManyOthersOfItsAddressCounts) {
  World it("version = 1\n[dns]\nresolvers = [\"192.0.2.53\"]\n[[rules]]\nto = \"*.corp.example\"\nprotocols = [\"ssh\"]\nbind = \"strict\"\n", options());
  it.bind("git.corp.example");
  for (std::size_t i = 0; i < kNamesTriedPerAddress + 8; ++i) it.bind(("n" + std::to_string(i) + ".evil.example").c_str());
  TcpConversation tcp = it.to(22);
  it.connect(tcp);
  EXPECT_EQ(it.fw_.client(tcp.client_data(std::string_view("SSH-2.0-OpenSSH_9.2\r\n"))).decision.verdict, Verdict::kAccept);
}

}  // namespace
}  // namespace sallyport::testing
