// Streams: file and desktop sharing, proxies, directories, peers.
#include <array>

#include "ber.h"
#include "recogniser_text.h"
#include "sallyport/parsers/infrastructure.h"

namespace sallyport::parsers {
namespace {

using namespace std::string_view_literals;

// pieces_fit reads "length, element" of LDAP's envelope up to the operation; kYes leaves `in` at its content.
Likeness ldap_operation(ByteReader& in, std::uint8_t& operation) {
  constexpr std::size_t kMessageMax = 1U << 24;
  std::uint8_t tag = 0;
  std::size_t length = 0;
  if (!in.read_u8(tag)) return Likeness::kMaybe;
  if (tag != kBerSequence) return Likeness::kNo;
  if (in.empty()) return Likeness::kMaybe;
  const std::uint8_t form = in.rest()[0];
  if (form == 0x80 || form > 0x84) return Likeness::kNo;
  if (!read_ber_length(in, length)) return Likeness::kMaybe;
  if (length < 5 || length > kMessageMax) return Likeness::kNo;
  const std::size_t size_before = in.size();
  std::uint8_t id_length = 0;
  if (!in.read_u8(tag)) return Likeness::kMaybe;
  if (tag != kBerInteger) return Likeness::kNo;
  if (!in.read_u8(id_length)) return Likeness::kMaybe;
  if (id_length < 1 || id_length > 4) return Likeness::kNo;
  if (!in.skip(id_length) || !in.read_u8(operation)) return Likeness::kMaybe;
  std::size_t operation_length = 0;
  if (!read_ber_length(in, operation_length)) return in.size() >= 5 ? Likeness::kNo : Likeness::kMaybe;
  return yes_if(operation_length <= length - std::min(length, size_before - in.size()));
}

// ldap_search awaits the base name, then scope and aliases (RFC 4511 §4.5.1).
Likeness ldap_search(ByteReader in) {
  constexpr std::size_t kNameMax = 4'096;
  std::uint8_t tag = 0;
  std::size_t length = 0;
  if (!in.read_u8(tag)) return Likeness::kMaybe;
  if (tag != kBerOctetString) return Likeness::kNo;
  if (!read_ber_length(in, length)) return in.size() >= 5 ? Likeness::kNo : Likeness::kMaybe;
  if (length > kNameMax) return Likeness::kNo;
  if (!in.skip(length) || in.size() < 6) return Likeness::kMaybe;
  const ByteSpan rest = in.rest();
  return yes_if(rest[0] == kBerEnumerated && rest[1] == 1 && rest[2] <= 3 && rest[3] == kBerEnumerated &&
                rest[4] == 1 && rest[5] <= 3);
}

// socks5_greeting: version, count, that many methods, and then the client waits.
Likeness socks5_greeting(ByteReader in, ByteSpan server) {
  constexpr std::uint8_t kMethodMax = 9;  // IANA "SOCKS Methods"; beyond are private ones.
  std::uint8_t count = 0;
  if (!in.read_u8(count)) return Likeness::kMaybe;
  const bool answered = server.size() >= 2 && server[0] == 5;
  if (count == 0 || count > kMethodMax || (in.size() > count && !answered)) return Likeness::kNo;
  std::uint8_t seen_private = 0;
  std::uint16_t seen = 0;
  for (const std::uint8_t method : in.rest().first(std::min<std::size_t>(count, in.size()))) {
    if (method >= 0x80 && method != 0xff) {
      if (++seen_private > 2) return Likeness::kNo;
    } else if (method > kMethodMax || (seen >> method & 1) != 0) {
      return Likeness::kNo;
    } else {
      seen = static_cast<std::uint16_t>(seen | 1U << method);
    }
  }
  return in.size() < count ? Likeness::kMaybe : Likeness::kYes;
}

// socks4_request: command, port, address, user name, and for 4a a host name.
Likeness socks4_request(ByteReader in, ByteSpan server) {
  constexpr std::size_t kTextMax = 255;
  std::uint8_t command = 0;
  std::uint16_t port = 0;
  std::uint32_t address = 0;
  if (!in.read_u8(command)) return Likeness::kMaybe;
  if (command != 1 && command != 2) return Likeness::kNo;
  if (!in.read_u16(port) || !in.read_u32(address)) return Likeness::kMaybe;
  if (port == 0 || address == 0) return Likeness::kNo;
  const bool has_host = address < 256;
  std::string_view text = as_text(in.rest());
  for (int i = 0; i < (has_host ? 2 : 1); ++i) {
    const std::size_t end = text.find('\0');
    const std::string_view field = text.substr(0, end);
    if (field.size() > kTextMax || !is_printable_text(field)) return Likeness::kNo;
    if (end == std::string_view::npos) return Likeness::kMaybe;
    text.remove_prefix(end + 1);
  }
  constexpr std::uint8_t kGranted = 0x5a, kLastRefusal = 0x5d;
  const bool answered =
      server.size() >= 2 && server[0] == 0 && server[1] >= kGranted && server[1] <= kLastRefusal;
  return yes_if(text.empty() || answered);
}

// ends_with_rdp_negotiation awaits RDP_NEG_REQ (MS-RDPBCGR §2.2.1.1.1), perhaps with RDP_NEG_CORRELATION_INFO behind it.
bool ends_with_rdp_negotiation(ByteSpan variable) {
  constexpr std::size_t kRequestSize = 8, kCorrelationSize = 36;
  if (variable.size() >= kRequestSize + kCorrelationSize) {
    const ByteSpan correlation = variable.last(kCorrelationSize);
    const bool correlated = correlation[0] == 6 && correlation[1] == 0 && correlation[2] == kCorrelationSize && correlation[3] == 0;
    if (correlated) variable = variable.first(variable.size() - kCorrelationSize);
  }
  if (variable.size() < kRequestSize) return false;
  const ByteSpan request = variable.last(kRequestSize);
  return request[0] == 1 && request[2] == kRequestSize && request[3] == 0 && request[4] <= 0x1f && request[5] == 0;
}

}  // namespace

Likeness looks_like_netbios_session(ByteSpan client) {
  // Session request: type, flags, length 68, then two encoded names of 34 bytes without a scope.
  const Likeness begin = begins_with(client, "\x81\0\0\x44\x20"sv);
  if (begin != Likeness::kYes) return begin;
  constexpr std::size_t kNameAt = 5;
  constexpr std::size_t kEncodedSize = 32;
  const std::string_view name = as_text(client).substr(kNameAt, kEncodedSize);
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'P'; }))
    return Likeness::kNo;
  return name.size() < kEncodedSize ? Likeness::kMaybe : Likeness::kYes;
}

