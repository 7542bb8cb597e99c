// Small questions about the first bytes of a text protocol.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/text.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

constexpr Likeness yes_if(bool fact) {
  return fact ? Likeness::kYes : Likeness::kNo;
}

// begins_with answers kMaybe for bytes that are a prefix of `text`.
inline Likeness begins_with(ByteSpan bytes, std::string_view text) {
  const std::size_t length = std::min(bytes.size(), text.size());
  if (as_text(bytes.first(length)) != text.substr(0, length)) return Likeness::kNo;
  return bytes.size() < text.size() ? Likeness::kMaybe : Likeness::kYes;
}

constexpr char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

inline bool contains_ignoring_case(std::string_view text, std::string_view word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(),
                     [](char x, char y) { return upper(x) == upper(y); }) != text.end();
}

// is_printable_text takes ASCII with tab, CR and LF, and bytes beyond ASCII (UTF-8).
inline bool is_printable_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7f : byte == '\t' || byte == '\r' || byte == '\n';
  });
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// first_line returns what stands before the first LF (and CR), or all bytes when there is none yet.
inline std::string_view first_line(ByteSpan bytes, bool& whole) {
  std::string_view text = as_text(bytes);
  const std::size_t end = text.find('\n');
  whole = end != std::string_view::npos;
  text = text.substr(0, end);
  if (whole && text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

// first_word_is tells whether the first word, ended by a space, CR or LF, is one of `words` in any case.
inline Likeness first_word_is(ByteSpan bytes, std::initializer_list<std::string_view> words) {
  const std::string_view text = as_text(bytes);
  const std::size_t end = text.find_first_of(" \r\n");
  for (const std::string_view word : words) {
    if (end != std::string_view::npos) {
      if (equals_ignoring_case(text.substr(0, end), word)) return Likeness::kYes;
    } else if (text.size() <= word.size() && equals_ignoring_case(text, word.substr(0, text.size()))) {
      return Likeness::kMaybe;
    }
  }
  return Likeness::kNo;
}

}  // namespace sallyport::parsers
