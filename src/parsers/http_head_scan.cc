#include "http_head_scan.h"

#include <algorithm>

#include "sallyport/core/limits.h"

namespace sallyport::parsers {
namespace {

constexpr bool is_refused_control(std::uint8_t byte) {
  return (byte < 0x20 && byte != '\t' && byte != '\r') || byte == 0x7f;
}

}  // namespace

HttpHeadScan scan_http_head(ByteSpan stream, std::size_t from) {
  const std::size_t limit = std::min(stream.size(), kHttpHeadMax);
  for (std::size_t i = std::min(from, limit); i < limit; ++i) {
    const std::uint8_t byte = stream[i];
    const bool after_return = i > 0 && stream[i - 1] == '\r';
    if (byte == '\n' && after_return) {
      const bool blank = i == 1 || stream[i - 2] == '\n';
      if (blank) return {Framing::kComplete, false, i + 1};
    } else if (byte == '\n' || after_return || is_refused_control(byte)) {
      return {Framing::kMalformed, byte == '\n' || after_return || byte == 0, i};
    }
  }
  return {stream.size() >= kHttpHeadMax ? Framing::kTooLong : Framing::kNeedMore, false, limit};
}

}  // namespace sallyport::parsers
