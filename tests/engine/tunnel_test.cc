// Tunnels under the inspector: named and judged as what they are, and with [inspect] tunnels their inside too.
#include <gtest/gtest.h>

#include <functional>

#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/tunnel_builder.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kRules = R"(
[[rules]]
to = ["good.example"]
protocols = ["tls", "quic", "http"]
[[rules]]
name = "who may carry"
to = ["203.0.113.1", "2001:db8:ff::1"]
protocols = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
[[rules]]
to = ["203.0.113.2"]
protocols = ["udp"]
ports = "any"
)";

std::string policy(const std::string& tunnels) {
  return "version = 1\n" + (tunnels.empty() ? "" : "[inspect]\ntunnels = [" + tunnels + "]\n") + kRules;
}
const std::string kAll = R"("gre", "ipip", "6in4", "vxlan", "geneve", "teredo")";

Bytes hello_to(std::string_view name) { return ClientHelloBuilder::typical(name).record(); }

// Tunnel wraps packets on their way from 10.9.0.1 to `end` and back.
struct Tunnel {
  std::string name;
  bool inner_v6 = false;
  std::function<Bytes(const Bytes& inner, bool from_client)> wrap;
};

constexpr const char* kEnd = "203.0.113.1";

Bytes raw(std::uint8_t protocol, const Bytes& payload, bool from_client, const char* end = kEnd) {
  const auto us = *IpAddress::parse("10.9.0.1");
  const auto them = *IpAddress::parse(end);
  return (from_client ? PacketBuilder::ip(us, them, protocol) : PacketBuilder::ip(them, us, protocol)).payload(payload).build();
}

Bytes datagram(std::uint16_t port, const Bytes& payload, bool from_client, const char* end = kEnd, std::uint16_t ours = 50'000) {
  const auto us = endpoint("10.9.0.1", ours);
  const auto them = endpoint(end, port);
  return (from_client ? PacketBuilder::udp(us, them) : PacketBuilder::udp(them, us)).payload(payload).build();
}

const std::vector<Tunnel>& tunnels() {
  using namespace ::sallyport::testing;
  static const std::vector<Tunnel> list = {
      {"gre", false, [](const Bytes& p, bool out) { return raw(47, gre(p), out); }},
      {"gre", false, [](const Bytes& p, bool out) { return raw(47, gre(p, 5), out); }},
      {"nvgre", false, [](const Bytes& p, bool out) { return raw(47, gre_bridged(frame_of(p), 5), out); }},
      {"ipip", false, [](const Bytes& p, bool out) { return raw(4, p, out); }},
      {"6in4", true, [](const Bytes& p, bool out) { return raw(41, p, out); }},
      {"vxlan", false, [](const Bytes& p, bool out) { return datagram(4789, vxlan(frame_of(p)), out); }},
      {"geneve", false, [](const Bytes& p, bool out) { return datagram(6081, geneve(frame_of(p)), out); }},
      {"teredo", true, [](const Bytes& p, bool out) { return datagram(3544, p, out); }},
  };
  return list;
}

TcpConversation conversation(bool is_v6, std::uint16_t port = 40'000) {
  return is_v6 ? TcpConversation(endpoint("2001:0:c000:201::1", port), endpoint("2001:db8::1", 443))
               : TcpConversation(endpoint("172.20.0.1", port), endpoint("192.0.2.1", 443));
}

TEST(TunnelFlowTest, WithoutTheKeyATunnelIsNamedAndJudgedAsWhatItIs) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(""));
    TcpConversation tcp = conversation(tunnel.inner_v6);
    EXPECT_EQ(fw.client(tunnel.wrap(tcp.client_data(hello_to("evil.example")), true)).decision.verdict, Verdict::kAccept);
    ASSERT_EQ(fw.verdicts().size(), 1u) << tunnel.name;
    EXPECT_EQ(to_string(fw.verdicts()[0].protocol), tunnel.name);
    EXPECT_EQ(fw.verdicts()[0].verdict, FlowVerdict::kAllow) << tunnel.name;
    EXPECT_TRUE(fw.names().empty());
  }
}

