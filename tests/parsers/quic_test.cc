#include "sallyport/parsers/quic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/tls_handshake.h"
#include "support/client_hello_builder.h"
#include "support/prefixes.h"
#include "support/quic_builder.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::ClientHelloBuilder;
using testing::exact_prefix;
using testing::hex;
using testing::joined;
using testing::QuicInitialBuilder;

Bytes copy_of(ByteSpan bytes) {
  return {bytes.begin(), bytes.end()};
}

// --- Keys: RFC 9001 appendix A.1, RFC 9369 appendix A.1, draft-ietf-quic-tls-29 appendix A.1 ---------

const Bytes kRfcDcid = hex("8394c8f03e515708");

struct KeyVector {
  std::uint32_t version;
  const char* client_key;
  const char* client_iv;
  const char* client_hp;
  const char* server_key;
  const char* server_iv;
  const char* server_hp;
};

constexpr KeyVector kKeyVectors[] = {
    {kQuicV1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
     "9f50449e04a0e810283a1e9933adedd2", "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
     "c206b8d9b9f0f37644430b490eeaa314"},
    {kQuicV2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
     "45b95e15235d6f45a6b19cbcb0294ba9", "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652",
     "edf6d05c83121201b436e16877593c3a"},
    {kQuicDraft29, "175257a31eb09dea9366d8bb79ad80ba", "6b26114b9cba2b63a9e8dd4f",
     "9ddd12c994c0698b89374a9c077a3077", "149d0b1662ab871fbe63c49b5e655a5d", "bab2b12a4c76016ace47856d",
     "c0c499a65a60024a18a250974ea01dfa"},
};

TEST(QuicInitialKeysTest, AreThoseOfTheStandards) {
  QuicInitialOpener opener;
  for (const KeyVector& vector : kKeyVectors) {
    QuicInitialKeys keys;
    ASSERT_TRUE(opener.derive(vector.version, kRfcDcid, keys));
    EXPECT_EQ(keys.version, vector.version);
    EXPECT_EQ(copy_of(keys.client_key), hex(vector.client_key));
    EXPECT_EQ(copy_of(keys.client_iv), hex(vector.client_iv));
    EXPECT_EQ(copy_of(keys.client_hp), hex(vector.client_hp));
    EXPECT_EQ(copy_of(keys.server_key), hex(vector.server_key));
    EXPECT_EQ(copy_of(keys.server_iv), hex(vector.server_iv));
    EXPECT_EQ(copy_of(keys.server_hp), hex(vector.server_hp));
  }
}

TEST(QuicInitialKeysTest, ExistForKnownVersionsAndShortConnectionIdsOnly) {
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  EXPECT_TRUE(opener.derive(kQuicV1, Bytes(20, 1), keys));
  EXPECT_TRUE(opener.derive(kQuicV1, {}, keys));
  EXPECT_FALSE(opener.derive(kQuicV1, Bytes(21, 1), keys));
  for (const std::uint32_t version : {0u, 2u, 0x1a2a3a4au, 0xff000015u, 0xff000023u, 0x51303433u}) {
    EXPECT_FALSE(opener.derive(version, kRfcDcid, keys)) << version;
  }
}

// --- Packets: RFC 9001 appendix A.2 and A.3, RFC 9369 appendix A.2 and A.3 ----------------------------

// The ClientHello of both standards' examples, in its CRYPTO frame.
const Bytes kRfcCryptoFrame =
    hex("060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868"
        "04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
        "616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
        "04616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
        "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400"
        "0d0010000e0403050306030203080408050806002d00020101001c0002400100"
        "3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
        "75300901100f088394c8f03e51570806048000ffff");

struct PacketVector {
  std::uint32_t version;
  const char* head;  // The protected packet's first bytes, as printed in the standard,
  const char* tail;  // and its last ones. The AEAD tag among them vouches for all that is between.
};

constexpr PacketVector kClientInitials[] = {
    {kQuicV1,
     "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11"
     "d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399",
     "7e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934"},
    {kQuicV2,
     "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485"
     "dd04de806071bf03dceebfa162e75d6c96058bdbfb127cdfcbf903388e99ad04",
     "9a37ddec600545473cfb5a05e08d0b209973b2172b4d21fb69745a262ccde96ba18b2faa745b6fe189cf772a9f84cbfc"},
};

