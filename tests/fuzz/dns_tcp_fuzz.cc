// However a stream is cut, its first message is the same, and likeness never changes its mind.
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/dns.h"

namespace {

void expect(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::parsers;
  const DnsTcpMessage whole = read_dns_tcp_message({data, size}, kDnsQueryMax);
  const Likeness likeness = looks_like_dns_tcp({data, size});
  for (std::size_t length = 0; length < size && length < 300; ++length) {
    const std::vector<std::uint8_t> prefix(data, data + length);
    const DnsTcpMessage part = read_dns_tcp_message(prefix, kDnsQueryMax);
    if (part.framing != Framing::kNeedMore)
      expect(part.framing == whole.framing && part.consumed == whole.consumed);
    const Likeness so_far = looks_like_dns_tcp(prefix);
    if (so_far != Likeness::kMaybe) expect(so_far == likeness);
  }
  if (whole.framing == Framing::kComplete) {
    expect(whole.consumed == whole.message.size() + 2 && whole.consumed <= size);
    (void)parse_dns_message(whole.message);
  }
  return 0;
}
