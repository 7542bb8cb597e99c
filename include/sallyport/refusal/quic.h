// A server's Initial packet with CONNECTION_CLOSE, RFC 9000 §10.2.3 and §19.19, sealed with the keys that follow from the
// client's first Destination Connection ID (RFC 9001 §5.2; version 2: RFC 9369 §3).
#pragma once

#include <memory>

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

struct QuicRefusal {
  std::uint32_t version = 0;  // As in the client's packet. Nothing is written for one whose Initial packets cannot be sealed,
                              // nor for Google's own, whose frames are others.
  ByteSpan key_connection_id;     // The one that the client's Initial keys come from.
  ByteSpan client_connection_id;  // The client's Source Connection ID: the packet goes to it.
  ByteSpan server_connection_id;  // What the packet says it comes from; the client's Destination Connection ID will do.
  std::uint64_t packet_number = 0;  // Below 2^31, and none that the server has used where its packets came through.
  std::uint64_t error_code = 0x131;  // CRYPTO_ERROR 0x100 + TLS alert (RFC 9001 §4.8): access_denied.
  std::size_t provoked_by = 0;       // Bytes of the UDP payload that is answered: the answer is never larger.
};

// QuicCloser owns the contexts of the library; one thread uses it. Memory is taken in the constructor.
class QuicCloser {
 public:
  QuicCloser();
  ~QuicCloser();
  QuicCloser(const QuicCloser&) = delete;
  QuicCloser& operator=(const QuicCloser&) = delete;

  // close writes one UDP payload: the Initial packet with one CONNECTION_CLOSE frame of type 0x1c, the notice's text as its
  // reason phrase. It is not padded to 1,200 bytes: only ack-eliciting Initial packets of a server must be (RFC 9000 §14.1).
  std::size_t close(Buffer out, const Notice& notice, const QuicRefusal& refusal);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::refusal