// Builds the example's packet, shows that it is the standard's, and opens it.
TEST(QuicInitialOpenerTest, OpensTheClientInitialsOfTheStandards) {
  QuicInitialOpener opener;
  for (const PacketVector& vector : kClientInitials) {
    const Bytes packet =
        QuicInitialBuilder(vector.version, kRfcDcid).packet_number(2).frame(kRfcCryptoFrame).build();
    const Bytes head = hex(vector.head);
    const Bytes tail = hex(vector.tail);
    ASSERT_EQ(packet.size(), 1'200u);
    ASSERT_TRUE(std::equal(head.begin(), head.end(), packet.begin()));
    ASSERT_TRUE(std::equal(tail.rbegin(), tail.rend(), packet.rbegin()));

    const auto header = parse_quic_long_header(packet);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->type, QuicPacketType::kInitial);
    EXPECT_EQ(copy_of(header->destination_connection_id), kRfcDcid);
    EXPECT_TRUE(header->source_connection_id.empty() && header->token.empty());
    EXPECT_EQ(header->packet.size(), 1'200u);
    EXPECT_EQ(header->packet_number_offset, 18u);

    QuicInitialKeys keys;
    ASSERT_TRUE(opener.derive(header->version, header->destination_connection_id, keys));
    const auto plaintext = opener.open(keys, true, *header);
    ASSERT_TRUE(plaintext);
    EXPECT_EQ(plaintext->packet_number, 2u);
    EXPECT_EQ(plaintext->frames.size(), 1'162u);

    QuicFrameReader frames(plaintext->frames);
    const QuicFrame crypto = frames.next();
    ASSERT_EQ(crypto.kind, QuicFrame::Kind::kCrypto);
    EXPECT_EQ(crypto.offset, 0u);
    EXPECT_EQ(frames.next().kind, QuicFrame::Kind::kOther);
    EXPECT_EQ(frames.next().kind, QuicFrame::Kind::kEnd);
    const TlsMessage message = read_crypto_handshake_message(crypto.data);
    ASSERT_EQ(message.framing, Framing::kComplete);
    EXPECT_EQ(message.trailing, 0u);
    const auto hello = parse_client_hello(message.body);
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->server_name, "example.com");
    EXPECT_EQ(hello->first_alpn(), "alpn");
    EXPECT_TRUE(hello->quic_transport_parameters);
  }
}

TEST(QuicInitialOpenerTest, OpensTheServerInitialsOfTheStandards) {
  const Bytes v1 =
      hex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a"
          "5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3"
          "dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84"
          "022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4"
          "2158407dd074ee");
  const Bytes v2 =
      hex("dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698"
          "baeea26b91eb761d9b89237bbf87263017915358230035f7fd3945d88965cf17"
          "f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2"
          "c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca8"
          "4bed8521e2e140");
  QuicInitialOpener opener;
  for (const Bytes& packet : {v1, v2}) {
    const auto header = parse_quic_long_header(packet);
    ASSERT_TRUE(header);
    QuicInitialKeys keys;
    ASSERT_TRUE(opener.derive(header->version, kRfcDcid, keys));
    EXPECT_FALSE(opener.open(keys, true, *header)) << "not with the client's keys";
    const auto plaintext = opener.open(keys, false, *header);
    ASSERT_TRUE(plaintext);
    EXPECT_EQ(plaintext->packet_number, 1u);
    QuicFrameReader frames(plaintext->frames);
    EXPECT_EQ(frames.next().kind, QuicFrame::Kind::kOther);  // ACK
    const QuicFrame crypto = frames.next();
    EXPECT_EQ(crypto.kind, QuicFrame::Kind::kCrypto);
    EXPECT_EQ(crypto.data.size(), 0x5au);
    EXPECT_EQ(frames.next().kind, QuicFrame::Kind::kEnd);
  }
}

TEST(QuicInitialOpenerTest, RefusesAPacketWithAnyBitFlipped) {
  const Bytes whole =
      QuicInitialBuilder().token(hex("7468")).crypto(0, hex("01000000")).datagram_size(80).build();
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  ASSERT_TRUE(opener.derive(kQuicV1, kRfcDcid, keys));
  ASSERT_TRUE(opener.open(keys, true, *parse_quic_long_header(whole)));
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Bytes packet = whole;
    packet[bit / 8] = static_cast<std::uint8_t>(packet[bit / 8] ^ 1u << bit % 8);
    const auto header = parse_quic_long_header(packet);
    EXPECT_FALSE(header && opener.open(keys, true, *header)) << "bit " << bit;
  }
}

