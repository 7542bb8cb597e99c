#include "http_text.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/parsers/http1.h"

namespace sallyport::parsers {
namespace {

// reg-name of RFC 3986 §3.2.2 without percent-encoding and comma: one server decodes the first or takes
// the second for a list where another does not.
constexpr bool is_host_char(char c) {
  return is_alpha(c) || is_digit(c) || std::string_view("-._~!$&'()*+;=").find(c) != std::string_view::npos;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.front() == '0') return std::nullopt;
  std::uint32_t port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (port > 65'535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

// split_ipv6 reads "[address]" from the front of `text` and leaves the rest.
bool split_ipv6(std::string_view& text, HttpAuthority& out) {
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos) return false;
  out.host = text.substr(1, close - 1);
  out.is_ip_literal = true;
  const std::optional<IpAddress> address = IpAddress::parse(out.host);
  if (!address || !address->is_v6()) return false;
  text.remove_prefix(close + 1);
  return true;
}

// split_name reads a reg-name or IPv4 address from the front of `text` and leaves the rest.
bool split_name(std::string_view& text, HttpEmptyHost empty_host, HttpAuthority& out) {
  out.host = text.substr(0, text.find(':'));
  if (out.host.empty() && empty_host == HttpEmptyHost::kRefuse) return false;
  if (out.host.size() > DomainName::kMaxLength + 1) return false;  // One final dot may stand behind it.
  for (const char c : out.host) {
    if (!is_host_char(c)) return false;
  }
  const std::optional<IpAddress> address = IpAddress::parse(out.host);
  out.is_ip_literal = address && address->is_v4();
  text.remove_prefix(out.host.size());
  return true;
}

}  // namespace

std::optional<HttpAuthority> parse_http_authority(std::string_view text, HttpEmptyHost empty_host) {
  HttpAuthority authority;
  const bool bracketed = !text.empty() && text.front() == '[';
  if (!(bracketed ? split_ipv6(text, authority) : split_name(text, empty_host, authority))) {
    return std::nullopt;
  }
  if (text.empty()) return authority;
  if (text.front() != ':') return std::nullopt;
  authority.port = parse_port(text.substr(1));
  if (!authority.port) return std::nullopt;
  return authority;
}

}  // namespace sallyport::parsers
