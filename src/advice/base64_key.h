// The SHA-256 of a host key as OpenSSH prints it: base64 without padding, without "SHA256:".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sallyport::advice {

inline std::optional<std::array<std::uint8_t, 32>> key_from_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() != 43) return std::nullopt;
  std::array<std::uint8_t, 32> key{};
  std::uint32_t bits = 0;
  unsigned held = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held >= 8 && at < key.size()) {
      held -= 8;
      key[at++] = static_cast<std::uint8_t>(bits >> held & 0xff);
    }
  }
  return key;
}

}  // namespace sallyport::advice
