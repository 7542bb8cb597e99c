// A server's first bytes: an answer is given within its promised prefix and does not change afterwards.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "sallyport/parsers/server_flight.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace parsers = sallyport::parsers;
  const sallyport::ByteSpan stream(data, size);
  auto answer = parsers::ServerFlight::kNeedMore;
  const std::size_t longest = std::min(size, parsers::kServerFlightPrefixMax + 8);
  for (std::size_t length = 0; length <= longest; ++length) {
    const auto now = parsers::read_server_flight(stream.first(length)).kind;
    if (answer != parsers::ServerFlight::kNeedMore && now != answer) std::abort();
    if (length >= parsers::kServerFlightPrefixMax && now == parsers::ServerFlight::kNeedMore) std::abort();
    answer = now;
  }
  return 0;
}
