// The first byte seeds the cuts, the rest is a client's stream. Whole and in pieces, the stream must
// give the same requests; the recogniser must agree with the parser.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/parsers/http1.h"
#include "support/http_stream_driver.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void require(bool fact) {
  if (!fact) std::abort();
}

void check_head(ByteSpan stream) {
  const HttpRequestHead head = parse_http_request_head(stream);
  require(head.framing != Framing::kComplete ||
          (head.head_length <= stream.size() && (head.host || head.minor_version == 0)));
  if (head.framing == Framing::kComplete && head.method == "GET" && head.target.starts_with('/')) {
    require(looks_like_http1(stream) == Likeness::kYes);
  }
  (void)parse_http_response_head(stream);
  (void)looks_like_http1_response(stream);
  (void)parse_http_chunk_head(stream);
  (void)parse_http_trailers(stream);
  (void)parse_http_authority(as_text(stream));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteSpan stream(data + 1, size - 1);
  check_head(stream);
  testing::HttpStreamDriver whole, cut;
  whole.feed(as_text(stream));
  std::uint32_t state = data[0];
  for (std::size_t at = 0; at < stream.size();) {
    state = state * 1'664'525 + 1'013'904'223;
    const std::size_t length = std::min<std::size_t>(1 + (state >> 24) % 40, stream.size() - at);
    cut.feed(as_text(stream.subspan(at, length)));
    at += length;
  }
  require(!whole.broken() && !cut.broken());
  require(whole.log() == cut.log());
  require(whole.stream.awaiting_switch() == cut.stream.awaiting_switch());
  return 0;
}
