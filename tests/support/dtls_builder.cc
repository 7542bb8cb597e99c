#include "dtls_builder.h"

#include <algorithm>

namespace sallyport::testing {
namespace {

void put(Bytes& out, std::size_t value, int width) {
  for (int i = width - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

}  // namespace

Bytes dtls_hello_body(const Bytes& tls_body, const Bytes& cookie, std::uint16_t version) {
  constexpr std::size_t kSessionIdAt = 34;
  Bytes out = tls_body;
  out[0] = static_cast<std::uint8_t>(version >> 8);
  out[1] = static_cast<std::uint8_t>(version);
  Bytes field = {static_cast<std::uint8_t>(cookie.size())};
  field.insert(field.end(), cookie.begin(), cookie.end());
  const auto behind = out.begin() + static_cast<std::ptrdiff_t>(kSessionIdAt + 1 + out[kSessionIdAt]);
  out.insert(behind, field.begin(), field.end());
  return out;
}

Bytes dtls_fragment(std::uint8_t type, const Bytes& body, std::size_t begin, std::size_t size,
                    std::uint16_t sequence) {
  size = std::min(size, body.size() - begin);
  Bytes out = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0};
  put(out, size + 12, 2);
  put(out, type, 1);
  put(out, body.size(), 3);
  put(out, sequence, 2);
  put(out, begin, 3);
  put(out, size, 3);
  const auto first = body.begin() + static_cast<std::ptrdiff_t>(begin);
  out.insert(out.end(), first, first + static_cast<std::ptrdiff_t>(size));
  return out;
}

}  // namespace sallyport::testing
