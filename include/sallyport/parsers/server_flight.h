// What a TLS server answers first: the question is only whether it asks for a second ClientHello.
//
// Stateless over a contiguous prefix of the server's stream; call again with a longer prefix after
// kNeedMore. Nothing allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sallyport/core/bytes.h"

namespace sallyport::parsers {

// Old servers send warning alerts (unrecognized_name) before their ServerHello; that many are skipped.
inline constexpr std::size_t kServerWarningsMax = 4;
// Enough of the server's stream for any answer: the 38 bytes in records of one byte each.
inline constexpr std::size_t kServerFlightPrefixMax = 38 * 6 + 7 * kServerWarningsMax;

// SHA-256 of "HelloRetryRequest", RFC 8446 §4.1.3.
inline constexpr std::array<std::uint8_t, 32> kHelloRetryRandom = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

enum class ServerFlight : std::uint8_t {
  kNeedMore,
  kServerHello,        // The client's hello is accepted; no second one follows.
  kHelloRetryRequest,  // RFC 8446 §4.1.3: the special random. A second ClientHello follows.
  kAlert,              // A fatal alert or close_notify: the handshake is over.
  kNotTls,             // Not a TLS server's first flight; or one that no client would accept.
};

struct ServerFlightInfo {
  ServerFlight kind = ServerFlight::kNeedMore;
  std::uint16_t version = 0;  // legacy_version of the ServerHello; 0 for the other kinds.
};

// read_server_flight reads the server's stream from its first byte. It needs 43 bytes when the first
// record is not fragmented and no warning alert precedes it.
ServerFlightInfo read_server_flight(ByteSpan stream);

}  // namespace sallyport::parsers
