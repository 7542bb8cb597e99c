// The first byte seeds the cuts, the rest is a client's stream. Whole and in pieces, the stream must
// give the same requests.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sallyport/parsers/http2.h"
#include "support/http_stream_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  if (size == 0) return 0;
  const ByteSpan stream(data + 1, size - 1);
  testing::Http2Driver whole, cut;
  whole.feed(as_text(stream));
  std::uint32_t state = data[0];
  for (std::size_t at = 0; at < stream.size();) {
    state = state * 1'664'525 + 1'013'904'223;
    const std::size_t length = std::min<std::size_t>(1 + (state >> 24) % 60, stream.size() - at);
    cut.feed(as_text(stream.subspan(at, length)));
    at += length;
  }
  if (whole.broken() || cut.broken() || whole.log() != cut.log()) std::abort();
  if (!whole.log().empty() && parsers::looks_like_http2(stream) == parsers::Likeness::kNo &&
      whole.log() != "malformed\n") {
    std::abort();
  }
  return 0;
}
