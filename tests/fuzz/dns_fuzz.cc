// A message that parses must be walked by its readers to the end, whatever its record data holds.
#include <cstdlib>

#include "sallyport/core/domain_name.h"
#include "sallyport/parsers/dns.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

void check_name(const DnsName& name) {
  expect(name.size >= 1 && name.size <= kDnsNameTextMax);
  expect(name.is_root() == (name.text() == "."));
  for (const char c : name.text()) expect(c >= 0x21 && c <= 0x7e && !(c >= 'A' && c <= 'Z'));
  if (name.is_host_name) expect(name.size <= DomainName::kMaxLength);
}

void check_record(const DnsMessage& message, const DnsRecord& record) {
  check_name(record.name);
  expect(record.rdata.data() == message.bytes.data() + record.rdata_offset);
  (void)address_of(record);
  if (const auto target = target_of(message, record)) check_name(*target);
  if (const auto binding = parse_service_binding(message, record)) {
    DnsSvcParamReader params(*binding);
    for (DnsSvcParam param; params.next(param);) {
      expect(param.value.data() == message.bytes.data() + param.value_offset);
    }
  }
  DnsTypeBuffer buffer;
  expect(!dns_type_name(record.type, buffer).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  (void)looks_like_dns(bytes);
  const auto message = parse_dns_message(bytes);
  if (!message) return 0;
  expect(message->trailing.size() <= size);

  std::size_t questions = 0;
  DnsQuestionReader question_reader(*message);
  for (DnsQuestion question; question_reader.next(question); ++questions) check_name(question.name);
  expect(questions == message->header.question_count);

  std::size_t records = 0;
  DnsRecordReader record_reader(*message);
  for (DnsRecord record; record_reader.next(record); ++records) check_record(*message, record);
  expect(records == std::size_t{message->header.answer_count} + message->header.authority_count +
                        message->header.additional_count);

  DnsOptionReader options(message->edns.options);
  std::uint16_t code = 0;
  std::size_t option_bytes = 0;
  for (ByteSpan value; options.next(code, value);) option_bytes += 4 + value.size();
  expect(option_bytes == message->edns.options.size());
  return 0;
}
