// The little of ASN.1's Basic Encoding Rules that SNMP and LDAP need: definite lengths of up to four bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sallyport/core/bytes.h"

namespace sallyport::parsers {

// read_ber_length reads the length octets (X.690 §8.1.3). LDAP clients write long forms of small lengths.
inline bool read_ber_length(ByteReader& in, std::size_t& out) {
  ByteReader at = in;
  std::uint8_t first = 0;
  if (!at.read_u8(first)) return false;
  out = first;
  if (first >= 0x80) {
    const unsigned count = first & 0x7f;
    if (count == 0 || count > 4) return false;
    out = 0;
    for (unsigned i = 0; i < count; ++i) {
      std::uint8_t byte = 0;
      if (!at.read_u8(byte)) return false;
      out = out << 8 | byte;
    }
  }
  in = at;
  return true;
}

// read_ber reads a whole element of this tag into a reader of its own.
inline bool read_ber(ByteReader& in, std::uint8_t tag, ByteReader& out) {
  ByteReader at = in;
  std::uint8_t found = 0;
  std::size_t length = 0;
  ByteSpan content;
  if (!at.read_u8(found) || found != tag || !read_ber_length(at, length) || !at.read_bytes(length, content)) {
    return false;
  }
  out = ByteReader(content);
  in = at;
  return true;
}

inline constexpr std::uint8_t kBerInteger = 0x02;
inline constexpr std::uint8_t kBerOctetString = 0x04;
inline constexpr std::uint8_t kBerEnumerated = 0x0a;
inline constexpr std::uint8_t kBerSequence = 0x30;

}  // namespace sallyport::parsers
