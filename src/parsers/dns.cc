#include "sallyport/parsers/dns.h"

#include <algorithm>

#include "dns_wire.h"

namespace sallyport::parsers {
namespace {

constexpr ParseError to_parse_error(DnsWire result) {
  return result == DnsWire::kTooLong ? ParseError::kTooLong : ParseError::kMalformed;
}

std::size_t piece_count(const DnsHeader& header) {
  return std::size_t{header.question_count} + header.answer_count + header.authority_count +
         header.additional_count;
}

// read_edns checks an OPT record and keeps what it says (RFC 6891 §6.1). A second one is an error there.
bool read_edns(const DnsRecord& record, DnsEdns& edns) {
  if (edns.present || record.section != DnsSection::kAdditional || !record.name.is_root()) return false;
  edns.present = true;
  edns.udp_size = record.dns_class;
  edns.extended_rcode = static_cast<std::uint8_t>(record.ttl >> 24);
  edns.version = static_cast<std::uint8_t>(record.ttl >> 16);
  edns.dnssec_ok = (record.ttl & 0x8000) != 0;
  edns.options = record.rdata;
  ByteReader in(record.rdata);
  while (!in.empty()) {
    ByteReader value;
    if (!in.skip(2) || !in.read_prefixed<2>(value)) return false;
  }
  return true;
}

DnsWire read_questions(DnsMessage& message, std::size_t& offset) {
  DnsQuestion scratch;
  for (std::size_t i = 0; i < message.header.question_count; ++i) {
    DnsQuestion& question = i == 0 ? message.question.emplace() : scratch;
    if (const DnsWire result = read_dns_question(message.bytes, offset, question); result != DnsWire::kOk) {
      return result;
    }
  }
  return DnsWire::kOk;
}

DnsWire read_records(DnsMessage& message, std::size_t& offset, DnsSection section, std::size_t count) {
  DnsRecord record;
  record.section = section;
  for (std::size_t i = 0; i < count; ++i) {
    if (const DnsWire result = read_dns_record(message.bytes, offset, record); result != DnsWire::kOk) {
      return result;
    }
    if (record.type == kDnsTypeOpt && !read_edns(record, message.edns)) return DnsWire::kMalformed;
  }
  return DnsWire::kOk;
}

}  // namespace

DnsName::DnsName(const DnsName& other)
    : size(other.size), labels(other.labels), is_host_name(other.is_host_name) {
  std::copy_n(other.chars.begin(), other.size, chars.begin());
}

DnsName& DnsName::operator=(const DnsName& other) {
  if (this == &other) return *this;
  size = other.size;
  labels = other.labels;
  is_host_name = other.is_host_name;
  std::copy_n(other.chars.begin(), other.size, chars.begin());
  return *this;
}

std::expected<DnsMessage, ParseError> parse_dns_message(ByteSpan bytes) {
  if (bytes.size() > kDnsMessageMax) return std::unexpected(ParseError::kTooLong);
  std::expected<DnsMessage, ParseError> result;
  DnsMessage& message = *result;
  message.bytes = bytes;
  std::size_t offset = 0;
  DnsHeader& header = message.header;
  if (read_dns_header(bytes, offset, header) != DnsWire::kOk) return std::unexpected(ParseError::kMalformed);
  if (piece_count(header) > kDnsRecordsMax) return std::unexpected(ParseError::kTooLong);
  DnsWire walk = read_questions(message, offset);
  message.records_offset = offset;
  if (walk == DnsWire::kOk) walk = read_records(message, offset, DnsSection::kAnswer, header.answer_count);
  if (walk == DnsWire::kOk)
    walk = read_records(message, offset, DnsSection::kAuthority, header.authority_count);
  if (walk == DnsWire::kOk) {
    walk = read_records(message, offset, DnsSection::kAdditional, header.additional_count);
  }
  if (walk != DnsWire::kOk) return std::unexpected(to_parse_error(walk));
  message.trailing = bytes.subspan(offset);
  return result;
}

std::optional<DnsQuestion> read_first_dns_question(ByteSpan message) {
  DnsHeader header;
  std::size_t offset = 0;
  DnsQuestion question;
  if (read_dns_header(message, offset, header) != DnsWire::kOk || header.question_count == 0 ||
      read_dns_question(message, offset, question) != DnsWire::kOk) {
    return std::nullopt;
  }
  return question;
}

DnsQuestionReader::DnsQuestionReader(const DnsMessage& message)
    : message_(message.bytes), left_(message.header.question_count) {}

bool DnsQuestionReader::next(DnsQuestion& out) {
  if (left_ == 0) return false;
  --left_;
  return read_dns_question(message_, offset_, out) == DnsWire::kOk;
}

DnsRecordReader::DnsRecordReader(const DnsMessage& message)
    : message_(message.bytes),
      offset_(message.records_offset),
      left_{message.header.answer_count, message.header.authority_count, message.header.additional_count} {}

bool DnsRecordReader::next(DnsRecord& out) {
  for (std::size_t section = 0; section < left_.size(); ++section) {
    if (left_[section] == 0) continue;
    --left_[section];
    out.section = static_cast<DnsSection>(section);
    return read_dns_record(message_, offset_, out) == DnsWire::kOk;
  }
  return false;
}

bool DnsOptionReader::next(std::uint16_t& code, ByteSpan& value) {
  ByteReader in = in_;
  ByteReader field;
  if (!in.read_u16(code) || !in.read_prefixed<2>(field)) return false;
  value = field.rest();
  in_ = in;
  return true;
}

DnsTcpMessage read_dns_tcp_message(ByteSpan stream, std::size_t message_max) {
  DnsTcpMessage result;
  ByteReader in(stream);
  std::uint16_t length = 0;
  if (!in.read_u16(length)) return result;
  if (length < kDnsHeaderSize) {
    result.framing = Framing::kMalformed;
  } else if (length > message_max) {
    result.framing = Framing::kTooLong;
  } else if (in.read_bytes(length, result.message)) {
    result.framing = Framing::kComplete;
    result.consumed = std::size_t{2} + length;
  }
  return result;
}

}  // namespace sallyport::parsers