TEST(TunnelFlowTest, ATunnelThatNoRuleAllowsIsDenied) {
  for (const Tunnel& tunnel : tunnels()) {
    for (const std::string& key : {std::string(), kAll}) {
      InspectorHarness fw("version = 1\n" + (key.empty() ? "" : "[inspect]\ntunnels = [" + key + "]\n") +
                          "[[rules]]\nto = [\"good.example\"]\n");
      TcpConversation tcp = conversation(tunnel.inner_v6);
      EXPECT_EQ(fw.client(tunnel.wrap(tcp.syn(), true)).decision.verdict, Verdict::kDrop) << tunnel.name;
      EXPECT_EQ(fw.client(tunnel.wrap(tcp.client_data(hello_to("good.example")), true)).decision.verdict, Verdict::kDrop);
      EXPECT_EQ(fw.accepted(), 0u);
    }
  }
}

TEST(TunnelFlowTest, WhatIsInsideIsJudgedByTheSameRules) {
  for (const Tunnel& tunnel : tunnels()) {
    for (const bool good : {true, false}) {
      InspectorHarness fw(policy(kAll));
      TcpConversation tcp = conversation(tunnel.inner_v6);
      EXPECT_EQ(fw.client(tunnel.wrap(tcp.syn(), true)).decision.verdict, Verdict::kAccept) << tunnel.name;
      EXPECT_EQ(fw.server(tunnel.wrap(tcp.syn_ack(), false)).decision.verdict, Verdict::kAccept) << tunnel.name;
      EXPECT_EQ(fw.client(tunnel.wrap(tcp.handshake_ack(), true)).decision.verdict, Verdict::kAccept);
      const auto hello = fw.client(tunnel.wrap(tcp.client_data(hello_to(good ? "good.example" : "evil.example")), true));
      EXPECT_EQ(hello.decision.verdict, good ? Verdict::kAccept : Verdict::kDrop) << tunnel.name;
      ASSERT_EQ(fw.verdicts().size(), 2u) << tunnel.name;
      EXPECT_EQ(fw.verdicts()[1].protocol, Protocol::kTls);
      EXPECT_EQ(fw.verdicts()[1].name, good ? "good.example" : "evil.example");
      EXPECT_EQ(to_string(fw.verdicts()[1].tunnel), tunnel.name);
      EXPECT_EQ(fw.verdicts()[1].reason, good ? Reason::kRuleAllows : Reason::kNameNotAllowed);
    }
  }
}

// The kernel knows the carrying flow alone: a mark that ends its inspection would let everything in it pass, and one
// that denies it would cut what is allowed beside what is not.
TEST(TunnelFlowTest, TheCarryingFlowStaysInTheQueueForEver) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(kAll));
    const auto only_watched = [&](const Outcome& outcome) {
      EXPECT_EQ(outcome.decision.mark.value_or(FlowMark::kWatch), FlowMark::kWatch) << tunnel.name;
      for (const auto& release : outcome.releases) {
        EXPECT_EQ(release.decision.mark.value_or(FlowMark::kWatch), FlowMark::kWatch) << tunnel.name;
      }
    };
    for (int round = 0; round < 40; ++round) {
      TcpConversation tcp = conversation(tunnel.inner_v6, static_cast<std::uint16_t>(40'000 + round));
      only_watched(fw.client(tunnel.wrap(tcp.syn(), true)));
      only_watched(fw.server(tunnel.wrap(tcp.syn_ack(), false)));
      for (const Bytes& segment : tcp.client_segments(hello_to(round % 2 == 0 ? "good.example" : "evil.example"), 150)) {
        only_watched(fw.client(tunnel.wrap(segment, true)));
      }
      only_watched(fw.server(tunnel.wrap(tcp.server_data(server_hello(false)), false)));
      only_watched(fw.client(tunnel.wrap(tcp.client_data("more"), true)));
      only_watched(fw.wait(std::chrono::milliseconds(100)));
    }
    EXPECT_EQ(fw.inspector().counters().flows_by_verdict[1].load(), 21u) << tunnel.name;
    EXPECT_EQ(fw.inspector().counters().flows_by_verdict[2].load(), 20u) << tunnel.name;
  }
}

