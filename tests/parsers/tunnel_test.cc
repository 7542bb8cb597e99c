#include "sallyport/parsers/tunnel.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/parsers/recognisers.h"
#include "support/packet_builder.h"
#include "support/tunnel_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::endpoint;
using testing::joined_bytes;
using testing::PacketBuilder;

Bytes inner_v4() {
  return PacketBuilder::udp(endpoint("10.0.0.1", 4000), endpoint("10.0.0.2", 53)).payload("payload of some length").build();
}

Bytes inner_v6(const char* source = "2001:0:c000:201::1") {
  return PacketBuilder::udp(endpoint(source, 4000), endpoint("2001:db8::2", 53)).payload("payload").build();
}

struct Case {
  std::string name;
  Protocol family;
  Bytes payload;
  Bytes inner;
};

std::vector<Case> cases() {
  const Bytes authentication = {0, 1, 2, 3, 'i', 'd', 'k', 'e', 'y', 1, 2, 3, 4, 5, 6, 7, 8, 0};
  const Bytes origin = {0, 0, 0x12, 0x34, 1, 2, 3, 4};
  return {
      {"GRE", Protocol::kGre, testing::gre(inner_v4()), inner_v4()},
      {"GRE with v6", Protocol::kGre, testing::gre(inner_v6()), inner_v6()},
      {"GRE with key", Protocol::kGre, testing::gre(inner_v4(), 9), inner_v4()},
      {"GRE with all fields", Protocol::kGre,
       joined_bytes({{0xb0, 0, 0x08, 0, 1, 2, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1}, inner_v4()}), inner_v4()},
      {"GRE with a frame", Protocol::kGre, testing::gre_bridged(testing::frame_of(inner_v4()), 5), inner_v4()},
      {"IP in IP", Protocol::kIpip, inner_v4(), inner_v4()},
      {"6in4", Protocol::kSixInFour, inner_v6(), inner_v6()},
      {"VXLAN", Protocol::kVxlan, testing::vxlan(testing::frame_of(inner_v4())), inner_v4()},
      {"VXLAN with v6", Protocol::kVxlan, testing::vxlan(testing::frame_of(inner_v6())), inner_v6()},
      {"GENEVE", Protocol::kGeneve, testing::geneve(testing::frame_of(inner_v4())), inner_v4()},
      {"GENEVE with a bare packet", Protocol::kGeneve, joined_bytes({{0, 0, 0x08, 0, 0, 0, 7, 0}, inner_v4()}), inner_v4()},
      {"Teredo", Protocol::kTeredo, inner_v6(), inner_v6()},
      {"Teredo with authentication", Protocol::kTeredo, joined_bytes({authentication, inner_v6()}), inner_v6()},
      {"Teredo with both", Protocol::kTeredo, joined_bytes({authentication, origin, inner_v6()}), inner_v6()},
  };
}

TEST(TunnelTest, FindsThePacketInside) {
  for (const Case& c : cases()) {
    const auto content = open_tunnel(c.family, c.payload, c.payload.size());
    ASSERT_TRUE(content) << c.name;
    EXPECT_EQ(Bytes(content->packet.begin(), content->packet.end()), c.inner) << c.name;
    EXPECT_EQ(content->wire_size, c.inner.size()) << c.name;
    EXPECT_FALSE(content->control) << c.name;
  }
}

TEST(TunnelTest, ACaptureThatEndsEarlyCutsThePacketAndNothingElse) {
  for (const Case& c : cases()) {
    for (std::size_t length = 0; length < c.payload.size(); ++length) {
      const Bytes prefix(c.payload.data(), c.payload.data() + length);
      const auto content = open_tunnel(c.family, prefix, c.payload.size());
      if (!content) {
        EXPECT_TRUE(content.error() == TunnelError::kCut || length == 0) << c.name << ", " << length << " bytes";
        continue;
      }
      EXPECT_EQ(content->wire_size, c.inner.size()) << c.name << ", " << length << " bytes";
      EXPECT_EQ(content->packet.size(), length - (c.payload.size() - c.inner.size())) << c.name;
    }
  }
}

