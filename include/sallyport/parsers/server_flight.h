// What a TLS server answers first: the question is only whether it asks for a second ClientHello.
//
// Stateless over a contiguous prefix of the server's stream; call again with a longer prefix after
// kNeedMore. Nothing allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sallyport/core/bytes.h"

namespace sallyport::parsers {

// Old servers send warning alerts (unrecognized_name) before their ServerHello; that many are skipped.
inline constexpr std::size_t kServerWarningsMax = 4;
// Enough of the server's stream for any answer: the 38 bytes in records of one byte each.
inline constexpr std::size_t kServerFlightPrefixMax = 38 * 6 + 7 * kServerWarningsMax;

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
