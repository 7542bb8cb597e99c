#include "sallyport/parsers/ip_packet.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/packet_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::endpoint;
using testing::PacketBuilder;

PacketBuilder tcp(bool is_v6) {
  return is_v6 ? PacketBuilder::tcp(endpoint("2001:db8::1", 4000), endpoint("2001:db8::2", 443))
               : PacketBuilder::tcp(endpoint("192.0.2.1", 4000), endpoint("192.0.2.2", 443));
}

std::string payload_of(const IpPacket& packet) { return std::string(as_text(packet.payload)); }

TEST(IpPacketTest, ReadsBehindIpv4Options) {
  for (std::size_t options = 0; options <= 40; options += 4) {
    const Bytes bytes = tcp(false).ip_options(Bytes(options, 1)).payload("hello").build();  // No-operation options.
    const auto packet = parse_ip_packet(bytes, bytes.size());
    ASSERT_TRUE(packet) << options;
    EXPECT_EQ(payload_of(*packet), "hello") << options;
    EXPECT_EQ(packet->destination_port, 443);
  }
}

TEST(IpPacketTest, ReadsBehindIpv6ExtensionHeaders) {
  const Bytes bytes = tcp(true).extension(0).extension(60, Bytes(20, 0)).extension(43, {0, 0}).payload("hello").build();
  const auto packet = parse_ip_packet(bytes, bytes.size());
  ASSERT_TRUE(packet);
  EXPECT_EQ(payload_of(*packet), "hello");
  EXPECT_EQ(packet->transport, Transport::kTcp);
}

TEST(IpPacketTest, ExtensionHeadersAreBounded) {
  PacketBuilder builder = tcp(true);
  for (int i = 0; i < 9; ++i) builder.extension(60);
  const Bytes bytes = builder.payload("hello").build();
  EXPECT_FALSE(parse_ip_packet(bytes, bytes.size()));
}

TEST(IpPacketTest, ALengthOfZeroIsAllThereIs) {
  for (const bool is_v6 : {false, true}) {
    const Bytes bytes = tcp(is_v6).payload(std::string(20'000, 'x')).ip_length(0).build();
    const auto whole = parse_ip_packet(bytes, bytes.size());
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->payload.size(), 20'000u);
    EXPECT_FALSE(whole->truncated);
    const auto cut = parse_ip_packet(ByteSpan(bytes).first(500), bytes.size());
    ASSERT_TRUE(cut);
    EXPECT_TRUE(cut->truncated);
    EXPECT_EQ(cut->payload_size, 20'000u);
  }
}

// Linux sends aggregates above 64 kB with a jumbo option (RFC 2675) and a payload length of zero.
TEST(IpPacketTest, AJumbogramIsAllThereIs) {
  const std::uint32_t size = 70'000;
  Bytes bytes = tcp(true).extension(0, {0xc2, 4, 0, 1, 0x11, 0x70}).payload("").build();
  bytes.resize(bytes.size() + size, 'x');
  bytes[4] = bytes[5] = 0;
  const auto packet = parse_ip_packet(bytes, bytes.size());
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->payload.size(), size);
}

TEST(IpPacketTest, AnyCutIsToldAndNoLengthGuessed) {
  for (const bool is_v6 : {false, true}) {
    for (const bool is_tcp : {false, true}) {
      const auto client = endpoint(is_v6 ? "2001:db8::1" : "192.0.2.1", 1);
      const auto server = endpoint(is_v6 ? "2001:db8::2" : "192.0.2.2", 2);
      const Bytes whole = (is_tcp ? PacketBuilder::tcp(client, server) : PacketBuilder::udp(client, server)).payload("hello").build();
      const std::size_t headers = whole.size() - 5;
      for (std::size_t length = 0; length < whole.size(); ++length) {
        const Bytes prefix(whole.data(), whole.data() + length);
        const auto packet = parse_ip_packet(prefix, whole.size());
        EXPECT_EQ(packet.has_value(), length >= headers) << length;
        if (!packet) continue;
        EXPECT_TRUE(packet->truncated);
        EXPECT_EQ(packet->payload_size, 5u);
        EXPECT_EQ(packet->payload.size(), length - headers);
        EXPECT_FALSE(parse_ip_packet(prefix, prefix.size())) << "a packet that really ends here";
      }
    }
  }
}

TEST(IpPacketTest, FragmentsAreToldApart) {
  for (const bool is_v6 : {false, true}) {
    for (const Bytes& piece : tcp(is_v6).payload(std::string(100, 'x')).build_fragments(24, 7)) {
      const auto packet = parse_ip_packet(piece, piece.size());
      ASSERT_FALSE(packet);
      EXPECT_EQ(packet.error(), IpPacketError::kFragment);
    }
  }
}

TEST(IpPacketTest, OtherTransportsKeepTheirNumberAndBytes) {
  const Bytes bytes = PacketBuilder::ip(*IpAddress::parse("192.0.2.1"), *IpAddress::parse("192.0.2.2"), 47).payload("inside").build();
  const auto packet = parse_ip_packet(bytes, bytes.size());
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->transport, Transport::kOther);
  EXPECT_EQ(packet->ip_protocol, 47);
  EXPECT_EQ(payload_of(*packet), "inside");
  EXPECT_EQ(packet->payload_size, 6u);
}

}  // namespace
}  // namespace sallyport::parsers
