#include "metrics_reader.h"

#include <charconv>
#include <expected>
#include <string>

#include "sallyport/core/domain_name.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t kHostsMax = 16;
constexpr std::string_view kExpected = "expected a loopback address and a port, such as \"127.0.0.1:9718\" or \"[::1]:9718\"";

// Figures of a firewall tell a stranger what the host does: they are served to the host itself.
std::expected<void, std::string> parse_listen(std::string_view text, Metrics& out) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::unexpected(std::string(kExpected));
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool sound = error == std::errc{} && end == digits.data() + digits.size() && port != 0;
  if (!address || address->is_v6() != bracketed || !sound) return std::unexpected(std::string(kExpected));
  static const IpPrefix loopback = *IpPrefix::parse("127.0.0.0/8");
  static const IpPrefix loopback6 = *IpPrefix::parse("::1/128");
  if (!loopback.contains(*address) && !loopback6.contains(*address)) {
    return std::unexpected("not a loopback address: metrics are served to this host alone; use \"127.0.0.1:9718\", and a proxy that knows its callers");
  }
  out.address = *address;
  out.port = port;
  return {};
}

void read_hosts(const Reader& reader, const Value& value, Metrics& out) {
  const auto items = one_or_many(value);
  if (items.size() > kHostsMax) return reader.error(value.position, "metrics.hosts", "at most " + std::to_string(kHostsMax) + " names");
  for (const Value& item : items) {
    const auto text = reader.string(item, "metrics.hosts");
    if (!text) continue;
    if (const auto name = DomainName::parse(*text)) {
      out.hosts.emplace_back(name->text());
    } else {
      reader.error(item.position, "metrics.hosts", quote(*text) + ": expected a host name, without a port");
    }
  }
}

}  // namespace

void read_metrics(const Reader& reader, const Value& table, Metrics& out) {
  if (!reader.is_table(table, "metrics")) return;
  reader.check_keys(table, "metrics", "metrics");
  if (const auto* entry = table.find("listen")) {
    if (const auto text = reader.string(entry->value, "metrics.listen")) {
      const auto parsed = parse_listen(*text, out);
      if (!parsed) reader.error(entry->value.position, "metrics.listen", quote(*text) + ": " + parsed.error());
    }
  }
  if (const auto* entry = table.find("hosts")) {
    read_hosts(reader, entry->value, out);
    if (table.find("listen") == nullptr) reader.error(entry->position, "metrics.hosts", "says who may ask an HTTP server, and without \"listen\" there is none");
  }
}

}  // namespace sallyport::policy
