#include <gtest/gtest.h>

#include <vector>

#include "sallyport/parsers/quic.h"
#include "support/client_hello_builder.h"
#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::exact_prefix;
using testing::hex;
using testing::joined;

using Kind = QuicFrame::Kind;

// The kinds of all frames, up to the one that ends the walk.
std::vector<Kind> kinds_of(const Bytes& frames) {
  std::vector<Kind> kinds;
  QuicFrameReader reader(frames);
  do {
    kinds.push_back(reader.next().kind);
  } while (kinds.back() != Kind::kEnd && kinds.back() != Kind::kMalformed);
  EXPECT_EQ(reader.next().kind, kinds.back()) << "the last answer repeats";
  return kinds;
}

TEST(QuicFrameReaderTest, SkipsWhatCarriesNoCrypto) {
  const Bytes frames =
      hex("01 000000 02 05 00 01 00 01 02 03 0a 00 00 00 01 02 03 "
          "06 4100 03 616263 1c 0a 06 02 6869 00");
  const std::vector<Kind> expected = {Kind::kOther,  Kind::kOther, Kind::kOther, Kind::kOther,
                                      Kind::kCrypto, Kind::kOther, Kind::kOther, Kind::kEnd};
  EXPECT_EQ(kinds_of(frames), expected);
  QuicFrameReader reader(frames);
  QuicFrame frame;
  do frame = reader.next();
  while (frame.kind == Kind::kOther);
  EXPECT_EQ(frame.offset, 0x100u);
  EXPECT_EQ(as_text(frame.data), "abc");
}

TEST(QuicFrameReaderTest, RefusesFramesThatAreNotAllowedInAnInitial) {
  for (unsigned type = 0; type < 0x40; ++type) {
    const bool allowed = type <= 3 || type == 6 || type == 0x1c;
    // Zeros complete every allowed frame (and are PADDING behind it).
    const Bytes frames = joined({static_cast<std::uint8_t>(type)}, Bytes(20, 0));
    EXPECT_EQ(kinds_of(frames).back(), allowed ? Kind::kEnd : Kind::kMalformed) << type;
  }
  EXPECT_EQ(kinds_of(hex("4001")).back(), Kind::kMalformed) << "PING in two bytes";
  EXPECT_EQ(kinds_of(hex("4006 00 01 61")).back(), Kind::kMalformed) << "CRYPTO in two bytes";
  EXPECT_EQ(kinds_of({}).back(), Kind::kMalformed) << "a packet without frames";
}

TEST(QuicFrameReaderTest, RefusesEveryTruncatedFrame) {
  for (const char* text :
       {"02 4005 4000 01 00 01 02", "03 05 00 00 00 01 02 4003", "06 4100 03 616263", "1c 4a0a 06 02 6869"}) {
    const Bytes frame = hex(text);
    EXPECT_EQ(kinds_of(frame), (std::vector<Kind>{kinds_of(frame)[0], Kind::kEnd})) << text;
    for (std::size_t length = 1; length < frame.size(); ++length) {
      EXPECT_EQ(kinds_of(exact_prefix(frame, length)).back(), Kind::kMalformed)
          << text << " cut at " << length;
    }
  }
}

TEST(QuicFrameReaderTest, RefusesLengthsBeyondThePacket) {
  EXPECT_EQ(kinds_of(hex("06 00 ffffffffffffffff 61")).back(), Kind::kMalformed);
  EXPECT_EQ(kinds_of(hex("06 ffffffffffffffff 01 61")).back(), Kind::kMalformed) << "ends behind 2^62 - 1";
  EXPECT_EQ(kinds_of(hex("06 fffffffffffffffe 01 61")).back(), Kind::kEnd);
  EXPECT_EQ(kinds_of(hex("02 00 00 ffffffffffffffff 00 00")).back(), Kind::kMalformed);
  EXPECT_EQ(kinds_of(hex("1c 00 00 ffffffffffffffff 61")).back(), Kind::kMalformed);
}

TEST(QuicFrameReaderTest, CountsRunsOfPaddingOnceAndStopsAtTheLimit) {
  EXPECT_EQ(kinds_of(Bytes(5'000, 0)), (std::vector<Kind>{Kind::kOther, Kind::kEnd}));
  const std::vector<Kind> most = kinds_of(Bytes(kQuicFramesPerPacketMax, 1));
  EXPECT_EQ(most.size(), kQuicFramesPerPacketMax + 1);
  EXPECT_EQ(most.back(), Kind::kEnd);
  EXPECT_EQ(kinds_of(Bytes(kQuicFramesPerPacketMax + 1, 1)).back(), Kind::kMalformed);
}

TEST(QuicVarintTest, ReadsTheExamplesOfTheStandard) {
  // RFC 9000 appendix A.1.
  const struct {
    const char* text;
    std::uint64_t value;
  } rows[] = {{"c2197c5eff14e88c", 151288809941952652},
              {"9d7f3e7d", 494878333},
              {"7bbd", 15293},
              {"25", 37},
              {"4025", 37}};
  for (const auto& row : rows) {
    const Bytes bytes = hex(row.text);
    std::uint64_t value = 0;
    ByteReader in(bytes);
    ASSERT_TRUE(read_quic_varint(in, value));
    EXPECT_EQ(value, row.value);
    EXPECT_TRUE(in.empty());
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const Bytes prefix = exact_prefix(bytes, length);
      ByteReader cut(prefix);
      EXPECT_FALSE(read_quic_varint(cut, value));
      EXPECT_EQ(cut.size(), length);
    }
  }
}

}  // namespace
}  // namespace sallyport::parsers
