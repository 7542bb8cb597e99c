#include "dns_answers.h"

#include <algorithm>
#include <optional>

#include "plain_query.h"

namespace sallyport::engine {
namespace {

using parsers::DnsName;
using parsers::DnsRecord;

// is_below tells that `name` has labels before those of `suffix` (RFC 6672 §2.3: not the DNAME's owner itself).
bool is_below(std::string_view name, std::string_view suffix) {
  return name.size() > suffix.size() + 1 && name.ends_with(suffix) && name[name.size() - suffix.size() - 1] == '.';
}

// ttl_of returns a TTL as it counts: with the top bit set it is 0 (RFC 2181 §8).
std::uint32_t ttl_of(const DnsRecord& record) { return (record.ttl & 0x8000'0000U) != 0 ? 0 : record.ttl; }

// Chain follows the aliases from the question. The current name is at most as long as a DNS name's text.
class Chain {
 public:
  explicit Chain(const DnsName& question) : current_(question) {}

  const DnsName& end() const { return current_; }
  std::uint32_t ttl() const { return ttl_; }

  // follow goes on as far as the answer section leads, in whatever order its records stand.
  void follow(const parsers::DnsMessage& message) {
    bool progress = true;
    while (progress && steps_ < kDnsChainMax) {
      progress = false;
      parsers::DnsRecordReader records(message);
      DnsRecord record;
      while (records.next(record) && record.section == parsers::DnsSection::kAnswer && steps_ < kDnsChainMax) {
        progress = step(message, record) || progress;
      }
    }
  }

 private:
  bool step(const parsers::DnsMessage& message, const DnsRecord& record) {
    if (record.dns_class != parsers::kDnsClassIn) return false;
    const bool cname = record.type == parsers::kDnsTypeCname && record.name == current_;
    const bool dname = record.type == parsers::kDnsTypeDname && current_.is_host_name &&
                       !record.name.is_root() && is_below(current_.text(), record.name.text());
    if (!cname && !dname) return false;
    const auto target = parsers::target_of(message, record);
    if (!target || target->is_root()) return false;
    if (cname) {
      current_ = *target;
    } else if (!replace_suffix(record.name.text().size(), *target)) {
      return false;
    }
    ttl_ = std::min(ttl_, ttl_of(record));
    ++steps_;
    return true;
  }

  bool replace_suffix(std::size_t suffix, const DnsName& target) {
    const std::size_t prefix = current_.size - suffix;
    if (prefix + target.size > DomainName::kMaxLength) return false;
    std::copy_n(target.chars.begin(), target.size, current_.chars.begin() + static_cast<std::ptrdiff_t>(prefix));
    current_.size = static_cast<std::uint16_t>(prefix + target.size);
    return true;
  }

  DnsName current_;
  std::uint32_t ttl_ = UINT32_MAX;
  std::size_t steps_ = 0;
};

void add(AnswerAddresses& out, const IpAddress& address, std::uint32_t ttl) {
  if (out.count < out.addresses.size()) out.addresses[out.count++] = {address.unmapped(), ttl};
}

void add_hints(const parsers::DnsMessage& message, const DnsRecord& record, std::uint32_t ttl, AnswerAddresses& out) {
  const auto binding = parsers::parse_service_binding(message, record);
  if (!binding || binding->priority == 0) return;
  if (!binding->target.is_root() && !(binding->target == record.name)) return;
  parsers::DnsSvcParamReader params(*binding);
  parsers::DnsSvcParam param;
  while (params.next(param)) {
    const std::size_t size = param.key == parsers::kSvcParamIpv4Hint ? 4 : param.key == parsers::kSvcParamIpv6Hint ? 16 : 0;
    if (size == 0) continue;
    for (std::size_t at = 0; at + size <= param.value.size(); at += size) {
      if (const auto address = IpAddress::from_bytes(param.value.subspan(at, size))) add(out, *address, ttl);
    }
  }
}

}  // namespace

std::optional<DomainName> bound_name(const parsers::DnsQuestion& question) {
  const std::string_view name = question.name.text();
  const bool service = question.type == parsers::kDnsTypeHttps || question.type == parsers::kDnsTypeSvcb;
  if (!service || !name.starts_with('_')) return DomainName::parse(name);
  const auto host = host_of_service(name, question.type);
  return host ? DomainName::parse(*host) : std::nullopt;
}

void read_answer(const parsers::DnsMessage& message, AnswerAddresses& out) {
  out.count = 0;
  out.name = {};
  if (!message.question) return;
  const parsers::DnsQuestion& question = *message.question;
  const auto name = bound_name(question);
  if (!name) return;
  out.name = *name;
  Chain chain(question.name);
  chain.follow(message);
  parsers::DnsRecordReader records(message);
  DnsRecord record;
  while (records.next(record) && record.section == parsers::DnsSection::kAnswer) {
    const bool asked = record.type == question.type || question.type == parsers::kDnsTypeAny;
    if (!asked || record.dns_class != parsers::kDnsClassIn || !(record.name == chain.end())) continue;
    const std::uint32_t ttl = std::min(ttl_of(record), chain.ttl());
    if (const auto address = parsers::address_of(record)) add(out, *address, ttl);
    if (record.type == parsers::kDnsTypeHttps || record.type == parsers::kDnsTypeSvcb) add_hints(message, record, ttl, out);
  }
}

}  // namespace sallyport::engine
