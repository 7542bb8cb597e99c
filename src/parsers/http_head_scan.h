// Finds the end of a head and refuses the control characters that make readers disagree on lines.
#pragma once

#include <cstddef>

#include "sallyport/core/bytes.h"
#include "sallyport/core/parse_error.h"

namespace sallyport::parsers {

struct HttpHeadScan {
  Framing framing = Framing::kNeedMore;
  bool ambiguous = false;  // With kMalformed.
  // Length of what is good: through the blank line with kComplete, up to the bad byte with kMalformed.
  std::size_t length = 0;
};

// scan_http_head looks for CRLF CRLF (or CRLF at the very front). Bytes before `from` were scanned by an
// earlier call that answered kNeedMore. A line feed without carriage return, a carriage return without
// line feed and NUL are ambiguous: servers differ on whether they end a line (RFC 9112 §2.2) or a string.
// Any other control character than tab is malformed. The first bad byte decides.
HttpHeadScan scan_http_head(ByteSpan stream, std::size_t from);

}  // namespace sallyport::parsers
