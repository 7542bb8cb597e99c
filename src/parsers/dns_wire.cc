#include "dns_wire.h"

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kLabelTypeMask = 0xc0;  // RFC 1035 §4.1.4
constexpr std::uint8_t kLabelPointer = 0xc0;
constexpr std::uint8_t kLabelPlain = 0x00;

constexpr bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

void append(DnsName& name, char c) {
  name.chars[name.size++] = c;
}

// append_label adds a dot, where one is due, and the label in presentation form (RFC 4343 §2.1). The caller
// has checked that the name stays within kDnsNameWireMax, so the text stays within kDnsNameTextMax.
void append_label(DnsName& name, ByteSpan label) {
  if (name.labels != 0) append(name, '.');
  for (const std::uint8_t byte : label) {
    const char c = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : static_cast<char>(byte);
    if (is_host_char(c)) {
      append(name, c);
      continue;
    }
    name.is_host_name = false;
    if (byte < 0x21 || byte > 0x7e) {
      append(name, '\\');
      append(name, static_cast<char>('0' + byte / 100));
      append(name, static_cast<char>('0' + byte / 10 % 10));
      append(name, static_cast<char>('0' + byte % 10));
    } else {
      if (c == '.' || c == '\\') append(name, '\\');
      append(name, c);
    }
  }
  ++name.labels;
}

}  // namespace

DnsWire read_dns_header(ByteSpan message, std::size_t& offset, DnsHeader& out) {
  ByteReader in(message);
  std::uint16_t flags = 0;
  if (!in.read_u16(out.id) || !in.read_u16(flags) || !in.read_u16(out.question_count) ||
      !in.read_u16(out.answer_count) || !in.read_u16(out.authority_count) ||
      !in.read_u16(out.additional_count)) {
    return DnsWire::kShort;
  }
  out.is_response = (flags & 0x8000) != 0;
  out.opcode = static_cast<std::uint8_t>(flags >> 11 & 0xf);
  out.authoritative = (flags & 0x0400) != 0;
  out.truncated = (flags & 0x0200) != 0;
  out.recursion_desired = (flags & 0x0100) != 0;
  out.recursion_available = (flags & 0x0080) != 0;
  out.reserved = (flags & 0x0040) != 0;
  out.authentic_data = (flags & 0x0020) != 0;  // RFC 4035 §3.1.6
  out.checking_disabled = (flags & 0x0010) != 0;
  out.rcode = static_cast<std::uint8_t>(flags & 0xf);
  offset = kDnsHeaderSize;
  return DnsWire::kOk;
}

DnsWire read_dns_name(ByteSpan message, std::size_t& offset, DnsName& out) {
  out.size = 0;
  out.labels = 0;
  out.is_host_name = true;
  std::size_t at = offset;
  std::size_t run_begin = offset;  // Of the labels being read; a pointer must lead before it.
  std::size_t behind = 0;          // Where the name ends in the place that it was called from.
  std::size_t pointers = 0;
  std::size_t wire_size = 1;  // The root.
  while (true) {
    if (at >= message.size()) return DnsWire::kShort;
    const std::uint8_t length = message[at];
    if ((length & kLabelTypeMask) == kLabelPointer) {
      if (message.size() - at < 2) return DnsWire::kShort;
      const std::size_t target = static_cast<std::size_t>(length & 0x3f) << 8 | message[at + 1];
      if (target < kDnsHeaderSize || target >= run_begin) return DnsWire::kMalformed;
      if (++pointers > kDnsPointersMax) return DnsWire::kTooLong;
      if (pointers == 1) behind = at + 2;
      at = run_begin = target;
      continue;
    }
    if ((length & kLabelTypeMask) != kLabelPlain) return DnsWire::kMalformed;  // RFC 6891 §5: no longer used.
    ++at;
    if (length == 0) break;
    wire_size += std::size_t{1} + length;
    if (wire_size > kDnsNameWireMax) return DnsWire::kMalformed;
    if (length > message.size() - at) return DnsWire::kShort;
    append_label(out, message.subspan(at, length));
    at += length;
  }
  if (out.labels == 0) {
    append(out, '.');
    out.is_host_name = false;
  }
  offset = pointers == 0 ? at : behind;
  return DnsWire::kOk;
}

DnsWire read_dns_question(ByteSpan message, std::size_t& offset, DnsQuestion& out) {
  std::size_t at = offset;
  if (const DnsWire name = read_dns_name(message, at, out.name); name != DnsWire::kOk) return name;
  ByteReader in(message.subspan(at));
  if (!in.read_u16(out.type) || !in.read_u16(out.dns_class)) return DnsWire::kShort;
  offset = message.size() - in.size();
  return DnsWire::kOk;
}

DnsWire read_dns_record(ByteSpan message, std::size_t& offset, DnsRecord& out) {
  std::size_t at = offset;
  if (const DnsWire name = read_dns_name(message, at, out.name); name != DnsWire::kOk) return name;
  ByteReader in(message.subspan(at));
  ByteReader rdata;
  if (!in.read_u16(out.type) || !in.read_u16(out.dns_class) || !in.read_u32(out.ttl) ||
      !in.read_prefixed<2>(rdata)) {
    return DnsWire::kShort;
  }
  out.rdata = rdata.rest();
  offset = message.size() - in.size();
  out.rdata_offset = offset - out.rdata.size();
  return DnsWire::kOk;
}

}  // namespace sallyport::parsers
