#include "sallyport/refusal/packet.h"

#include <gtest/gtest.h>

#include "sallyport/parsers/ip_packet.h"
#include "sizes.h"
#include "support/client_hello_builder.h"
#include "support/packet_builder.h"

namespace sallyport::testing {
namespace {

using refusal::Buffer;
using refusal::TcpSegment;

const Endpoint kServer4 = endpoint("192.0.2.1", 443), kClient4 = endpoint("198.51.100.7", 50'000);
const Endpoint kServer6 = endpoint("2001:db8::1", 443), kClient6 = endpoint("2001:db8::7", 50'000);

TcpSegment segment(const Endpoint& from, const Endpoint& to, std::string_view payload) {
  TcpSegment made;
  made.from = from;
  made.to = to;
  made.sequence = 0x01020304;
  made.acknowledgment = 0xfffefdfc;
  made.fin = made.ack = made.psh = true;
  made.window = 501;
  made.payload = as_bytes_of(payload);
  return made;
}

// rfc1071 sums words: over a whole header, or a segment and its pseudo header, it gives 0xffff where the checksum is right.
std::uint32_t rfc1071(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i] << 8) : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

std::uint32_t transport_sum(const Bytes& packet) {
  const bool v4 = packet[0] >> 4 == 4;
  Bytes summed(packet.begin() + (v4 ? 12 : 8), packet.end());  // Addresses and segment.
  const std::size_t length = packet.size() - (v4 ? 20 : 40);
  if (summed.size() % 2 != 0) summed.push_back(0);
  for (const int byte : {0, int{packet[v4 ? 9 : 6]}, int(length >> 8), int(length & 0xff)}) {
    summed.push_back(static_cast<std::uint8_t>(byte));
  }
  return rfc1071(summed);
}

TEST(RefusalPacketTest, ATcpSegmentIsTheseBytes) {
  const Bytes v4 = built([&](Buffer out) { return refusal::tcp_segment(out, segment(kServer4, kClient4, "no")); }, 1'200);
  EXPECT_EQ(v4, hex("4500002a 00004000 4006 4e92 c0000201 c6336407"
                    "01bbc350 01020304 fffefdfc 5019 01f5 8c1b 0000 6e6f"));
  const Bytes v6 = built([&](Buffer out) { return refusal::tcp_segment(out, segment(kServer6, kClient6, "no")); }, 1'200);
  EXPECT_EQ(v6, hex("60000000 0016 06 40 20010db8000000000000000000000001 20010db8000000000000000000000007"
                    "01bbc350 01020304 fffefdfc 5019 01f5 1cde 0000 6e6f"));
}

TEST(RefusalPacketTest, AUdpDatagramIsTheseBytes) {
  const Bytes v4 = built([&](Buffer out) { return refusal::udp_datagram(out, kServer4, kClient4, as_bytes_of("no!")); }, 1'200);
  EXPECT_EQ(v4, hex("4500001f 00004000 4011 4e92 c0000201 c6336407 01bbc350 000b bf20 6e6f21"));
}

TEST(RefusalPacketTest, EachFlagIsItsOwnBit) {
  const auto flags_of = [](auto set) {
    TcpSegment made;
    made.from = kServer4;
    made.to = kClient4;
    set(made);
    return built([&](Buffer out) { return refusal::tcp_segment(out, made); }, 100).at(33);
  };
  EXPECT_EQ(flags_of([](TcpSegment&) {}), 0);
  EXPECT_EQ(flags_of([](TcpSegment& made) { made.fin = true; }), kFin);
  EXPECT_EQ(flags_of([](TcpSegment& made) { made.rst = true; }), kRst);
  EXPECT_EQ(flags_of([](TcpSegment& made) { made.psh = true; }), kPsh);
  EXPECT_EQ(flags_of([](TcpSegment& made) { made.ack = true; }), kAck);
}

// What another builder makes of the same facts is the same, whatever the payload's length, and its checksums with it.
TEST(RefusalPacketTest, ChecksumsAreRightForEveryLength) {
  for (const auto& [from, to] : {std::pair{kServer4, kClient4}, std::pair{kServer6, kClient6}}) {
    Bytes payload;
    for (std::size_t length = 0; length <= refusal::kRefusalMax; ++length) {
      const Bytes udp = built([&](Buffer out) { return refusal::udp_datagram(out, from, to, payload); }, 1'260);
      const Bytes other = PacketBuilder::udp(from, to).payload(payload).dont_fragment().build();
      ASSERT_EQ(udp, other) << length;
      ASSERT_EQ(transport_sum(udp), 0xffffu) << length;
      TcpSegment made = segment(from, to, as_text(payload));
      const Bytes tcp = built([&](Buffer out) { return refusal::tcp_segment(out, made); }, 1'260);
      ASSERT_EQ(transport_sum(tcp), 0xffffu) << length;
      const std::uint32_t header = from.address.is_v4() ? rfc1071(Bytes(tcp.begin(), tcp.begin() + 20)) : 0xffff;
      ASSERT_EQ(header, 0xffffu);
      payload.push_back(static_cast<std::uint8_t>(length * 37 + 11));
    }
  }
}

TEST(RefusalPacketTest, AUdpChecksumIsNeverZero) {
  int zeros = 0;
  for (const auto& [from, to] : {std::pair{kServer4, kClient4}, std::pair{kServer6, kClient6}}) {
    const std::size_t checksum = from.address.is_v4() ? 26 : 46;
    for (unsigned word = 0; word <= 0xffff; ++word) {
      const Bytes payload = {static_cast<std::uint8_t>(word >> 8), static_cast<std::uint8_t>(word)};
      const Bytes udp = built([&](Buffer out) { return refusal::udp_datagram(out, from, to, payload); }, 60);
      ASSERT_TRUE(udp.at(checksum) != 0 || udp.at(checksum + 1) != 0) << word;
      zeros += udp.at(checksum) == 0xff && udp.at(checksum + 1) == 0xff;
    }
  }
  EXPECT_EQ(zeros, 2) << "one word in each family makes the sum that would be written as none";
}

TEST(RefusalPacketTest, TheParserReadsWhatWasSaid) {
  for (const auto& [from, to] : {std::pair{kServer4, kClient4}, std::pair{kServer6, kClient6}}) {
    const Bytes packet = built([&](Buffer out) { return refusal::tcp_segment(out, segment(from, to, "denied")); }, 200);
    const auto ip = parsers::parse_ip_packet(packet, packet.size());
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->source, from.address);
    EXPECT_EQ(ip->destination, to.address);
    EXPECT_EQ(ip->source_port, from.port);
    EXPECT_EQ(ip->destination_port, to.port);
    EXPECT_EQ(ip->tcp.sequence, 0x01020304u);
    EXPECT_EQ(ip->tcp.acknowledgment, 0xfffefdfcu);
    EXPECT_TRUE(ip->tcp.fin && ip->tcp.ack && !ip->tcp.rst && !ip->tcp.syn && !ip->tcp.urg);
    EXPECT_EQ(as_text(ip->payload), "denied");
    EXPECT_FALSE(ip->truncated);
  }
}

TEST(RefusalPacketTest, APacketIsWholeOrThereIsNone) {
  const std::string payload(100, 'x');
  for (const auto& [from, to, headers] : {std::tuple{kServer4, kClient4, 20}, std::tuple{kServer6, kClient6, 40}}) {
    const auto tcp_size = static_cast<std::size_t>(headers) + 120, udp_size = static_cast<std::size_t>(headers) + 108;
    every_size([&](Buffer out) { return refusal::tcp_segment(out, segment(from, to, payload)); },
               [&](const Bytes& packet, std::size_t size) { ASSERT_EQ(packet.size(), size < tcp_size ? 0 : tcp_size) << size; });
    every_size([&](Buffer out) { return refusal::udp_datagram(out, from, to, as_bytes_of(payload)); },
               [&](const Bytes& packet, std::size_t size) { ASSERT_EQ(packet.size(), size < udp_size ? 0 : udp_size) << size; });
  }
}

TEST(RefusalPacketTest, TwoFamiliesAndTooLongPayloadsGiveNothing) {
  Bytes out(70'000);
  EXPECT_EQ(refusal::udp_datagram(out, kServer4, kClient6, {}), 0u);
  EXPECT_EQ(refusal::tcp_segment(out, segment(kServer6, kClient4, "")), 0u);
  const Bytes longest(65'535 - 28);
  EXPECT_EQ(refusal::udp_datagram(out, kServer4, kClient4, longest), 65'535u);
  const Bytes longer(65'535 - 27);
  EXPECT_EQ(refusal::udp_datagram(out, kServer4, kClient4, longer), 0u);
  EXPECT_EQ(refusal::udp_datagram(out, kServer6, kClient6, longer), 40u + 8 + 65'508);
  EXPECT_EQ(refusal::udp_datagram(out, kServer6, kClient6, Bytes(65'528)), 0u);
}

}  // namespace
}  // namespace sallyport::testing
