// Builds STUN messages and RTP packets for tests. MESSAGE-INTEGRITY has the right length and no key; FINGERPRINT is right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "support/packet_builder.h"

namespace sallyport::testing {

class StunBuilder {
 public:
  // `type` is the message type with class and method, `id` the transaction's first letters.
  explicit StunBuilder(std::uint16_t type, std::string_view id = "transaction1") {
    put16(type);
    put16(0);
    for (const int byte : {0x21, 0x12, 0xa4, 0x42}) bytes_.push_back(static_cast<std::uint8_t>(byte));
    std::string padded(id.substr(0, 12));
    padded.resize(12, '.');
    bytes_.insert(bytes_.end(), padded.begin(), padded.end());
  }

  // check is a connectivity check that nothing is wrong with.
  static StunBuilder check(std::string_view id = "transaction1") {
    return StunBuilder(0x0001, id).attribute(0x0006, "theirs:mine").attribute(0x0024, std::string_view("\x6e\0\x1e\xff", 4)).attribute(0x802a, "tiebreak");
  }
  static StunBuilder success(std::string_view id = "transaction1", std::uint16_t method = 1) {
    return StunBuilder(static_cast<std::uint16_t>(0x0100 | method), id).attribute(0x0020, std::string_view("\0\1\xa1\x47\xe1\x12\xa6\x43", 8));
  }

  StunBuilder& attribute(std::uint16_t type, std::string_view value) {
    put16(type);
    put16(static_cast<std::uint16_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);
    return *this;
  }
  StunBuilder& integrity() { return attribute(0x0008, std::string(20, 'i')); }
  StunBuilder& fingerprint(std::uint32_t flipped = 0) {
    set_length(8);
    std::uint32_t crc = 0xffffffff;
    for (const std::uint8_t byte : bytes_) {
      crc ^= byte;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0);
    }
    crc = ~crc ^ 0x5354554e ^ flipped;
    std::string value;
    for (int shift = 24; shift >= 0; shift -= 8) value += static_cast<char>(crc >> shift);
    return attribute(0x8028, value);
  }
  // build sets the length and gives the datagram.
  Bytes build() {
    set_length(0);
    return bytes_;
  }
  Bytes signed_and_built() { return integrity().fingerprint().build(); }

 private:
  void put16(std::uint16_t value) {
    bytes_.push_back(static_cast<std::uint8_t>(value >> 8));
    bytes_.push_back(static_cast<std::uint8_t>(value));
  }
  void set_length(std::size_t more) {
    const std::size_t length = bytes_.size() - 20 + more;
    bytes_[2] = static_cast<std::uint8_t>(length >> 8);
    bytes_[3] = static_cast<std::uint8_t>(length);
  }

  Bytes bytes_;
};

// rtp_packet is one of a stream: payload type, sequence number, timestamp, source.
inline Bytes rtp_packet(std::uint8_t type, std::uint16_t sequence, std::uint32_t timestamp, std::size_t payload = 160) {
  Bytes bytes{0x80, type, static_cast<std::uint8_t>(sequence >> 8), static_cast<std::uint8_t>(sequence)};
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(timestamp >> shift));
  for (const int byte : {0x12, 0x34, 0x56, 0x78}) bytes.push_back(static_cast<std::uint8_t>(byte));
  bytes.resize(12 + payload, 0x5a);
  return bytes;
}

}  // namespace sallyport::testing
