#include "dns_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "public_suffix.h"
#include "sallyport/core/special_addresses.h"
#include "sallyport/policy/duration.h"
#include "target_text.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 2> kNames = {"policy", "any"};
constexpr std::array<std::string_view, 3> kRebinding = {"refuse", "log", "allow"};
constexpr std::int64_t kWildcardBudgetMax = 1'000'000;
constexpr Duration kGraceMax = std::chrono::hours(24);
constexpr Duration kMissWaitMax = std::chrono::seconds(5);  // A held packet waits no longer.

// Option names as IANA has them (DNS EDNS0 Option Codes), in lower case.
constexpr std::array<std::pair<std::string_view, std::uint16_t>, 14> kOptions = {{{"nsid", 3},
                                                                                  {"dau", 5},
                                                                                  {"dhu", 6},
                                                                                  {"n3u", 7},
                                                                                  {"client-subnet", 8},
                                                                                  {"expire", 9},
                                                                                  {"cookie", 10},
                                                                                  {"tcp-keepalive", 11},
                                                                                  {"padding", 12},
                                                                                  {"chain", 13},
                                                                                  {"key-tag", 14},
                                                                                  {"extended-error", 15},
                                                                                  {"report-channel", 18},
                                                                                  {"zoneversion", 19}}};

void read_resolvers(const Reader& reader, const Value& value, Dns& out) {
  const std::string path = "dns.resolvers";
  out.system_resolvers = false;
  const auto items = one_or_many(value);
  if (items.size() > kResolversMax) {
    reader.error(value.position, path, "at most " + std::to_string(kResolversMax) + " resolvers");
    return;
  }
  for (const Value& item : items) {
    const auto text = reader.string(item, path);
    if (!text) continue;
    if (*text == "system") {
      out.system_resolvers = true;
      continue;
    }
    const auto address = read_resolver(*text);
    if (!address) {
      reader.error(item.position, path, quote(*text) + ": " + address.error() + ", or \"system\"");
    } else if (std::find(out.resolvers.begin(), out.resolvers.end(), *address) == out.resolvers.end()) {
      out.resolvers.push_back(*address);
    }
  }
}

void read_options(const Reader& reader, const Value& value, Dns& out) {
  const std::string path = "dns.edns";
  static const auto names = [] {
    std::array<std::string_view, kOptions.size()> list;
    std::transform(kOptions.begin(), kOptions.end(), list.begin(), [](const auto& option) { return option.first; });
    return list;
  }();
  for (const Value& item : one_or_many(value)) {
    std::uint16_t code = 0;
    if (item.kind == Value::Kind::kInteger) {
      if (item.integer < 1 || item.integer > 65'534) {
        reader.error(item.position, path, "expected an option code from 1 to 65534, or the option's name");
        continue;
      }
      code = static_cast<std::uint16_t>(item.integer);
    } else {
      const auto index = reader.word(item, path, names);
      if (!index) continue;
      code = kOptions[*index].second;
    }
    if (std::find(out.edns_options.begin(), out.edns_options.end(), code) == out.edns_options.end())
      out.edns_options.push_back(code);
  }
  std::sort(out.edns_options.begin(), out.edns_options.end());
}

}  // namespace

void read_duration(const Reader& reader, const Value& value, const std::string& path, Duration least, Duration most,
                   std::string_view expected, Duration& out) {
  std::string shown;
  if (value.kind == Value::Kind::kString) {
    if (const auto duration = parse_duration(value.text, most); duration && *duration >= least) {
      out = *duration;
      return;
    }
    shown = quote(value.text);
  } else {
    shown = value.kind == Value::Kind::kInteger ? std::to_string(value.integer) : std::string(kind_name(value.kind));
  }
  reader.error(value.position, path, shown + ": expected " + std::string(expected));
}

