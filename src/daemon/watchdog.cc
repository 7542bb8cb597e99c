#include "watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

namespace sallyport::daemon {
namespace {

std::optional<std::uint64_t> number_of(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

Watchdog Watchdog::from_environment() {
  constexpr std::uint64_t kDay = 86'400'000'000;
  const std::optional<std::uint64_t> limit = number_of("WATCHDOG_USEC");
  const std::optional<std::uint64_t> pid = number_of("WATCHDOG_PID");
  if (!limit || (pid && *pid != static_cast<std::uint64_t>(::getpid()))) return Watchdog(std::chrono::microseconds(0));
  return Watchdog(std::chrono::microseconds(static_cast<std::int64_t>(std::min(*limit, kDay))));
}

int Watchdog::sleep_ms(int otherwise) const {
  if (interval_ <= Clock::duration::zero()) return otherwise;
  const auto interval = std::chrono::duration_cast<std::chrono::milliseconds>(interval_).count();
  return static_cast<int>(std::clamp<std::int64_t>(interval, 1, otherwise));
}

bool Watchdog::look(Clock::time_point now, std::span<const std::uint64_t> rounds, const std::function<void(const std::string&)>& say) {
  if (interval_ <= Clock::duration::zero() || now - last_ < interval_) return false;
  for (std::size_t i = 0; i < std::min(rounds.size(), seen_.size()); ++i) {
    if (rounds[i] != seen_[i]) continue;
    if (!said_) say("worker " + std::to_string(i) + " stands still; the service manager is told nothing more");
    said_ = true;
    return false;
  }
  if (said_) say("every worker goes round again");
  said_ = false;
  last_ = now;
  seen_.assign(rounds.begin(), rounds.end());
  return true;
}

}  // namespace sallyport::daemon