TEST(TunnelFlowTest, WhatIsNoRecordBehindAHelloInsideEndsTheFlow) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(kAll));
    TcpConversation tcp = conversation(tunnel.inner_v6);
    fw.client(tunnel.wrap(tcp.syn(), true));
    EXPECT_EQ(fw.client(tunnel.wrap(tcp.client_data(hello_to("good.example")), true)).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw.client(tunnel.wrap(tcp.client_data(std::string_view("\x07 no record")), true)).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw.verdicts().back().reason, Reason::kMalformed) << tunnel.name;
  }
}

TEST(TunnelFlowTest, SegmentsOfAHelloInsideAreHeldAndReleased) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(kAll));
    TcpConversation tcp = conversation(tunnel.inner_v6);
    (void)fw.client(tunnel.wrap(tcp.syn(), true));
    (void)tcp.syn_ack();
    const auto segments = tcp.client_segments(hello_to("good.example"), 100);
    for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
      EXPECT_EQ(fw.client(tunnel.wrap(segments[i], true)).decision.verdict, Verdict::kHold) << tunnel.name;
    }
    const auto last = fw.client(tunnel.wrap(segments.back(), true));
    EXPECT_EQ(last.decision.verdict, Verdict::kAccept) << tunnel.name;
    EXPECT_EQ(last.releases.size(), segments.size() - 1) << tunnel.name;
  }
}

