// Text for a terminal. What the network said may hold anything; nothing but visible ASCII gets through here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::view {

// visible returns `text` with each byte that is not printable ASCII as \xNN.
std::string visible(std::string_view text);

// cut_left and cut_right shorten ASCII text to `width`; a "~" stands for what is left out. Names are cut on the left: what is
// on the right says whose they are.
std::string cut_left(std::string_view text, std::size_t width);
std::string cut_right(std::string_view text, std::size_t width);
// padded fills up with blanks on the right, right_aligned on the left; neither shortens.
std::string padded(std::string_view text, std::size_t width);
std::string right_aligned(std::string_view text, std::size_t width);

// clock_text returns the local time of day of seconds since 1970, as "10:31:07".
std::string clock_text(double seconds);
// span_text returns "45 s", "3 min", "2 h 05 min", "3 d 4 h".
std::string span_text(std::uint64_t seconds);
// count_text returns "1,234,567".
std::string count_text(std::uint64_t count);
// rate_text returns a figure a second with two digits that count: "0", "0.25", "3.4", "12", "1,204".
std::string rate_text(double rate);
// base64 as OSC 52 has it.
std::string base64(std::string_view bytes);

}  // namespace sallyport::view