TEST(QuicInitialOpenerTest, RefusesReservedBitsThatAuthenticate) {
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  ASSERT_TRUE(opener.derive(kQuicV1, kRfcDcid, keys));
  for (std::uint8_t bits = 0; bits < 4; ++bits) {
    const Bytes packet = QuicInitialBuilder().reserved_bits(bits).ping().build();
    EXPECT_EQ(opener.open(keys, true, *parse_quic_long_header(packet)).has_value(), bits == 0);
  }
}

TEST(QuicInitialOpenerTest, RefusesKeysOfAnotherVersionOrConnection) {
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  const Bytes packet = QuicInitialBuilder().ping().build();
  const auto header = parse_quic_long_header(packet);
  ASSERT_TRUE(opener.derive(kQuicV2, kRfcDcid, keys));
  EXPECT_FALSE(opener.open(keys, true, *header));
  ASSERT_TRUE(opener.derive(kQuicV1, hex("8394c8f03e515709"), keys));
  EXPECT_FALSE(opener.open(keys, true, *header));
  ASSERT_TRUE(opener.derive(kQuicV1, kRfcDcid, keys));
  EXPECT_TRUE(opener.open(keys, true, *header)) << "a refusal leaves the opener usable";
}

TEST(QuicInitialOpenerTest, KnowsPacketNumbersOfEachLength) {
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  ASSERT_TRUE(opener.derive(kQuicV1, kRfcDcid, keys));
  for (std::size_t size = 1; size <= 4; ++size) {
    const Bytes packet = QuicInitialBuilder().packet_number(7, size).ping().build();
    const auto plaintext = opener.open(keys, true, *parse_quic_long_header(packet));
    ASSERT_TRUE(plaintext) << size;
    EXPECT_EQ(plaintext->packet_number, 7u);
  }
  // RFC 9000 appendix A.3: 0xa82f30ea is followed by 0xa82f9b32 in two bytes.
  const Bytes later = QuicInitialBuilder().packet_number(0xa82f9b32, 2).ping().build();
  EXPECT_FALSE(opener.open(keys, true, *parse_quic_long_header(later)));
  const auto plaintext = opener.open(keys, true, *parse_quic_long_header(later), 0xa82f30ea);
  ASSERT_TRUE(plaintext);
  EXPECT_EQ(plaintext->packet_number, 0xa82f9b32u);
}

TEST(QuicInitialOpenerTest, OpensAllVersionsAndARetriedInitial) {
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  for (const std::uint32_t version :
       {kQuicV1, kQuicV2, kQuicV2Draft, kQuicDraft22, kQuicDraft23, kQuicDraft27, 0xff00001cu, kQuicDraft29,
        0xff000020u, 0xff000021u, kQuicDraft34, kQuicMvfst22, kQuicMvfst27, kQuicMvfstExperimental, kGquicQ050,
        kGquicT050, kGquicT051}) {
    const Bytes packet = QuicInitialBuilder(version, hex("0102030405")).ping().build();
    ASSERT_TRUE(opener.derive(version, hex("0102030405"), keys));
    EXPECT_TRUE(opener.open(keys, true, *parse_quic_long_header(packet))) << std::hex << version;
  }
  // After a Retry the client addresses the id that the server chose, and the keys follow it.
  const Bytes retried =
      QuicInitialBuilder(kQuicV1, hex("f067a5502a4262b5")).token(Bytes(300, 0x70)).ping().build();
  const auto header = parse_quic_long_header(retried);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->token.size(), 300u);
  ASSERT_TRUE(opener.derive(kQuicV1, header->destination_connection_id, keys));
  EXPECT_TRUE(opener.open(keys, true, *header));
}

// --- Long headers -----------------------------------------------------------------------------------

TEST(QuicLongHeaderTest, NoPrefixOfADatagramIsAPacket) {
  for (const std::uint32_t version : {kQuicV1, kQuicV2}) {
    const Bytes packet = QuicInitialBuilder(version).token(hex("aabb")).ping().datagram_size(100).build();
    for (std::size_t length = 0; length < packet.size(); ++length) {
      EXPECT_FALSE(parse_quic_long_header(exact_prefix(packet, length))) << length;
    }
    EXPECT_TRUE(parse_quic_long_header(packet));
  }
}

