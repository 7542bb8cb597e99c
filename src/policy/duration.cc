#include "sallyport/policy/duration.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <utility>

namespace sallyport::policy {
namespace {

constexpr std::array<std::pair<std::string_view, Duration>, 5> kUnits = {{{"d", std::chrono::hours(24)},
                                                                          {"h", std::chrono::hours(1)},
                                                                          {"m", std::chrono::minutes(1)},
                                                                          {"s", std::chrono::seconds(1)},
                                                                          {"ms", std::chrono::milliseconds(1)}}};

}  // namespace

std::optional<Duration> parse_duration(std::string_view text, Duration most) {
  std::uint32_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const auto& [word, step] : kUnits) {
    if (unit != word) continue;
    if (count > static_cast<std::uint64_t>(most / step)) return std::nullopt;
    return step * count;
  }
  return std::nullopt;
}

std::string duration_text(Duration duration) {
  std::string text;
  int shown = 0;
  for (const auto& [word, step] : kUnits) {
    if (word == "ms" || shown == 2) break;
    const auto count = duration / step;
    duration -= count * step;
    if (count <= 0 && shown == 0) continue;
    ++shown;
    if (count > 0) text += (text.empty() ? "" : " ") + std::to_string(count) + std::string(word);
  }
  return text.empty() ? "0s" : text;
}

}  // namespace sallyport::policy
