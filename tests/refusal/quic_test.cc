#include "sallyport/refusal/quic.h"

#include <gtest/gtest.h>

#include "sallyport/core/limits.h"
#include "sallyport/parsers/quic.h"
#include "sizes.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using refusal::Buffer;
using refusal::Notice;
using refusal::QuicCloser;
using refusal::QuicRefusal;

const Bytes kRfcDcid = hex("8394c8f03e515708");
const Bytes kClientId = hex("0102030405");
const Bytes kServerId = hex("f067a5502a4262b5");

QuicRefusal refusal_of(std::uint32_t version, std::size_t provoked_by = 1'200) {
  QuicRefusal refusal;
  refusal.version = version;
  refusal.key_connection_id = kRfcDcid;
  refusal.client_connection_id = kClientId;
  refusal.server_connection_id = kServerId;
  refusal.provoked_by = provoked_by;
  return refusal;
}

Bytes closed(const QuicRefusal& how, const Notice& notice = kNotice, std::size_t size = 1'500) {
  static QuicCloser closer;
  return built([&](Buffer out) { return closer.close(out, notice, how); }, size);
}

struct Opened {
  std::uint64_t packet_number = 0;
  std::uint64_t error = 0;
  std::uint64_t frame_type = 0;
  std::string reason;
};

// opened reads the packet as the client does.
std::optional<Opened> opened(const Bytes& packet, std::uint32_t version) {
  static parsers::QuicInitialOpener opener;
  const auto header = parsers::parse_quic_long_header(packet);
  if (!header || header->type != parsers::QuicPacketType::kInitial || header->packet.size() != packet.size()) return std::nullopt;
  EXPECT_EQ(header->version, version);
  EXPECT_EQ(Bytes(header->destination_connection_id.begin(), header->destination_connection_id.end()), kClientId);
  EXPECT_EQ(Bytes(header->source_connection_id.begin(), header->source_connection_id.end()), kServerId);
  EXPECT_TRUE(header->token.empty());
  parsers::QuicInitialKeys keys;
  if (!opener.derive(version, kRfcDcid, keys)) return std::nullopt;
  EXPECT_FALSE(opener.open(keys, true, *header)) << "the client's keys do not open it";
  const auto plaintext = opener.open(keys, false, *header);
  if (!plaintext) return std::nullopt;
  Opened result{.packet_number = plaintext->packet_number, .error = 0, .frame_type = 0, .reason = {}};
  ByteReader in(plaintext->frames);
  std::uint64_t type = 0;
  std::uint64_t length = 0;
  if (!parsers::read_quic_varint(in, type) || type != 0x1c || !parsers::read_quic_varint(in, result.error) ||
      !parsers::read_quic_varint(in, result.frame_type) || !parsers::read_quic_varint(in, length) || length != in.size()) {
    return std::nullopt;
  }
  result.reason = as_text(in.rest());
  parsers::QuicFrameReader frames(plaintext->frames);
  EXPECT_EQ(frames.next().kind, parsers::QuicFrame::Kind::kOther);
  EXPECT_EQ(frames.next().kind, parsers::QuicFrame::Kind::kEnd);
  return result;
}

constexpr std::uint32_t kSealed[] = {parsers::kQuicV1,      parsers::kQuicV2,      parsers::kQuicV2Draft, parsers::kQuicDraft22,
                                     parsers::kQuicDraft23, parsers::kQuicDraft27, parsers::kQuicDraft29, parsers::kQuicDraft34,
                                     parsers::kQuicMvfst22, parsers::kQuicMvfst27, parsers::kQuicMvfstExperimental};

TEST(RefusalQuicTest, EveryVersionIsOpenedByItsClient) {
  for (const std::uint32_t version : kSealed) {
    const auto result = opened(closed(refusal_of(version)), version);
    ASSERT_TRUE(result) << version;
    EXPECT_EQ(result->packet_number, 0u);
    EXPECT_EQ(result->error, 0x131u);
    EXPECT_EQ(result->frame_type, 0x06u);
    EXPECT_EQ(result->reason, kNotice.text);
  }
}

// The other builder derives its keys and seals by a road of its own.
TEST(RefusalQuicTest, AnotherSealerMakesTheSameBytes) {
  const Bytes frame = [] {
    Bytes bytes = hex("1c 4131 06 02");
    bytes.insert(bytes.end(), {'n', 'o'});
    return bytes;
  }();
  const Notice no = {.text = "no", .name = {}, .scope = {}, .rule = {}, .reason = {}};
  for (const std::uint32_t version : {parsers::kQuicV1, parsers::kQuicV2}) {
    const Bytes other = QuicInitialBuilder(version, kClientId).key_dcid(kRfcDcid).source_connection_id(kServerId).from_server().packet_number(1, 1).frame(frame).build();
    QuicRefusal how = refusal_of(version);
    how.packet_number = 1;
    EXPECT_EQ(closed(how, no), other) << version;
  }
}

