// TLS framing: records and the handshake messages inside them (RFC 8446 §4, §5.1; RFC 5246 §6.2.1).
//
// Everything here reads a contiguous prefix of ONE direction of a stream and is stateless: call again
// with a longer prefix after kNeedMore. No answer but kNeedMore changes when bytes are appended, except
// the field `trailing`. Nothing allocates; results borrow from the input (or from `scratch`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

inline constexpr std::size_t kTlsRecordHeaderSize = 5;
inline constexpr std::size_t kTlsHandshakeHeaderSize = 4;
// What `scratch` must hold: one whole handshake message with its header.
inline constexpr std::size_t kTlsScratchSize = kClientHelloMax + kTlsHandshakeHeaderSize;

// ContentType, RFC 8446 §5.1.
inline constexpr std::uint8_t kTlsChangeCipherSpec = 20;
inline constexpr std::uint8_t kTlsAlert = 21;
inline constexpr std::uint8_t kTlsHandshake = 22;
inline constexpr std::uint8_t kTlsApplicationData = 23;

// HandshakeType, RFC 8446 §4.
inline constexpr std::uint8_t kTlsClientHello = 1;
inline constexpr std::uint8_t kTlsServerHello = 2;

// looks_like_tls tells from the first bytes whether a client's stream opens with a TLS handshake record
// that carries a ClientHello: content type 22, version 0x0300 to 0x0304, a length of 1 to 2^14, handshake
// type 1. It never needs more than 6 bytes.
Likeness looks_like_tls(ByteSpan stream);

// looks_like_sslv2_hello recognises an SSLv2-compatible ClientHello (RFC 5246 appendix E.2) in order that
// it can be refused: it carries no server name. It needs 5 bytes; fewer give false.
bool looks_like_sslv2_hello(ByteSpan stream);

// TlsRecord is the header of the record at the start of a stream.
struct TlsRecord {
  Framing framing = Framing::kNeedMore;  // kComplete: the header is whole; the payload may not be.
  std::uint8_t content_type = 0;
  std::uint16_t version = 0;
  std::size_t payload_size = 0;  // At most 2^14 + 2048 (RFC 5246 §6.2.3; TLS 1.3 stays below).
  std::size_t size() const { return kTlsRecordHeaderSize + payload_size; }
};

// read_tls_record reads a record header of any content type, as ciphertext may follow a plaintext hello.
// kMalformed: an unknown content type, a version outside 0x0300 to 0x0304, or a length over the limit.
TlsRecord read_tls_record(ByteSpan stream);

// TlsMessage is one handshake message.
struct TlsMessage {
  Framing framing = Framing::kNeedMore;
  std::uint8_t type = 0;     // HandshakeType; set with kComplete.
  ByteSpan body;             // Without the 4-byte handshake header; set with kComplete.
  std::size_t consumed = 0;  // Stream bytes up to the end of the last record used (records), or of the
                             // message (CRYPTO stream). Set with kComplete.
  std::size_t records = 0;   // Records used; 0 for a CRYPTO stream.
  std::size_t trailing = 0;  // Payload bytes of the last record behind the message: another message
                             // begins in the same record. For a CRYPTO stream: bytes behind the message.
};

// read_tls_handshake_message reads ONE handshake message from the start of `stream`. A message in one
// record is a view into `stream`; fragments in several records are joined in `scratch` (at least
// kTlsScratchSize bytes), and the view is valid as long as that is. The message is complete only when
// its last record is. kMalformed: a record of another content type, an empty record, a version outside
// 0x0300 to 0x0304, a record length over 2^14. kTooLong: a body over kClientHelloMax, or more than
// kTlsRecordsPerHelloMax records. A kNeedMore answer walks record headers only and copies nothing.
TlsMessage read_tls_handshake_message(ByteSpan stream, std::span<std::uint8_t> scratch);

// read_crypto_handshake_message reads one handshake message from the start of a QUIC CRYPTO stream,
// where messages lie bare (RFC 9001 §4.1.3). kTooLong: a body over kClientHelloMax.
TlsMessage read_crypto_handshake_message(ByteSpan stream);

inline constexpr std::size_t kTlsChangeCipherSpecSize = 6;

// skip_change_cipher_spec returns 6 when `stream` begins with the ChangeCipherSpec record that a client
// in middlebox compatibility mode sends before its second flight (14 03 0x 00 01 01; RFC 8446 §5, D.4),
// else 0. A stream of fewer than 6 bytes gives 0 as well: ask looks_like_change_cipher_spec.
std::size_t skip_change_cipher_spec(ByteSpan stream);
Likeness looks_like_change_cipher_spec(ByteSpan stream);

// read_second_client_hello reads what a client sends after a HelloRetryRequest: at most one
// ChangeCipherSpec record and then a handshake message. `stream` starts where the first ClientHello's
// records end (consumed); the answer's `consumed` includes the skipped record.
TlsMessage read_second_client_hello(ByteSpan stream, std::span<std::uint8_t> scratch);

}  // namespace sallyport::parsers
