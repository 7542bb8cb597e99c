// A hash that is the same in every process and build: fingerprints are compared over time.
#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport::policy {

// mixed spreads every bit of `x` over the result (the finaliser of SplitMix64).
constexpr std::uint64_t mixed(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// stable_hash is FNV-1a over the octets, continued from `seed` and mixed. Sums of such hashes are hashes
// of sets.
constexpr std::uint64_t stable_hash(std::string_view text, std::uint64_t seed = 0) {
  std::uint64_t hash = 0xcbf29ce484222325u ^ mixed(seed);
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mixed(hash);
}

constexpr std::uint64_t stable_hash(std::uint64_t value, std::uint64_t seed) {
  return mixed(mixed(seed + 0x9e3779b97f4a7c15u) ^ value);
}

}  // namespace sallyport::policy