TEST(QuicLongHeaderTest, SplitsCoalescedPackets) {
  const Bytes first = QuicInitialBuilder().crypto(0, Bytes(50, 1)).datagram_size(0).build();
  const Bytes second =
      QuicInitialBuilder().packet_number(1).crypto(50, Bytes(60, 2)).datagram_size(0).build();
  const Bytes datagram = joined(joined(first, second), hex("40 0102"));
  ByteSpan rest = datagram;
  for (const Bytes& packet : {first, second}) {
    ASSERT_TRUE(has_quic_long_header(rest));
    const auto header = parse_quic_long_header(rest);
    ASSERT_TRUE(header);
    EXPECT_EQ(copy_of(header->packet), packet);
    rest = rest.subspan(header->packet.size());
  }
  EXPECT_FALSE(has_quic_long_header(rest));
  EXPECT_EQ(parse_quic_long_header(rest).error(), ParseError::kUnsupported);
}

TEST(QuicLongHeaderTest, KnowsTheTypesOfBothVersions) {
  using enum QuicPacketType;
  const struct {
    std::uint32_t version;
    QuicPacketType types[4];
  } rows[] = {{kQuicV1, {kInitial, kZeroRtt, kHandshake, kRetry}},
              {kQuicDraft29, {kInitial, kZeroRtt, kHandshake, kRetry}},
              {kQuicV2, {kRetry, kInitial, kZeroRtt, kHandshake}}};
  for (const auto& row : rows) {
    for (unsigned bits = 0; bits < 4; ++bits) {
      Bytes packet = {static_cast<std::uint8_t>(0xc0 | bits << 4)};
      for (int shift = 24; shift >= 0; shift -= 8)
        packet.push_back(static_cast<std::uint8_t>(row.version >> shift));
      packet = joined(packet, hex("01 aa 01 bb"));
      if (row.types[bits] == kInitial) packet.push_back(0);
      const Bytes tail =
          row.types[bits] == kRetry ? joined(hex("746f6b656e"), Bytes(16, 0x3a)) : joined({20}, Bytes(20, 0));
      packet = joined(packet, tail);
      const auto header = parse_quic_long_header(packet);
      ASSERT_TRUE(header) << row.version << " " << bits;
      EXPECT_EQ(header->type, row.types[bits]);
      EXPECT_EQ(header->packet.size(), packet.size());
      EXPECT_EQ(copy_of(header->destination_connection_id), hex("aa"));
      EXPECT_EQ(copy_of(header->source_connection_id), hex("bb"));
      EXPECT_EQ(copy_of(header->token), header->type == kRetry ? hex("746f6b656e") : Bytes());
    }
  }
}

TEST(QuicLongHeaderTest, ReadsOnlyTheInvariantsOfOtherVersions) {
  const Bytes negotiation = hex("80 00000000 02 aabb 01 cc 00000001 6b3343cf");
  const auto header = parse_quic_long_header(negotiation);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->type, QuicPacketType::kVersionNegotiation);
  EXPECT_EQ(copy_of(header->destination_connection_id), hex("aabb"));
  Bytes unknown = joined(hex("80 1a2a3a4a 28"), Bytes(40, 7));
  unknown = joined(unknown, hex("00 55"));
  ASSERT_TRUE(parse_quic_long_header(unknown));
  EXPECT_EQ(parse_quic_long_header(unknown)->type, QuicPacketType::kUnknownVersion);
  EXPECT_EQ(parse_quic_long_header(unknown)->destination_connection_id.size(), 40u);
}

TEST(QuicLongHeaderTest, RefusesWhatReceiversDiscard) {
  const Bytes tail = joined(hex("00 14"), Bytes(20, 0));
  const auto initial = [&](std::string_view start) {
    return parse_quic_long_header(joined(hex(start), tail));
  };
  EXPECT_TRUE(initial("c0 00000001 00 00"));
  EXPECT_TRUE(initial("80 00000001 00 00")) << "RFC 9287: the fixed bit may be cleared";
  EXPECT_FALSE(
      parse_quic_long_header(joined(joined(hex("c0 00000001 15"), Bytes(21, 1)), joined({0}, tail))));
  EXPECT_FALSE(parse_quic_long_header(joined(joined(hex("c0 00000001 00 15"), Bytes(21, 1)), tail)));
  EXPECT_FALSE(parse_quic_long_header(joined(hex("c0 00000001 00 00 00 13"), Bytes(20, 0))))
      << "no room for a sample";
  EXPECT_FALSE(parse_quic_long_header(joined(hex("c0 00000001 00 00 00 15"), Bytes(20, 0))))
      << "Length too long";
  EXPECT_FALSE(parse_quic_long_header(joined(hex("c0 00000001 00 00 ffffffffffffffff 14"), Bytes(20, 0))))
      << "token";
  EXPECT_FALSE(parse_quic_long_header(joined(hex("c0 00000001 00 00 00 ffffffffffffffff"), Bytes(20, 0))));
  EXPECT_FALSE(parse_quic_long_header(joined(hex("f0 00000001 00 00"), Bytes(15, 0))))
      << "Retry without its tag";
}

