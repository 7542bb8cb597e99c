#include "http_head_scan.h"

#include <algorithm>

#include "sallyport/core/limits.h"

namespace sallyport::parsers {
namespace {

// is_plain tells bytes that may stand anywhere in a line; obs-text of RFC 9110 §5.5 is among them.
constexpr bool is_plain(std::uint8_t byte) { return (byte >= 0x20 && byte != 0x7f) || byte == '\t'; }

}  // namespace

HttpHeadScan scan_http_head(ByteSpan stream, std::size_t from) {
  const std::size_t limit = std::min(stream.size(), kHttpHeadMax);
  const std::size_t begin = std::min(from, limit);
  bool after_return = begin > 0 && stream[begin - 1] == '\r';
  for (std::size_t i = begin; i < limit; ++i) {
    const std::uint8_t byte = stream[i];
    if (!after_return && is_plain(byte)) continue;
    if (byte == '\r' && !after_return) {
      after_return = true;
    } else if (byte == '\n' && after_return) {
      const bool blank = i == 1 || stream[i - 2] == '\n';
      if (blank) return {Framing::kComplete, false, i + 1};
      after_return = false;
    } else {
      return {Framing::kMalformed, byte == '\n' || after_return || byte == 0, i};
    }
  }
  return {stream.size() >= kHttpHeadMax ? Framing::kTooLong : Framing::kNeedMore, false, limit};
}

}  // namespace sallyport::parsers
