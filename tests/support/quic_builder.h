// QuicInitialBuilder makes Initial packets for tests, sealed with OpenSSL by a road of its own (EVP_KDF,
// in-place sealing), so that it can disagree with the reader under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client_hello_builder.h"

namespace sallyport::testing {

inline constexpr std::uint32_t kTestQuicV1 = 0x00000001;
inline constexpr std::uint32_t kTestQuicV2 = 0x6b3343cf;

class QuicInitialBuilder {
 public:
  // `dcid` is the packet's Destination Connection ID, and what its keys are derived from.
  explicit QuicInitialBuilder(std::uint32_t version = kTestQuicV1, Bytes dcid = hex("8394c8f03e515708"));

  QuicInitialBuilder& key_dcid(const Bytes& dcid);  // Derive the keys from another connection id.
  QuicInitialBuilder& source_connection_id(const Bytes& scid);
  QuicInitialBuilder& token(const Bytes& token);
  QuicInitialBuilder& from_server();  // Server keys, and no padding to 1200 bytes.
  QuicInitialBuilder& packet_number(std::uint64_t number, std::size_t size = 4);
  QuicInitialBuilder& reserved_bits(std::uint8_t bits);  // 0 to 3; an honest packet has 0.

  // Frames, in the order of the calls.
  QuicInitialBuilder& crypto(std::uint64_t offset, const Bytes& data);
  QuicInitialBuilder& ping();
  QuicInitialBuilder& padding(std::size_t bytes);
  QuicInitialBuilder& frame(const Bytes& bytes);  // Anything.

  // PADDING frames at the end bring the datagram to this size. Default: 1200, for a server 0.
  QuicInitialBuilder& datagram_size(std::size_t size);

  Bytes build() const;  // The packet, which is the whole datagram.

 private:
  std::uint32_t version_;
  Bytes dcid_;
  Bytes key_dcid_;
  Bytes scid_;
  Bytes token_;
  bool from_server_ = false;
  std::uint64_t number_ = 0;
  std::size_t number_size_ = 4;
  std::uint8_t reserved_ = 0;
  Bytes frames_;
  std::size_t datagram_size_ = 1'200;
};

struct QuicHelloOptions {
  std::uint32_t version = kTestQuicV1;
  Bytes dcid = hex("8394c8f03e515708");
  std::size_t frame_size = 900;  // CRYPTO bytes in one frame.
  std::size_t frames_per_datagram = 1;
  bool reversed = false;       // The frames, and so the datagrams, in reverse order.
  bool pings_between = false;  // A PING and a little PADDING before each CRYPTO frame.
  std::uint64_t first_packet_number = 0;
};

// quic_hello_datagrams carries a handshake message (ClientHelloBuilder::message) in the datagrams of a
// client's first flight.
std::vector<Bytes> quic_hello_datagrams(const Bytes& message, const QuicHelloOptions& options = {});

// quic_varint encodes in the shortest form (size 0), or in 1, 2, 4 or 8 bytes.
Bytes quic_varint(std::uint64_t value, std::size_t size = 0);

}  // namespace sallyport::testing