// Made by an AEAD and an HMAC that are not OpenSSL's of this project; version 1 with the server keys of RFC 9001 appendix A.1.
TEST(RefusalQuicTest, ACloseIsTheseBytes) {
  const Notice no = {.text = "no", .name = {}, .scope = {}, .rule = {}, .reason = {}};
  EXPECT_EQ(closed(refusal_of(parsers::kQuicV1), no),
            hex("cb00000001 05 0102030405 08 f067a5502a4262b5 00 4018 8f b47108b71932c6 d38a9e87c09a544ad8b0d26ed2861150"));
  EXPECT_EQ(closed(refusal_of(parsers::kQuicV2), no),
            hex("d56b3343cf 05 0102030405 08 f067a5502a4262b5 00 4018 58 83bf9647680c5c ee375bb3d0e5bedac754184cdb432235"));
}

TEST(RefusalQuicTest, ThePacketNumberIsReadAsItWasMeant) {
  for (const std::uint64_t number : {0ull, 1ull, 127ull, 128ull, 255ull, 256ull, 32'767ull, 32'768ull, 0x7fffffffull}) {
    QuicRefusal how = refusal_of(parsers::kQuicV1);
    how.packet_number = number;
    const auto result = opened(closed(how), how.version);
    ASSERT_TRUE(result) << number;
    EXPECT_EQ(result->packet_number, number);
  }
}

TEST(RefusalQuicTest, ErrorCodesOfEveryLengthAreReadBack) {
  for (const std::uint64_t code : {0x02ull, 0x3full, 0x40ull, 0x128ull, 0x3fffull, 0x4000ull, 0x3fffffffull, 0x40000000ull, 0x3fffffffffffffffull}) {
    QuicRefusal how = refusal_of(parsers::kQuicV1);
    how.error_code = code;
    const auto result = opened(closed(how), how.version);
    ASSERT_TRUE(result) << code;
    EXPECT_EQ(result->error, code);
  }
}

TEST(RefusalQuicTest, WhatCannotBeSaidIsNot) {
  for (const std::uint32_t version : {0u, 2u, 0x1a2a3a4au, 0xff000015u, 0xff000023u, parsers::kGquicQ050, parsers::kGquicT050, parsers::kGquicT051}) {
    EXPECT_TRUE(closed(refusal_of(version)).empty()) << version;
  }
  const Bytes long_id(kQuicConnectionIdMax + 1, 7);
  for (ByteSpan QuicRefusal::*id : {&QuicRefusal::key_connection_id, &QuicRefusal::client_connection_id, &QuicRefusal::server_connection_id}) {
    QuicRefusal how = refusal_of(parsers::kQuicV1);
    how.*id = ByteSpan(long_id).first(kQuicConnectionIdMax);
    EXPECT_FALSE(closed(how).empty());
    how.*id = {};
    EXPECT_FALSE(closed(how).empty());
    how.*id = long_id;
    EXPECT_TRUE(closed(how).empty());
  }
  QuicRefusal how = refusal_of(parsers::kQuicV1);
  how.packet_number = 0x80000000;
  EXPECT_TRUE(closed(how).empty());
  how = refusal_of(parsers::kQuicV1);
  how.error_code = 1ull << 62;
  EXPECT_TRUE(closed(how).empty());
}

TEST(RefusalQuicTest, TheReasonIsCutToWhatProvokedIt) {
  const std::size_t most = closed(refusal_of(parsers::kQuicV1)).size();
  EXPECT_TRUE(closed(refusal_of(parsers::kQuicV1, 0)).empty());
  std::size_t answered = 0;
  for (std::size_t provoked_by = 0; provoked_by <= most + 40; ++provoked_by) {
    const Bytes packet = closed(refusal_of(parsers::kQuicV1, provoked_by));
    ASSERT_LE(packet.size(), provoked_by);
    if (packet.empty()) continue;
    ++answered;
    const auto result = opened(packet, parsers::kQuicV1);
    ASSERT_TRUE(result) << provoked_by;
    ASSERT_TRUE(kNotice.text.starts_with(result->reason)) << provoked_by;
    ASSERT_LE(result->reason.size() + 2, provoked_by - (most - kNotice.text.size()) + 2) << provoked_by;
  }
  EXPECT_GT(answered, kNotice.text.size());
}

TEST(RefusalQuicTest, TheAnswerIsWholeInEveryBuffer) {
  QuicCloser closer;
  std::size_t answered = 0;
  const std::string text(refusal::kNoticeTextMax + 50, 'x');
  const Notice notice = {.text = text, .name = {}, .scope = {}, .rule = {}, .reason = {}};
  every_size([&](Buffer out) { return closer.close(out, notice, refusal_of(parsers::kQuicV2)); },
             [&](const Bytes& packet, std::size_t size) {
               if (packet.empty()) return;
               ++answered;
               const auto result = opened(packet, parsers::kQuicV2);
               ASSERT_TRUE(result) << size;
               ASSERT_EQ(result->reason, text.substr(0, result->reason.size()));
             });
  EXPECT_GT(answered, 1'100u);
  EXPECT_EQ(opened(closed(refusal_of(parsers::kQuicV1), notice), parsers::kQuicV1)->reason.size(), refusal::kNoticeTextMax);
}

}  // namespace
}  // namespace sallyport::testing
