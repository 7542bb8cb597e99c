// Hashing of texts for absl maps. Debian's abseil is built with a string_view of its own, so its default
// does not take the standard one. The keys of a map are the operator's, so a look-up with a hostile text
// finds no longer chains than any other.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace sallyport::policy {

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

struct NameEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

}  // namespace sallyport::policy
