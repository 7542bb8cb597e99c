// Telling DNS from everything else by its bytes. Eight of a header's twelve bytes are counts, which random
// bytes seldom make small; the questions and records must then walk to the end.
#include <algorithm>
#include <array>

#include "dns_wire.h"

namespace sallyport::parsers {
namespace {

constexpr std::size_t kQuestionsMax = 32;    // mDNS asks several at once; everything else asks one.
constexpr std::size_t kQuestionSizeMin = 5;  // The root, type and class.
constexpr std::size_t kRecordSizeMin = 11;

bool flags_are_sane(const DnsHeader& header) {
  const bool known_opcode = header.opcode <= kDnsOpcodeStatus || header.opcode == kDnsOpcodeNotify ||
                            header.opcode == kDnsOpcodeUpdate;
  constexpr std::uint8_t kRcodeMax = 11;  // RFC 8490 §10.2
  return known_opcode && header.rcode <= (header.is_response ? kRcodeMax : 0);
}

bool counts_are_sane(const DnsHeader& header) {
  const std::size_t records =
      std::size_t{header.answer_count} + header.authority_count + header.additional_count;
  if (header.question_count > kQuestionsMax || records > kDnsRecordsMax) return false;
  if (!header.is_response) {
    // RFC 1035 §6.4: an inverse query has an answer in place of a question.
    return header.question_count != 0 || (header.opcode == kDnsOpcodeIquery && header.answer_count == 1);
  }
  // RFC 6762 §6: a multicast answer does not repeat the question.
  return header.question_count == 1 || header.answer_count != 0;
}

bool class_is_known(std::uint16_t dns_class) {
  constexpr std::uint16_t kMulticastBit = 0x8000;  // RFC 6762 §5.4, §10.2
  switch (dns_class & ~kMulticastBit) {
    case kDnsClassIn:
    case 3:    // CHAOS
    case 4:    // HESIOD
    case 254:  // NONE (RFC 2136 §1.3)
    case 255:
      return true;  // ANY
    default:
      return false;
  }
}

// is_netbios_name tells whether a name is of RFC 1001 §14.1: 32 letters A to P, then perhaps a scope.
bool is_netbios_name(const DnsName& name) {
  constexpr std::size_t kEncodedSize = 32;
  const std::string_view text = name.text();
  const std::string_view label = text.substr(0, text.find('.'));
  return label.size() == kEncodedSize &&
         label.find_first_not_of("abcdefghijklmnop") == std::string_view::npos;
}

// type_is_known takes the private range too (RFC 6895 §3.1), for names that are host names.
bool type_is_known(const DnsName& name, std::uint16_t type) {
  constexpr std::uint16_t kPrivateBegin = 65'280;
  constexpr std::uint16_t kPrivateEnd = 65'534;
  return is_known_dns_type(type) || (name.is_host_name && type >= kPrivateBegin && type <= kPrivateEnd);
}

bool question_is_sane(const DnsQuestion& question) {
  return class_is_known(question.dns_class) && type_is_known(question.name, question.type) &&
         question.type != kDnsTypeOpt && !is_netbios_name(question.name);
}

// record_is_sane judges a record by itself. Behind a sane question it need only be no NetBIOS name: some
// clients pad their queries with records of type 0.
bool record_is_sane(const DnsRecord& record, bool behind_question) {
  if (is_netbios_name(record.name)) return false;
  if (record.type == kDnsTypeOpt) return record.name.is_root();
  return behind_question || (class_is_known(record.dns_class) && type_is_known(record.name, record.type));
}

Likeness on_failure(DnsWire result) {
  return result == DnsWire::kShort ? Likeness::kMaybe : Likeness::kNo;
}

// begins_netbios_name tells that what is there of a cut name can still become one of RFC 1001.
bool begins_netbios_name(ByteSpan name) {
  constexpr std::uint8_t kEncodedSize = 32;
  return name.size() > 1 && name[0] == kEncodedSize &&
         std::all_of(name.begin() + 1, name.begin() + std::min<std::ptrdiff_t>(std::ssize(name), 1 + kEncodedSize),
                     [](std::uint8_t byte) { return byte >= 'A' && byte <= 'P'; });
}

}  // namespace

Likeness looks_like_dns(ByteSpan message) {
  DnsHeader header;
  std::size_t offset = 0;
  if (message.size() > kDnsMessageMax || read_dns_header(message, offset, header) != DnsWire::kOk ||
      !flags_are_sane(header) || !counts_are_sane(header)) {
    return Likeness::kNo;
  }
  // A datagram without one whole question or record says too little, even if it was cut off.
  const std::size_t least = header.question_count != 0 ? kQuestionSizeMin : kRecordSizeMin;
  if (message.size() - offset < least) return Likeness::kNo;
  DnsQuestion question;
  for (std::size_t i = 0; i < header.question_count; ++i) {
    const ByteSpan rest = message.subspan(offset);
    if (const DnsWire result = read_dns_question(message, offset, question); result != DnsWire::kOk) {
      return begins_netbios_name(rest) ? Likeness::kNo : on_failure(result);
    }
    if (!question_is_sane(question)) return Likeness::kNo;
  }
  const std::size_t records =
      std::size_t{header.answer_count} + header.authority_count + header.additional_count;
  DnsRecord record;
  for (std::size_t i = 0; i < records; ++i) {
    if (const DnsWire result = read_dns_record(message, offset, record); result != DnsWire::kOk) {
      return on_failure(result);
    }
    if (!record_is_sane(record, header.question_count != 0)) return Likeness::kNo;
  }
  return Likeness::kYes;
}

Likeness looks_like_dns_tcp(ByteSpan stream, std::size_t message_max) {
  constexpr std::size_t kLengthMin = kDnsHeaderSize + kQuestionSizeMin;
  if (stream.empty()) return Likeness::kMaybe;
  if (stream[0] > message_max >> 8) return Likeness::kNo;
  ByteReader in(stream);
  std::uint16_t length = 0;
  if (!in.read_u16(length)) return Likeness::kMaybe;
  if (length < kLengthMin || length > message_max) return Likeness::kNo;
  const bool whole = in.size() >= length;
  const ByteSpan message = in.rest().first(whole ? length : in.size());

  // What is not there yet is filled in as a query's most usual header, so that each byte is judged as it
  // comes.
  std::array<std::uint8_t, kDnsHeaderSize> start = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  for (std::size_t i = 0; i < std::min(message.size(), start.size()); ++i) start[i] = message[i];
  DnsHeader header;
  std::size_t offset = 0;
  if (read_dns_header(start, offset, header) != DnsWire::kOk || !flags_are_sane(header) ||
      !counts_are_sane(header) || header.question_count != 1) {
    return Likeness::kNo;
  }
  if (message.size() < kDnsHeaderSize) return Likeness::kMaybe;
  DnsQuestion question;
  const DnsWire result = read_dns_question(message, offset, question);
  if (result != DnsWire::kOk) return whole ? Likeness::kNo : on_failure(result);
  return question_is_sane(question) ? Likeness::kYes : Likeness::kNo;
}

}  // namespace sallyport::parsers
