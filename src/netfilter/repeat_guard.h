// RepeatGuard notices a packet that comes back from NF_REPEAT again and again without progress: a second
// jump to our chains, added by another tool, makes the kernel queue the same packet for ever at full speed.
// A retransmission is no such thing: it is not repeated thirty times within twenty milliseconds.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "sallyport/core/bytes.h"

namespace sallyport::netfilter {

class RepeatGuard {
 public:
  static constexpr std::uint32_t kSightingsMax = 32;
  static constexpr std::chrono::nanoseconds kWindow = std::chrono::milliseconds(20);

  // The seed keeps a sender from choosing packets that share a place with another's.
  explicit RepeatGuard(std::uint64_t seed) : seed_(seed) {}

  // stuck counts a sighting and tells whether the packet circles. `now` is any clock that does not go back.
  bool stuck(ByteSpan packet, std::chrono::nanoseconds now) {
    const std::uint64_t print = fingerprint(packet);
    Place& place = places_[print % places_.size()];
    if (place.print != print || now - place.first > kWindow) {
      place = {print, now, 1};
      return false;
    }
    return ++place.sightings > kSightingsMax;
  }

 private:
  struct Place {
    std::uint64_t print = 0;
    std::chrono::nanoseconds first{0};
    std::uint32_t sightings = 0;
  };

  // The headers tell packets apart: addresses, ports, IP id, sequence numbers, checksums.
  std::uint64_t fingerprint(ByteSpan packet) const {
    constexpr std::size_t kRead = 160;  // VXLAN over IPv6 has IPv6 and TCP inside: 130 bytes.
    std::uint64_t hash = seed_ ^ packet.size();
    const ByteSpan head = packet.first(packet.size() < kRead ? packet.size() : kRead);
    std::size_t i = 0;
    for (; i + sizeof(std::uint64_t) <= head.size(); i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, head.data() + i, sizeof word);
      hash = mix(hash ^ word);
    }
    std::uint64_t rest = 0;
    if (i < head.size()) std::memcpy(&rest, head.data() + i, head.size() - i);
    return mix(hash ^ rest);
  }
  static std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93U;
    return value ^ (value >> 29);
  }

  std::uint64_t seed_;
  std::array<Place, 1024> places_{};
};

}  // namespace sallyport::netfilter