TEST(QuicLikenessTest, KnowsClientsDatagrams) {
  const Bytes v1 = QuicInitialBuilder().ping().build();
  EXPECT_EQ(looks_like_quic(v1), Likeness::kYes);
  EXPECT_EQ(looks_like_quic(QuicInitialBuilder(kQuicV2).ping().build()), Likeness::kYes);
  EXPECT_EQ(looks_like_quic(exact_prefix(v1, 5)), Likeness::kYes);
  EXPECT_EQ(looks_like_quic(exact_prefix(v1, 4)), Likeness::kNo);
  Bytes reserved = v1;
  std::fill_n(reserved.begin() + 1, 4, std::uint8_t{0x1a});
  EXPECT_EQ(looks_like_quic(reserved), Likeness::kYes);
  reserved.pop_back();
  EXPECT_EQ(looks_like_quic(reserved), Likeness::kNo);
  for (const char* text :
       {"40 00000001", "80 00000001", "c0 00000000", "c0 00000002", "c0 ff000015", "16 fefd0000"}) {
    EXPECT_EQ(looks_like_quic(hex(text)), Likeness::kNo) << text;
  }
}

TEST(QuicLikenessTest, KnowsVersionsOfOthersInAFullDatagramOnly) {
  for (const char* version : {"ff000015", "faceb003", "50435130", "91c17000", "51474f01", "abcd0001"}) {
    Bytes datagram = joined(joined(hex("c0"), hex(version)), Bytes(1'195, 0x55));
    EXPECT_EQ(looks_like_quic(datagram), Likeness::kYes) << version;
    datagram.pop_back();
    EXPECT_EQ(looks_like_quic(datagram), Likeness::kNo) << version;
  }
}

// A hello of Google's handshake: tags in ascending order, values behind them in the same order.
Bytes gquic_hello(const std::string& server_name) {
  const auto entry = [](const std::string& tag, std::size_t end) {
    Bytes bytes(tag.begin(), tag.end());
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(end >> shift));
    return bytes;
  };
  Bytes out = joined(hex("43484c4f 0300 0000"), entry(std::string("PAD\0", 4), 700));
  out = joined(out, entry(std::string("SNI\0", 4), 700 + server_name.size()));
  out = joined(out, entry(std::string("VER\0", 4), 704 + server_name.size()));
  out = joined(out, Bytes(700, '-'));
  out.insert(out.end(), server_name.begin(), server_name.end());
  return joined(out, hex("51303433"));
}

TEST(GquicTest, ReadsTheServerNameOfEachHeaderForm) {
  const Bytes hello = gquic_hello("www.example.com");
  const struct {
    const char* header;
    std::uint32_t version;
  } kForms[] = {
      {"0d 0102030405060708 51303234 01 000102030405060708090a0b 00 a0 01 0004 00", 0x51303234},  // 8-byte id
      {"09 01020304 51303234 01 000102030405060708090a0b 00 a0 01 0004 00", 0x51303234},          // 4-byte id
      {"09 0102030405060708 51303433 01 000102030405060708090a0b a0 01 0004", 0x51303433},
      {"01 51303433 01 000102030405060708090a0b a0 01 0004", 0x51303433},  // No id.
      {"c3 51303436 50 0102030405060708 00000001 000102030405060708090a0b a0 01 0004", 0x51303436},
  };
  for (const auto& form : kForms) {
    const Bytes datagram = joined(hex(form.header), hello);
    ASSERT_TRUE(looks_like_gquic(datagram)) << form.header;
    const GquicHello read = read_gquic_hello(datagram);
    EXPECT_EQ(read.version, form.version);
    ASSERT_TRUE(read.server_name) << form.header;
    EXPECT_EQ(*read.server_name, "www.example.com");
  }
}

TEST(GquicTest, NoPrefixOfAHelloHasAnotherName) {
  const Bytes hello = gquic_hello("www.example.com");
  for (std::size_t length = 0; length < hello.size(); ++length) {
    const auto prefix = exact_prefix(hello, length);  // The name is a view into it.
    const auto name = gquic_server_name(prefix);
    EXPECT_EQ(name.value_or("none"), length < hello.size() - 4 ? "none" : "www.example.com") << length;
  }
}

TEST(GquicTest, RefusesEndsThatGoBackOrBeyond) {
  Bytes hello = gquic_hello("www.example.com");
  hello[20] = 0;  // The name's end, before its beginning.
  hello[21] = 0;
  EXPECT_FALSE(gquic_server_name(hello));
  hello[23] = 0xff;
  EXPECT_FALSE(gquic_server_name(hello));
  EXPECT_FALSE(gquic_server_name(gquic_hello("")));
  EXPECT_FALSE(gquic_server_name(gquic_hello(std::string("a\0b", 3))));
  EXPECT_FALSE(gquic_server_name(joined(Bytes(128, 0), gquic_hello("a.example")))) << "too far behind";
}

TEST(QuicFrameReaderTest, GoogleNumbersCryptoOtherwise) {
  const Bytes frames = hex("08 05 03 616263");
  QuicFrameReader google(frames, kGquicT050);
  const QuicFrame frame = google.next();
  EXPECT_EQ(frame.kind, QuicFrame::Kind::kCrypto);
  EXPECT_EQ(frame.offset, 5u);
  EXPECT_EQ(frame.data.size(), 3u);
  EXPECT_EQ(QuicFrameReader(frames).next().kind, QuicFrame::Kind::kMalformed);
}

TEST(QuicLikenessTest, KnowsGooglesOwnQuic) {
  EXPECT_TRUE(looks_like_gquic(hex("0d 0102030405060708 51303433 01")));  // Q043
  EXPECT_TRUE(looks_like_gquic(hex("c3 51303436 50 0102030405060708")));  // Q046
  EXPECT_TRUE(looks_like_gquic(hex("c3 54303531 08 0102030405060708")));  // T051
  EXPECT_FALSE(looks_like_gquic(hex("0c 0102030405060708 51303433 01")));
  EXPECT_FALSE(looks_like_gquic(hex("0d 0102030405060708 51303461")));
  EXPECT_FALSE(looks_like_gquic(QuicInitialBuilder().ping().build()));
  EXPECT_FALSE(looks_like_gquic(hex("c3 513034")));
}

// --- All together -----------------------------------------------------------------------------------

using Kind = QuicFrame::Kind;

// Puts the CRYPTO bytes of all datagrams where they belong; the offsets are known to be honest.
std::string server_name_of(QuicInitialOpener& opener, const std::vector<Bytes>& datagrams) {
  Bytes stream;
  for (const Bytes& datagram : datagrams) {
    const auto header = parse_quic_long_header(datagram);
    QuicInitialKeys keys;
    if (!header || !opener.derive(header->version, header->destination_connection_id, keys)) return "header";
    const auto plaintext = opener.open(keys, true, *header);
    if (!plaintext) return "sealed";
    QuicFrameReader frames(plaintext->frames);
    for (QuicFrame frame = frames.next(); frame.kind != Kind::kEnd; frame = frames.next()) {
      if (frame.kind == Kind::kMalformed) return "frames";
      if (frame.kind != Kind::kCrypto) continue;
      stream.resize(std::max<std::size_t>(stream.size(), frame.offset + frame.data.size()));
      std::copy(frame.data.begin(), frame.data.end(),
                stream.begin() + static_cast<std::ptrdiff_t>(frame.offset));
    }
  }
  const TlsMessage message = read_crypto_handshake_message(stream);
  if (message.framing != Framing::kComplete) return "message";
  const auto hello = parse_client_hello(message.body);
  return hello && hello->server_name ? std::string(*hello->server_name) : "hello";
}

TEST(QuicInitialTest, GivesTheNameHoweverTheHelloIsCut) {
  QuicInitialOpener opener;
  const Bytes message = ClientHelloBuilder::post_quantum("example.com").quic_transport_parameters().message();
  for (const std::uint32_t version : {kQuicV1, kQuicV2, kQuicDraft29}) {
    for (const std::size_t frame_size : {std::size_t{40}, std::size_t{333}, std::size_t{1'100}}) {
      for (const bool reversed : {false, true}) {
        testing::QuicHelloOptions options;
        options.version = version;
        options.frame_size = frame_size;
        options.frames_per_datagram = frame_size == 40 ? 20 : 1;
        options.reversed = reversed;
        options.pings_between = frame_size == 333;
        EXPECT_EQ(server_name_of(opener, quic_hello_datagrams(message, options)), "example.com");
      }
    }
  }
}

}  // namespace
}  // namespace sallyport::parsers
