// Datagrams: time, addresses, management, logs, discovery.
#include "sallyport/parsers/infrastructure.h"

#include <array>

#include "ber.h"
#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

bool all_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

constexpr unsigned be16(ByteSpan bytes, std::size_t at) {
  return bytes[at] * 256U + bytes[at + 1];
}

bool is_dhcpv4(ByteSpan datagram) {
  constexpr std::size_t kFixedSize = 236;  // RFC 2131 §2
  constexpr std::array<std::uint8_t, 4> kCookie = {99, 130, 83, 99};
  constexpr std::uint8_t kHardwareAddressMax = 16;
  if (datagram.size() < kFixedSize + 4 + 3 || (datagram[0] != 1 && datagram[0] != 2) ||
      datagram[2] > kHardwareAddressMax ||
      !std::equal(kCookie.begin(), kCookie.end(), datagram.begin() + 236)) {
    return false;
  }
  constexpr std::uint8_t kPad = 0;
  constexpr std::uint8_t kMessageType = 53;  // RFC 2132 §9.6
  constexpr std::uint8_t kEnd = 255;
  ByteReader in(datagram.subspan(kFixedSize + 4));
  std::uint8_t code = 0;
  while (in.read_u8(code) && code != kEnd) {
    ByteReader value;
    if (code == kPad) continue;
    if (!in.read_prefixed<1>(value)) return false;
    if (code == kMessageType) return value.size() == 1 && value.rest()[0] >= 1 && value.rest()[0] <= 18;
  }
  return code == kEnd;  // BOOTP has no message type (RFC 1497).
}

// is_dhcpv6 needs a client or server identifier (or, from a relay, a relayed message) and options that end
// where the datagram does: the header alone is four bytes.
bool is_dhcpv6(ByteSpan datagram) {
  constexpr std::uint8_t kRelayForward = 12, kRelayReply = 13;  // RFC 8415 §7.3
  constexpr std::uint16_t kClientId = 1, kServerId = 2, kRelayMessage = 9;
  constexpr std::uint16_t kOptionMax = 160;
  ByteReader in(datagram);
  std::uint8_t type = 0;
  if (!in.read_u8(type) || type == 0 || type > kRelayReply) return false;
  const bool relayed = type == kRelayForward || type == kRelayReply;
  if (!in.skip(relayed ? 1 + 2 * 16 : 3)) return false;
  bool identified = false;
  while (!in.empty()) {
    std::uint16_t code = 0;
    ByteReader value;
    if (!in.read_u16(code) || code == 0 || code > kOptionMax || !in.read_prefixed<2>(value)) return false;
    std::uint16_t duid_type = 0;  // RFC 8415 §11: 1 to 4.
    const bool is_id = (code == kClientId || code == kServerId) && value.read_u16(duid_type) &&
                       duid_type >= 1 && duid_type <= 4 && value.size() >= 4;
    identified = identified || (relayed ? code == kRelayMessage : is_id);
  }
  return identified;
}

bool is_snmp_pdu(ByteReader pdu, std::uint8_t tag) {
  constexpr std::uint8_t kTrapV1 = 0xa4;
  constexpr std::uint8_t kOid = 0x06;
  ByteReader field;
  if (tag == kTrapV1) return read_ber(pdu, kOid, field);
  ByteReader bindings;
  return read_ber(pdu, kBerInteger, field) && read_ber(pdu, kBerInteger, field) &&
         read_ber(pdu, kBerInteger, field) && read_ber(pdu, kBerSequence, bindings) && pdu.empty();
}

// is_netbios_wire_name takes a first-level encoded name (RFC 1001 §14.1) at the beginning of `bytes`.
bool is_netbios_wire_name(ByteSpan bytes) {
  constexpr std::size_t kEncodedSize = 32;
  return bytes.size() >= kEncodedSize + 2 && bytes[0] == kEncodedSize &&
         std::all_of(bytes.begin() + 1, bytes.begin() + 1 + kEncodedSize,
                     [](std::uint8_t byte) { return byte >= 'A' && byte <= 'P'; });
}

