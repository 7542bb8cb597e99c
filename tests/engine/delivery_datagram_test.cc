// However a hello is cut into CRYPTO frames, packets and datagrams of QUIC, or fragments, records and datagrams of
// DTLS, shuffled and repeated, the judgement is the same; of an allowed one every datagram leaves, of a forbidden none.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/delivery.h"
#include "support/dtls_builder.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

// The deny rule for another protocol keeps the address alone from deciding about DTLS, so the bytes are read.
constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = [".good.example"]
protocols = ["quic"]
[[rules]]
to = ["198.51.100.9"]
protocols = ["udp"]
ports = "any"
[[rules]]
to = ["198.51.100.9"]
protocols = ["quic"]
ports = [443]
action = "deny"
)";

constexpr unsigned kRounds = 2'000;

class DatagramDeliveryTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};

  // deliver feeds the datagrams and wants all of them, or none, to leave.
  std::string deliver(const Endpoint& server, const std::vector<Bytes>& datagrams, bool allowed) {
    fw_.begin_anew();
    for (const Bytes& datagram : datagrams) {
      fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", 40'000), server).payload(ByteSpan(datagram)).build());
    }
    EXPECT_EQ(fw_.accepted(), allowed ? datagrams.size() : 0U);
    return judgement_of(fw_);
  }
};

// cut_few cuts into at most 24 pieces: their islands and their datagrams are fewer than a flow may have.
std::vector<Piece> cut_few(const Bytes& message, Random& random) {
  const std::size_t least = message.size() / 24 + 1;
  const std::size_t more = random() % 3 == 0 ? message.size() : random() % 400;
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < message.size();) {
    const std::size_t size = least + at_most(random, more);
    const std::size_t overlap = one_in(random, 4) ? at_most(random, 100) : 0;
    pieces.push_back(piece_of(message, at, at + size + overlap));
    at += size;
  }
  return pieces;
}

Bytes some_bytes(Random& random, std::size_t size) {
  Bytes out(size);
  for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random());
  return out;
}

constexpr std::uint32_t kDraft29 = 0xff00001d;

// zero_rtt makes a 0-RTT packet, whose content nobody but the server can read (RFC 9000 §17.2.3, RFC 9369 §3.2).
Bytes zero_rtt(std::uint32_t version, const Bytes& dcid, Random& random) {
  Bytes out = {static_cast<std::uint8_t>(version == kTestQuicV2 ? 0xe0 : 0xd0)};
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(version >> shift));
  out.push_back(static_cast<std::uint8_t>(dcid.size()));
  out = joined(out, dcid);
  out.push_back(0);
  const Bytes payload = some_bytes(random, 30 + at_most(random, 200));
  return joined(joined(out, quic_varint(payload.size())), payload);
}

struct QuicShape {
  std::uint32_t version = kTestQuicV1;
  Bytes dcid;
  Bytes token;
  bool early_data = false;
};

// quic_delivery carries the message in frames, packets and datagrams as they fall.
std::vector<Bytes> quic_delivery(const Bytes& message, const QuicShape& shape, Random& random) {
  std::vector<Piece> frames = cut_few(message, random);
  if (one_in(random, 2)) std::shuffle(frames.begin(), frames.end(), random);
  std::vector<Bytes> datagrams;
  std::uint64_t number = at_most(random, 3);
  for (std::size_t i = 0; i < frames.size();) {
    Bytes datagram;
    if (shape.early_data && one_in(random, 4)) datagram = zero_rtt(shape.version, shape.dcid, random);
    for (std::size_t packets = 1 + at_most(random, 2); packets != 0 && i < frames.size(); --packets) {
      QuicInitialBuilder packet(shape.version, shape.dcid);
      packet.packet_number(number++, 1 + at_most(random, 3)).token(shape.token);
      for (std::size_t count = 1 + at_most(random, 3); count != 0 && i < frames.size(); --count, ++i) {
        if (one_in(random, 3)) packet.ping();
        if (one_in(random, 3)) packet.padding(at_most(random, 20));
        packet.crypto(frames[i].offset, frames[i].bytes);
      }
      const bool last = packets == 1 || i == frames.size();
      packet.datagram_size(last && datagram.size() < 1'200 ? 1'200 - datagram.size() : 60);
      datagram = joined(datagram, packet.build());
    }
    if (shape.early_data && one_in(random, 4)) datagram = joined(datagram, zero_rtt(shape.version, shape.dcid, random));
    datagrams.push_back(datagram);
  }
  return shuffled(datagrams, random, 24);
}

