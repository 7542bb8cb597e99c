// ICMP and protocols over IP itself under the inspector.
#include <gtest/gtest.h>

#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["icmp"]
icmp_types = ["echo-request", "timestamp-request"]
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["sctp", "ip-proto"]
ip_protos = [89]
[[rules]]
to = ["2001:db8::/32"]
protocols = ["ah"]
)";

struct Side {
  bool v6;
  std::string client, server, other;
  std::uint8_t protocol, request, reply, unreachable;
};
const Side kSides[] = {{false, "10.0.0.1", "192.0.2.1", "198.51.100.1", 1, 8, 0, 3},
                       {true, "2001:db8:1::1", "2001:db8::1", "2001:db9::1", 58, 128, 129, 1}};

Bytes icmp(const std::string& from, const std::string& to, std::uint8_t protocol, std::uint8_t type, std::uint16_t sequence,
           std::size_t payload = 56, std::uint16_t identifier = 7, std::uint8_t code = 0) {
  Bytes bytes = {type, code, 0, 0, static_cast<std::uint8_t>(identifier >> 8), static_cast<std::uint8_t>(identifier),
                 static_cast<std::uint8_t>(sequence >> 8), static_cast<std::uint8_t>(sequence)};
  bytes.resize(8 + payload, 'p');
  return PacketBuilder::ip(*IpAddress::parse(from), *IpAddress::parse(to), protocol).payload(bytes).build();
}

struct Ping {
  InspectorHarness& fw;
  const Side& side;

  Decision ask(std::uint16_t sequence, std::size_t payload = 56, std::uint16_t identifier = 7, std::uint8_t code = 0) {
    return fw.client(icmp(side.client, side.server, side.protocol, side.request, sequence, payload, identifier, code)).decision;
  }
  Decision answer(std::uint16_t sequence, std::size_t payload = 56, std::uint16_t identifier = 7) {
    return fw.server(icmp(side.server, side.client, side.protocol, side.reply, sequence, payload, identifier)).decision;
  }
};

TEST(IcmpFlowTest, EchoAndItsRepliesPassAndAreNeverHandedOver) {
  for (const Side& side : kSides) {
    InspectorHarness fw(kPolicy);
    Ping ping{fw, side};
    for (std::uint16_t i = 1; i < 50; ++i) {
      const Decision asked = ping.ask(i);
      EXPECT_EQ(asked.verdict, Verdict::kAccept);
      EXPECT_EQ(asked.mark, FlowMark::kWatch) << "or the kernel would pass larger ones";
      EXPECT_EQ(ping.answer(i).verdict, Verdict::kAccept);
      EXPECT_EQ(ping.answer(i).mark, FlowMark::kWatch);
    }
    ASSERT_EQ(fw.verdicts().size(), 1u);
    EXPECT_EQ(fw.verdicts()[0].protocol, Protocol::kIcmp);
  }
}

TEST(IcmpFlowTest, ALargerRequestIsRefusedWheneverItComes) {
  for (const Side& side : kSides) {
    for (const std::uint16_t before : std::initializer_list<std::uint16_t>{0, 1, 5}) {
      InspectorHarness fw(kPolicy);
      Ping ping{fw, side};
      for (std::uint16_t i = 0; i < before; ++i) EXPECT_EQ(ping.ask(i).verdict, Verdict::kAccept);
      const Decision large = ping.ask(before, 57);
      EXPECT_EQ(large.verdict, Verdict::kDrop);
      EXPECT_EQ(large.reason, Reason::kIcmpNotAllowed);
      EXPECT_EQ(large.mark, FlowMark::kIcmp) << "ping says who filtered it";
      EXPECT_EQ(ping.ask(static_cast<std::uint16_t>(before + 1)).verdict, Verdict::kDrop) << "who tries is refused for good";
    }
  }
}

TEST(IcmpFlowTest, WhatNoRuleAllowsIsRefused) {
  for (const Side& side : kSides) {
    InspectorHarness fw(kPolicy);
    const Decision there = fw.client(icmp(side.client, side.other, side.protocol, side.request, 1)).decision;
    EXPECT_EQ(there.verdict, Verdict::kDrop);
    EXPECT_EQ(there.reason, Reason::kTransportNotAllowed);
    Ping ping{fw, side};
    EXPECT_EQ(ping.ask(1, 56, 8, 1).verdict, Verdict::kDrop) << "a code that echo has not";
    EXPECT_EQ(fw.client(icmp(side.client, side.server, side.protocol, 17, 1, 4)).decision.verdict, Verdict::kDrop);
    EXPECT_EQ(fw.accepted(), 0u);
  }
}

