// Text of a notice for fields that take any UTF-8 text.
#pragma once

#include <algorithm>
#include <string_view>

#include "writer.h"

namespace sallyport::refusal {

// write_printable writes the beginning of `text`, at most `max` bytes of it, with a question mark for each byte that is not
// printable ASCII: so a cut never falls into the middle of a character.
inline void write_printable(Writer& writer, std::string_view text, std::size_t max) {
  for (const char c : text.substr(0, std::min(max, kNoticeTextMax))) {
    writer.u8(c >= 0x20 && c < 0x7f ? static_cast<std::uint8_t>(c) : std::uint8_t{'?'});
  }
}

// printable_size is how many bytes of `text` write_printable will write.
constexpr std::size_t printable_size(std::string_view text, std::size_t max) {
  return std::min({text.size(), max, kNoticeTextMax});
}

}  // namespace sallyport::refusal
