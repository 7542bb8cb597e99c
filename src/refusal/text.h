// How the builders of text put a notice into a protocol: without its syntax, and cut to what fits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/refusal/notice.h"
#include "writer.h"

namespace sallyport::refusal {

// plain returns the byte, or "?" for what is not printable ASCII: line ends, NUL and other controls would be syntax in most
// protocols, and a terminal may act on them.
constexpr std::uint8_t plain(char c) {
  return c >= ' ' && c <= '~' ? static_cast<std::uint8_t>(c) : std::uint8_t{'?'};
}

// plain_size is how many bytes of `text` put_plain writes: at most `max`, and no more than a notice has.
constexpr std::size_t plain_size(std::string_view text, std::size_t max) {
  return std::min({text.size(), max, kNoticeTextMax});
}

// put_plain writes the beginning of `text`. A cut never falls into the middle of a character.
constexpr void put_plain(Writer& out, std::string_view text, std::size_t max) {
  for (const char c : text.substr(0, plain_size(text, max))) out.u8(plain(c));
}

// put_decimal writes a number as people do.
constexpr void put_decimal(Writer& out, std::size_t value) {
  std::size_t unit = 1;
  while (value / unit >= 10) unit *= 10;
  for (; unit > 0; unit /= 10) out.u8(static_cast<std::uint8_t>('0' + value / unit % 10));
}

// with_longest_text calls `write(writer, text_max)` with the greatest `text_max` up to kNoticeTextMax for which all fits into
// `out` and kRefusalMax, and returns what was written; 0 where not even 0 bytes of text fit. A greater `text_max` must never make
// `write` need less room. Few calls are needed: the text as it is fits nearly always.
template <typename Write>
std::size_t with_longest_text(Buffer out, Write&& write) {
  const auto attempt = [&](std::size_t text_max) {
    Writer writer(out.first(std::min(out.size(), kRefusalMax)));
    write(writer, text_max);
    return writer.finish();
  };
  if (const std::size_t size = attempt(kNoticeTextMax); size != 0) return size;
  if (attempt(0) == 0) return 0;
  std::size_t fits = 0;
  for (std::size_t too_long = kNoticeTextMax; too_long - fits > 1;) {
    const std::size_t middle = fits + (too_long - fits) / 2;
    (attempt(middle) != 0 ? fits : too_long) = middle;
  }
  return attempt(fits);
}

}  // namespace sallyport::refusal
