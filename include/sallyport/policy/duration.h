// Times as an operator writes them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sallyport/core/time.h"

namespace sallyport::policy {

// parse_duration reads a number with its unit, "500ms", "90s", "15m", "1h" or "7d", of at most `most`.
std::optional<Duration> parse_duration(std::string_view text, Duration most);
// duration_text writes whole seconds with the two largest units that count: "59s", "9m 5s", "2d 3h"; less than a second is "0s".
std::string duration_text(Duration duration);

}  // namespace sallyport::policy
