// The kernel itself runs the programs here: as the filter of a socket pair, which needs no privilege.
#include "packet_filters.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "sallyport/parsers/quic.h"

namespace sallyport::netfilter {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::vector<sock_filter> parse_bytecode(std::string text) {
  std::ranges::replace(text, ',', ' ');
  std::istringstream in(text);
  std::size_t count = 0;
  in >> count;
  std::vector<sock_filter> program;
  unsigned code = 0;
  unsigned jump_true = 0;
  unsigned jump_false = 0;
  std::uint32_t operand = 0;
  while (in >> code >> jump_true >> jump_false >> operand) {
    program.push_back({static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(jump_true),
                       static_cast<std::uint8_t>(jump_false), operand});
  }
  EXPECT_EQ(program.size(), count);
  return program;
}

// matches runs a program over one packet.
bool matches(const std::string& bytecode, const Bytes& packet) {
  std::vector<sock_filter> program = parse_bytecode(bytecode);
  const sock_fprog attached{static_cast<unsigned short>(program.size()), program.data()};
  int sockets[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
  EXPECT_EQ(::setsockopt(sockets[1], SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached), 0);
  (void)!::send(sockets[0], packet.data(), packet.size(), MSG_DONTWAIT);
  std::uint8_t byte = 0;
  const ssize_t got = ::recv(sockets[1], &byte, 1, MSG_DONTWAIT);
  ::close(sockets[0]);
  ::close(sockets[1]);
  return got == 1;
}

struct Shape {
  Family family = Family::kIpv4;
  std::uint8_t protocol = 6;
  std::size_t ip_options = 0;   // IPv4; a multiple of 4.
  std::size_t tcp_options = 0;  // A multiple of 4.
  std::uint8_t flags = 0x10;
  Bytes payload;
};

Bytes make_packet(const Shape& shape) {
  const std::size_t transport = shape.protocol == 6 ? 20 + shape.tcp_options : 8;
  const std::size_t ip = shape.family == Family::kIpv4 ? 20 + shape.ip_options : 40;
  Bytes packet(ip + transport, 0);
  packet.insert(packet.end(), shape.payload.begin(), shape.payload.end());
  if (shape.family == Family::kIpv4) {
    packet[0] = static_cast<std::uint8_t>(0x40 | ip / 4);
    packet[2] = static_cast<std::uint8_t>(packet.size() >> 8);
    packet[3] = static_cast<std::uint8_t>(packet.size());
    packet[9] = shape.protocol;
  } else {
    packet[0] = 0x60;
    packet[4] = static_cast<std::uint8_t>((packet.size() - 40) >> 8);
    packet[5] = static_cast<std::uint8_t>(packet.size() - 40);
    packet[6] = shape.protocol;
  }
  if (shape.protocol == 6) {
    packet[ip + 12] = static_cast<std::uint8_t>(transport / 4 << 4);
    packet[ip + 13] = shape.flags;
  }
  return packet;
}

class PureAckFilterTest : public testing::TestWithParam<Family> {};

TEST_P(PureAckFilterTest, MatchesAnEmptyAckWithAnyOptions) {
  for (std::size_t ip_options = 0; ip_options <= 40; ip_options += 4) {
    for (std::size_t tcp_options = 0; tcp_options <= 40; tcp_options += 4) {
      EXPECT_TRUE(matches(pure_ack_filter(GetParam()),
                          make_packet({GetParam(), 6, ip_options, tcp_options, 0x10, {}})))
          << ip_options << ' ' << tcp_options;
    }
  }
}

TEST_P(PureAckFilterTest, OneByteOfPayloadGoesToTheQueue) {
  for (std::size_t tcp_options = 0; tcp_options <= 40; tcp_options += 4) {
    EXPECT_FALSE(
        matches(pure_ack_filter(GetParam()), make_packet({GetParam(), 6, 0, tcp_options, 0x10, {0x16}})));
    EXPECT_FALSE(matches(pure_ack_filter(GetParam()),
                         make_packet({GetParam(), 6, 0, tcp_options, 0x10, Bytes(1400, 0x16)})));
  }
}

TEST_P(PureAckFilterTest, OnlyTheAckFlagBesideCongestionFlagsMatches) {
  for (unsigned flags = 0; flags < 256; ++flags) {
    const bool expected = (flags & 0x3f) == 0x10;
    EXPECT_EQ(matches(pure_ack_filter(GetParam()),
                      make_packet({GetParam(), 6, 0, 12, static_cast<std::uint8_t>(flags), {}})),
              expected)
        << flags;
  }
}

TEST_P(PureAckFilterTest, ALengthFieldOfZeroGoesToTheQueue) {
  Bytes packet = make_packet({GetParam(), 6, 0, 12, 0x10, Bytes(1000, 1)});
  const std::size_t length = GetParam() == Family::kIpv4 ? 2 : 4;
  packet[length] = 0;
  packet[length + 1] = 0;
  EXPECT_FALSE(matches(pure_ack_filter(GetParam()), packet));
}

TEST_P(PureAckFilterTest, NoPrefixOfAPacketMatches) {
  const Bytes whole = make_packet({GetParam(), 6, 0, 0, 0x10, {}});
  const std::size_t needed = (GetParam() == Family::kIpv4 ? 20 : 40) + 14;  // Up to the flags.
  for (std::size_t size = 1; size < needed; ++size) {
    EXPECT_FALSE(
        matches(pure_ack_filter(GetParam()), Bytes(whole.begin(), whole.begin() + static_cast<long>(size))));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PureAckFilterTest, testing::Values(Family::kIpv4, Family::kIpv6));

TEST(PureAckFilterTest, AnExtensionHeaderGoesToTheQueue) {
  Bytes packet = make_packet({Family::kIpv6, 6, 0, 12, 0x10, {}});
  packet[6] = 0;  // Hop-by-hop options.
  EXPECT_FALSE(matches(pure_ack_filter(Family::kIpv6), packet));
}

class LongHeaderFilterTest : public testing::TestWithParam<Family> {};

TEST_P(LongHeaderFilterTest, MatchesByTheTwoHighBitsOfTheFirstByte) {
  for (unsigned first = 0; first < 256; ++first) {
    const Bytes packet = make_packet({GetParam(), 17, 0, 0, 0, {static_cast<std::uint8_t>(first), 0xff}});
    EXPECT_EQ(matches(long_header_filter(GetParam()), packet), first >= 0xc0) << first;
  }
}

// RFC 9287: on a flow that is allowed, an Initial with a cleared fixed bit must not pass by the inspector.
TEST_P(LongHeaderFilterTest, MatchesAClearedFixedBitWithAVersionThatIsRead) {
  const auto matches_version = [](std::uint8_t first, std::uint32_t version) {
    const auto byte = [version](unsigned shift) { return static_cast<std::uint8_t>(version >> shift); };
    const Bytes packet = make_packet({GetParam(), 17, 0, 0, 0, {first, byte(24), byte(16), byte(8), byte(0), 8}});
    return matches(long_header_filter(GetParam()), packet);
  };
  std::vector<std::uint32_t> known = {0x00000001, 0x6b3343cf, 0x709a50c4, 0xfaceb001, 0xfaceb002,
                                      0xfaceb00e, 0x51303530, 0x54303530, 0x54303531};
  for (std::uint32_t draft = 0xff000016; draft <= 0xff000022; ++draft) known.push_back(draft);
  for (const std::uint32_t version : known) {
    ASSERT_TRUE(parsers::quic_version_is_known(version)) << version;
    EXPECT_TRUE(matches_version(0x80, version)) << version;
    EXPECT_TRUE(matches_version(0xbf, version)) << version;
    EXPECT_FALSE(matches_version(0x3f, version)) << version;
    EXPECT_FALSE(matches_version(0x40, version)) << version;
  }
  // A neighbour of each, and what an RTP packet has there.
  for (std::uint32_t version : known) {
    for (version += 1; parsers::quic_version_is_known(version);) ++version;
    EXPECT_FALSE(matches_version(0x80, version)) << version;
  }
  for (const std::uint32_t version : {0x60123456U, 0xff000015U, 0xff000023U}) EXPECT_FALSE(matches_version(0x80, version));
}

TEST_P(LongHeaderFilterTest, AnEmptyDatagramDoesNotMatch) {
  EXPECT_FALSE(matches(long_header_filter(GetParam()), make_packet({GetParam(), 17, 0, 0, 0, {}})));
}

INSTANTIATE_TEST_SUITE_P(Families, LongHeaderFilterTest, testing::Values(Family::kIpv4, Family::kIpv6));

TEST(LongHeaderFilterTest, FindsThePayloadBehindIpv4Options) {
  for (std::size_t options = 0; options <= 40; options += 4) {
    EXPECT_TRUE(
        matches(long_header_filter(Family::kIpv4), make_packet({Family::kIpv4, 17, options, 0, 0, {0xc0}})));
    EXPECT_FALSE(
        matches(long_header_filter(Family::kIpv4), make_packet({Family::kIpv4, 17, options, 0, 0, {0x40}})));
  }
}

TEST(LongHeaderFilterTest, AnExtensionHeaderGoesToTheQueue) {
  Bytes packet = make_packet({Family::kIpv6, 17, 0, 0, 0, {0x40}});
  packet[6] = 60;  // Destination options.
  EXPECT_TRUE(matches(long_header_filter(Family::kIpv6), packet));
}

}  // namespace
}  // namespace sallyport::netfilter