TEST(TunnelTest, APacketThatReallyEndsEarlyIsRefused) {
  for (const Case& c : cases()) {
    for (std::size_t length = 0; length < c.payload.size(); ++length) {
      const Bytes prefix(c.payload.data(), c.payload.data() + length);
      EXPECT_FALSE(open_tunnel(c.family, prefix, prefix.size())) << c.name << ", " << length << " bytes";
    }
  }
}

// A sender that uses UDP_SEGMENT hands several datagrams over as one; the second must not go unread.
TEST(TunnelTest, NothingHidesBehindThePacketInside) {
  for (const Case& c : cases()) {
    for (const std::size_t more : {std::size_t{1}, std::size_t{40}, c.payload.size()}) {
      Bytes payload = c.payload;
      for (std::size_t i = 0; i < more; ++i) payload.push_back(c.payload[i % c.payload.size()]);
      const auto content = open_tunnel(c.family, payload, payload.size());
      ASSERT_FALSE(content) << c.name << " and " << more << " bytes";
      EXPECT_EQ(content.error(), TunnelError::kTrailing) << c.name;
    }
  }
}

TEST(TunnelTest, AShortFrameMayBePadded) {
  const Bytes packet = PacketBuilder::udp(endpoint("10.0.0.1", 1), endpoint("10.0.0.2", 2)).build();
  Bytes frame = testing::frame_of(packet);
  frame.resize(60);
  const Bytes padded = testing::vxlan(frame);
  const auto content = open_tunnel(Protocol::kVxlan, padded, padded.size());
  ASSERT_TRUE(content);
  EXPECT_EQ(content->packet.size(), packet.size());
  frame.resize(61);
  const Bytes longer = testing::vxlan(frame);
  EXPECT_FALSE(open_tunnel(Protocol::kVxlan, longer, longer.size()));
}

