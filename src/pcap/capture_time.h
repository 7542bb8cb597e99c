// Times of captures, which can claim any second, as Timestamps, which cannot.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "sallyport/core/time.h"

namespace sallyport::pcap {

// A signed 64-bit count of nanoseconds ends in the year 2262.
inline constexpr std::int64_t kCaptureSecondsMax = 9'000'000'000;

constexpr Timestamp capture_time(std::int64_t seconds, std::int64_t nanoseconds) {
  return Timestamp(std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, kCaptureSecondsMax)) +
                   std::chrono::nanoseconds(std::clamp<std::int64_t>(nanoseconds, 0, 999'999'999)));
}

}  // namespace sallyport::pcap
