// Words what was expected instead of a word that is not known, in policies and on the command line.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sallyport::policy {

// quote returns `text` in double quotes, escaped and cut so that it can stand in a message.
std::string quote(std::string_view text);

// did_you_mean returns `; did you mean "x"?` for the nearest candidate, or an empty string when none is near.
std::string did_you_mean(std::string_view text, std::span<const std::string_view> candidates);

// one_of returns `"a", "b" or "c"`.
std::string one_of(std::span<const std::string_view> words);

// first_of is one_of() of a long list's beginning, and says where the rest is.
std::string first_of(std::span<const std::string_view> words);

}  // namespace sallyport::policy
