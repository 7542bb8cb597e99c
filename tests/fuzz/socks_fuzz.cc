// The first byte chooses the message: each kind of the client's and of the proxy's.
#include <cstdlib>

#include "sallyport/parsers/socks.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

// check tells that a message has a length within the stream, and that no shorter prefix of it is whole.
template <typename Read>
void check(ByteSpan stream, Read&& read) {
  const auto result = read(stream);
  if (result.framing != Framing::kComplete) return;
  expect(result.length > 0 && result.length <= stream.size());
  expect(read(stream.first(result.length)).framing == Framing::kComplete);
  expect(read(stream.first(result.length - 1)).framing == Framing::kNeedMore);
}

void check_request(ByteSpan stream, std::uint8_t version) {
  check(stream, [version](ByteSpan bytes) { return read_socks_request(bytes, version); });
  const SocksRequest request = read_socks_request(stream, version);
  if (request.framing != Framing::kComplete) return;
  expect(!request.name.empty() || request.address.has_value());
  expect(request.name.size() <= 255);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteSpan stream(data + 1, size - 1);
  switch (data[0]) {
    case 'g': check(stream, read_socks5_greeting); break;
    case 'm': check(stream, read_socks5_method); break;
    case 'a': check(stream, read_socks5_authentication); break;
    case 's': check(stream, read_socks5_status); break;
    case '4': check_request(stream, kSocks4); break;
    case '5': check_request(stream, kSocks5); break;
    case 'q': check(stream, [](ByteSpan bytes) { return read_socks_reply(bytes, kSocks4); }); break;
    case 'r': check(stream, [](ByteSpan bytes) { return read_socks_reply(bytes, kSocks5); }); break;
    default: break;
  }
  return 0;
}