bool is_netbios_name_service(ByteSpan datagram) {
  constexpr std::size_t kHeaderSize = 12;
  if (datagram.size() < kHeaderSize + 34 + 4) return false;
  const unsigned opcode = datagram[2] >> 3 & 0xfU;
  const bool known_opcode = opcode == 0 || (opcode >= 5 && opcode <= 9);  // RFC 1002 §4.2.1.1
  if (!known_opcode || be16(datagram, 4) > 1 || be16(datagram, 6) > 1 || be16(datagram, 8) > 1 ||
      be16(datagram, 10) > 1 || !is_netbios_wire_name(datagram.subspan(kHeaderSize))) {
    return false;
  }
  ByteReader in(datagram.subspan(kHeaderSize + 33));
  std::uint8_t scope = 0;
  std::uint16_t type = 0;
  std::uint16_t name_class = 0;
  while (in.read_u8(scope) && scope != 0) {
    if (scope > 63 || !in.skip(scope)) return false;
  }
  return in.read_u16(type) && (type == 32 || type == 33) && in.read_u16(name_class) && name_class == 1;
}

bool is_netbios_datagram(ByteSpan datagram) {
  constexpr std::size_t kHeaderSize = 14;  // RFC 1002 §4.4.1, with length and offset.
  if (datagram.size() < kHeaderSize + 2 * 34) return false;
  const std::uint8_t type = datagram[0];
  return type >= 0x10 && type <= 0x12 && (datagram[1] & 0xf0) == 0 &&
         be16(datagram, 10) == datagram.size() - kHeaderSize &&
         is_netbios_wire_name(datagram.subspan(kHeaderSize));
}

// is_http_datagram takes HTTP's form over UDP, which SSDP and BitTorrent's local discovery share. Some
// senders send the NUL that ends their string.
bool is_http_datagram(ByteSpan datagram, std::string_view start, std::string_view field) {
  std::string_view text = as_text(datagram);
  if (text.ends_with('\0')) text.remove_suffix(1);
  return text.starts_with(start) && is_printable_text(text) && contains_ignoring_case(text, field);
}

// ntp_times_agree compares when the other side was last heard with when that was said and when this is sent
// (RFC 5905 §7.3): two of the three are not farther apart than the longest poll interval, even when a clock
// was set in between. Before anything was heard, both of its times are zero.
bool ntp_times_agree(ByteSpan datagram) {
  constexpr std::int64_t kPollMax = 1 << 17;  // Seconds.
  constexpr std::size_t kOriginAt = 24;
  ByteReader in(datagram.subspan(kOriginAt));
  std::uint32_t origin = 0;
  std::uint32_t received = 0;
  std::uint32_t sent = 0;
  if (!in.read_u32(origin) || !in.skip(4) || !in.read_u32(received) || !in.skip(4) || !in.read_u32(sent))
    return false;
  if (sent == 0) return false;
  if (all_zero(datagram.subspan(kOriginAt, 16))) return true;
  const auto close = [](std::int64_t a, std::int64_t b) {
    return a != 0 && b != 0 && a - b <= kPollMax && b - a <= kPollMax;
  };
  return close(origin, received) || close(received, sent);
}

// is_ntp_control takes a query of mode 6 (RFC 9327 §2): operation, count, and as much data, padded.
bool is_ntp_control(ByteSpan datagram) {
  constexpr std::size_t kControlHeaderSize = 12;
  constexpr unsigned kReadStatus = 1, kRequestNonce = 12, kUnsetTrap = 31;
  if (datagram.size() < kControlHeaderSize || datagram[0] >> 6 != 0) return false;
  const unsigned operation = datagram[1];  // The bits above it are those of answers.
  const bool known = (operation >= kReadStatus && operation <= kRequestNonce) || operation == kUnsetTrap;
  const std::size_t count = be16(datagram, 10);
  return known && be16(datagram, 4) == 0 && be16(datagram, 8) == 0 &&
         datagram.size() == kControlHeaderSize + (count + 3) / 4 * 4;
}

// is_ntp_private takes a query of ntpdc (mode 7) without data: implementation, request code, zeros.
bool is_ntp_private(ByteSpan datagram) {
  constexpr std::size_t kPrivateHeaderSize = 8, kPrivateSizeMax = 200;
  constexpr std::uint8_t kRequestMax = 45;
  if (datagram.size() < kPrivateHeaderSize || datagram.size() > kPrivateSizeMax || datagram.size() % 4 != 0) return false;
  const bool known = datagram[2] == 0 || datagram[2] == 2 || datagram[2] == 3;
  return datagram[0] >> 6 == 0 && datagram[1] == 0 && known && datagram[3] <= kRequestMax &&
         all_zero(datagram.subspan(4));
}

}  // namespace