TEST(TunnelTest, ALengthOfZeroIsTheRestOfThePacket) {
  const Bytes packet =
      PacketBuilder::tcp(endpoint("10.0.0.1", 1), endpoint("10.0.0.2", 2)).payload(std::string(3'000, 'x')).ip_length(0).build();
  const Bytes payload = testing::gre(packet);
  const auto content = open_tunnel(Protocol::kGre, payload, payload.size());
  ASSERT_TRUE(content);
  EXPECT_EQ(content->wire_size, packet.size());
}

TEST(TunnelTest, NetworksAreKeptApart) {
  const auto segment = [](Protocol family, const Bytes& payload) {
    const auto content = open_tunnel(family, payload, payload.size());
    EXPECT_TRUE(content);
    return content ? content->segment : 0;
  };
  const Bytes frame = testing::frame_of(inner_v4());
  EXPECT_NE(segment(Protocol::kVxlan, testing::vxlan(frame, 1)), segment(Protocol::kVxlan, testing::vxlan(frame, 2)));
  EXPECT_NE(segment(Protocol::kGeneve, testing::geneve(frame, 1)), segment(Protocol::kGeneve, testing::geneve(frame, 2)));
  EXPECT_NE(segment(Protocol::kGre, testing::gre(inner_v4(), 1)), segment(Protocol::kGre, testing::gre(inner_v4(), 2)));
  EXPECT_NE(segment(Protocol::kGre, testing::gre(inner_v4(), 0)), segment(Protocol::kGre, testing::gre(inner_v4())));
  EXPECT_NE(segment(Protocol::kGre, testing::gre_bridged(frame, 1)), segment(Protocol::kGre, testing::gre(inner_v4(), 1)));
}

TEST(TunnelTest, WhatTheEndsFindEachOtherWithIsControl) {
  const auto is_control = [](Protocol family, const Bytes& payload) {
    const auto content = open_tunnel(family, payload, payload.size());
    return content && content->control;
  };
  Bytes padded_arp = testing::arp();
  padded_arp.resize(60);
  EXPECT_TRUE(is_control(Protocol::kVxlan, testing::vxlan(testing::arp())));
  EXPECT_TRUE(is_control(Protocol::kVxlan, testing::vxlan(padded_arp)));
  padded_arp.resize(200);
  EXPECT_FALSE(is_control(Protocol::kVxlan, testing::vxlan(padded_arp))) << "that is no padding";
  const auto icmpv6 = [](const char* destination, std::uint8_t type, std::uint8_t hops, std::size_t size) {
    Bytes body(size, 0);
    body[0] = type;
    return PacketBuilder::ip(*IpAddress::parse("fe80::1"), *IpAddress::parse(destination), 58).ttl(hops).payload(body).build();
  };
  EXPECT_TRUE(is_control(Protocol::kTeredo, icmpv6("ff02::2", 133, 255, 8)));
  EXPECT_TRUE(is_control(Protocol::kVxlan, testing::vxlan(testing::frame_of(icmpv6("ff02::1:ff00:2", 135, 255, 32)))));
  EXPECT_FALSE(is_control(Protocol::kTeredo, icmpv6("ff02::2", 133, 64, 8))) << "from beyond the link";
  EXPECT_FALSE(is_control(Protocol::kTeredo, icmpv6("2001:db8::2", 135, 255, 32))) << "to beyond the link";
  EXPECT_FALSE(is_control(Protocol::kTeredo, icmpv6("ff02::2", 128, 255, 8))) << "echo";
  EXPECT_FALSE(is_control(Protocol::kTeredo, icmpv6("ff02::2", 133, 255, 1'000))) << "too much to say";
  const Bytes bubble =
      PacketBuilder::ip(*IpAddress::parse("2001:0:c000:201::1"), *IpAddress::parse("2001:0:c000:202::1"), 59).build();
  EXPECT_TRUE(is_control(Protocol::kTeredo, bubble));
}

TEST(TunnelTest, WhatIsNotReadIsSaidToBeSo) {
  const auto error = [](Protocol family, const Bytes& payload) {
    const auto content = open_tunnel(family, payload, payload.size());
    EXPECT_FALSE(content);
    return content ? TunnelError::kCut : content.error();
  };
  const Bytes frame = testing::frame_of(inner_v4());
  EXPECT_EQ(error(Protocol::kGre, joined_bytes({{0x30, 0x81, 0x88, 0x0b, 0, 40, 0, 1}, Bytes(40, 1)})), TunnelError::kNotRead) << "PPTP";
  EXPECT_EQ(error(Protocol::kGre, joined_bytes({{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1}, Bytes(60, 1)})), TunnelError::kNotRead) << "ERSPAN";
  EXPECT_EQ(error(Protocol::kGre, joined_bytes({{0, 0, 0x88, 0x47, 0, 1, 1, 64}, inner_v4()})), TunnelError::kNotRead) << "MPLS";
  EXPECT_EQ(error(Protocol::kGre, joined_bytes({{0x40, 0, 0x08, 0, 0, 0, 0, 0}, inner_v4()})), TunnelError::kMalformed) << "source routing";
  EXPECT_EQ(error(Protocol::kGre, joined_bytes({{0, 0, 0x86, 0xdd}, inner_v4()})), TunnelError::kMalformed) << "says v6, is v4";
  EXPECT_EQ(error(Protocol::kGre, {0, 0, 0x08, 0}), TunnelError::kMalformed);
  Bytes tagged = frame;
  tagged.insert(tagged.begin() + 12, {0x81, 0, 0, 5});
  EXPECT_EQ(error(Protocol::kVxlan, testing::vxlan(tagged)), TunnelError::kNotRead) << "a tag";
  Bytes reserved = testing::vxlan(frame);
  reserved[0] = 0x0c;
  EXPECT_EQ(error(Protocol::kVxlan, reserved), TunnelError::kMalformed);
  Bytes critical = testing::geneve(frame);
  critical[1] = 0x80;
  EXPECT_EQ(error(Protocol::kGeneve, critical), TunnelError::kNotRead) << "a control packet";
  EXPECT_EQ(error(Protocol::kTeredo, inner_v4()), TunnelError::kMalformed);
  EXPECT_EQ(error(Protocol::kIpip, inner_v6()), TunnelError::kMalformed);
  EXPECT_EQ(error(Protocol::kSixInFour, inner_v4()), TunnelError::kMalformed);
  EXPECT_EQ(error(Protocol::kTls, inner_v4()), TunnelError::kNotRead);
}

TEST(TunnelTest, RawTunnelsAreNamed) {
  EXPECT_EQ(name_raw_tunnel(47, testing::gre(inner_v4())), Protocol::kGre);
  EXPECT_EQ(name_raw_tunnel(47, Bytes{0}), Protocol::kGre) << "whatever there is of it";
  EXPECT_EQ(name_raw_tunnel(47, testing::gre_bridged(testing::frame_of(inner_v4()), 5)), Protocol::kNvgre);
  EXPECT_EQ(name_raw_tunnel(47, Bytes{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1}), Protocol::kErspan);
  EXPECT_EQ(name_raw_tunnel(47, Bytes{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1}), Protocol::kErspan);
  EXPECT_EQ(name_raw_tunnel(4, inner_v4()), Protocol::kIpip);
  EXPECT_EQ(name_raw_tunnel(41, inner_v6()), Protocol::kSixInFour);
  EXPECT_EQ(name_raw_tunnel(50, inner_v6()), Protocol::kUnknown);
}

TEST(TunnelTest, DatagramsAreRecognisedByTheirStructure) {
  const auto named = [](const Bytes& datagram) { return recognise_udp(datagram).protocol; };
  const Bytes frame = testing::frame_of(inner_v4());
  EXPECT_EQ(named(testing::vxlan(frame)), Protocol::kVxlan);
  EXPECT_EQ(named(testing::vxlan(testing::arp())), Protocol::kVxlan);
  EXPECT_EQ(named(testing::geneve(frame)), Protocol::kGeneve);
  EXPECT_EQ(named(inner_v6()), Protocol::kTeredo);
  EXPECT_EQ(named(joined_bytes({{0, 0, 0x12, 0x34, 1, 2, 3, 4}, inner_v6()})), Protocol::kTeredo);
  EXPECT_EQ(named(joined_bytes({inner_v6(), {4, 4, 1, 2, 3, 4}})), Protocol::kTeredo) << "with a trailer of RFC 6081";
  EXPECT_EQ(named(inner_v6("2001:db8::9")), Protocol::kUnknown) << "no Teredo address";
  Bytes reserved = testing::vxlan(frame);
  reserved[7] = 1;
  EXPECT_EQ(named(reserved), Protocol::kUnknown);
  EXPECT_EQ(named(testing::vxlan(Bytes(60, 3))), Protocol::kUnknown) << "no frame inside";
}

TEST(TunnelTest, EveryPrefixIsReadWithinItsBounds) {
  for (const Case& c : cases()) {
    for (std::size_t length = 0; length <= c.payload.size(); ++length) {
      const Bytes prefix(c.payload.data(), c.payload.data() + length);
      (void)looks_like_vxlan(prefix);
      (void)looks_like_geneve(prefix);
      (void)looks_like_teredo(prefix);
      (void)name_raw_tunnel(47, prefix);
      for (const Protocol family : {Protocol::kGre, Protocol::kIpip, Protocol::kSixInFour, Protocol::kVxlan,
                                    Protocol::kGeneve, Protocol::kTeredo}) {
        for (const std::size_t size : {prefix.size(), c.payload.size(), c.payload.size() + 1'000}) {
          const auto content = open_tunnel(family, prefix, size);
          if (content) {
            EXPECT_LE(content->packet.size(), content->wire_size);
          }
        }
      }
    }
  }
}

TEST(TunnelTest, ChangedBytesNeverGiveMoreThanThereIs) {
  std::mt19937 random(5);
  for (int round = 0; round < 20'000; ++round) {
    const std::vector<Case> all = cases();
    const Case& c = all[random() % all.size()];
    Bytes bytes = c.payload;
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    const auto content = open_tunnel(c.family, bytes, bytes.size());
    if (!content || content->control) continue;
    EXPECT_EQ(content->packet.size(), content->wire_size);
    EXPECT_LE(content->packet.size(), bytes.size());
  }
}

}  // namespace
}  // namespace sallyport::parsers
