#include "sallyport/pcap/link_layer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::pcap {
namespace {

using testing::Bytes;
using testing::endpoint;
using testing::PacketBuilder;

Bytes packet_v4() {
  return PacketBuilder::udp(endpoint("192.0.2.1", 4000), endpoint("192.0.2.2", 53)).payload("payload").build();
}

Bytes packet_v6() {
  return PacketBuilder::udp(endpoint("2001:db8::1", 4000), endpoint("2001:db8::2", 53)).payload("payload").build();
}

Bytes joined(std::vector<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

const Bytes kMacs = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};

struct Link {
  std::string name;
  int type;
  Bytes before;  // What stands before the IP packet.
  bool is_v6 = false;
};

std::vector<Link> links() {
  const auto ether = [](Bytes rest) { return joined({kMacs, std::move(rest)}); };
  return {
      {"ethernet v4", 1, ether({0x08, 0x00})},
      {"ethernet v6", 1, ether({0x86, 0xdd}), true},
      {"802.1Q", 1, ether({0x81, 0x00, 0x00, 0x07, 0x08, 0x00})},
      {"802.1ad over 802.1Q", 1, ether({0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x86, 0xdd}), true},
      {"old QinQ", 1, ether({0x91, 0x00, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x00})},
      {"802.1Q with LLC/SNAP", 1, ether({0x81, 0, 0, 7, 0, 43, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00})},
      {"PPPoE session", 1, ether({0x88, 0x64, 0x11, 0, 0, 1, 0, 37, 0x00, 0x21})},
      {"PPPoE session v6", 1, ether({0x88, 0x64, 0x11, 0, 0, 1, 0, 57, 0x00, 0x57}), true},
      {"MPLS, one label", 1, ether({0x88, 0x47, 0, 1, 1, 64})},
      {"MPLS, three labels", 1, ether({0x88, 0x47, 0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64}), true},
      {"MPLS pseudowire with control word", 1,
       joined({kMacs, {0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0}, kMacs, {0x08, 0x00}})},
      {"LLC/SNAP", 1, ether({0, 43, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00})},
      {"LLC with IP's own SAP", 1, ether({0, 38, 0x06, 0x06, 3})},
      {"Cisco metadata", 1, ether({0x89, 0x09, 1, 1, 0, 1, 0, 8, 0x08, 0x00})},
      {"raw", 101, {}},
      {"raw of Linux", 12, {}, true},
      {"raw of OpenBSD", 14, {}},
      {"IPv4", 228, {}},
      {"IPv6", 229, {}, true},
      {"null, little-endian", 0, {2, 0, 0, 0}},
      {"null, big-endian", 0, {0, 0, 0, 30}, true},
      {"loop", 108, {0, 0, 0, 2}},
      {"null of FreeBSD v6", 0, {28, 0, 0, 0}, true},
      {"Linux cooked", 113, {0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00}},
      {"Linux cooked with a tag", 113, {0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 7, 0x86, 0xdd}, true},
      {"Linux cooked v2", 276, {0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, true},
      {"NFLOG", 239, {2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 3, 0, 6, 0, 10, 0, 'p', 0, 0, 0, 39, 0, 9, 0}},
      {"NFLOG of the other byte order", 239, {2, 0, 0, 0, 0, 8, 0, 1, 0, 8, 0, 3, 0, 6, 0, 10, 'p', 0, 0, 0, 0, 39, 0, 9}},
      {"PPP", 9, {0xff, 0x03, 0x00, 0x21}},
      {"PPP, both fields compressed", 9, {0x57}, true},
      {"PPP serial", 50, {0xff, 0x03, 0x00, 0x21}},
      {"PPP serial that is Cisco HDLC", 50, {0x0f, 0x00, 0x08, 0x00}},
      {"Cisco HDLC", 104, {0x0f, 0x00, 0x86, 0xdd}, true},
  };
}

TEST(LinkLayerTest, FindsTheIpPacketInEveryLink) {
  for (const Link& link : links()) {
    const Bytes packet = link.is_v6 ? packet_v6() : packet_v4();
    const Bytes frame = joined({link.before, packet});
    const auto ip = find_ip(link.type, frame, static_cast<std::uint32_t>(frame.size()));
    ASSERT_TRUE(ip) << link.name << ": " << to_string(ip.error());
    EXPECT_EQ(Bytes(ip->bytes.begin(), ip->bytes.end()), packet) << link.name;
    EXPECT_EQ(ip->wire_size, packet.size()) << link.name;
  }
}

TEST(LinkLayerTest, EveryPrefixIsCutOrToldToBeCut) {
  for (const Link& link : links()) {
    const Bytes packet = link.is_v6 ? packet_v6() : packet_v4();
    const Bytes whole = joined({link.before, packet});
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Bytes prefix(whole.data(), whole.data() + length);
      const auto ip = find_ip(link.type, prefix, static_cast<std::uint32_t>(whole.size()));
      if (length > link.before.size()) {
        ASSERT_TRUE(ip) << link.name << ", " << length << " bytes";
        EXPECT_GT(ip->wire_size, ip->bytes.size()) << link.name << ", " << length << " bytes";
      } else {
        EXPECT_FALSE(ip) << link.name << ", " << length << " bytes";
      }
    }
  }
}

TEST(LinkLayerTest, CutsThePaddingOfShortEthernetFrames) {
  const Bytes packet = PacketBuilder::tcp(endpoint("192.0.2.1", 1), endpoint("192.0.2.2", 2)).build();
  const Bytes frame = testing::ethernet(packet);
  ASSERT_GT(frame.size(), 14 + packet.size());
  const auto ip = find_ip(1, frame, static_cast<std::uint32_t>(frame.size()));
  ASSERT_TRUE(ip);
  EXPECT_EQ(Bytes(ip->bytes.begin(), ip->bytes.end()), packet);
}

TEST(LinkLayerTest, ALengthOfZeroMeansTheRestOfTheFrame) {
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    const auto packet = PacketBuilder::tcp(endpoint(address, 1), endpoint(address, 2))
                            .payload(std::string(3'000, 'x'))
                            .ip_length(0)
                            .build();
    const auto size = static_cast<std::uint32_t>(packet.size());
    const auto whole = find_ip(101, packet, size);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->bytes.size(), packet.size());
    EXPECT_EQ(whole->wire_size, packet.size());
    const auto cut = find_ip(101, ByteSpan(packet).first(96), size);
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->bytes.size(), 96u);
    EXPECT_EQ(cut->wire_size, packet.size());
  }
}

