#include "sallyport/core/domain_name.h"

#include <algorithm>

#include "sallyport/core/ip_address.h"

namespace sallyport {
namespace {

constexpr std::size_t kMaxLabel = 63;  // RFC 1035 §2.3.4

constexpr char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

constexpr bool is_label_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// A last label of digits (or 0x and hex digits) makes URL parsers read the whole as an IPv4 address
// (WHATWG URL §3.5), so such a text is no name.
bool ends_like_an_ipv4_address(std::string_view text) {
  const std::string_view label = text.substr(text.rfind('.') + 1);
  const bool digits = std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
  const bool hex = label.starts_with("0x") && std::all_of(label.begin() + 2, label.end(), [](char c) {
                     return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                   });
  return digits || hex;
}

}  // namespace

std::optional<DomainName> DomainName::parse(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kMaxLength) return std::nullopt;
  DomainName name;
  std::size_t label = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = folded(text[i]);
    if (c == '.') {
      if (label == 0) return std::nullopt;
      label = 0;
    } else if (!is_label_char(c) || ++label > kMaxLabel) {
      return std::nullopt;
    }
    name.text_[i] = c;
  }
  if (label == 0) return std::nullopt;
  name.length_ = static_cast<std::uint8_t>(text.size());
  if (ends_like_an_ipv4_address(name.text())) return std::nullopt;
  return name;
}

}  // namespace sallyport
