// What a regular expression for paths demands and no canonical path has (core/http_path.h): an expression that is right for the
// library and matches nothing is a mistake, and in a deny rule one that lets everything pass.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sallyport::policy {

struct DeadLiteral {
  std::string message;   // What it is, and what to write instead.
  bool always = false;   // Nothing can match the whole expression; otherwise a part of it may match nothing.
};

// find_dead_literal returns the first of what stands literally in `expression` (one that RE2 takes) and can match nothing. It
// reads what stands outside of classes, and classes of one character; what is optional does not count.
std::optional<DeadLiteral> find_dead_literal(std::string_view expression);

}  // namespace sallyport::policy
