// A client's TLS stream: a final answer must not change when bytes are appended, and a message must not
// depend on how it is cut into records.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/tls_handshake.h"

namespace {

using sallyport::ByteSpan;
using sallyport::Framing;
namespace parsers = sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

std::vector<std::uint8_t> in_records_of(ByteSpan message, std::size_t payload) {
  std::vector<std::uint8_t> stream;
  for (std::size_t offset = 0; offset < message.size(); offset += payload) {
    const ByteSpan part = message.subspan(offset, std::min(payload, message.size() - offset));
    stream.insert(stream.end(), {22, 3, 1, static_cast<std::uint8_t>(part.size() >> 8),
                                 static_cast<std::uint8_t>(part.size())});
    stream.insert(stream.end(), part.begin(), part.end());
  }
  return stream;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::vector<std::uint8_t> scratch(parsers::kTlsScratchSize);
  static std::vector<std::uint8_t> other_scratch(parsers::kTlsScratchSize);
  const ByteSpan stream(data, size);
  const parsers::TlsMessage whole = parsers::read_tls_handshake_message(stream, scratch);
  for (const std::size_t length :
       {size / 2, size - std::min<std::size_t>(size, 1), std::min<std::size_t>(size, 9)}) {
    const Framing earlier = parsers::read_tls_handshake_message(stream.first(length), other_scratch).framing;
    check(earlier == Framing::kNeedMore || earlier == whole.framing);
  }
  if (whole.framing == Framing::kComplete) {
    check(whole.consumed <= size && whole.records >= 1 && whole.body.size() <= sallyport::kClientHelloMax);
    (void)parsers::parse_client_hello(whole.body);
    std::vector<std::uint8_t> message = {whole.type, static_cast<std::uint8_t>(whole.body.size() >> 16),
                                         static_cast<std::uint8_t>(whole.body.size() >> 8),
                                         static_cast<std::uint8_t>(whole.body.size())};
    message.insert(message.end(), whole.body.begin(), whole.body.end());
    const std::vector<std::uint8_t> recut = in_records_of(message, 61);
    const parsers::TlsMessage again = parsers::read_tls_handshake_message(recut, other_scratch);
    check(again.framing == Framing::kComplete && again.type == whole.type &&
          std::ranges::equal(again.body, whole.body));
  }
  (void)parsers::looks_like_tls(stream);
  (void)parsers::looks_like_sslv2_hello(stream);
  (void)parsers::read_tls_record(stream);
  (void)parsers::read_second_client_hello(stream, scratch);
  (void)parsers::read_crypto_handshake_message(stream);
  return 0;
}
