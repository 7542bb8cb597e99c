// The first byte says how: 'u' a datagram, 't' a stream (the second byte is the client's share of the rest).
// A stream's verdict, once it is there, does not turn into another protocol by mere growth of the client's
// bytes before the server spoke.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/dtls.h"
#include "sallyport/parsers/recognisers.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

void check(const Recognition& seen) {
  expect(!seen.undecided || seen.protocol == Protocol::kUnknown);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  if (data[0] == 'u') {
    const ByteSpan datagram(data + 1, size - 1);
    check(recognise_udp(datagram));
    check(recognise_udp(datagram.subspan(datagram.size() / 2), datagram.first(datagram.size() / 2)));
    DtlsFragmentReader fragments(datagram);
    DtlsFragment fragment;
    while (fragments.next(fragment)) {
      expect(fragment.offset + fragment.bytes.size() <= fragment.length);
      if (const auto hello = parse_dtls_client_hello(fragment.bytes)) {
        expect(!hello->server_name || !hello->server_name->empty());
      }
    }
    return 0;
  }
  const std::size_t rest = size - 2;
  const std::size_t share = std::min<std::size_t>(data[1], rest);
  const std::vector<std::uint8_t> client(data + 2, data + 2 + share);
  const std::vector<std::uint8_t> server(data + 2 + share, data + size);
  check(recognise_tcp(client, server));
  Protocol seen = Protocol::kUnknown;
  for (std::size_t length = 0; length <= client.size(); ++length) {
    const std::vector<std::uint8_t> prefix(client.data(), client.data() + length);
    const Recognition now = recognise_tcp(prefix, {});
    check(now);
    // Who goes by the client alone waits for fewer, and takes nothing for anything else.
    const Recognition alone = recognise_tcp_client(prefix);
    check(alone);
    expect(alone.protocol == now.protocol && (!alone.undecided || now.undecided));
    expect(seen == Protocol::kUnknown || now.protocol == Protocol::kUnknown || now.protocol == seen);
    if (now.protocol != Protocol::kUnknown) seen = now.protocol;
  }
  return 0;
}