Likeness looks_like_smb(ByteSpan client) {
  // A session message (RFC 1002 §4.3.1) around the header of SMB1, SMB2 or encrypted SMB3.
  constexpr std::size_t kHeaderMin = 32;
  ByteReader in(client);
  std::uint8_t type = 0;
  std::uint32_t length = 0;
  if (!in.read_u8(type)) return Likeness::kMaybe;
  if (type != 0) return Likeness::kNo;
  if (!in.read_u24(length)) return Likeness::kMaybe;
  if (length < kHeaderMin) return Likeness::kNo;
  const ByteSpan rest = in.rest();
  return std::max(
      {begins_with(rest, "\xffSMB"), begins_with(rest, "\xfeSMB\x40\0"sv), begins_with(rest, "\xfdSMB")});
}

Likeness looks_like_rdp(ByteSpan client, ByteSpan server) {
  // TPKT (RFC 1006 §6) with a connection request of X.224 class 0. Other protocols begin so too: a cookie, a
  // routing token or the negotiation request of RDP must be there.
  constexpr std::size_t kTpduEnd = 11;
  const Likeness begin = begins_with(client, "\3\0"sv);
  if (begin != Likeness::kYes) return begin;
  ByteReader in(client.subspan(2));
  std::uint16_t length = 0;
  if (!in.read_u16(length)) return Likeness::kMaybe;
  if (length < kTpduEnd || length > 512) return Likeness::kNo;
  constexpr std::uint8_t kConnectionRequest = 0xe0;
  const ByteSpan tpdu = in.rest();
  if (!tpdu.empty() && tpdu[0] != length - 5) return Likeness::kNo;
  if (tpdu.size() > 1 && tpdu[1] != kConnectionRequest) return Likeness::kNo;
  if (client.size() < length) return Likeness::kMaybe;
  constexpr std::uint8_t kConnectionConfirm = 0xd0;
  const bool confirmed = server.size() > 5 && server[0] == 3 && server[5] == kConnectionConfirm;
  if (client.size() > length && !confirmed) return Likeness::kNo;
  const ByteSpan variable = client.subspan(kTpduEnd, length - kTpduEnd);
  const bool cookie = begins_with(variable, "Cookie: ms") == Likeness::kYes;
  return yes_if(cookie || ends_with_rdp_negotiation(variable));
}

Likeness looks_like_socks(ByteSpan client, ByteSpan server) {
  ByteReader in(client);
  std::uint8_t version = 0;
  if (!in.read_u8(version)) return Likeness::kMaybe;
  if (version == 5) return socks5_greeting(in, server);
  return version == 4 ? socks4_request(in, server) : Likeness::kNo;
}

Likeness looks_like_ldap(ByteSpan client) {
  constexpr std::uint8_t kBind = 0x60, kSearch = 0x63, kExtended = 0x77;  // RFC 4511 §4.2, §4.5, §4.12
  ByteReader in(client);
  std::uint8_t operation = 0;
  const Likeness envelope = ldap_operation(in, operation);
  if (envelope != Likeness::kYes) return envelope;
  switch (operation) {
    case kBind: {
      const Likeness version3 = begins_with(in.rest(), "\2\1\3\4");
      return std::max(version3, begins_with(in.rest(), "\2\1\2\4"));
    }
    case kSearch:
      return ldap_search(in);
    case kExtended: {
      const ByteSpan name = in.rest();
      if (name.size() < 4) return Likeness::kMaybe;
      return yes_if(name[0] == 0x80 && name[2] == '1' && name[3] == '.');
    }
    default:
      return Likeness::kNo;
  }
}

Likeness looks_like_bittorrent(ByteSpan client) {
  return begins_with(client,
                     "\x13"
                     "BitTorrent protocol");
}

}  // namespace sallyport::parsers