namespace {

// is_minimal_ntp_client takes the request of a client that tells nothing about itself (draft-ietf-ntp-data-minimization
// §4.1): a precision that no clock has, all else zero up to the times of the last exchange, and a time of sending that is
// any number but zero.
bool is_minimal_ntp_client(ByteSpan datagram) {
  constexpr std::size_t kPrecisionAt = 3, kOriginAt = 24, kSentAt = 40, kSentSize = 8;
  constexpr std::uint8_t kNoPrecision = 0x20;
  return datagram[1] == 0 && datagram[kPrecisionAt] == kNoPrecision &&
         all_zero(datagram.subspan(kPrecisionAt + 1, kOriginAt - kPrecisionAt - 1)) && !all_zero(datagram.subspan(kSentAt, kSentSize));
}

}  // namespace

Likeness looks_like_ntp(ByteSpan datagram) {
  constexpr unsigned kVersionMin = 1, kVersionMax = 4, kControl = 6, kPrivate = 7;
  const unsigned first = datagram.empty() ? 0U : datagram[0];
  const bool version_known = (first >> 3 & 7U) >= kVersionMin && (first >> 3 & 7U) <= kVersionMax;
  if (version_known && (first & 7U) == kControl) return yes_if(is_ntp_control(datagram));
  if (version_known && (first & 7U) == kPrivate) return yes_if(is_ntp_private(datagram));
  constexpr std::size_t kHeaderSize = 48;
  constexpr std::size_t kSizeMax = 1'024;  // Extension fields and a MAC.
  if (datagram.size() < kHeaderSize || datagram.size() > kSizeMax || datagram.size() % 4 != 0)
    return Likeness::kNo;
  const unsigned mode = first & 7U;
  if (!version_known || mode < 1 || mode > 5) return Likeness::kNo;
  constexpr unsigned kClient = 3;
  if (mode == kClient && is_minimal_ntp_client(datagram)) return Likeness::kYes;
  const unsigned stratum = datagram[1];
  const auto poll = static_cast<std::int8_t>(datagram[2]);
  const auto precision = static_cast<std::int8_t>(datagram[3]);
  constexpr unsigned kSecondsMax = 64;  // Root delay and dispersion, whole seconds.
  const bool plausible = stratum <= 16 && poll >= -6 && poll <= 17 && precision >= -32 && precision <= 0 &&
                         be16(datagram, 4) <= kSecondsMax && be16(datagram, 8) <= kSecondsMax;
  // A simple client may leave all times empty (RFC 4330 §5); everyone else tells the time of sending.
  const bool empty_client =
      mode == kClient && datagram.size() == kHeaderSize && all_zero(datagram.subspan(4));
  return yes_if(plausible && (empty_client || ntp_times_agree(datagram)));
}

Likeness looks_like_dhcp(ByteSpan datagram) {
  return yes_if(is_dhcpv4(datagram) || is_dhcpv6(datagram));
}

Likeness looks_like_snmp(ByteSpan datagram) {
  constexpr std::uint8_t kVersion1 = 0, kVersion2c = 1, kVersion3 = 3;
  ByteReader in(datagram);
  ByteReader message, version, part;
  if (!read_ber(in, kBerSequence, message) || !in.empty() || !read_ber(message, kBerInteger, version) ||
      version.size() != 1) {
    return Likeness::kNo;
  }
  if (version.rest()[0] == kVersion3) {  // RFC 3412 §6: global data, security parameters, scoped PDU.
    ByteReader id, flags;
    return yes_if(read_ber(message, kBerSequence, part) && read_ber(part, kBerInteger, id) &&
                  read_ber(part, kBerInteger, id) && read_ber(part, kBerOctetString, flags) &&
                  flags.size() == 1 && read_ber(message, kBerOctetString, part) && !message.empty());
  }
  if ((version.rest()[0] != kVersion1 && version.rest()[0] != kVersion2c) ||
      !read_ber(message, kBerOctetString, part) || message.empty()) {
    return Likeness::kNo;
  }
  constexpr std::uint8_t kFirstPdu = 0xa0, kLastPdu = 0xa8;  // RFC 1157 §4.1, RFC 3416 §3
  const std::uint8_t tag = message.rest()[0];
  ByteReader pdu;
  return yes_if(tag >= kFirstPdu && tag <= kLastPdu && read_ber(message, tag, pdu) && message.empty() &&
                is_snmp_pdu(pdu, tag));
}

