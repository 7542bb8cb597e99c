// A datagram: the fragments in its records lie inside it and in their messages. And a message, cut into
// fragments and records anywhere, is read as the same message.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/dtls.h"
#include "support/dtls_builder.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

bool lies_inside(ByteSpan part, ByteSpan whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_hello(ByteSpan body) {
  const auto hello = parse_dtls_client_hello(body);
  if (!hello) return;
  check(!hello->server_name || !hello->server_name->empty());
  check(hello->random.size() == 32 && lies_inside(hello->random, body));
}

// Cut into pieces of `size` bytes, one record each, the last piece first.
void check_recut(const DtlsFragment& message, std::size_t size) {
  const testing::Bytes body(message.bytes.begin(), message.bytes.end());
  testing::Bytes datagram;
  const std::size_t pieces = std::max<std::size_t>(1, (body.size() + size - 1) / size);
  for (std::size_t i = pieces; i-- > 0;) {
    const std::size_t begin = i * size;
    const auto record = testing::dtls_fragment(message.type, body, begin, std::min(size, body.size() - begin), message.sequence);
    datagram.insert(datagram.end(), record.begin(), record.end());
  }
  testing::Bytes again(body.size());
  DtlsFragmentReader reader(datagram);
  DtlsFragment piece;
  std::size_t seen = 0;
  for (; reader.next(piece); ++seen) {
    check(piece.type == message.type && piece.length == message.length && piece.sequence == message.sequence);
    std::ranges::copy(piece.bytes, again.begin() + static_cast<std::ptrdiff_t>(piece.offset));
  }
  check(seen == pieces && !reader.malformed() && again == body);
}

}  // namespace

// The first byte is the size of the pieces; the rest is the datagram.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<std::uint8_t> datagram(data + 1, data + size);
  const Likeness likeness = looks_like_dtls(datagram);
  check(likeness != Likeness::kMaybe);
  check(!is_dtls_server_message(datagram) || likeness == Likeness::kYes);
  (void)answers_hello(datagram);
  DtlsFragmentReader reader(datagram);
  DtlsFragment fragment;
  std::size_t count = 0;
  for (; reader.next(fragment); ++count) {
    check(count <= size / 12 && lies_inside(fragment.bytes, datagram));
    check(fragment.length < 1u << 24 && fragment.offset + fragment.bytes.size() <= fragment.length);
    check_hello(fragment.bytes);
    if (fragment.is_whole() && fragment.bytes.size() < 4'096) check_recut(fragment, std::size_t{16} + data[0]);
  }
  check(likeness == Likeness::kNo || count > 0);
  check(!reader.next(fragment));  // It stays where it stopped.
  check_hello(datagram);
  return 0;
}
