// Time is an argument everywhere below the daemon: nothing in the engine reads a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace sallyport {

using Duration = std::chrono::nanoseconds;

// Timestamp is nanoseconds since the Unix epoch. Live it advances with the monotonic clock (clock.h) from
// the wall time at start; in a replay it is the capture's own clock.
using Timestamp = std::chrono::sys_time<std::chrono::nanoseconds>;

}  // namespace sallyport