TEST(IcmpFlowTest, TypesAreJudgedEachForItself) {
  InspectorHarness fw(kPolicy);
  Ping ping{fw, kSides[0]};
  EXPECT_EQ(ping.ask(1).verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(icmp("10.0.0.1", "192.0.2.1", 1, 13, 1, 12)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.server(icmp("192.0.2.1", "10.0.0.1", 1, 14, 1, 12)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw.client(icmp("10.0.0.1", "192.0.2.1", 1, 17, 1, 4)).decision.verdict, Verdict::kDrop);
}

TEST(IcmpFlowTest, RepliesNeedARequestThatPassed) {
  for (const Side& side : kSides) {
    InspectorHarness fw(kPolicy);
    Ping ping{fw, side};
    EXPECT_EQ(ping.answer(1).reason, Reason::kReplyWithoutFlow);
    EXPECT_EQ(ping.ask(1).verdict, Verdict::kAccept);
    EXPECT_EQ(ping.answer(1, 56, 8).reason, Reason::kReplyWithoutFlow) << "another identifier";
    EXPECT_EQ(ping.answer(1, 57).reason, Reason::kIcmpSequence) << "more than was sent";
    EXPECT_EQ(ping.answer(2).reason, Reason::kIcmpSequence) << "not asked yet";
    EXPECT_EQ(ping.answer(1).verdict, Verdict::kAccept);
    // Sent by the client itself a reply would be a way to say anything.
    EXPECT_EQ(fw.client(icmp(side.client, side.server, side.protocol, side.reply, 1)).decision.verdict, Verdict::kDrop);
  }
}

TEST(IcmpFlowTest, SequenceNumbersGoOn) {
  InspectorHarness fw(kPolicy);
  Ping ping{fw, kSides[0]};
  EXPECT_EQ(ping.ask(65'530).verdict, Verdict::kAccept);
  EXPECT_EQ(ping.ask(3).verdict, Verdict::kAccept) << "around the end";
  EXPECT_EQ(ping.ask(3).verdict, Verdict::kAccept) << "again";
  EXPECT_EQ(ping.ask(0x2023).reason, Reason::kIcmpSequence) << "anywhere else";
  EXPECT_EQ(ping.ask(0x2003).verdict, Verdict::kAccept) << "a little-endian counter";
}

TEST(IcmpFlowTest, ErrorsOfAClientNeverPass) {
  for (const Side& side : kSides) {
    InspectorHarness fw(std::string(kPolicy) + "[defaults]\naction = \"allow\"\n");
    for (unsigned type = 0; type < 256; ++type) {
      const bool request = type == side.request || (!side.v6 && (type == 13 || type == 15 || type == 17)) || (side.v6 && type == 139);
      if (request) continue;
      const Decision decision = fw.client(icmp(side.client, side.server, side.protocol, static_cast<std::uint8_t>(type), 1, 28)).decision;
      EXPECT_EQ(decision.verdict, Verdict::kDrop) << type;
      EXPECT_FALSE(decision.mark.has_value()) << type;
    }
    EXPECT_TRUE(fw.verdicts().empty());
  }
}

TEST(IpProtocolFlowTest, NumbersAndWordsPassWhereARuleHasThem) {
  for (const Side& side : kSides) {
    InspectorHarness fw(kPolicy);
    const auto send = [&](std::uint8_t protocol, const std::string& to) {
      return fw.client(PacketBuilder::ip(*IpAddress::parse(side.client), *IpAddress::parse(to), protocol).payload("whatever it is").build()).decision;
    };
    EXPECT_EQ(send(89, side.server).mark, FlowMark::kAllow);
    EXPECT_EQ(send(132, side.server).mark, FlowMark::kAllow);
    for (const unsigned protocol : {2U, 47U, 50U, 88U, 253U}) {
      const Decision refused = send(static_cast<std::uint8_t>(protocol), side.server);
      EXPECT_EQ(refused.verdict, Verdict::kDrop) << protocol;
      EXPECT_EQ(refused.reason, Reason::kTransportNotAllowed) << protocol;
    }
    EXPECT_EQ(send(89, side.other).verdict, Verdict::kDrop);
    EXPECT_EQ(send(132, side.other).verdict, Verdict::kDrop);
  }
}

TEST(IpProtocolFlowTest, AhOverIpv6IsNeverHandedOver) {
  InspectorHarness fw(kPolicy);
  for (int i = 0; i < 3; ++i) {
    const auto packet = PacketBuilder::ip(*IpAddress::parse("2001:db8:1::1"), *IpAddress::parse("2001:db8::1"), 51).payload("six one").build();
    EXPECT_EQ(fw.client(packet).decision.mark, FlowMark::kWatch) << "the kernel's flow is what AH wraps";
  }
}

TEST(MetadataFlowTest, IsRefusedOnItsFirstPacketWithItsReason) {
  for (const char* address : {"169.254.169.254", "168.63.129.16", "fd00:ec2::254", "64:ff9b::169.254.169.254"}) {
    const bool v6 = std::string_view(address).find(':') != std::string_view::npos;
    InspectorHarness fw("version = 1\n[defaults]\naction = \"allow\"\n[[rules]]\nto = \"any\"\nports = \"any\"\nprotocols = [\"tcp\", \"udp\", \"icmp\"]\n");
    TcpConversation tcp(endpoint(v6 ? "2001:db8::9" : "10.0.0.1", 40'000), endpoint(address, 80));
    const Decision syn = fw.client(tcp.syn()).decision;
    EXPECT_EQ(syn.reason, Reason::kMetadataAddress) << address;
    EXPECT_EQ(syn.mark, FlowMark::kReset);
    const auto datagram = PacketBuilder::udp(endpoint(v6 ? "2001:db8::9" : "10.0.0.1", 40'000), endpoint(address, 9'999)).payload("x").build();
    EXPECT_EQ(fw.client(datagram).decision.reason, Reason::kMetadataAddress);
    EXPECT_EQ(fw.client(icmp(v6 ? "2001:db8::9" : "10.0.0.1", address, v6 ? 58 : 1, v6 ? 128 : 8, 1)).decision.reason, Reason::kMetadataAddress);
    EXPECT_EQ(fw.accepted(), 0u);
  }
}

Bytes multicast_query(const std::string& from, const std::string& to, std::uint16_t port) {
  Bytes query = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 5, '_', 'h', 't', 't', 'p', 4, '_', 't', 'c', 'p', 5, 'l', 'o', 'c', 'a', 'l', 0, 0, 12, 0, 1};
  return PacketBuilder::udp(endpoint(from, port), endpoint(to, port)).payload(query).build();
}

TEST(LocalNetworkFlowTest, AWordOfTheLocalNetworkPassesWhateverIsAsked) {
  const std::string lan = "version = 1\ninclude = \"preset:lan\"\n[scopes.worker]\nsources = [\"10.9.0.0/16\", \"fd00:9::/32\"]\n";
  struct Case {
    const char *from, *worker, *to;
    std::uint16_t port;
    const char* elsewhere;
  };
  for (const Case& one : {Case{"10.0.0.1", "10.9.0.1", "224.0.0.251", 5353, "192.0.2.1"}, Case{"fe80::1", "fd00:9::1", "ff02::fb", 5353, "2001:db8::1"},
                          Case{"10.0.0.1", "10.9.0.1", "224.0.0.252", 5355, "192.0.2.1"}, Case{"fe80::1", "fd00:9::1", "ff02::1:3", 5355, "2001:db8::1"}}) {
    InspectorHarness fw(lan);
    EXPECT_EQ(fw.client(multicast_query(one.from, one.to, one.port)).decision.verdict, Verdict::kAccept) << one.to;
    EXPECT_EQ(fw.client(multicast_query(one.from, one.to, one.port)).decision.verdict, Verdict::kAccept) << one.to;
    EXPECT_EQ(fw.client(multicast_query(one.from, one.elsewhere, one.port)).decision.verdict, Verdict::kDrop) << "no way out";
    EXPECT_EQ(fw.client(multicast_query(one.worker, one.to, one.port)).decision.verdict, Verdict::kDrop) << "not in a scope";
    const auto other = PacketBuilder::udp(endpoint(one.from, 1), endpoint(one.to, one.port)).payload("no such message").build();
    EXPECT_EQ(fw.client(other).decision.verdict, Verdict::kDrop) << "other bytes there";
    InspectorHarness without("version = 1\n[[rules]]\nto = \"good.example\"\n");
    EXPECT_EQ(without.client(multicast_query(one.from, one.to, one.port)).decision.verdict, Verdict::kDrop);
  }
}

constexpr const char* kByName = R"(
version = 1
[dns]
resolvers = ["192.0.2.53"]
[[rules]]
to = ["good.example"]
protocols = ["icmp", "sctp"]
bind = "strict"
[[rules]]
to = ["good.example"]
protocols = ["http"]
)";

struct Named {
  Named() {
    options.bindings = bindings;
    options.on_miss = [this](const engine::BindingMiss&) { ++misses; };
  }
  void bind(const char* address) {
    (void)bindings->bind({*IpAddress::parse(address), *DomainName::parse("good.example"), Timestamp(std::chrono::seconds(1'900'000'000)),
                          engine::BindingSource::kLookup, 0},
                         Timestamp(std::chrono::seconds(1'800'000'000)));
  }
  std::shared_ptr<engine::NameBindings> bindings = std::make_shared<engine::NameBindings>(4'096);
  engine::InspectorOptions options = InspectorHarness::small_options();
  int misses = 0;
};

TEST(IcmpFlowTest, TheFirstEchoWaitsForItsNameToBeBound) {
  for (const Side& side : kSides) {
    for (const bool comes : {true, false}) {
      Named named;
      InspectorHarness fw(kByName, named.options);
      Ping ping{fw, side};
      EXPECT_EQ(ping.ask(1).verdict, Verdict::kHold);
      EXPECT_EQ(ping.ask(2).verdict, Verdict::kHold);
      EXPECT_EQ(ping.ask(3, 57).verdict, Verdict::kDrop) << "no larger one waits with it";
      EXPECT_EQ(named.misses, 1);
      if (comes) named.bind(side.server.c_str());
      (void)fw.wait(comes ? std::chrono::milliseconds(10) : std::chrono::milliseconds(1'500));
      for (const std::size_t held : {0U, 1U}) EXPECT_EQ(fw.fate(held), comes ? Verdict::kAccept : Verdict::kDrop);
      if (!comes) {
        EXPECT_EQ(fw.verdicts().back().reason, Reason::kAddressNotBound);
      } else {
        EXPECT_EQ(fw.verdicts().back().name, "good.example");
      }
    }
  }
}

TEST(IpProtocolFlowTest, ByNameTheFirstPacketWaitsToo) {
  for (const Side& side : kSides) {
    Named named;
    InspectorHarness fw(kByName, named.options);
    const auto packet = PacketBuilder::ip(*IpAddress::parse(side.client), *IpAddress::parse(side.server), 132).payload("an INIT chunk").build();
    EXPECT_EQ(fw.client(packet).decision.verdict, Verdict::kHold);
    named.bind(side.server.c_str());
    (void)fw.wait(std::chrono::milliseconds(10));
    EXPECT_EQ(fw.fate(0), Verdict::kAccept);
    EXPECT_EQ(fw.client(packet).decision.mark, FlowMark::kAllow);
  }
}

TEST(Nat64FlowTest, ATranslatedAddressBelongsToTheNamesOfItsIpv4Address) {
  const Bytes request = bytes_of("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n");
  const auto accepts = [&](Named& named, const char* address) {
    InspectorHarness fw(kByName, named.options);
    const bool v6 = std::string_view(address).find(':') != std::string_view::npos;
    TcpConversation tcp(endpoint(v6 ? "2001:db8:1::1" : "10.0.0.1", 40'000), endpoint(address, 80));
    if (fw.client(tcp.syn()).decision.verdict != Verdict::kAccept) return false;
    (void)fw.server(tcp.syn_ack());
    return fw.client(tcp.client_data(request)).decision.verdict == Verdict::kAccept;
  };
  Named named;
  named.bind("198.51.100.7");
  EXPECT_TRUE(accepts(named, "64:ff9b::198.51.100.7"));
  EXPECT_TRUE(accepts(named, "::ffff:198.51.100.7"));
  EXPECT_FALSE(accepts(named, "64:ff9b::198.51.100.8"));
  EXPECT_FALSE(accepts(named, "2001:db8:64::198.51.100.7")) << "no prefix of the policy";
}

TEST(Nat64FlowTest, AnEmbeddedPrivateAddressBindsNothing) {
  const auto policy = *policy::load_policy_text("version = 1\n[dns]\nnat64 = [\"64:ff9b::/96\", \"fd00:64::/96\"]\n", "p.toml");
  const DomainName name = *DomainName::parse("good.example");
  for (const char* prefix : {"64:ff9b::", "fd00:64::"}) {
    EXPECT_TRUE(engine::may_bind(*IpAddress::parse(std::string(prefix) + "198.51.100.7"), name, *policy)) << prefix;
    for (const char* inside : {"10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1"})
      EXPECT_FALSE(engine::may_bind(*IpAddress::parse(prefix + std::string(inside)), name, *policy)) << prefix << inside;
  }
}

}  // namespace
}  // namespace sallyport::testing
