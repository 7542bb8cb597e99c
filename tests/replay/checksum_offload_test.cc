#include "checksum_offload.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace sallyport::replay {
namespace {

using testing::Bytes;
using testing::endpoint;
using testing::PacketBuilder;

// The sum of the pseudo header alone, as a system leaves it for the card.
std::uint16_t pseudo_sum(ByteSpan addresses, std::uint32_t protocol, std::size_t length) {
  std::uint64_t sum = protocol + length;
  for (std::size_t i = 0; i < addresses.size(); i += 2) sum += std::uint64_t{addresses[i]} << 8 | addresses[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

void set_u16(Bytes& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

TEST(ChecksumOffloadTest, KnowsWhatASystemLeavesForTheCard) {
  for (const bool is_v6 : {false, true}) {
    const auto client = endpoint(is_v6 ? "2001:db8::1" : "192.0.2.1", 4000);
    const auto server = endpoint(is_v6 ? "2001:db8::2" : "192.0.2.2", 443);
    const std::size_t header = is_v6 ? 40 : 20;
    Bytes tcp = PacketBuilder::tcp(client, server).payload("hello").build();
    EXPECT_FALSE(checksum_left_to_hardware(tcp)) << "a right checksum";
    const Bytes bad = PacketBuilder::tcp(client, server).payload("hello").bad_checksum().build();
    EXPECT_FALSE(checksum_left_to_hardware(bad)) << "a wrong checksum";
    const ByteSpan addresses = ByteSpan(tcp).subspan(is_v6 ? 8 : 12, is_v6 ? 32 : 8);
    for (const std::size_t length : {std::size_t{25}, std::size_t{0}}) {
      set_u16(tcp, header + 16, pseudo_sum(addresses, 6, length));
      EXPECT_TRUE(checksum_left_to_hardware(tcp)) << "length " << length;
    }
    const Bytes udp = PacketBuilder::udp(client, server).payload("hello").no_udp_checksum().build();
    EXPECT_TRUE(checksum_left_to_hardware(udp));
  }
}

TEST(ChecksumOffloadTest, EveryPrefixIsReadWithinItsBounds) {
  const auto client = endpoint("2001:db8::1", 4000);
  const Bytes whole = PacketBuilder::udp(client, client).extension(0).extension(60).no_udp_checksum().build();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes prefix(whole.data(), whole.data() + length);
    EXPECT_FALSE(checksum_left_to_hardware(prefix) && length < 64);
  }
}

}  // namespace
}  // namespace sallyport::replay
