#include "sallyport/parsers/database.h"

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

// startup_parameters walks names and values, each ended by NUL, and the NUL behind them.
Likeness startup_parameters(std::string_view text, std::size_t expected_size) {
  const bool whole = text.size() >= expected_size;
  text = text.substr(0, expected_size);
  bool has_user = false;
  while (!text.empty() && text[0] != '\0') {
    const std::size_t name_end = text.find('\0');
    const std::string_view name = text.substr(0, name_end);
    if (!is_printable_text(name)) return Likeness::kNo;
    has_user = has_user || name == "user";
    if (name_end == std::string_view::npos) return whole ? Likeness::kNo : Likeness::kMaybe;
    const std::size_t value_end = text.find('\0', name_end + 1);
    if (value_end == std::string_view::npos) return whole ? Likeness::kNo : Likeness::kMaybe;
    text.remove_prefix(value_end + 1);
  }
  if (!whole) return Likeness::kMaybe;
  return yes_if(has_user && text.size() == 1);
}

}  // namespace

Likeness looks_like_postgresql(ByteSpan client) {
  constexpr std::uint32_t kCancelRequest = 80'877'102;
  constexpr std::uint32_t kSslRequest = 80'877'103;
  constexpr std::uint32_t kGssRequest = 80'877'104;
  constexpr std::uint32_t kVersion2 = 2U << 16, kVersion3 = 3U << 16;
  constexpr std::uint32_t kStartupSizeOfVersion2 = 296, kCancelMin = 16;
  constexpr std::uint32_t kStartupMax = 10'000;  // PostgreSQL's own MAX_STARTUP_PACKET_LENGTH.
  ByteReader in(client);
  std::uint32_t length = 0;
  std::uint32_t code = 0;
  // A first byte of zero is all that every length below has in common.
  if (!client.empty() && client[0] != 0) return Likeness::kNo;
  if (!in.read_u32(length)) return Likeness::kMaybe;
  if (length < 8 || length > kStartupMax) return Likeness::kNo;
  if (!in.read_u32(code)) return Likeness::kMaybe;
  switch (code) {
    case kSslRequest:
    case kGssRequest:
      return yes_if(length == 8);
    case kCancelRequest:  // The key has four bytes in 3.0, and up to 256 in 3.2.
      return yes_if(length >= kCancelMin && length <= kCancelMin - 4 + 256);
    case kVersion2:
      return yes_if(length == kStartupSizeOfVersion2);
    case kVersion3:
    case kVersion3 + 2:
      return startup_parameters(as_text(in.rest()), length - 8);
    default:
      return Likeness::kNo;
  }
}

Likeness looks_like_mysql(ByteSpan client, ByteSpan server) {
  constexpr std::size_t kPacketMax = 1'024;
  constexpr std::uint8_t kProtocol10 = 10;
  constexpr std::uint8_t kError = 0xff;
  if (client.size() > 3 && client[3] != 1) return Likeness::kNo;  // The sequence number of its first packet.
  if (server.empty()) return Likeness::kMaybe;
  if (server.size() < 5) return server.size() >= 3 && server[2] != 0 ? Likeness::kNo : Likeness::kMaybe;
  const std::size_t length =
      std::size_t{server[0]} | std::size_t{server[1]} << 8 | std::size_t{server[2]} << 16;
  if (length < 8 || length > kPacketMax || server[3] != 0) return Likeness::kNo;
  if (server[4] != kProtocol10 && server[4] != kError) return Likeness::kNo;
  if (server.size() - 4 > length && client.empty()) return Likeness::kNo;
  if (server.size() - 4 < length) return Likeness::kMaybe;
  const std::string_view body = as_text(server.subspan(5, length - 1));
  if (server[4] == kError) {
    const std::size_t code = std::size_t{server[5]} | std::size_t{server[6]} << 8;
    return yes_if(code >= 1'000 && code < 5'000 && is_printable_text(body.substr(2)));
  }
  const std::size_t version_end = body.find('\0');
  if (version_end == std::string_view::npos || version_end < 3 || !is_digit(body[0]) ||
      !is_printable_text(body.substr(0, version_end))) {
    return Likeness::kNo;
  }
  constexpr std::size_t kSaltEnd = 1 + 4 + 8;  // NUL, connection id, first part of the salt; a zero follows.
  const std::string_view rest = body.substr(version_end);
  return yes_if(rest.size() > kSaltEnd + 2 && rest[kSaltEnd] == '\0');
}

Likeness looks_like_redis(ByteSpan client) {
  // "*" count CR LF "$" length CR LF command CR LF
  const std::string_view text = as_text(client);
  std::size_t at = 0;
  std::size_t number = 0;
  for (const char sigil : {'*', '$'}) {
    if (at == text.size()) return Likeness::kMaybe;
    if (text[at++] != sigil) return Likeness::kNo;
    const std::size_t begin = at;
    number = 0;
    while (at < text.size() && is_digit(text[at]) && at - begin < 7) {
      number = number * 10 + static_cast<std::size_t>(text[at++] - '0');
    }
    if (at > begin && text[begin] == '0') return Likeness::kNo;
    if (at == text.size()) return Likeness::kMaybe;
    if (at == begin || text[at] != '\r') return Likeness::kNo;
    if (++at == text.size()) return Likeness::kMaybe;
    if (text[at++] != '\n') return Likeness::kNo;
  }
  constexpr std::size_t kCommandMax = 32;
  if (number > kCommandMax) return Likeness::kNo;
  const std::string_view command = text.substr(at, number);
  const bool is_word = std::all_of(command.begin(), command.end(), [](char c) {
    return (upper(c) >= 'A' && upper(c) <= 'Z') || c == '.' || c == '_' || c == '-' || is_digit(c);
  });
  if (!is_word) return Likeness::kNo;
  if (command.size() < number) return Likeness::kMaybe;
  return begins_with(client.subspan(at + number), "\r\n");
}

}  // namespace sallyport::parsers
