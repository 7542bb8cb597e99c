// DTLS as far as it is in the clear: the records of epoch 0 and the fragments of handshake messages in them
// (RFC 6347 §4.1, §4.2.2; RFC 9147 §4, §5). parsers/client_hello.h reads the ClientHello itself.
//
// Pure functions over a datagram; views in results point into it; nothing allocates.
#pragma once

#include <cstdint>

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// Values of DtlsFragment::type beside those of tls_handshake.h.
inline constexpr std::uint8_t kDtlsHelloVerifyRequest = 3;  // RFC 6347 §4.2.1

// looks_like_dtls takes a datagram that begins with a record of a handshake's first messages.
Likeness looks_like_dtls(ByteSpan datagram);

struct DtlsFragment {
  std::uint8_t type = 0;       // HandshakeType
  std::uint32_t length = 0;    // Of the whole message; below 2^24.
  std::uint16_t sequence = 0;  // Number of the message.
  std::uint32_t offset = 0;    // Of `bytes` in the message; offset + bytes.size() <= length.
  ByteSpan bytes;

  bool is_whole() const { return offset == 0 && bytes.size() == length; }
};

// DtlsFragmentReader walks the handshake fragments in the records of epoch 0 of one datagram. Other records
// are skipped; at the first one that is encrypted or malformed it stops.
class DtlsFragmentReader {
 public:
  explicit DtlsFragmentReader(ByteSpan datagram) : datagram_(datagram) {}
  bool next(DtlsFragment& out);
  // malformed tells, once next() has said false, that a record or a fragment broke its standard.
  bool malformed() const { return malformed_; }

 private:
  bool next_record();

  ByteReader datagram_;
  ByteReader record_;
  bool malformed_ = false;
};

// answers_hello tells whether a server's datagram accepts the hello: it has a ServerHello, and that is no
// HelloRetryRequest (RFC 8446 §4.1.4).
bool answers_hello(ByteSpan datagram);

// is_dtls_server_message tells a datagram that begins with a message which only servers send first: a
// ServerHello or a HelloVerifyRequest.
bool is_dtls_server_message(ByteSpan datagram);

}  // namespace sallyport::parsers
