// Which addresses may belong to a name, and for how long.
#include <algorithm>

#include "sallyport/core/special_addresses.h"
#include "sallyport/engine/name_bindings.h"

namespace sallyport::engine {
namespace {

// is_public_v4 leaves out the special-purpose blocks (IANA registry, RFC 6890) but those for documentation.
bool is_public_v4(std::uint32_t address) {
  struct Block {
    std::uint32_t base;
    int bits;
  };
  constexpr Block kNotPublic[] = {{0x00000000, 8}, {0x0a000000, 8}, {0x64400000, 10}, {0x7f000000, 8}, {0xa9fe0000, 16},
                                  {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xe0000000, 3}};
  return std::ranges::none_of(kNotPublic, [&](const Block& block) { return (address ^ block.base) >> (32 - block.bits) == 0; });
}

std::uint32_t word_at(ByteSpan bytes, std::size_t offset) {
  return static_cast<std::uint32_t>(bytes[offset]) << 24 | static_cast<std::uint32_t>(bytes[offset + 1]) << 16 |
         static_cast<std::uint32_t>(bytes[offset + 2]) << 8 | bytes[offset + 3];
}

bool is_public(const IpAddress& address) {
  const ByteSpan bytes = address.bytes();
  const std::uint32_t first = word_at(bytes, 0);
  if (address.is_v4()) return is_public_v4(first);
  const bool nat64 = first == 0x0064ff9b && word_at(bytes, 4) == 0 && word_at(bytes, 8) == 0;  // RFC 6052 §2.1
  if (nat64) return is_public_v4(word_at(bytes, 12));
  if (first >> 16 == 0x2002) return is_public_v4(word_at(bytes, 2));  // 6to4, RFC 3056 §2
  if (first == 0x20010000) return false;                              // Teredo, RFC 4380 §2.6
  return first >> 29 == 1;                                            // 2000::/3, RFC 4291 §2.4
}

bool is_unicast(const IpAddress& address) {
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  return !address.is_multicast_or_broadcast() && !std::ranges::all_of(address.bytes(), zero);
}

}  // namespace

bool is_public_address(const IpAddress& address) {
  return is_unicast(address.unmapped()) && is_public(address.unmapped());
}

bool may_bind(const IpAddress& address, const DomainName& name, const policy::Policy& policy) {
  const IpAddress plain = policy.plain(address);
  return is_unicast(plain) && (is_public(plain) || policy.may_be_private(name));
}

bool is_public_name(const DomainName& name) {
  constexpr std::string_view kLocal[] = {"localhost", "local", "internal", "home.arpa"};  // RFC 6761, 6762, 8375; ICANN 2024.
  if (name.empty()) return true;
  if (name.text().find('.') == std::string_view::npos) return false;
  return std::ranges::none_of(kLocal, [&](std::string_view suffix) {
    const std::string_view text = name.text();
    return text == suffix || (text.ends_with(suffix) && text[text.size() - suffix.size() - 1] == '.');
  });
}

bool is_rebinding(const IpAddress& address, const DomainName& name, const policy::Policy& policy) {
  if (policy.dns().rebinding == policy::Rebinding::kAllow) return false;
  if (std::ranges::all_of(address.bytes(), [](std::uint8_t byte) { return byte == 0; })) return false;
  const IpAddress plain = policy.plain(address);
  if (is_public_address(plain) && !is_metadata_address(plain)) return false;
  return is_public_name(name) && (name.empty() || !policy.may_rebind(name));
}

Duration binding_life(std::uint32_t ttl, const policy::Policy& policy) {
  return std::clamp<Duration>(std::chrono::seconds(ttl), kBindingTtlMin, kBindingTtlMax) + policy.dns().grace;
}

}  // namespace sallyport::engine
