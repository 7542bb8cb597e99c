// Record data: addresses, target names, service bindings.
#include "dns_wire.h"

namespace sallyport::parsers {
namespace {

// bytes_before_target returns how many octets stand before the name in a record's data, or nullopt for a
// type whose data is not (or does not begin with a fixed part and) one name.
std::optional<std::size_t> bytes_before_target(std::uint16_t type) {
  switch (type) {
    case kDnsTypeNs:
    case kDnsTypeCname:
    case kDnsTypePtr:
    case kDnsTypeDname:
      return 0;
    case kDnsTypeMx:    // RFC 1035 §3.3.9: preference.
    case kDnsTypeSvcb:  // RFC 9460 §2.2: priority.
    case kDnsTypeHttps:
      return 2;
    case kDnsTypeSrv:
      return 6;  // RFC 2782: priority, weight, port.
    default:
      return std::nullopt;
  }
}

bool is_service_binding(std::uint16_t type) {
  return type == kDnsTypeSvcb || type == kDnsTypeHttps;
}

// read_target reads the name at `skip` octets into the data; `behind` is what follows it there. A name may
// borrow from earlier in the message, but may not run beyond the data.
bool read_target(const DnsMessage& message, const DnsRecord& record, std::size_t skip, DnsName& out,
                 ByteSpan& behind) {
  const std::size_t end = record.rdata_offset + record.rdata.size();
  if (record.rdata_offset > message.bytes.size() ||
      record.rdata.size() > message.bytes.size() - record.rdata_offset) {
    return false;
  }
  if (skip > record.rdata.size()) return false;
  std::size_t offset = record.rdata_offset + skip;
  if (read_dns_name(message.bytes.first(end), offset, out) != DnsWire::kOk) return false;
  behind = message.bytes.subspan(offset, end - offset);
  return true;
}

bool params_are_well_formed(ByteSpan params) {
  ByteReader in(params);
  std::int32_t last_key = -1;
  while (!in.empty()) {
    std::uint16_t key = 0;
    ByteReader value;
    if (!in.read_u16(key) || !in.read_prefixed<2>(value) || key <= last_key) return false;
    last_key = key;
  }
  return true;
}

}  // namespace

std::optional<IpAddress> address_of(const DnsRecord& record) {
  const std::size_t size = record.type == kDnsTypeA ? 4 : record.type == kDnsTypeAaaa ? 16 : 0;
  constexpr std::uint16_t kCacheFlush = 0x8000;  // RFC 6762 §10.2
  if (size == 0 || record.rdata.size() != size || (record.dns_class & ~kCacheFlush) != kDnsClassIn) {
    return std::nullopt;
  }
  return IpAddress::from_bytes(record.rdata);
}

std::optional<DnsName> target_of(const DnsMessage& message, const DnsRecord& record) {
  const auto skip = bytes_before_target(record.type);
  std::optional<DnsName> name;
  ByteSpan behind;
  if (!skip || !read_target(message, record, *skip, name.emplace(), behind)) return std::nullopt;
  if (!behind.empty() && !is_service_binding(record.type)) return std::nullopt;
  return name;
}

std::expected<DnsServiceBinding, ParseError> parse_service_binding(const DnsMessage& message,
                                                                   const DnsRecord& record) {
  std::expected<DnsServiceBinding, ParseError> result;
  DnsServiceBinding& binding = *result;
  ByteReader in(record.rdata);
  if (!is_service_binding(record.type) || !in.read_u16(binding.priority) ||
      !read_target(message, record, 2, binding.target, binding.params) ||
      !params_are_well_formed(binding.params)) {
    return std::unexpected(ParseError::kMalformed);
  }
  binding.params_offset = record.rdata_offset + record.rdata.size() - binding.params.size();
  return result;
}

bool DnsSvcParamReader::next(DnsSvcParam& out) {
  ByteReader in = in_;
  ByteReader value;
  if (!in.read_u16(out.key) || !in.read_prefixed<2>(value)) return false;
  out.value = value.rest();
  out.value_offset = end_offset_ - in.size() - out.value.size();
  in_ = in;
  return true;
}

}  // namespace sallyport::parsers
