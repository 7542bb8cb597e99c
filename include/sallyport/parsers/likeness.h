// Likeness is what a recogniser answers about the first bytes of a stream or datagram.
#pragma once

#include <cstdint>

namespace sallyport::parsers {

enum class Likeness : std::uint8_t {
  kNo,     // No continuation can make it this protocol.
  kMaybe,  // A valid prefix, too short to tell.
  kYes,
};

}  // namespace sallyport::parsers