Likeness looks_like_syslog(ByteSpan datagram) {
  const std::string_view text = as_text(datagram);
  const std::size_t end = text.substr(0, 5).find('>');
  if (!text.starts_with('<') || end == std::string_view::npos || end < 2) return Likeness::kNo;
  const std::string_view digits = text.substr(1, end - 1);
  if (!std::all_of(digits.begin(), digits.end(), is_digit) || (digits.size() > 1 && digits[0] == '0')) {
    return Likeness::kNo;
  }
  unsigned priority = 0;
  for (const char digit : digits) priority = priority * 10 + static_cast<unsigned>(digit - '0');
  if (priority > 191) return Likeness::kNo;  // RFC 5424 §6.2.1
  std::string_view rest = text.substr(end + 1);
  while (rest.ends_with('\0')) rest.remove_suffix(1);
  constexpr std::size_t kMessageMin = 8;
  return yes_if(rest.size() >= kMessageMin && is_printable_text(rest) && rest[0] != '<');
}

Likeness looks_like_syslog_tcp(ByteSpan stream) {
  // RFC 6587 §3.4: a length may stand before the message. Behind the priority a version and a date (RFC 5424 §6) or a
  // month (RFC 3164 §4.1.2) must stand: "<" and a number alone are many things.
  constexpr std::size_t kLengthMax = 5, kPriorityMax = 3;
  std::string_view text = as_text(stream);
  const auto skip_digits = [&text](std::size_t most) {
    std::size_t count = 0;
    while (count < text.size() && count <= most && is_digit(text[count])) ++count;
    const bool good = count <= most && (count < 2 || text[0] != '0');
    text.remove_prefix(count);
    return good ? static_cast<int>(count) : -1;
  };
  const int length_digits = skip_digits(kLengthMax);
  if (length_digits < 0) return Likeness::kNo;
  if (length_digits > 0) {
    if (text.empty()) return Likeness::kMaybe;
    if (text[0] != ' ') return Likeness::kNo;
    text.remove_prefix(1);
  }
  if (text.empty()) return Likeness::kMaybe;
  if (text[0] != '<') return Likeness::kNo;
  text.remove_prefix(1);
  const int digits = skip_digits(kPriorityMax);
  if (digits < 0) return Likeness::kNo;
  if (text.empty()) return Likeness::kMaybe;
  if (digits == 0 || text[0] != '>') return Likeness::kNo;
  text.remove_prefix(1);
  Likeness likeness = std::max(begins_with(as_bytes_of(text), "1 20"), begins_with(as_bytes_of(text), "1 - "));
  for (const std::string_view month : {"Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ",
                                       "Nov ", "Dec "}) {
    likeness = std::max(likeness, begins_with(as_bytes_of(text), month));
  }
  return likeness;
}

Likeness looks_like_netbios(ByteSpan datagram) {
  return yes_if(is_netbios_name_service(datagram) || is_netbios_datagram(datagram));
}

Likeness looks_like_ssdp(ByteSpan datagram) {
  return yes_if(is_http_datagram(datagram, "M-SEARCH * HTTP/1.1\r\n", "\nST:") ||
                is_http_datagram(datagram, "NOTIFY * HTTP/1.1\r\n", "\nNTS:") ||
                is_http_datagram(datagram, "HTTP/1.1 200 OK\r\n", "\nUSN:"));
}

Likeness looks_like_bittorrent_udp(ByteSpan datagram) {
  const std::string_view text = as_text(datagram);
  // BEP 5: a dictionary with sorted keys that begins with the arguments or the answer and their node id.
  for (const std::string_view start : {"d1:ad2:id20:", "d1:rd2:id20:", "d2:ip6:", "d1:eli2"}) {
    if (text.starts_with(start) && text.ends_with('e') && text.find("1:y1:") != std::string_view::npos) {
      return Likeness::kYes;
    }
  }
  // BEP 15: the first request to a tracker.
  constexpr std::array<std::uint8_t, 12> kTrackerConnect = {0,    0,    4, 0x17, 0x27, 0x10,
                                                            0x19, 0x80, 0, 0,    0,    0};
  if (datagram.size() == 16 && std::equal(kTrackerConnect.begin(), kTrackerConnect.end(), datagram.begin())) {
    return Likeness::kYes;
  }
  // BEP 29: a SYN of version 1, which acknowledges nothing.
  constexpr std::size_t kUtpHeaderSize = 20;
  if (datagram.size() == kUtpHeaderSize && datagram[0] == 0x41 && datagram[1] == 0 &&
      all_zero(datagram.subspan(8, 4)) && all_zero(datagram.subspan(18, 2)) &&
      !all_zero(datagram.subspan(4, 4))) {
    return Likeness::kYes;
  }
  return yes_if(is_http_datagram(datagram, "BT-SEARCH * HTTP/1.1\r\n", "\nInfohash:"));
}

}  // namespace sallyport::parsers
