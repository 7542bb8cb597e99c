#include "lookup_answer.h"

#include <algorithm>
#include <chrono>

#include "sallyport/core/limits.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::resolver {
namespace {

constexpr std::uint8_t kNoError = 0;
constexpr std::uint8_t kNameError = 3;  // RFC 1035 §4.1.1: NXDOMAIN.

Duration ttl_of(const parsers::DnsRecord& record) {
  // RFC 2181 §8: with the top bit set it counts as zero.
  return std::chrono::seconds((record.ttl & 0x80000000u) != 0 ? 0u : record.ttl);
}

bool is_answer_of(const parsers::DnsRecord& record, std::string_view owner, std::uint16_t type) {
  return record.section == parsers::DnsSection::kAnswer && record.type == type &&
         record.dns_class == parsers::kDnsClassIn && record.name.text() == owner;
}

// follow_alias moves `owner` along one CNAME record, if there is one.
bool follow_alias(const parsers::DnsMessage& message, parsers::DnsName& owner, Duration& ttl) {
  parsers::DnsRecordReader records(message);
  parsers::DnsRecord record;
  while (records.next(record)) {
    if (!is_answer_of(record, owner.text(), parsers::kDnsTypeCname)) continue;
    const std::optional<parsers::DnsName> target = parsers::target_of(message, record);
    if (!target) return false;
    ttl = std::min(ttl, ttl_of(record));
    owner = *target;
    return true;
  }
  return false;
}

}  // namespace

LookupAnswer read_lookup_answer(ByteSpan bytes, const DomainName& name, std::uint16_t type) {
  LookupAnswer answer;
  const auto message = parsers::parse_dns_message(bytes);
  if (!message || !message->header.is_response || message->header.opcode != parsers::kDnsOpcodeQuery ||
      message->header.truncated || message->header.question_count != 1 || !message->question ||
      message->question->type != type || message->question->dns_class != parsers::kDnsClassIn ||
      message->question->name.text() != name.text() || message->edns.extended_rcode != 0 ||
      (message->header.rcode != kNoError && message->header.rcode != kNameError)) {
    return answer;
  }
  answer.kind = LookupAnswer::Kind::kNoAddress;
  if (message->header.rcode == kNameError) return answer;
  answer.ttl = kBindingTtlMax;
  parsers::DnsName owner = message->question->name;
  std::size_t links = 0;
  while (follow_alias(*message, owner, answer.ttl)) {
    if (++links > kDnsChainMax) return {};  // A loop, or longer than any honest chain.
  }
  parsers::DnsRecordReader records(*message);
  parsers::DnsRecord record;
  while (records.next(record)) {
    if (!is_answer_of(record, owner.text(), type)) continue;
    const std::optional<IpAddress> address = parsers::address_of(record);
    if (!address) return {};
    answer.addresses.push_back(address->unmapped());
    answer.ttl = std::min(answer.ttl, ttl_of(record));
  }
  if (!answer.addresses.empty()) answer.kind = LookupAnswer::Kind::kAddresses;
  return answer;
}

}  // namespace sallyport::resolver
