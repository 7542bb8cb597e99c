#include "target_text.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "diagnostics.h"
#include "sallyport/policy/idna.h"
#include "sallyport/policy/overlay.h"

namespace sallyport::policy {
namespace {

// masked returns the prefix of `length` bits that contains `address`.
IpPrefix masked(const IpAddress& address, unsigned length) {
  std::array<std::uint8_t, 16> bytes{};
  const ByteSpan given = address.bytes();
  for (std::size_t i = 0; i < given.size() && 8 * i < length; ++i) {
    const unsigned kept = std::min<unsigned>(8, length - static_cast<unsigned>(8 * i));
    bytes[i] = static_cast<std::uint8_t>(given[i] & (0xff00u >> kept));
  }
  const auto network = IpAddress::from_bytes({bytes.data(), given.size()});
  return *IpPrefix::parse(network->to_string() + "/" + std::to_string(length));
}

}  // namespace

bool looks_like_address(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return false;
  if (IpAddress::parse(text)) return true;
  const std::string_view head = text.substr(0, text.find('/'));
  if (head.size() < text.size() && IpAddress::parse(head)) return true;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '/';
  });
  return digits || std::count(text.begin(), text.end(), ':') > 1;
}

std::expected<IpPrefix, std::string> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address)
    return std::unexpected("expected an address or a prefix, such as 192.0.2.0/24 or 2001:db8::/32");
  const auto prefix = IpPrefix::parse(text);
  // A flow's mapped address is looked up as IPv4, so a mapped prefix would say the same twice.
  if (const IpAddress plain = address->unmapped(); plain != *address && (!prefix || prefix->length() >= 96)) {
    return std::unexpected("an IPv4-mapped address; write it as IPv4: " + plain.to_string());
  }
  if (prefix) return *prefix;
  unsigned length = 0;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > address->bits()) {
    return std::unexpected("expected a prefix length from 0 to " + std::to_string(address->bits()));
  }
  return std::unexpected("host bits are set; did you mean " + quote(masked(*address, length).to_string()) +
                         "?");
}

std::expected<ParsedName, std::string> parse_name_target(std::string_view text) {
  ParsedName out;
  std::string_view name = text;
  if (text.empty()) return std::unexpected("expected a name, an address or \"any\"");
  if (text.find("://") != std::string_view::npos)
    return std::unexpected("a URL; expected the host name alone");
  if (text == "*") return std::unexpected("a wildcard needs a name behind it; did you mean \"any\"?");
  if (text.starts_with("*.")) {
    out.form = NameForm::kBelow;
    name.remove_prefix(2);
  } else if (text.starts_with('.')) {
    out.form = NameForm::kApexAndBelow;
    name.remove_prefix(1);
  }
  if (name.find('*') != std::string_view::npos) {
    if (text.find('*', 1) == std::string_view::npos)
      return std::unexpected("a wildcard stands for whole labels: write \"*.\" before the name");
    return std::unexpected("a wildcard may only be the first label");
  }
  if (name.find('/') != std::string_view::npos)
    return std::unexpected("expected the host name alone, without a path");
  if (name.find(':') != std::string_view::npos)
    return std::unexpected("expected the host name alone; ports go into \"ports\"");
  auto canonical = to_domain_name(name);
  if (!canonical) return std::unexpected(std::move(canonical.error()));
  out.name = *canonical;
  return out;
}

std::string normal_target(std::string_view text) {
  if (looks_like_address(text)) {
    const auto prefix = parse_prefix(text);
    return prefix ? prefix->to_string() : std::string(text);
  }
  const auto parsed = parse_name_target(text);
  if (!parsed) return std::string(text);
  constexpr std::string_view kFront[] = {"", "*.", "."};
  return std::string(kFront[static_cast<std::size_t>(parsed->form)]).append(parsed->name.text());
}

}  // namespace sallyport::policy
