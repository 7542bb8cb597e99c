// DTLS datagrams for tests: a ClientHello made of a TLS one, cut into fragments.
#pragma once

#include <cstdint>
#include <vector>

#include "client_hello_builder.h"

namespace sallyport::testing {

// dtls_hello_body turns the body of a TLS ClientHello into a DTLS one with this cookie.
Bytes dtls_hello_body(const Bytes& tls_body, const Bytes& cookie = {}, std::uint16_t version = 0xfefd);

// dtls_fragment makes a record with bytes [begin, begin + size) of a handshake message.
Bytes dtls_fragment(std::uint8_t type, const Bytes& body, std::size_t begin, std::size_t size,
                    std::uint16_t sequence = 0);

// dtls_message makes a record with a whole message.
inline Bytes dtls_message(std::uint8_t type, const Bytes& body, std::uint16_t sequence = 0) {
  return dtls_fragment(type, body, 0, body.size(), sequence);
}

}  // namespace sallyport::testing
