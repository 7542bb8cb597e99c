// Character classes and small text helpers that the HTTP parsers share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/core/text.h"

namespace sallyport::parsers {

constexpr bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char to_lower(char c) {
  return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_alpha(char c) {
  return to_lower(c) >= 'a' && to_lower(c) <= 'z';
}
constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

namespace http_text_internal {
constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
inline constexpr std::array<bool, 256> kTokenTable = make_token_table();
}  // namespace http_text_internal

// is_token_char tells tchar of RFC 9110 §5.6.2.
constexpr bool is_token_char(char c) {
  return http_text_internal::kTokenTable[static_cast<unsigned char>(c)];
}

constexpr bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}

// is_visible tells VCHAR of RFC 5234: printable ASCII without the space.
constexpr bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

// trim_blanks drops the optional white space around a field value (OWS, RFC 9110 §5.6.3).
constexpr std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace sallyport::parsers
