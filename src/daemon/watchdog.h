// systemd's watchdog (sd_watchdog_enabled(3)): the service is killed and started again unless it says in time that it is alive.
// What it says is true: the main loop says it, and only while every worker goes round.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::daemon {

// Watchdog belongs to the thread of the main loop.
class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;
  // `limit` is how long the manager waits; zero: nobody asks.
  explicit Watchdog(std::chrono::microseconds limit) : interval_(limit / 4) {}
  // from_environment reads WATCHDOG_USEC and WATCHDOG_PID.
  static Watchdog from_environment();

  // sleep_ms returns how long the main loop may sleep: `otherwise`, or less.
  int sleep_ms(int otherwise) const;
  // look takes how often each worker has gone round in all. Tells whether a ping is due: a quarter of the limit is over, and
  // each of them has gone round since the last look that found that. Says once which one stands still.
  bool look(Clock::time_point now, std::span<const std::uint64_t> rounds, const std::function<void(const std::string&)>& say);

 private:
  Clock::duration interval_;
  Clock::time_point last_{};
  std::vector<std::uint64_t> seen_;
  bool said_ = false;
};

}  // namespace sallyport::daemon
