// PostgreSQL's SSLRequest (Frontend/Backend Protocol, "SSL Session Encryption") and MySQL's SSL request packet. In both the
// packet that logs in ends every chance of TLS.
#include "recogniser_text.h"
#include "sallyport/core/limits.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Due = UpgradeSession::Due;
using Next = UpgradeSession::Next;

constexpr std::uint32_t kCancelRequest = 80'877'102, kSslRequest = 80'877'103, kGssRequest = 80'877'104;
constexpr std::uint32_t kRequestSize = 8;

constexpr std::size_t kMysqlHeaderSize = 4, kMysqlSslRequestSize = 32;
constexpr std::uint16_t kClientProtocol41 = 0x0200, kClientSsl = 0x0800;
constexpr std::uint8_t kMysqlProtocol10 = 10;

std::size_t mysql_length(ByteSpan header) {
  return std::size_t{header[0]} | std::size_t{header[1]} << 8 | std::size_t{header[2]} << 16;
}

}  // namespace

Step read_postgresql_client(UpgradeSession& session, ByteSpan bytes) {
  ByteReader in(bytes);
  std::uint32_t length = 0, code = 0;
  if (!in.read_u32(length) || !in.read_u32(code)) return {};
  if (code == kSslRequest || code == kGssRequest) {
    if (length != kRequestSize) return failed(Kind::kMalformed);
    if (code == kSslRequest) return ask_for_tls(session, kRequestSize);
    if (session.unanswered != 0 || session.uncertain || !expect_answer(session)) return failed(Kind::kAmbiguous);
    wait_for(session, Due::kGss);
    return read_bytes(kRequestSize);
  }
  const std::uint32_t major = code >> 16;
  if (code != kCancelRequest && major != 2 && major != 3) return failed(Kind::kMalformed);
  return {Kind::kEnds, true, kRequestSize, 0};  // It logs in, or cancels with a key that is a secret.
}

Step read_postgresql_server(UpgradeSession& session, ByteSpan bytes) {
  if (session.uncertain) return read_bytes(bytes.size());  // The text of its error; it closes.
  bool marked = false;
  if (session.next != Next::kAnswerDecides || !take_answer(session, marked)) return failed(Kind::kAmbiguous);
  session.next = Next::kCommand;
  const bool tls = session.due == Due::kTls;
  if (bytes[0] == 'S' && tls) return {Kind::kAgrees, false, 1, 0};
  if (bytes[0] == 'E') {  // A server that is older than the request: ErrorResponse. Nothing more is asked for here.
    session.uncertain = true;
    return read_bytes(bytes.size());
  }
  if (bytes[0] == 'G' && !tls) return failed(Kind::kOtherSecurity);
  return bytes[0] == 'N' ? read_bytes(1) : failed(Kind::kMalformed);
}

Step read_mysql_client(UpgradeSession& session, ByteSpan bytes) {
  if (session.greeting) return {};
  if (bytes.size() < kMysqlHeaderSize + 4) return {};
  const std::size_t length = mysql_length(bytes);
  const auto flags = static_cast<std::uint16_t>(bytes[4] | bytes[5] << 8);
  if (bytes[3] != 1 || length < 4) return failed(Kind::kMalformed);
  if ((flags & kClientSsl) == 0) return {Kind::kEnds, true, kMysqlHeaderSize + 4, 0};
  // A server reads the flag in a packet of any length, and some read a login behind it.
  const bool sound = length == kMysqlSslRequestSize && (flags & kClientProtocol41) != 0 && session.offers_tls && !session.uncertain;
  if (!sound) return failed(Kind::kAmbiguous);
  if (bytes.size() < kMysqlHeaderSize + kMysqlSslRequestSize) return {};
  return {Kind::kAgrees, false, kMysqlHeaderSize + kMysqlSslRequestSize, 0};  // The greeting was the server's agreement.
}

Step read_mysql_server(UpgradeSession& session, ByteSpan bytes) {
  if (!session.greeting) return failed(Kind::kAmbiguous);
  if (bytes.size() < kMysqlHeaderSize + 1) return {};
  const std::size_t size = kMysqlHeaderSize + mysql_length(bytes);
  if (size > kUpgradeMessageMax) return failed(Kind::kTooLong);
  if (bytes[3] != 0) return failed(Kind::kMalformed);
  if (bytes.size() < size) return {};
  session.greeting = false;
  const std::string_view body = as_text(bytes.subspan(kMysqlHeaderSize, size - kMysqlHeaderSize));
  if (body.empty() || body[0] != kMysqlProtocol10) {  // An error; it closes.
    session.uncertain = true;
    return read_bytes(size);
  }
  constexpr std::size_t kBeforeFlags = 1 + 4 + 8 + 1;  // NUL, connection, salt, filler.
  const std::size_t version_end = body.find('\0');
  if (version_end == std::string_view::npos || body.size() < version_end + kBeforeFlags + 2) return failed(Kind::kMalformed);
  session.offers_tls = (static_cast<std::uint8_t>(body[version_end + kBeforeFlags + 1]) & kClientSsl >> 8) != 0;
  return read_bytes(size);
}

}  // namespace sallyport::parsers
