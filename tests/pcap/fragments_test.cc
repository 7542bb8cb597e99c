#include "sallyport/pcap/fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::pcap {
namespace {

using testing::at;
using testing::Bytes;
using testing::endpoint;
using testing::PacketBuilder;

constexpr const char* kFamilies[] = {"192.0.2.1", "2001:db8::1"};

PacketBuilder datagram(const char* address, std::size_t size = 100) {
  std::string payload(size, '\0');
  for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<char>(i * 7);
  return PacketBuilder::udp(endpoint(address, 4000), endpoint(address, 53)).payload(payload);
}

// Table numbers the packets as a capture does.
class Table {
 public:
  FragmentOutcome add(const Bytes& packet, Timestamp now = at()) {
    // A block of the exact size, so that a read too far is seen.
    const Bytes copy(packet.data(), packet.data() + packet.size());
    const FragmentResult result = table.add(copy, static_cast<std::uint32_t>(copy.size()), ++frames, now);
    whole.assign(result.packet.begin(), result.packet.end());
    earlier.assign(result.earlier.begin(), result.earlier.end());
    return result.outcome;
  }

  FragmentTable table;
  PacketId frames = 0;
  Bytes whole;
  std::vector<PacketId> earlier;
};

// The packet as it was before it was cut; the fragments of IPv4 carry their identification.
Bytes original(const char* address, PacketBuilder builder) {
  if (std::string(address).find(':') == std::string::npos) builder.ip_id(7);
  return builder.build();
}

TEST(FragmentsTest, PutsPiecesTogetherInAnyOrder) {
  for (const char* address : kFamilies) {
    const Bytes expected = original(address, datagram(address));
    std::vector<Bytes> pieces = datagram(address).build_fragments(32, 7);
    ASSERT_EQ(pieces.size(), 4u);
    std::vector<std::size_t> order = {0, 1, 2, 3};
    do {
      Table table;
      for (std::size_t i = 0; i + 1 < order.size(); ++i) {
        ASSERT_EQ(table.add(pieces[order[i]]), FragmentOutcome::kKept);
      }
      ASSERT_EQ(table.add(pieces[order.back()]), FragmentOutcome::kComplete);
      EXPECT_EQ(table.whole, expected);
      EXPECT_EQ(table.earlier, (std::vector<PacketId>{1, 2, 3}));
      EXPECT_EQ(table.table.datagrams(), 0u);
    } while (std::ranges::next_permutation(order).found);
  }
}

TEST(FragmentsTest, WholePacketsPassAsTheyAre) {
  for (const char* address : kFamilies) {
    Table table;
    const Bytes packet = datagram(address).dont_fragment().build();
    EXPECT_EQ(table.add(packet), FragmentOutcome::kNotAFragment);
    EXPECT_EQ(table.whole, packet);
  }
}

TEST(FragmentsTest, AnAtomicFragmentLosesItsHeader) {
  Table table;
  const auto pieces = datagram(kFamilies[1]).build_fragments(1'024, 7);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(table.add(pieces[0]), FragmentOutcome::kComplete);
  EXPECT_EQ(table.whole, datagram(kFamilies[1]).build());
}

TEST(FragmentsTest, FindsTheFragmentHeaderBehindExtensionHeaders) {
  Table table;
  const auto builder = [] { return datagram(kFamilies[1]).extension(0).extension(60, Bytes(6, 0)); };
  const auto pieces = builder().build_fragments(64, 7);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(table.add(pieces[0]), FragmentOutcome::kKept);
  EXPECT_EQ(table.add(pieces[1]), FragmentOutcome::kComplete);
  EXPECT_EQ(table.whole, builder().build());
}

TEST(FragmentsTest, AnOverlapThrowsTheDatagramAway) {
  for (const char* address : kFamilies) {
    Table table;
    const auto small = datagram(address).build_fragments(32, 7);
    const auto large = datagram(address).build_fragments(48, 7);
    ASSERT_EQ(table.add(small[0]), FragmentOutcome::kKept);
    ASSERT_EQ(table.add(small[1]), FragmentOutcome::kKept);
    EXPECT_EQ(table.add(large[1]), FragmentOutcome::kRefused) << "48 to 96 over 32 to 64";
    EXPECT_EQ(table.earlier, (std::vector<PacketId>{1, 2}));
    EXPECT_EQ(table.table.datagrams(), 0u);
  }
}

TEST(FragmentsTest, AnOverlapBehindAGapThrowsTheDatagramAway) {
  for (const char* address : kFamilies) {
    Table table;
    const auto small = datagram(address).build_fragments(32, 7);
    const auto large = datagram(address).build_fragments(48, 7);
    ASSERT_EQ(table.add(small[3]), FragmentOutcome::kKept);
    ASSERT_EQ(table.add(small[1]), FragmentOutcome::kKept);
    EXPECT_EQ(table.add(large[0]), FragmentOutcome::kRefused) << "0 to 48 over 32 to 64";
  }
}

TEST(FragmentsTest, ARepetitionIsIgnoredAndTheFirstCopyStands) {
  for (const char* address : kFamilies) {
    Table table;
    auto pieces = datagram(address).build_fragments(32, 7);
    Bytes other = pieces[1];
    other.back() ^= 0xff;
    ASSERT_EQ(table.add(pieces[0]), FragmentOutcome::kKept);
    ASSERT_EQ(table.add(pieces[1]), FragmentOutcome::kKept);
    EXPECT_EQ(table.add(pieces[0]), FragmentOutcome::kIgnored);
    EXPECT_EQ(table.add(other), FragmentOutcome::kIgnored);
    ASSERT_EQ(table.add(pieces[2]), FragmentOutcome::kKept);
    ASSERT_EQ(table.add(pieces[3]), FragmentOutcome::kComplete);
    EXPECT_EQ(table.whole, original(address, datagram(address)));
  }
}

TEST(FragmentsTest, TwoEndsThatDisagreeAreRefused) {
  for (const char* address : kFamilies) {
    const auto last_of = [&](std::size_t size) { return datagram(address, size).build_fragments(32, 7).back(); };
    Table shorter;
    ASSERT_EQ(shorter.add(last_of(100)), FragmentOutcome::kKept);
    EXPECT_EQ(shorter.add(last_of(60)), FragmentOutcome::kRefused);
    Table longer;
    ASSERT_EQ(longer.add(last_of(60)), FragmentOutcome::kKept);
    EXPECT_EQ(longer.add(last_of(100)), FragmentOutcome::kRefused);
    Table beyond;  // A piece in the middle that lies behind the end.
    ASSERT_EQ(beyond.add(last_of(60)), FragmentOutcome::kKept);
    EXPECT_EQ(beyond.add(datagram(address).build_fragments(32, 7)[2]), FragmentOutcome::kRefused);
  }
}

TEST(FragmentsTest, OtherIdentificationsAndAddressesAreOtherDatagrams) {
  for (const char* address : kFamilies) {
    Table table;
    const char* other = address == kFamilies[0] ? "192.0.2.9" : "2001:db8::9";
    ASSERT_EQ(table.add(datagram(address).build_fragments(64, 7)[0]), FragmentOutcome::kKept);
    EXPECT_EQ(table.add(datagram(address).build_fragments(64, 8)[1]), FragmentOutcome::kKept);
    EXPECT_EQ(table.add(datagram(other).build_fragments(64, 7)[1]), FragmentOutcome::kKept);
    EXPECT_EQ(table.table.datagrams(), 3u);
  }
}

TEST(FragmentsTest, ADatagramThatIsNotWholeInTimeIsLost) {
  for (const char* address : kFamilies) {
    const Duration timeout = address == kFamilies[0] ? kFragmentTimeoutV4 : kFragmentTimeoutV6;
    Table table;
    std::vector<PacketId> lost;
    const auto pieces = datagram(address).build_fragments(64, 7);
    ASSERT_EQ(table.add(pieces[0]), FragmentOutcome::kKept);
    EXPECT_FALSE(table.table.take_expired(at(timeout) - Duration(1), lost));
    EXPECT_TRUE(table.table.take_expired(at(timeout), lost));
    EXPECT_EQ(lost, (std::vector<PacketId>{1}));
    EXPECT_FALSE(table.table.take_expired(at(timeout), lost));
    EXPECT_EQ(table.add(pieces[1], at(timeout)), FragmentOutcome::kKept) << "its other half is gone";
  }
}

TEST(FragmentsTest, DatagramsAndBytesAreBounded) {
  Table many;
  for (std::uint32_t id = 0; id < kFragmentedDatagramsMax; ++id) {
    ASSERT_EQ(many.add(datagram(kFamilies[1]).build_fragments(64, id)[0]), FragmentOutcome::kKept);
  }
  EXPECT_EQ(many.add(datagram(kFamilies[1]).build_fragments(64, 9'999)[0]), FragmentOutcome::kIgnored);
  EXPECT_EQ(many.add(datagram(kFamilies[1]).build_fragments(64, 5)[1]), FragmentOutcome::kComplete)
      << "what is begun may still be finished";

  Table large;
  std::size_t kept = 0;
  for (std::uint32_t id = 0; id < 200; ++id) {
    const auto outcome = large.add(datagram(kFamilies[1], 60'000).build_fragments(50'000, id)[0]);
    if (outcome == FragmentOutcome::kKept) ++kept;
  }
  EXPECT_EQ(kept, kFragmentBytesMax / (50'000 + 64));
}

TEST(FragmentsTest, MemoryIsGivenBack) {
  Table table;
  for (std::uint32_t id = 0; id < 1'000; ++id) {
    const auto pieces = datagram(kFamilies[1], 60'000).build_fragments(50'000, id);
    ASSERT_EQ(table.add(pieces[0]), FragmentOutcome::kKept) << id;
    ASSERT_EQ(table.add(pieces[1]), FragmentOutcome::kComplete) << id;
  }
}

TEST(FragmentsTest, ADatagramWithACutFragmentIsToldOnceAsACutPacket) {
  for (const char* address : kFamilies) {
    for (std::size_t which = 0; which < 3; ++which) {
      for (const bool backwards : {false, true}) {
        Table table;
        auto pieces = datagram(address, 150).build_fragments(64, 7);
        ASSERT_EQ(pieces.size(), 3u);
        const Bytes whole = original(address, datagram(address, 150));
        int told = 0;
        for (std::size_t i = 0; i < 3; ++i) {
          const std::size_t at_index = backwards ? 2 - i : i;
          const std::size_t lost = at_index == which ? 5 : 0;
          const Bytes piece(pieces[at_index].data(), pieces[at_index].data() + pieces[at_index].size() - lost);
          const auto result = table.table.add(piece, static_cast<std::uint32_t>(pieces[at_index].size()), i + 1, at());
          EXPECT_NE(result.outcome, FragmentOutcome::kComplete);
          if (result.outcome != FragmentOutcome::kCut) continue;
          ++told;
          EXPECT_EQ(result.wire_size, whole.size()) << "UDP tells its length";
          EXPECT_LT(result.packet.size(), result.wire_size);
          const std::size_t header = std::string(address).find(':') == std::string::npos ? 20 : 40;
          EXPECT_TRUE(std::equal(result.packet.begin() + static_cast<std::ptrdiff_t>(header), result.packet.end(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(header)));
        }
        EXPECT_EQ(told, 1) << address << ", fragment " << which;
      }
    }
  }
}

TEST(FragmentsTest, ACutDatagramThatWasToldOfIsForgottenInSilence) {
  Table table;
  const Bytes piece = datagram(kFamilies[0]).build_fragments(64, 7)[0];
  const auto cut = table.table.add(ByteSpan(piece).first(50), static_cast<std::uint32_t>(piece.size()), 1, at());
  ASSERT_EQ(cut.outcome, FragmentOutcome::kCut);
  std::vector<PacketId> lost;
  EXPECT_FALSE(table.table.take_expired(at(kFragmentTimeoutV4), lost));
  EXPECT_EQ(table.table.datagrams(), 0u);
}

TEST(FragmentsTest, ACutDatagramOfAnotherTransportIsLongerThanWhatIsThere) {
  Table table;
  const auto tcp = PacketBuilder::tcp(endpoint(kFamilies[0], 1), endpoint(kFamilies[0], 2)).payload(std::string(200, 'x'));
  const Bytes piece = tcp.build_fragments(64, 7)[0];
  const auto result = table.table.add(ByteSpan(piece).first(50), static_cast<std::uint32_t>(piece.size()), 1, at());
  EXPECT_EQ(result.outcome, FragmentOutcome::kCut);
  EXPECT_GT(result.wire_size, result.packet.size());
}

TEST(FragmentsTest, ACutAtomicFragmentIsACutPacket) {
  Table table;
  const Bytes piece = datagram(kFamilies[1]).build_fragments(1'000, 7)[0];
  const auto result = table.table.add(ByteSpan(piece).first(80), static_cast<std::uint32_t>(piece.size()), 1, at());
  EXPECT_EQ(result.outcome, FragmentOutcome::kCut);
  EXPECT_EQ(result.packet.size(), 72u);
  EXPECT_EQ(result.wire_size, piece.size() - 8);
}

TEST(FragmentsTest, AFirstFragmentWithoutItsTransportHeaderIsIgnored) {
  Table table;
  const auto tcp = PacketBuilder::tcp(endpoint(kFamilies[1], 1), endpoint(kFamilies[1], 2)).payload("data data");
  EXPECT_EQ(table.add(tcp.build_fragments(16, 7)[0]), FragmentOutcome::kIgnored);
  EXPECT_EQ(table.table.datagrams(), 0u);
}

TEST(FragmentsTest, EveryPrefixOfAFragmentIsReadWithinItsBounds) {
  for (const char* address : kFamilies) {
    const Bytes piece = datagram(address).extension(0).build_fragments(64, 7)[0];
    for (std::size_t length = 0; length < piece.size(); ++length) {
      Table table;
      EXPECT_NE(table.add(Bytes(piece.data(), piece.data() + length)), FragmentOutcome::kComplete);
    }
  }
}

}  // namespace
}  // namespace sallyport::pcap
