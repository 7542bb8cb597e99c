#include "sallyport/policy/guard.h"

#include <algorithm>
#include <charconv>

#include "sallyport/core/text.h"

namespace sallyport::policy {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_scheme(std::string_view text) {  // RFC 3986 §3.1
  return !text.empty() && is_letter(text.front()) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.front() == '0') return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

bool is_web(std::string_view scheme) {
  return equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "https");
}

}  // namespace

bool GuardListener::covers(const IpAddress& to, std::uint16_t to_port) const {
  if (to_port != port) return false;
  const IpAddress plain = to.unmapped();
  return address ? *address == plain : has_family(plain.is_v6());
}

bool GuardListener::overlaps(const GuardListener& other) const {
  if (port != other.port) return false;
  if (address) return other.covers(*address, port);
  if (other.address) return covers(*other.address, port);
  return (v4 && other.v4) || (v6 && other.v6);
}

bool Guard::covers(const IpAddress& address, std::uint16_t port) const {
  return std::any_of(listen.begin(), listen.end(), [&](const GuardListener& one) { return one.covers(address, port); });
}

bool Guard::has_source(const IpAddress& source) const {
  const IpAddress plain = source.unmapped();
  return std::any_of(sources.begin(), sources.end(), [&](const IpPrefix& prefix) { return prefix.contains(plain); });
}

bool Guard::reaches(std::string_view interface, const IpAddress& source) const {
  if (!sources.empty() && !has_source(source)) return false;
  return interfaces.empty() || std::find(interfaces.begin(), interfaces.end(), interface) != interfaces.end();
}

bool Guard::has_host(std::string_view host) const {
  const auto parsed = parse_guard_host(host);
  return parsed && std::find(hosts.begin(), hosts.end(), *parsed) != hosts.end();
}

bool Guard::has_origin(std::string_view origin) const {
  const auto parts = split_origin(origin);
  if (!parts) return false;
  const auto host = parse_guard_host(parts->host);
  if (!host) return false;
  const std::uint16_t port = parts->port.value_or(default_port_of(parts->scheme));
  return std::any_of(origins.begin(), origins.end(), [&](const GuardOrigin& listed) {
    if (listed.host != *host) return false;
    if (listed.scheme.empty()) return is_web(parts->scheme);
    return equals_ignoring_case(listed.scheme, parts->scheme) && listed.port == port;
  });
}

std::optional<GuardHost> parse_guard_host(std::string_view text) {
  if (const auto address = IpAddress::parse(text)) return GuardHost{{}, address->unmapped()};
  const auto name = DomainName::parse(text);
  if (!name) return std::nullopt;
  return GuardHost{*name, std::nullopt};
}

std::optional<OriginParts> split_origin(std::string_view text) {
  constexpr std::string_view kSeparator = "://";
  const std::size_t colon = text.find(kSeparator);
  if (colon == std::string_view::npos || !is_scheme(text.substr(0, colon))) return std::nullopt;
  OriginParts parts{text.substr(0, colon), {}, std::nullopt};
  std::string_view rest = text.substr(colon + kSeparator.size());
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    parts.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    const auto address = IpAddress::parse(parts.host);
    if (!address || !address->is_v6()) return std::nullopt;
  } else {
    parts.host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(parts.host.size());
  }
  if (parts.host.empty()) return std::nullopt;  // file://
  if (rest.empty()) return parts;
  if (rest.front() != ':') return std::nullopt;
  parts.port = parse_port(rest.substr(1));
  if (!parts.port) return std::nullopt;
  return parts;
}

std::uint16_t default_port_of(std::string_view scheme) {
  if (equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "ws")) return 80;
  if (equals_ignoring_case(scheme, "https") || equals_ignoring_case(scheme, "wss")) return 443;
  return 0;
}

}  // namespace sallyport::policy
