#include <algorithm>

#include "http_head_scan.h"
#include "http_text.h"
#include "sallyport/parsers/http1.h"

namespace sallyport::parsers {
namespace {

constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A trailer field must not change where a message goes or ends (RFC 9110 §6.5.1): servers that merge
// trailers into the head would read another message than we did.
bool trailer_allowed(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = line.substr(0, colon);
  return is_token(name) && !equals_ignoring_case(name, "host") &&
         !equals_ignoring_case(name, "content-length") && !equals_ignoring_case(name, "transfer-encoding");
}

}  // namespace

HttpChunkHead parse_http_chunk_head(ByteSpan stream) {
  constexpr std::size_t kDigitsMax = 15;  // 60 bits: sums of chunk sizes and stream offsets stay exact.
  const std::string_view text = as_text(stream.first(std::min(stream.size(), kHttpChunkLineMax)));
  constexpr HttpChunkHead kMalformed{Framing::kMalformed, 0, 0};
  HttpChunkHead head;
  std::size_t length = 0;
  while (length < text.size() && hex_value(text[length]) >= 0) {
    if (length == kDigitsMax) return kMalformed;
    head.size = head.size << 4 | static_cast<std::uint64_t>(hex_value(text[length]));
    ++length;
  }
  if (length < text.size()) {
    // White space before the extension is "bad" in RFC 9112 §7.1.1, and read differently.
    const bool extended = text[length] == ';';
    if (length == 0 || (!extended && text[length] != '\r')) return kMalformed;
    // Extensions are free text without line ends; nobody uses them.
    while (length < text.size() && (is_visible(text[length]) || is_blank(text[length]))) ++length;
  }
  if (length < text.size() && text[length] != '\r') return kMalformed;
  if (length + 1 < text.size() && text[length + 1] != '\n') return kMalformed;
  if (length + 1 < text.size()) {
    head.framing = Framing::kComplete;
    head.head_length = length + 2;
    return head;
  }
  return {stream.size() >= kHttpChunkLineMax ? Framing::kTooLong : Framing::kNeedMore, 0, 0};
}

HttpTrailers parse_http_trailers(ByteSpan stream, std::size_t scan_from) {
  const HttpHeadScan scan = scan_http_head(stream, scan_from);
  if (scan.framing != Framing::kComplete) return {scan.framing, 0};
  std::string_view rest = as_text(stream.first(scan.length));
  for (std::size_t fields = 0; rest != "\r\n"; ++fields) {
    if (fields == kHttpFieldsMax) return {Framing::kTooLong, 0};
    const std::size_t end = rest.find("\r\n");
    if (!trailer_allowed(rest.substr(0, end))) return {Framing::kMalformed, 0};
    rest.remove_prefix(end + 2);
  }
  return {Framing::kComplete, scan.length};
}

}  // namespace sallyport::parsers
