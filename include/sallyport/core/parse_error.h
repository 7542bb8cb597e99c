// What a parser answers when it has no result. Parsers never throw and never log.
#pragma once

#include <cstdint>

namespace sallyport {

enum class ParseError : std::uint8_t {
  kMalformed,    // Not of the form that the standard demands, or two readers could read it differently.
  kTooLong,      // Over a limit of core/limits.h.
  kUnsupported,  // Well-formed so far, but of a version or method that is not read.
};

// Framing is what a framing type (never a message parser) answers over a prefix of a stream.
enum class Framing : std::uint8_t {
  kNeedMore,   // A valid prefix so far.
  kComplete,   // One whole message is there.
  kMalformed,  // No continuation can make it valid, or it is ambiguous.
  kTooLong,    // Over a limit of core/limits.h.
};

}  // namespace sallyport
