#include "sallyport/pcap/capture_reader.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::pcap {
namespace {

using testing::at;
using testing::Bytes;
using testing::PcapStyle;
using testing::PcapWriter;

constexpr Duration kOdd = std::chrono::nanoseconds(123'456'789);

struct Read {
  std::vector<Bytes> frames;
  std::vector<Timestamp> times;
  std::vector<std::uint32_t> wire_lengths;
  int link_type = -1;
  std::string error;  // Empty after a clean end.
};

Read read_all(ByteSpan bytes) {
  Read read;
  auto reader = CaptureReader::open_memory(bytes);
  if (!reader) {
    read.error = reader.error();
    return read;
  }
  Frame frame;
  while (reader->next(frame)) {
    EXPECT_EQ(frame.number, read.frames.size() + 1);
    read.frames.emplace_back(frame.bytes.begin(), frame.bytes.end());
    read.times.push_back(frame.time);
    read.wire_lengths.push_back(frame.wire_length);
    read.link_type = frame.link_type;
  }
  EXPECT_FALSE(reader->next(frame)) << "the end stays the end";
  read.error = reader->error().value_or("");
  return read;
}

Bytes two_frames(const PcapStyle& style) {
  return PcapWriter(style)
      .add(testing::bytes_of("first frame"), at(kOdd))
      .add(testing::bytes_of("second"), at(std::chrono::seconds(1)), 1'500)
      .bytes();
}

void expect_two_frames(const Read& read, bool nanoseconds) {
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.frames.size(), 2u);
  EXPECT_EQ(read.frames[0], testing::bytes_of("first frame"));
  EXPECT_EQ(read.frames[1], testing::bytes_of("second"));
  EXPECT_EQ(read.times[0], at(nanoseconds ? kOdd : std::chrono::nanoseconds(123'456'000)));
  EXPECT_EQ(read.times[1], at(std::chrono::seconds(1)));
  EXPECT_EQ(read.wire_lengths, (std::vector<std::uint32_t>{11, 1'500}));
}

Bytes gzip(ByteSpan plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes out(deflateBound(&stream, plain.size()) + 64);
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes zstd(ByteSpan plain) {
  Bytes out(ZSTD_compressBound(plain.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

TEST(CaptureReaderTest, ReadsBothByteOrdersAndBothPrecisions) {
  for (const bool big_endian : {false, true}) {
    for (const bool nanoseconds : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "big endian " << big_endian << ", nanoseconds " << nanoseconds);
      const Read read = read_all(two_frames({.big_endian = big_endian, .nanoseconds = nanoseconds}));
      expect_two_frames(read, nanoseconds);
      EXPECT_EQ(read.link_type, 12) << "LINKTYPE_RAW is DLT_RAW on Linux";
    }
  }
}

TEST(CaptureReaderTest, ReadsPcapngInBothByteOrders) {
  for (const bool big_endian : {false, true}) {
    const Read read = read_all(two_frames({.big_endian = big_endian, .pcapng = true, .link_type = 1}));
    expect_two_frames(read, true);
    EXPECT_EQ(read.link_type, 1);
  }
}

TEST(CaptureReaderTest, ReadsThroughGzipAndZstd) {
  const Bytes plain = two_frames({.nanoseconds = true});
  expect_two_frames(read_all(gzip(plain)), true);
  expect_two_frames(read_all(zstd(plain)), true);
  const Bytes pcapng = two_frames({.pcapng = true});
  expect_two_frames(read_all(gzip(pcapng)), true);
  expect_two_frames(read_all(zstd(pcapng)), true);
}

TEST(CaptureReaderTest, ReadsGzipOfSeveralMembers) {
  const Bytes plain = two_frames({.nanoseconds = true});
  Bytes joined = gzip(ByteSpan(plain).first(30));
  const Bytes rest = gzip(ByteSpan(plain).subspan(30));
  joined.insert(joined.end(), rest.begin(), rest.end());
  expect_two_frames(read_all(joined), true);
}

TEST(CaptureReaderTest, ReadsManyFramesThroughSeveralBlocks) {
  PcapWriter writer;
  const Bytes frame(1'400, 0x5a);
  for (int i = 0; i < 500; ++i) writer.add(frame, at());
  for (const Bytes& bytes : {writer.bytes(), gzip(writer.bytes()), zstd(writer.bytes())}) {
    const Read read = read_all(bytes);
    EXPECT_EQ(read.frames.size(), 500u);
    EXPECT_EQ(read.error, "");
  }
}

// Each prefix in a heap block of its own, so that a read too far is seen.
TEST(CaptureReaderTest, ATruncatedFileGivesTheFramesSoFarAndAnError) {
  const Bytes whole = two_frames({});
  const std::size_t first_ends = 24 + 16 + 11;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes prefix(whole.data(), whole.data() + length);
    const Read read = read_all(prefix);
    EXPECT_EQ(read.frames.size(), length >= first_ends ? 1u : 0u) << length << " bytes";
    const bool between_frames = length == 24 || length == first_ends;
    EXPECT_EQ(read.error.empty(), between_frames) << length << " bytes: " << read.error;
  }
}

TEST(CaptureReaderTest, ATruncatedPcapngGivesTheFramesSoFarAndAnError) {
  const Bytes whole = two_frames({.pcapng = true});
  const std::size_t described = 28 + 32;
  const std::size_t first_ends = described + 32 + 12;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes prefix(whole.data(), whole.data() + length);
    const Read read = read_all(prefix);
    EXPECT_EQ(read.frames.size(), length >= first_ends ? 1u : 0u) << length << " bytes";
    const bool between_blocks = length == 28 || length == described || length == first_ends;
    EXPECT_EQ(read.error.empty(), between_blocks) << length << " bytes: " << read.error;
  }
}

// Every octet of a small pcapng, changed in every bit: no crash, no frame longer than the file.
TEST(CaptureReaderTest, ADamagedPcapngIsReadWithinItsBounds) {
  const Bytes whole = two_frames({.pcapng = true});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes damaged = whole;
      damaged[at] ^= static_cast<std::uint8_t>(1u << bit);
      for (const Bytes& frame : read_all(damaged).frames) EXPECT_LE(frame.size(), whole.size());
    }
  }
}

TEST(CaptureReaderTest, InterfacesAndSectionsOfAPcapngMayDiffer) {
  const Bytes little = two_frames({.pcapng = true, .link_type = 1, .snap_length = 96});
  const Bytes big = two_frames({.big_endian = true, .pcapng = true, .link_type = 113});
  Bytes sections = little;
  sections.insert(sections.end(), big.begin(), big.end());
  const Read read = read_all(sections);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.frames.size(), 4u);
  EXPECT_EQ(read.link_type, 113) << "of the last frame";
  // A second interface of another link type in one section: the description block of another file.
  const Bytes other = two_frames({.pcapng = true, .link_type = 0});
  Bytes interfaces = little;
  interfaces.insert(interfaces.end(), other.begin() + 28, other.begin() + 60);
  EXPECT_EQ(read_all(interfaces).frames.size(), 2u);
  EXPECT_EQ(read_all(interfaces).error, "");
}

TEST(CaptureReaderTest, APacketOfAnUnknownInterfaceIsDamage) {
  const Bytes whole = two_frames({.pcapng = true});
  Bytes orphan(whole.begin(), whole.begin() + 28);
  orphan.insert(orphan.end(), whole.begin() + 60, whole.end());
  EXPECT_EQ(read_all(orphan).error, "a packet of an interface that is not described");
}

TEST(CaptureReaderTest, NoPrefixOfACompressedFileEndsCleanly) {
  const Bytes plain = two_frames({});
  for (const Bytes& whole : {gzip(plain), zstd(plain)}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Bytes prefix(whole.data(), whole.data() + length);
      const Read read = read_all(prefix);
      EXPECT_NE(read.error, "") << length << " of " << whole.size() << " bytes";
    }
  }
}

TEST(CaptureReaderTest, SaysWhatIsWrongWithCompressedData) {
  const Bytes plain = two_frames({});
  Bytes cut = gzip(plain);
  cut.resize(cut.size() - 9);
  EXPECT_EQ(read_all(cut).error, "the gzip data ends too early");
  Bytes damaged = gzip(plain);
  damaged[damaged.size() - 5] ^= 0xff;  // The checksum of the content.
  EXPECT_EQ(read_all(damaged).error, "the gzip data is damaged");
  Bytes frame = zstd(plain);
  frame.resize(frame.size() - 1);
  EXPECT_EQ(read_all(frame).error, "the zstd data ends too early");
}

TEST(CaptureReaderTest, GarbageIsAnErrorAndNoFrame) {
  for (const char* text : {"x", "GET / HTTP/1.1\r\n\r\n", "\x1f\x8b", "\x28\xb5\x2f\xfd garbage"}) {
    const Read read = read_all(testing::bytes_of(text));
    EXPECT_TRUE(read.frames.empty());
    EXPECT_NE(read.error, "");
  }
  EXPECT_EQ(read_all(Bytes{}).error, "the file is empty");
}

TEST(CaptureReaderTest, AFrameLengthBeyondReasonIsAnError) {
  Bytes bytes = two_frames({});
  bytes[24 + 11] = 0x7f;  // Captured length of the first frame: two gigabytes.
  const Read read = read_all(bytes);
  EXPECT_TRUE(read.frames.empty());
  EXPECT_NE(read.error, "");
}

TEST(CaptureReaderTest, ATimeBeyondTheCalendarIsClamped) {
  Bytes bytes = two_frames({.pcapng = true});
  // The high half of the first packet block's time: blocks of 28 and 32 bytes, then 12 bytes in.
  for (std::size_t i = 0; i < 4; ++i) bytes[28 + 32 + 12 + i] = 0xff;
  const Read read = read_all(bytes);
  ASSERT_FALSE(read.times.empty());
  EXPECT_GE(read.times[0], Timestamp{});
}

TEST(CaptureReaderTest, OpensFilesAndNamesWhatItCannotOpen) {
  const std::string path = ::testing::TempDir() + "capture_reader_test.pcap";
  ASSERT_TRUE(PcapWriter().add(testing::bytes_of("frame"), at()).write(path));
  auto reader = CaptureReader::open(path);
  ASSERT_TRUE(reader);
  Frame frame;
  EXPECT_TRUE(reader->next(frame));
  EXPECT_EQ(reader->position(), std::filesystem::file_size(path));
  EXPECT_FALSE(reader->next(frame));
  std::filesystem::remove(path);
  const auto missing = CaptureReader::open(path);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error(), "No such file or directory");
  EXPECT_FALSE(CaptureReader::open(::testing::TempDir()));
}

}  // namespace
}  // namespace sallyport::pcap