TEST(LinkLayerTest, ALengthBeyondTheFrameReadsAsCut) {
  const auto packet = PacketBuilder::udp(endpoint("192.0.2.1", 1), endpoint("192.0.2.2", 2)).ip_length(900).build();
  const auto ip = find_ip(101, packet, static_cast<std::uint32_t>(packet.size()));
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->wire_size, 900u);
}

TEST(LinkLayerTest, ANonsensicalLengthLeavesThePacketWhole) {
  const auto packet = PacketBuilder::udp(endpoint("192.0.2.1", 1), endpoint("192.0.2.2", 2)).ip_length(7).build();
  const auto ip = find_ip(101, packet, static_cast<std::uint32_t>(packet.size()));
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->bytes.size(), packet.size()) << "the inspector shall refuse it, not the link layer hide it";
}

TEST(LinkLayerTest, WhatIsNotIpIsSaidToBeSo) {
  const auto error = [](int type, const Bytes& frame) {
    const auto ip = find_ip(type, frame, static_cast<std::uint32_t>(frame.size()));
    EXPECT_FALSE(ip);
    return ip ? LinkError::kCut : ip.error();
  };
  EXPECT_EQ(error(1, joined({kMacs, {0x08, 0x06}, Bytes(28, 0)})), LinkError::kNotIp) << "ARP";
  EXPECT_EQ(error(1, joined({kMacs, {0x88, 0x63, 0x11, 9, 0, 0, 0, 0}})), LinkError::kNotIp) << "PPPoE discovery";
  EXPECT_EQ(error(1, joined({kMacs, {0, 38, 0x42, 0x42, 3}, Bytes(35, 0)})), LinkError::kNotIp) << "spanning tree";
  EXPECT_EQ(error(9, {0xff, 0x03, 0xc0, 0x21, 1, 1}), LinkError::kNotIp) << "LCP";
  EXPECT_EQ(error(101, Bytes(40, 0x15)), LinkError::kNotIp) << "version 1";
  EXPECT_EQ(error(0, {99, 0, 0, 0, 1, 2, 3, 4}), LinkError::kNotIp);
  EXPECT_EQ(error(105, Bytes(64, 0)), LinkError::kUnknownLinkType);
}

TEST(LinkLayerTest, StacksOfTagsAndLabelsAreBounded) {
  Bytes tags = kMacs;
  Bytes labels = joined({kMacs, {0x88, 0x47}});
  for (int i = 0; i < 100; ++i) {
    tags = joined({tags, {0x81, 0x00, 0, 7}});
    labels = joined({labels, {0, 1, 0, 64}});
  }
  for (const Bytes& stack : {joined({tags, {0x08, 0x00}, packet_v4()}), joined({labels, packet_v4()})}) {
    const auto ip = find_ip(1, stack, static_cast<std::uint32_t>(stack.size()));
    ASSERT_FALSE(ip);
    EXPECT_EQ(ip.error(), LinkError::kTooManyHeaders);
  }
}

TEST(LinkLayerTest, AnNflogAttributeOfLengthZeroEndsTheWalk) {
  const Bytes frame = joined({{2, 0, 0, 0, 0, 0, 1, 0}, Bytes(64, 0)});
  EXPECT_FALSE(find_ip(239, frame, static_cast<std::uint32_t>(frame.size())));
}

}  // namespace
}  // namespace sallyport::pcap
