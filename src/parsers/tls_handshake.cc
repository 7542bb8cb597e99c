#include "sallyport/parsers/tls_handshake.h"

#include <algorithm>
#include <array>

namespace sallyport::parsers {
namespace {

constexpr std::size_t kTlsCiphertextMax = kTlsPlaintextMax + 2'048;  // RFC 5246 §6.2.3

// What is there of a record header says whether it can still become one of TLS 1.3 or older.
bool is_version_prefix(ByteSpan record) {
  return (record.size() < 2 || record[1] == 3) && (record.size() < 3 || record[2] <= 4);
}

std::size_t payload_size_of(ByteSpan record) {
  return static_cast<std::size_t>(record[3] << 8 | record[4]);
}

std::size_t message_size_of(const std::array<std::uint8_t, kTlsHandshakeHeaderSize>& header) {
  return static_cast<std::size_t>(header[1] << 16 | header[2] << 8 | header[3]);
}

// The header of a plaintext handshake record; kComplete sets the payload's size.
Framing read_fragment_header(ByteSpan record, std::size_t& payload_size) {
  if (!record.empty() && record[0] != kTlsHandshake) return Framing::kMalformed;
  if (!is_version_prefix(record)) return Framing::kMalformed;
  if (record.size() < kTlsRecordHeaderSize) return Framing::kNeedMore;
  payload_size = payload_size_of(record);
  // RFC 8446 §5.1 forbids empty handshake fragments; a reader that skips them would read on.
  if (payload_size == 0 || payload_size > kTlsPlaintextMax) return Framing::kMalformed;
  return Framing::kComplete;
}

// Joins the first `size` payload bytes of records that are known to be whole and valid.
ByteSpan join_fragments(ByteSpan stream, std::size_t size, std::span<std::uint8_t> scratch) {
  std::size_t joined = 0;
  while (joined < size) {
    const std::size_t payload_size = payload_size_of(stream);
    const std::size_t wanted = std::min(payload_size, size - joined);
    std::copy_n(stream.begin() + kTlsRecordHeaderSize, wanted,
                scratch.begin() + static_cast<std::ptrdiff_t>(joined));
    joined += wanted;
    stream = stream.subspan(kTlsRecordHeaderSize + payload_size);
  }
  return scratch.first(size);
}

TlsMessage failed(Framing framing) {
  TlsMessage message;
  message.framing = framing;
  return message;
}

}  // namespace

Likeness looks_like_tls(ByteSpan stream) {
  std::size_t payload_size = 0;
  switch (read_fragment_header(stream, payload_size)) {
    case Framing::kNeedMore:
      return Likeness::kMaybe;
    case Framing::kComplete:
      break;
    case Framing::kMalformed:
    case Framing::kTooLong:
      return Likeness::kNo;
  }
  if (stream.size() == kTlsRecordHeaderSize) return Likeness::kMaybe;
  return stream[kTlsRecordHeaderSize] == kTlsClientHello ? Likeness::kYes : Likeness::kNo;
}

bool looks_like_sslv2_hello(ByteSpan stream) {
  // Two bytes of length with the top bit set, message type 1, then the version.
  if (stream.size() < 5 || (stream[0] & 0x80) == 0 || stream[2] != 1) return false;
  const bool sslv2 = stream[3] == 0 && stream[4] == 2;
  const bool tls = stream[3] == 3 && stream[4] <= 4;
  return sslv2 || tls;
}

TlsRecord read_tls_record(ByteSpan stream) {
  TlsRecord record;
  const bool known =
      stream.empty() || (stream[0] >= kTlsChangeCipherSpec && stream[0] <= kTlsApplicationData);
  if (!known || !is_version_prefix(stream)) {
    record.framing = Framing::kMalformed;
    return record;
  }
  if (stream.size() < kTlsRecordHeaderSize) return record;
  record.content_type = stream[0];
  record.version = static_cast<std::uint16_t>(stream[1] << 8 | stream[2]);
  record.payload_size = payload_size_of(stream);
  record.framing = record.payload_size > kTlsCiphertextMax ? Framing::kMalformed : Framing::kComplete;
  return record;
}

TlsMessage read_tls_handshake_message(ByteSpan stream, std::span<std::uint8_t> scratch) {
  std::array<std::uint8_t, kTlsHandshakeHeaderSize> header{};
  std::size_t joined = 0;  // Payload bytes of the whole records so far.
  ByteSpan rest = stream;
  for (std::size_t records = 1; records <= kTlsRecordsPerHelloMax; ++records) {
    std::size_t payload_size = 0;
    const Framing framing = read_fragment_header(rest, payload_size);
    if (framing != Framing::kComplete) return failed(framing);
    const ByteSpan payload =
        rest.subspan(kTlsRecordHeaderSize, std::min(payload_size, rest.size() - kTlsRecordHeaderSize));
    for (std::size_t i = joined; i < header.size() && i - joined < payload.size(); ++i) {
      header[i] = payload[i - joined];
    }
    const std::size_t have = joined + payload.size();
    const std::size_t body_size = have >= header.size() ? message_size_of(header) : 0;
    if (body_size > kClientHelloMax) return failed(Framing::kTooLong);
    if (payload.size() < payload_size) return failed(Framing::kNeedMore);
    rest = rest.subspan(kTlsRecordHeaderSize + payload_size);
    joined = have;
    if (have < header.size() + body_size) continue;

    const std::size_t size = header.size() + body_size;
    if (records > 1 && scratch.size() < size) return failed(Framing::kTooLong);
    const ByteSpan message =
        records == 1 ? stream.subspan(kTlsRecordHeaderSize, size) : join_fragments(stream, size, scratch);
    return {.framing = Framing::kComplete,
            .type = header[0],
            .body = message.subspan(header.size()),
            .consumed = stream.size() - rest.size(),
            .records = records,
            .trailing = have - size};
  }
  return failed(Framing::kTooLong);
}

TlsMessage read_crypto_handshake_message(ByteSpan stream) {
  if (stream.size() < kTlsHandshakeHeaderSize) return failed(Framing::kNeedMore);
  ByteReader in(stream);
  TlsMessage message;
  std::uint32_t body_size = 0;
  if (!in.read_u8(message.type) || !in.read_u24(body_size)) return failed(Framing::kNeedMore);
  if (body_size > kClientHelloMax) return failed(Framing::kTooLong);
  if (!in.read_bytes(body_size, message.body)) return failed(Framing::kNeedMore);
  message.framing = Framing::kComplete;
  message.consumed = kTlsHandshakeHeaderSize + body_size;
  message.trailing = in.size();
  return message;
}

Likeness looks_like_change_cipher_spec(ByteSpan stream) {
  constexpr std::array<std::uint8_t, kTlsChangeCipherSpecSize> kRecord = {
      kTlsChangeCipherSpec, 3, 3, 0, 1, 1};
  for (std::size_t i = 0; i < std::min(stream.size(), kRecord.size()); ++i) {
    // Any version of the record layer will do (RFC 8446 §5.1: it is to be ignored).
    const bool matches = i == 2 ? stream[i] <= 4 : stream[i] == kRecord[i];
    if (!matches) return Likeness::kNo;
  }
  return stream.size() < kRecord.size() ? Likeness::kMaybe : Likeness::kYes;
}

std::size_t skip_change_cipher_spec(ByteSpan stream) {
  return looks_like_change_cipher_spec(stream) == Likeness::kYes ? kTlsChangeCipherSpecSize : 0;
}

TlsMessage read_second_client_hello(ByteSpan stream, std::span<std::uint8_t> scratch) {
  const Likeness skipped = looks_like_change_cipher_spec(stream);
  if (skipped == Likeness::kMaybe) return failed(Framing::kNeedMore);
  const std::size_t offset = skipped == Likeness::kYes ? kTlsChangeCipherSpecSize : 0;
  TlsMessage message = read_tls_handshake_message(stream.subspan(offset), scratch);
  if (message.framing == Framing::kComplete) message.consumed += offset;
  return message;
}

}  // namespace sallyport::parsers
