#include "sallyport/parsers/messaging.h"

#include <array>

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

constexpr std::array<std::string_view, 14> kSipMethods = {
    "INVITE",    "ACK",    "BYE",     "CANCEL", "OPTIONS", "REGISTER", "PRACK",
    "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO",   "REFER",   "MESSAGE",  "UPDATE"};

// is_sip_request takes "METHOD URI SIP/2.0".
bool is_sip_request(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || !line.ends_with(" SIP/2.0")) return false;
  const std::string_view uri = line.substr(space + 1);
  const bool has_scheme = uri.starts_with("sip:") || uri.starts_with("sips:") || uri.starts_with("tel:");
  return has_scheme &&
         std::find(kSipMethods.begin(), kSipMethods.end(), line.substr(0, space)) != kSipMethods.end();
}

bool is_sip_status(std::string_view line) {
  constexpr std::string_view kVersion = "SIP/2.0 ";
  return line.starts_with(kVersion) && line.size() >= kVersion.size() + 4 && line[8] >= '1' &&
         line[8] <= '6' && is_digit(line[9]) && is_digit(line[10]) && line[11] == ' ';
}

}  // namespace

Likeness looks_like_mqtt(ByteSpan client) {
  constexpr std::uint8_t kConnect = 0x10;
  ByteReader in(client);
  std::uint8_t byte = 0;
  if (!in.read_u8(byte)) return Likeness::kMaybe;
  if (byte != kConnect) return Likeness::kNo;
  std::size_t remaining = 0;
  for (unsigned i = 0;; ++i) {
    if (i == 4) return Likeness::kNo;  // MQTT 5.0 §1.5.5: at most four bytes.
    if (!in.read_u8(byte)) return Likeness::kMaybe;
    remaining |= static_cast<std::size_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) break;
  }
  if (remaining < 12) return Likeness::kNo;
  const ByteSpan body = in.rest();
  using namespace std::string_view_literals;
  const Likeness modern = begins_with(body, "\0\4MQTT"sv);
  const Likeness old = begins_with(body, "\0\6MQIsdp"sv);
  if (modern != Likeness::kYes && old != Likeness::kYes) return std::max(modern, old);
  const std::size_t level_at = modern == Likeness::kYes ? 6 : 8;
  if (body.size() < level_at + 2) return Likeness::kMaybe;
  const std::uint8_t level = body[level_at];
  const bool reserved_flag = (body[level_at + 1] & 1) != 0;
  const bool known = modern == Likeness::kYes ? level == 4 || level == 5 : level == 3;
  // Bridges of mosquitto set the top bit of the level.
  const bool bridge = modern == Likeness::kYes ? level == 0x84 : level == 0x83;
  return yes_if((known || bridge) && !reserved_flag);
}

Likeness looks_like_amqp(ByteSpan client) {
  const Likeness begin = begins_with(client, "AMQP");
  if (begin != Likeness::kYes) return begin;
  if (client.size() < 8) return Likeness::kMaybe;
  constexpr std::array<std::array<std::uint8_t, 4>, 7> kVersions = {{
      {0, 0, 9, 1},
      {1, 1, 0, 9},
      {1, 1, 8, 0},
      {1, 1, 0, 10},  // 0-9-1, 0-9, 0-8, 0-10
      {0, 1, 0, 0},
      {2, 1, 0, 0},
      {3, 1, 0, 0},  // 1.0: plain, TLS, SASL
  }};
  return yes_if(std::any_of(kVersions.begin(), kVersions.end(), [&](const auto& version) {
    return std::equal(version.begin(), version.end(), client.begin() + 4);
  }));
}

Likeness looks_like_xmpp(ByteSpan client) {
  // An XML declaration may stand before the stream's opening tag. Attributes come in any order, so the tag
  // is awaited whole.
  constexpr std::size_t kTagMax = 1'024;
  const Likeness declaration = begins_with(client, "<?xml ");
  const Likeness bare = begins_with(client, "<stream:stream");
  if (declaration != Likeness::kYes && bare != Likeness::kYes) return std::max(declaration, bare);
  std::string_view text = as_text(client).substr(0, kTagMax);
  const Likeness unfinished = client.size() < kTagMax ? Likeness::kMaybe : Likeness::kNo;
  if (declaration == Likeness::kYes) {
    const std::size_t end = text.find("?>");
    if (end == std::string_view::npos) return unfinished;
    text.remove_prefix(end + 2);
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    const Likeness tag = begins_with(as_bytes_of(text), "<stream:stream");
    if (tag != Likeness::kYes) return tag;
  }
  const std::size_t end = text.find('>');
  if (end == std::string_view::npos) return unfinished;
  return yes_if(text.substr(0, end).find("http://etherx.jabber.org/streams") != std::string_view::npos);
}

Likeness looks_like_sip(ByteSpan bytes) {
  constexpr std::size_t kEmptyLinesMax = 8;  // RFC 3261 §7.5: they are passed over; RFC 5626 §3.5.1 sends two to keep alive.
  for (std::size_t i = 0; i < kEmptyLinesMax && !bytes.empty() && bytes[0] == '\r'; ++i) {
    if (bytes.size() == 1) return Likeness::kMaybe;
    if (bytes[1] != '\n') return Likeness::kNo;
    bytes = bytes.subspan(2);
    if (bytes.empty()) return Likeness::kMaybe;
  }
  constexpr std::size_t kLineMax = 2'048;
  bool whole = false;
  const std::string_view line = first_line(bytes.first(std::min(bytes.size(), kLineMax)), whole);
  if (whole) return yes_if(is_printable_text(line) && (is_sip_request(line) || is_sip_status(line)));
  if (bytes.size() >= kLineMax) return Likeness::kNo;
  Likeness likeness = begins_with(bytes, "SIP/2.0 ");
  const std::size_t space = line.find(' ');
  for (const std::string_view method : kSipMethods) {
    if (space == std::string_view::npos) {
      if (method.starts_with(line)) likeness = Likeness::kMaybe;
    } else if (line.substr(0, space) == method) {
      const ByteSpan uri = bytes.subspan(space + 1);
      likeness = std::max({begins_with(uri, "sip:"), begins_with(uri, "sips:"), begins_with(uri, "tel:")});
    }
  }
  return likeness == Likeness::kNo ? Likeness::kNo : Likeness::kMaybe;  // The version ends the line.
}

}  // namespace sallyport::parsers