std::string quic_judgement(const QuicShape& shape, bool allowed) {
  char version[11];
  std::snprintf(version, sizeof version, "0x%08x", shape.version);
  const std::string name = allowed ? "www.good.example" : "evil.example";
  return "protocol quic\n" + std::string(allowed ? "allow rule_allows [" : "deny name_not_allowed [") + name + "]\nname " +
         name + "\nalpn h2\nech outer\nquic_version " + version + "\n";
}

TEST_F(DatagramDeliveryTest, OfAQuicHello) {
  constexpr std::uint32_t kVersions[] = {kTestQuicV1, kTestQuicV2, kDraft29};
  for (unsigned seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    QuicShape shape;
    shape.version = kVersions[random() % 3];
    shape.dcid = some_bytes(random, 8 + at_most(random, 12));
    shape.token = some_bytes(random, one_in(random, 2) ? 0 : at_most(random, 100));
    shape.early_data = one_in(random, 2);
    const bool allowed = one_in(random, 2);
    const Bytes message = ClientHelloBuilder::post_quantum(allowed ? "www.good.example" : "evil.example").message();
    ASSERT_EQ(deliver(endpoint("192.0.2.1", 443), quic_delivery(message, shape, random), allowed), quic_judgement(shape, allowed))
        << "seed " << seed;
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST_F(DatagramDeliveryTest, OfTwoQuicFramesThatDisagree) {
  const Bytes message = ClientHelloBuilder::post_quantum("www.good.example").message();
  for (unsigned seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    const QuicShape shape{kTestQuicV1, some_bytes(random, 8), {}, false};
    const Bytes begin(message.begin(), message.begin() + 1'000);
    Bytes other = begin;
    other[4 + random() % (other.size() - 4)] ^= static_cast<std::uint8_t>(1 + random() % 255);
    std::vector<Bytes> datagrams;
    for (const Bytes* bytes : {&begin, static_cast<const Bytes*>(&other)}) {
      datagrams.push_back(QuicInitialBuilder(shape.version, shape.dcid).packet_number(datagrams.size()).crypto(0, *bytes).build());
    }
    datagrams.push_back(QuicInitialBuilder(shape.version, shape.dcid).packet_number(2).crypto(
        1'000, Bytes(message.begin() + 1'000, message.end())).build());
    std::shuffle(datagrams.begin(), datagrams.begin() + 2, random);
    const std::string judgement = deliver(endpoint("192.0.2.1", 443), datagrams, false);
    ASSERT_NE(judgement.find("deny retransmission_differs"), std::string::npos) << "seed " << seed << "\n" << judgement;
  }
}

// Beyond this many datagrams a hello is refused for its form alone, and nothing of it leaves.
TEST_F(DatagramDeliveryTest, MoreQuicDatagramsThanMayBeHeldAreRefused) {
  const Bytes message = ClientHelloBuilder::typical("www.good.example").message();
  const auto datagrams = quic_hello_datagrams(message, {.frame_size = message.size() / (kQuicInitialsPerFlowMax + 2)});
  ASSERT_GT(datagrams.size(), kQuicInitialsPerFlowMax + 1);
  const std::string judgement = deliver(endpoint("192.0.2.1", 443), datagrams, false);
  EXPECT_NE(judgement.find("deny hold_limit"), std::string::npos) << judgement;
}

// dtls_delivery carries the body in fragments, some of them several in one record's datagram.
std::vector<Bytes> dtls_delivery(const Bytes& body, Random& random) {
  std::vector<Bytes> records;
  for (const Piece& piece : cut_few(body, random)) {
    records.push_back(dtls_fragment(1, body, piece.offset, piece.bytes.size()));
  }
  if (one_in(random, 2)) std::shuffle(records.begin(), records.end(), random);
  std::vector<Bytes> datagrams;
  for (std::size_t i = 0; i < records.size();) {
    Bytes datagram;
    for (std::size_t count = 1 + at_most(random, 2); count != 0 && i < records.size(); --count) {
      datagram = joined(datagram, records[i++]);
    }
    datagrams.push_back(datagram);
  }
  return shuffled(datagrams, random, 24);
}

TEST_F(DatagramDeliveryTest, OfADtlsHello) {
  for (unsigned seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    const bool allowed = one_in(random, 2);
    const Bytes body = dtls_hello_body(ClientHelloBuilder::post_quantum("turn.example").build());
    const std::string verdict = allowed ? "allow rule_allows" : "deny name_not_allowed";
    const Endpoint server = endpoint(allowed ? "198.51.100.9" : "192.0.2.1", 443);
    ASSERT_EQ(deliver(server, dtls_delivery(body, random), allowed),
              "protocol dtls\n" + verdict + " [turn.example]\nname turn.example\nalpn h2\nech outer\n")
        << "seed " << seed;
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sallyport::testing
