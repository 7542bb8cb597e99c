#include "dns_builder.h"

#include <algorithm>
#include <stdexcept>

#include "sallyport/core/ip_address.h"

namespace sallyport::testing {
namespace {

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

void put(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Bytes address_bytes(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address) throw std::invalid_argument("no address: " + std::string(text));
  return {address->bytes().begin(), address->bytes().end()};
}

Bytes fields(const std::vector<std::pair<std::uint16_t, Bytes>>& list) {
  Bytes out;
  for (const auto& [key, value] : list) {
    put16(out, key);
    put16(out, value.size());
    put(out, value);
  }
  return out;
}

}  // namespace

Bytes dns_wire_name(std::string_view name) {
  Bytes out;
  Bytes label;
  const auto end_label = [&] {
    if (label.empty()) return;
    out.push_back(static_cast<std::uint8_t>(label.size()));
    put(out, label);
    label.clear();
  };
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '.') {
      end_label();
    } else if (name[i] != '\\') {
      label.push_back(static_cast<std::uint8_t>(name[i]));
    } else if (name[i + 1] >= '0' && name[i + 1] <= '9') {
      label.push_back(static_cast<std::uint8_t>(std::stoi(std::string(name.substr(i + 1, 3)))));
      i += 3;
    } else {
      label.push_back(static_cast<std::uint8_t>(name[++i]));
    }
  }
  end_label();
  out.push_back(0);
  return out;
}

DnsMessageBuilder& DnsMessageBuilder::response() {
  flags_ |= 0x8080;
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::flags(std::uint16_t bits) {
  flags_ = bits;
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::opcode(std::uint8_t value) {
  flags_ = static_cast<std::uint16_t>((flags_ & ~0x7800) | value << 11);
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::rcode(std::uint8_t value) {
  flags_ = static_cast<std::uint16_t>((flags_ & ~0xf) | value);
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::truncated() {
  flags_ |= 0x0200;
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::compress() {
  compress_ = true;
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::question(std::string_view name, std::uint16_t type,
                                               std::uint16_t dns_class) {
  questions_.push_back({std::string(name), type, dns_class});
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::record(Section section, std::string_view name, std::uint16_t type,
                                             std::uint16_t dns_class, std::uint32_t ttl, Bytes rdata) {
  records_.push_back({section, std::string(name), type, dns_class, ttl, std::move(rdata), std::nullopt, {}});
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::a(std::string_view name, std::string_view address, std::uint32_t ttl) {
  return record(Section::kAnswer, name, 1, 1, ttl, address_bytes(address));
}

DnsMessageBuilder& DnsMessageBuilder::aaaa(std::string_view name, std::string_view address,
                                           std::uint32_t ttl) {
  return record(Section::kAnswer, name, 28, 1, ttl, address_bytes(address));
}

DnsMessageBuilder& DnsMessageBuilder::named(std::string_view name, std::uint16_t type,
                                            std::string_view target, Bytes before, Bytes behind,
                                            std::uint32_t ttl) {
  records_.push_back({Section::kAnswer, std::string(name), type, 1, ttl, std::move(before),
                      std::string(target), std::move(behind)});
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::service_binding(
    std::string_view name, std::uint16_t type, std::uint16_t priority, std::string_view target,
    const std::vector<std::pair<std::uint16_t, Bytes>>& params) {
  Bytes rdata;
  put16(rdata, priority);
  put(rdata, dns_wire_name(target));
  put(rdata, fields(params));
  return record(Section::kAnswer, name, type, 1, 300, std::move(rdata));
}

DnsMessageBuilder& DnsMessageBuilder::edns(std::uint16_t udp_size, bool dnssec_ok,
                                           const std::vector<std::pair<std::uint16_t, Bytes>>& options,
                                           std::uint8_t version) {
  const std::uint32_t ttl = static_cast<std::uint32_t>(version) << 16 | (dnssec_ok ? 0x8000U : 0U);
  return record(Section::kAdditional, ".", 41, udp_size, ttl, fields(options));
}

DnsMessageBuilder& DnsMessageBuilder::trailing(Bytes bytes) {
  trailing_ = std::move(bytes);
  return *this;
}

DnsMessageBuilder& DnsMessageBuilder::count(std::size_t index, std::uint16_t value) {
  counts_[index] = value;
  return *this;
}

void DnsMessageBuilder::write_name(Bytes& out, std::string_view name,
                                   std::map<Bytes, std::size_t>& seen) const {
  const Bytes wire = dns_wire_name(name);
  for (std::size_t at = 0; wire[at] != 0; at += wire[at] + std::size_t{1}) {
    const Bytes suffix(wire.begin() + static_cast<std::ptrdiff_t>(at), wire.end());
    const auto found = seen.find(suffix);
    if (compress_ && found != seen.end()) {
      put16(out, 0xc000 | found->second);
      return;
    }
    if (out.size() < 0x4000) seen.emplace(suffix, out.size());
    out.insert(out.end(), suffix.begin(), suffix.begin() + suffix[0] + 1);
  }
  out.push_back(0);
}

void DnsMessageBuilder::write_record(Bytes& out, const Record& record,
                                     std::map<Bytes, std::size_t>& seen) const {
  write_name(out, record.name, seen);
  put16(out, record.type);
  put16(out, record.dns_class);
  put32(out, record.ttl);
  const std::size_t length_at = out.size();
  put16(out, 0);
  put(out, record.before);
  if (record.target) write_name(out, *record.target, seen);
  put(out, record.behind);
  const std::size_t length = out.size() - length_at - 2;
  out[length_at] = static_cast<std::uint8_t>(length >> 8);
  out[length_at + 1] = static_cast<std::uint8_t>(length);
}

Bytes DnsMessageBuilder::build() const {
  Bytes out;
  put16(out, id_);
  put16(out, flags_);
  std::map<std::size_t, std::uint16_t> counts = {{0, static_cast<std::uint16_t>(questions_.size())}};
  for (const Record& record : records_) ++counts[static_cast<std::size_t>(record.section) + 1];
  for (const auto& [index, value] : counts_) counts[index] = value;
  for (std::size_t i = 0; i < 4; ++i) put16(out, counts[i]);
  std::map<Bytes, std::size_t> seen;
  for (const Question& question : questions_) {
    write_name(out, question.name, seen);
    put16(out, question.type);
    put16(out, question.dns_class);
  }
  for (const Section section : {Section::kAnswer, Section::kAuthority, Section::kAdditional}) {
    for (const Record& record : records_) {
      if (record.section == section) write_record(out, record, seen);
    }
  }
  put(out, trailing_);
  return out;
}

Bytes DnsMessageBuilder::build_tcp() const {
  const Bytes message = build();
  Bytes out;
  put16(out, message.size());
  put(out, message);
  return out;
}

}  // namespace sallyport::testing
