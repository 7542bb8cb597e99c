// A hello that is honest by itself and a part of a forbidden one: sent after typical("good.example"), a receiver
// that mixes the bytes of both could read typical("evil.example").
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "client_hello_builder.h"

namespace sallyport::testing {

// decoy_hello names good.example. It is as long as typical("evil.example"), and where that has "evil", this has
// the same bytes, in an extension that nobody knows. A message, as a CRYPTO stream carries it.
inline Bytes decoy_hello() {
  constexpr std::string_view kHidden = "evil";
  const Bytes forbidden = ClientHelloBuilder::typical("evil.example").message();
  const auto place = std::search(forbidden.begin(), forbidden.end(), kHidden.begin(), kHidden.end()) - forbidden.begin();
  constexpr std::uint16_t kUnknownExtension = 0x7777;
  ClientHelloBuilder builder;
  builder.session_id({}).extension(kUnknownExtension, Bytes(41, 'a')).server_name("good.example");
  builder.supported_groups({0x001d, 0x0017}).signature_algorithms({0x0403, 0x0804, 0x0401});
  builder.supported_versions({0x0304, 0x0303}).key_share_x25519();
  constexpr std::size_t kHandshakeHeader = 4;
  Bytes decoy = builder.padding_to(forbidden.size() - kHandshakeHeader).message();
  // Tests may throw: a builder that cannot build is a broken test.
  if (decoy.size() != forbidden.size() || decoy[static_cast<std::size_t>(place)] != 'a') {
    throw std::runtime_error("typical() has changed; fit the decoy to it");
  }
  std::copy(kHidden.begin(), kHidden.end(), decoy.begin() + place);
  return decoy;
}

}  // namespace sallyport::testing
