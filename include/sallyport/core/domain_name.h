// DomainName is a host name in its one canonical form (R12): lower-case labels of letters, digits,
// hyphen and underscore, joined by dots, no final dot, 1 to 63 octets a label, at most 253 in all.
// U-labels are turned into A-labels before they come here (policy/idna.h); packets carry A-labels.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sallyport {

class DomainName {
 public:
  static constexpr std::size_t kMaxLength = 253;  // RFC 1035 §2.3.4, less the root label and its length.

  constexpr DomainName() = default;  // Empty: no name.

  // parse canonicalises text from a packet or a policy: upper case is folded, one final dot is dropped.
  // Gives nullopt for anything else than a canonical form, for an IP literal, and for the empty string.
  // A name of one label ("localhost") is a name. Never allocates.
  static std::optional<DomainName> parse(std::string_view text);

  constexpr std::string_view text() const { return {text_.data(), length_}; }
  constexpr bool empty() const { return length_ == 0; }

  // parent returns the part of `text` behind its first dot, or an empty view when there is none.
  static constexpr std::string_view parent(std::string_view text) {
    const std::size_t dot = text.find('.');
    return dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
  }

  friend bool operator==(const DomainName& a, const DomainName& b) { return a.text() == b.text(); }
  friend auto operator<=>(const DomainName& a, const DomainName& b) { return a.text() <=> b.text(); }

 private:
  std::uint8_t length_ = 0;
  std::array<char, kMaxLength> text_{};
};

}  // namespace sallyport