TEST(TunnelFlowTest, NetworksOfOneTunnelAreKeptApart) {
  using namespace ::sallyport::testing;
  InspectorHarness fw(policy(kAll));
  TcpConversation tcp = conversation(false);
  const auto in = [](std::uint32_t vni, const Bytes& packet, bool out) { return datagram(4789, vxlan(frame_of(packet), vni), out); };
  (void)fw.client(in(1, tcp.syn(), true));
  (void)fw.server(in(1, tcp.syn_ack(), false));
  (void)fw.client(in(1, tcp.client_data(hello_to("good.example")), true));
  (void)fw.server(in(1, tcp.server_data(server_hello(false)), false));
  const Bytes more = tcp.client_data("what follows the handshake");
  EXPECT_EQ(fw.client(in(1, more, true)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(in(2, more, true)).decision.verdict, Verdict::kDrop) << "another network's connection";
  EXPECT_EQ(fw.client(raw(4, more, true)).decision.verdict, Verdict::kDrop) << "another tunnel's";
  EXPECT_EQ(fw.client(more).decision.verdict, Verdict::kDrop) << "one in no tunnel";
}

// VXLAN's ends send from any port: the answers are a flow of their own (RFC 7348 §5).
TEST(TunnelFlowTest, AnswersFromAnotherPortBelongToTheSameFlowInside) {
  using namespace ::sallyport::testing;
  InspectorHarness fw(policy(kAll) + "[[rules]]\nto = \"10.9.0.1\"\nprotocols = [\"vxlan\"]\n");
  TcpConversation tcp = conversation(false);
  const auto out = [](const Bytes& packet) { return datagram(4789, vxlan(frame_of(packet)), true); };
  const auto back = [](const Bytes& packet) {
    return PacketBuilder::udp(endpoint(kEnd, 60'000), endpoint("10.9.0.1", 4789)).payload(vxlan(frame_of(packet))).build();
  };
  (void)fw.feed(out(tcp.syn()), Origin::kUnknown);
  (void)fw.feed(back(tcp.syn_ack()), Origin::kUnknown);
  (void)fw.feed(out(tcp.client_data(hello_to("good.example"))), Origin::kUnknown);
  (void)fw.feed(back(tcp.server_data(server_hello(false))), Origin::kUnknown);
  EXPECT_EQ(fw.inspector().counters().flows_opened.load(), 3u) << "two that carry, one inside";
}

// On the live queue the answers of such a tunnel are not seen at all. TLS 1.2 must go on nevertheless, and a second
// hello for another name must not.
TEST(TunnelFlowTest, AConnectionOfWhichOnlyTheClientIsSeenGoesOn) {
  using namespace ::sallyport::testing;
  for (const std::string& second : {std::string(), std::string("good.example"), std::string("evil.example")}) {
    InspectorHarness fw(policy(kAll));
    TcpConversation tcp = conversation(false);
    const auto send = [&](const Bytes& packet) {
      return fw.client(datagram(4789, vxlan(frame_of(packet)), true)).decision.verdict;
    };
    EXPECT_EQ(send(tcp.syn()), Verdict::kAccept);
    (void)tcp.syn_ack();
    EXPECT_EQ(send(tcp.client_data(hello_to("good.example"))), Verdict::kAccept);
    if (!second.empty()) {
      EXPECT_EQ(send(tcp.client_data(hello_to(second))), second == "good.example" ? Verdict::kAccept : Verdict::kDrop);
    } else {
      EXPECT_EQ(send(tcp.client_data(tls_records(Bytes(70, 16)))), Verdict::kAccept) << "ClientKeyExchange";
      EXPECT_EQ(send(tcp.client_data(tls_records({1}, {}, 20))), Verdict::kAccept);
      EXPECT_EQ(send(tcp.client_data(tls_records(Bytes(40, 0x9c)))), Verdict::kAccept) << "Finished";
      for (int i = 0; i < 100; ++i) EXPECT_EQ(send(tcp.client_data(tls_records(Bytes(1'000, 7), {}, 23))), Verdict::kAccept);
    }
  }
}

TEST(TunnelFlowTest, ATunnelInATunnelIsRefused) {
  for (const Tunnel& outer : tunnels()) {
    for (const Tunnel& inner : tunnels()) {
      if (outer.inner_v6) continue;  // The inner one's ends are IPv4.
      InspectorHarness fw(policy(kAll));
      TcpConversation tcp = conversation(inner.inner_v6);
      const auto outcome = fw.client(outer.wrap(inner.wrap(tcp.syn(), true), true));
      EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop) << inner.name << " in " << outer.name;
      EXPECT_EQ(outcome.decision.reason, Reason::kTunnelTooDeep) << inner.name << " in " << outer.name;
      EXPECT_EQ(outcome.decision.mark, std::nullopt);
      EXPECT_EQ(fw.client(outer.wrap(inner.wrap(tcp.client_data(hello_to("good.example")), true), true)).decision.verdict,
                Verdict::kDrop);
    }
  }
}

TEST(TunnelFlowTest, OnATunnelsOwnPortEveryDatagramMustBeOfIt) {
  using namespace ::sallyport::testing;
  const char* anywhere = "203.0.113.2";  // A rule allows every datagram to it.
  for (const std::string& key : {std::string(), kAll}) {
    InspectorHarness fw(policy(key));
    Bytes reserved_bit = vxlan(frame_of(conversation(false).syn()));
    reserved_bit[1] = 1;
    const auto plain = fw.client(datagram(4789, bytes_of("anything"), true, anywhere));
    EXPECT_EQ(plain.decision.verdict, key.empty() ? Verdict::kAccept : Verdict::kDrop);
    const auto odd = fw.client(datagram(4789, reserved_bit, true, anywhere));
    EXPECT_EQ(odd.decision.verdict, key.empty() ? Verdict::kAccept : Verdict::kDrop);
    EXPECT_EQ(fw.client(datagram(9999, bytes_of("anything"), true, anywhere)).decision.verdict, Verdict::kAccept);
  }
}

TEST(TunnelFlowTest, AFlowThatBeginsAsATunnelOnAnotherPortIsLookedIntoToo) {
  using namespace ::sallyport::testing;
  InspectorHarness fw(policy(kAll));
  const char* anywhere = "203.0.113.2";
  TcpConversation tcp = conversation(false);
  const auto send = [&](const Bytes& payload) { return fw.client(datagram(8472, payload, true, anywhere)).decision; };
  EXPECT_EQ(send(vxlan(frame_of(tcp.syn()))).verdict, Verdict::kAccept);
  ASSERT_FALSE(fw.verdicts().empty());
  EXPECT_EQ(send(bytes_of("something else")).verdict, Verdict::kDrop);
  EXPECT_EQ(send(vxlan(frame_of(tcp.client_data(hello_to("evil.example"))))).verdict, Verdict::kDrop);
  EXPECT_EQ(fw.verdicts().back().tunnel, Protocol::kVxlan) << "though the address alone allowed what carries it";
}

TEST(TunnelFlowTest, ControlPacketsPassAndWhatIsNotReadDoesNot) {
  using namespace ::sallyport::testing;
  InspectorHarness fw(policy(kAll));
  const auto arp_packet = fw.client(datagram(4789, vxlan(arp()), true));
  EXPECT_EQ(arp_packet.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(arp_packet.decision.reason, Reason::kTunnelControl);
  EXPECT_EQ(arp_packet.decision.mark, FlowMark::kWatch);
  const auto pptp = fw.client(raw(47, joined_bytes({{0x30, 0x81, 0x88, 0x0b, 0, 40, 0, 1}, Bytes(40, 1)}), true));
  EXPECT_EQ(pptp.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(pptp.decision.reason, Reason::kTunnelNotRead);
  const Bytes icmp = PacketBuilder::ip(*IpAddress::parse("172.20.0.1"), *IpAddress::parse("192.0.2.1"), 1).payload(Bytes{8, 0, 0, 0, 0, 1, 0, 1}).build();
  EXPECT_EQ(fw.client(raw(47, gre(icmp), true)).decision.reason, Reason::kTransportNotAllowed);
  for (const Bytes& piece : conversation(false).client_at(0).payload(std::string(100, 'x')).build_fragments(48, 3)) {
    EXPECT_EQ(fw.client(raw(47, gre(piece), true)).decision.reason, Reason::kFragment) << "nobody puts these together";
  }
}

TEST(TunnelFlowTest, ConnectionsFromTheFarEndAreDropped) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(kAll));
    TcpConversation ours = conversation(tunnel.inner_v6);
    (void)fw.client(tunnel.wrap(ours.syn(), true));
    TcpConversation theirs = tunnel.inner_v6 ? TcpConversation(endpoint("2001:db8::1", 1'000), endpoint("2001:0:c000:201::1", 22))
                                             : TcpConversation(endpoint("192.0.2.1", 1'000), endpoint("172.20.0.1", 22));
    EXPECT_EQ(fw.server(tunnel.wrap(theirs.syn(), false)).decision.reason, Reason::kReplyWithoutFlow) << tunnel.name;
    EXPECT_EQ(fw.client(tunnel.wrap(theirs.server_data("what the far end asked for"), true)).decision.verdict, Verdict::kDrop)
        << tunnel.name;
  }
}

// Anyone may write any source address inside a tunnel: the scope is that of who opened the tunnel.
TEST(TunnelFlowTest, ScopesAreThoseOfTheCarryingFlow) {
  using namespace ::sallyport::testing;
  InspectorHarness fw(R"(
version = 1
[inspect]
tunnels = "vxlan"
[scopes.outside]
sources = "10.9.0.1"
[scopes.trusted]
sources = "172.20.0.1"
[[rules]]
to = "any"
protocols = "vxlan"
scope = "outside"
[[rules]]
to = "trusted.example"
scope = "trusted"
[[rules]]
to = "good.example"
scope = "outside"
)");
  for (const char* name : {"trusted.example", "good.example"}) {
    TcpConversation tcp = conversation(false, name[0] == 't' ? 1'000 : 2'000);
    (void)fw.client(datagram(4789, vxlan(frame_of(tcp.syn())), true));
    (void)tcp.syn_ack();
    const auto hello = fw.client(datagram(4789, vxlan(frame_of(tcp.client_data(hello_to(name)))), true));
    EXPECT_EQ(hello.decision.verdict, name[0] == 't' ? Verdict::kDrop : Verdict::kAccept) << name;
  }
}

TEST(TunnelFlowTest, OnlyTheTunnelsOfTheKeyAreLookedInto) {
  for (const Tunnel& tunnel : tunnels()) {
    InspectorHarness fw(policy(tunnel.name == "vxlan" ? "\"geneve\"" : "\"vxlan\""));
    TcpConversation tcp = conversation(tunnel.inner_v6);
    EXPECT_EQ(fw.client(tunnel.wrap(tcp.client_data(hello_to("evil.example")), true)).decision.verdict, Verdict::kAccept) << tunnel.name;
  }
}

TEST(TunnelFlowTest, ACutPacketIsNeverLetThroughUnread) {
  for (const Tunnel& tunnel : tunnels()) {
    TcpConversation tcp = conversation(tunnel.inner_v6);
    const Bytes syn = tunnel.wrap(tcp.syn(), true);
    (void)tcp.syn_ack();
    const Bytes hello = tunnel.wrap(tcp.client_data(hello_to("good.example")), true);
    for (std::size_t length = 1; length < hello.size(); length += 3) {
      InspectorHarness fw(policy(kAll));
      (void)fw.client(syn);
      const auto outcome = fw.feed(Bytes(hello.data(), hello.data() + length), Origin::kOriginal, hello.size());
      EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop) << tunnel.name << ", " << length << " bytes";
    }
  }
}

// A table of a few flows gives up the carrying flow while its packet is being judged.
TEST(TunnelFlowTest, AFullTableIsNoWayPast) {
  for (std::size_t flows = 1; flows <= 3; ++flows) {
    for (const Tunnel& tunnel : tunnels()) {
      engine::InspectorOptions options = InspectorHarness::small_options();
      options.flows = flows;
      InspectorHarness fw(policy(kAll), options);
      for (std::uint16_t port = 1; port < 20; ++port) {
        TcpConversation tcp = conversation(tunnel.inner_v6, port);
        (void)fw.client(tunnel.wrap(tcp.syn(), true));
        (void)tcp.syn_ack();
        const auto hello = fw.client(tunnel.wrap(tcp.client_data(hello_to("evil.example")), true));
        EXPECT_NE(hello.decision.verdict, Verdict::kAccept) << tunnel.name;
      }
    }
  }
}

TEST(TunnelFlowTest, ObservingLetsEverythingThroughAndTellsTheSame) {
  for (const Tunnel& tunnel : tunnels()) {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.mode = policy::Mode::kObserve;
    InspectorHarness fw(policy(kAll), options);
    TcpConversation tcp = conversation(tunnel.inner_v6);
    EXPECT_EQ(fw.client(tunnel.wrap(tcp.syn(), true)).decision.verdict, Verdict::kAccept);
    const auto hello = fw.client(tunnel.wrap(tcp.client_data(hello_to("evil.example")), true));
    EXPECT_EQ(hello.decision.verdict, Verdict::kAccept);
    EXPECT_NE(hello.decision.mark, FlowMark::kAllow) << "the next packet must be seen too";
    ASSERT_EQ(fw.verdicts().size(), 2u) << tunnel.name;
    EXPECT_EQ(fw.verdicts()[1].verdict, FlowVerdict::kDeny);
    EXPECT_EQ(fw.verdicts()[1].name, "evil.example");
  }
}

}  // namespace
}  // namespace sallyport::testing
