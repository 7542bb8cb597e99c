// Text: of protocols, which is ASCII whatever the locale, and for people.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport {

// equals_ignoring_case compares as RFC 9110 and the mail protocols do: A to Z are a to z, every other octet is itself.
constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

// plural returns "1 flow", "2 flows".
inline std::string plural(std::uint64_t count, std::string_view what) {
  return std::to_string(count).append(" ").append(what).append(count == 1 ? "" : "s");
}

}  // namespace sallyport
