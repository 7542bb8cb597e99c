// The clock of the running service. The engine and the parsers never read it: they are given the time.
#pragma once

#include <ctime>

#include "sallyport/core/time.h"

namespace sallyport {

// monotonic_now returns the time since the machine started, that in which it slept included (CLOCK_BOOTTIME): a rule that expires in
// an hour has expired when the lid is opened the next morning. Steps of the wall clock do not move it.
inline Duration monotonic_now() {
  timespec time{};
  (void)::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace sallyport
