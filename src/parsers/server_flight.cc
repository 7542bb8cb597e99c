#include "sallyport/parsers/server_flight.h"

#include <algorithm>
#include <array>

#include "sallyport/parsers/tls_handshake.h"

namespace sallyport::parsers {
namespace {

constexpr std::size_t kRandomOffset = 6;  // Handshake header and legacy_version.
constexpr std::size_t kRandomSize = 32;
constexpr std::size_t kServerHelloMin = 2 + kRandomSize + 1 + 2 + 1;  // No session id, no extensions.
constexpr std::uint8_t kAlertWarning = 1;
constexpr std::uint8_t kCloseNotify = 0;

// The first bytes of the ServerHello, joined from as many records as they lie in.
struct HelloStart {
  std::array<std::uint8_t, kRandomOffset + kRandomSize> bytes{};
  std::size_t size = 0;

  void append(ByteSpan payload) {
    const std::size_t wanted = std::min(payload.size(), bytes.size() - size);
    std::copy_n(payload.begin(), wanted, bytes.begin() + static_cast<std::ptrdiff_t>(size));
    size += wanted;
  }
};

ServerFlightInfo judge(const HelloStart& hello) {
  const auto& bytes = hello.bytes;
  if (hello.size >= 1 && bytes[0] != kTlsServerHello) return {ServerFlight::kNotTls};
  if (hello.size >= 4 && (bytes[1] << 16 | bytes[2] << 8 | bytes[3]) < static_cast<int>(kServerHelloMin)) {
    return {ServerFlight::kNotTls};
  }
  if (hello.size >= 5 && bytes[4] != 3) return {ServerFlight::kNotTls};
  if (hello.size < bytes.size()) return {ServerFlight::kNeedMore};
  const bool retry = std::equal(kHelloRetryRandom.begin(), kHelloRetryRandom.end(), bytes.begin() + kRandomOffset);
  return {retry ? ServerFlight::kHelloRetryRequest : ServerFlight::kServerHello,
          static_cast<std::uint16_t>(bytes[4] << 8 | bytes[5])};
}

enum class AlertStep : std::uint8_t { kNeedMore, kSkip, kEnds, kMalformed };

AlertStep read_alert(const TlsRecord& record, ByteSpan payload) {
  if (record.payload_size != 2) return AlertStep::kMalformed;
  if (payload.size() < 2) return AlertStep::kNeedMore;
  return payload[0] == kAlertWarning && payload[1] != kCloseNotify ? AlertStep::kSkip : AlertStep::kEnds;
}

}  // namespace

ServerFlightInfo read_server_flight(ByteSpan stream) {
  HelloStart hello;
  std::size_t warnings = 0;
  // Each round takes a byte of the hello at least, or a warning.
  for (std::size_t round = 0; round <= hello.bytes.size() + kServerWarningsMax; ++round) {
    if (!stream.empty() && stream[0] != kTlsHandshake && stream[0] != kTlsAlert)
      return {ServerFlight::kNotTls};
    const TlsRecord record = read_tls_record(stream);
    if (record.framing == Framing::kMalformed) return {ServerFlight::kNotTls};
    if (record.framing != Framing::kComplete) return {ServerFlight::kNeedMore};
    if (record.payload_size == 0 || record.payload_size > kTlsPlaintextMax) return {ServerFlight::kNotTls};
    const ByteSpan payload = stream.subspan(
        kTlsRecordHeaderSize, std::min(record.payload_size, stream.size() - kTlsRecordHeaderSize));

    if (record.content_type == kTlsAlert) {
      if (hello.size != 0) return {ServerFlight::kNotTls};  // RFC 8446 §5.1: no record between fragments.
      switch (read_alert(record, payload)) {
        case AlertStep::kNeedMore:
          return {ServerFlight::kNeedMore};
        case AlertStep::kEnds:
          return {ServerFlight::kAlert};
        case AlertStep::kMalformed:
          return {ServerFlight::kNotTls};
        case AlertStep::kSkip:
          break;
      }
      if (++warnings > kServerWarningsMax) return {ServerFlight::kNotTls};
    } else {
      hello.append(payload);
      const ServerFlightInfo info = judge(hello);
      if (info.kind != ServerFlight::kNeedMore || payload.size() < record.payload_size) return info;
    }
    stream = stream.subspan(record.size());
  }
  return {ServerFlight::kNotTls};
}

}  // namespace sallyport::parsers
