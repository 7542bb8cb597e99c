// SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): a hash whose collisions cannot
// be made without the key, for tables whose keys a workload chooses (R17).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace sallyport::engine {

using HashKey = std::array<std::uint64_t, 2>;

inline std::uint64_t keyed_hash(const HashKey& key, const std::uint8_t* data, std::size_t size) {
  std::uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1; v1 = std::rotl(v1, 13) ^ v0; v0 = std::rotl(v0, 32);
    v2 += v3; v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3; v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1; v1 = std::rotl(v1, 17) ^ v2; v2 = std::rotl(v2, 32);
  };
  const auto absorb = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  };
  std::size_t position = 0;
  for (; position + 8 <= size; position += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + position, 8);
    absorb(word);
  }
  std::uint64_t last = static_cast<std::uint64_t>(size) << 56;
  if (position < size) std::memcpy(&last, data + position, size - position);
  absorb(last);
  v2 ^= 0xff;
  round(); round(); round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace sallyport::engine