namespace {

void read_budget(const Reader& reader, const Value& value, Dns& out) {
  if (value.kind == Value::Kind::kInteger && value.integer >= 0 && value.integer <= kWildcardBudgetMax) {
    out.wildcard_budget = static_cast<std::uint32_t>(value.integer);
    return;
  }
  reader.error(value.position, "dns.wildcard_budget",
               "expected names per hour from 1 to " + std::to_string(kWildcardBudgetMax) + ", or 0 for no bound");
}

void read_private_name(const Reader& reader, const Value& value, const std::string& path, std::string_view text, PrivateNames& out) {
  const auto target = parse_name_target(text);
  if (!target) {
    reader.error(value.position, path, quote(text) + ": " + target.error());
    return;
  }
  if (target->form != NameForm::kExact && public_suffix_of(target->name) == PublicSuffix::kRegistry) {
    reader.error(value.position, path,
                 quote(text) + ": " + quote(target->name.text()) + " is a public suffix: anyone may register a name below it");
    return;
  }
  if (target->form != NameForm::kBelow) out.exact.emplace(target->name.text());
  if (target->form != NameForm::kExact) out.suffixes.emplace(target->name.text());
}

void read_private_names(const Reader& reader, const Value& value, PrivateNames& out) {
  const std::string path = "dns.private";
  const auto items = one_or_many(value);
  for (const Value& item : items) {
    const auto text = reader.string(item, path);
    if (!text) continue;
    if (*text != "any") {
      read_private_name(reader, item, path, *text, out);
    } else if (items.size() > 1) {
      reader.error(item.position, path, "\"any\" already covers the rest of the list");
    } else {
      out.any = true;
    }
  }
}

void read_rebinding_except(const Reader& reader, const Value& value, PrivateNames& out) {
  const std::string path = "dns.rebinding_except";
  for (const Value& item : one_or_many(value)) {
    const auto text = reader.string(item, path);
    if (!text) continue;
    if (*text == "any") {
      reader.error(item.position, path, "\"any\": expected a name; for every name say rebinding = \"allow\"");
    } else {
      read_private_name(reader, item, path, *text, out);
    }
  }
}

void read_nat64(const Reader& reader, const Value& value, Dns& out) {
  const std::string path = "dns.nat64";
  out.nat64.clear();
  const auto items = one_or_many(value);
  if (items.size() > kNat64PrefixesMax) {
    reader.error(value.position, path, "at most " + std::to_string(kNat64PrefixesMax) + " prefixes");
    return;
  }
  for (const Value& item : items) {
    const auto text = reader.string(item, path);
    if (!text) continue;
    const auto prefix = parse_prefix(*text);
    if (!prefix) {
      reader.error(item.position, path, quote(*text) + ": " + prefix.error());
    } else if (prefix->address().is_v4() || !is_nat64_length(prefix->length())) {
      reader.error(item.position, path, quote(*text) + ": expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b::/96");
    } else if (std::find(out.nat64.begin(), out.nat64.end(), *prefix) == out.nat64.end()) {
      out.nat64.push_back(*prefix);
    }
  }
}

}  // namespace

std::expected<IpAddress, std::string> read_resolver(std::string_view text) {
  constexpr std::string_view kExpected = "expected the address of a DNS server, without a port";
  const auto address = IpAddress::parse(text);
  if (!address) return std::unexpected(std::string(kExpected));
  if (const IpAddress plain = address->unmapped(); plain != *address) {
    return std::unexpected("an IPv4-mapped address; write it as IPv4: " + plain.to_string());
  }
  return *address;
}

void read_dns(const Reader& reader, const Value& table, CompiledRules& rules) {
  Dns& out = rules.dns;
  if (!reader.is_table(table, "dns")) return;
  reader.check_keys(table, "dns", "dns");
  if (const auto* entry = table.find("resolvers")) read_resolvers(reader, entry->value, out);
  if (const auto* entry = table.find("names")) {
    if (const auto index = reader.word(entry->value, "dns.names", kNames)) out.names = static_cast<DnsNames>(*index);
  }
  if (const auto* entry = table.find("ech")) {
    if (const auto index = reader.word(entry->value, "dns.ech", kEchWords)) out.ech = static_cast<Ech>(*index);
  }
  if (const auto* entry = table.find("edns")) read_options(reader, entry->value, out);
  if (const auto* entry = table.find("wildcard_budget")) read_budget(reader, entry->value, out);
  if (const auto* entry = table.find("grace")) {
    read_duration(reader, entry->value, "dns.grace", Duration{}, kGraceMax, "a time of at most 24 hours, such as \"90s\", \"15m\" or \"1h\"",
                  out.grace);
  }
  if (const auto* entry = table.find("miss_wait")) {
    read_duration(reader, entry->value, "dns.miss_wait", Duration{}, kMissWaitMax, "a time of at most 5 seconds, such as \"500ms\" or \"1s\"",
                  out.miss_wait);
  }
  if (const auto* entry = table.find("nat64")) read_nat64(reader, entry->value, out);
  if (const auto* entry = table.find("private")) read_private_names(reader, entry->value, rules.private_names);
  if (const auto* entry = table.find("rebinding")) {
    if (const auto index = reader.word(entry->value, "dns.rebinding", kRebinding)) out.rebinding = static_cast<Rebinding>(*index);
  }
  if (const auto* entry = table.find("rebinding_except")) read_rebinding_except(reader, entry->value, rules.rebinding_except);
}

}  // namespace sallyport::policy
