#include "sallyport/view/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace sallyport::view {

std::string visible(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
    }
  }
  return out;
}

std::string cut_left(std::string_view text, std::size_t width) {
  if (text.size() <= width) return std::string(text);
  if (width == 0) return {};
  return '~' + std::string(text.substr(text.size() - (width - 1)));
}

std::string cut_right(std::string_view text, std::size_t width) {
  if (text.size() <= width) return std::string(text);
  if (width == 0) return {};
  return std::string(text.substr(0, width - 1)) + '~';
}

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  if (out.size() < width) out.append(width - out.size(), ' ');
  return out;
}

std::string right_aligned(std::string_view text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + std::string(text) : std::string(text);
}

std::string clock_text(double seconds) {
  if (!(seconds > 0) || seconds > 1e12) return "--:--:--";
  const auto wall = static_cast<std::time_t>(seconds);
  std::tm local{};
  std::array<char, 16> text{};
  if (::localtime_r(&wall, &local) == nullptr) return "--:--:--";
  const std::size_t size = std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return {text.data(), size};
}

std::string span_text(std::uint64_t seconds) {
  constexpr std::uint64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  if (seconds < kMinute) return std::to_string(seconds) + " s";
  if (seconds < kHour) return std::to_string(seconds / kMinute) + " min";
  if (seconds >= kDay) return std::to_string(seconds / kDay) + " d " + std::to_string(seconds % kDay / kHour) + " h";
  const std::string minutes = std::to_string(seconds % kHour / kMinute);
  return std::to_string(seconds / kHour) + " h " + (minutes.size() < 2 ? "0" : "") + minutes + " min";
}

std::string count_text(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string rate_text(double rate) {
  if (!(rate > 0)) return "0";
  if (rate >= 9.95 || rate == std::floor(rate)) return count_text(static_cast<std::uint64_t>(std::min(std::round(rate), 1e15)));
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), rate < 0.995 ? "%.2f" : "%.1f", rate);
  return text.data();
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < group.size() ? static_cast<unsigned char>(group[j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += j <= group.size() ? kDigits[bits >> (18 - 6 * j) & 0x3f] : '=';
  }
  return out;
}

}  // namespace sallyport::view
