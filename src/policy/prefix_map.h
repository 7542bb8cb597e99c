// PrefixMap maps address prefixes to values. A look-up costs one probe for each prefix length in use.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <bitset>
#include <cstdint>
#include <utility>

#include "sallyport/core/ip_address.h"

namespace sallyport::policy {

template <typename T>
class PrefixMap {
 public:
  // operator[] returns the value of exactly this prefix, made when it is not there.
  T& operator[](const IpPrefix& prefix) {
    lengths_of(prefix.address()).set(prefix.length());
    return values_[key_of(prefix.address(), prefix.length())];
  }

  // find returns the value of exactly this prefix, or null.
  const T* find(const IpPrefix& prefix) const {
    const auto found = values_.find(key_of(prefix.address(), prefix.length()));
    return found == values_.end() ? nullptr : &found->second;
  }

  // visit calls `visitor(const T&)` for each prefix that contains `address`. An IPv4-mapped IPv6 address
  // is looked up in both of its forms.
  template <typename Visitor>
  void visit(const IpAddress& address, Visitor&& visitor) const {
    visit_form(address, address.bits(), visitor);
    if (const IpAddress plain = address.unmapped(); plain != address)
      visit_form(plain, plain.bits(), visitor);
  }

  // visit_covering does the same for each prefix that contains all of `prefix`.
  template <typename Visitor>
  void visit_covering(const IpPrefix& prefix, Visitor&& visitor) const {
    visit_form(prefix.address(), prefix.length(), visitor);
  }

 private:
  struct Key {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::uint32_t family_and_length = 0;

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(std::move(state), key.high, key.low, key.family_and_length);
    }
  };

  static Key key_of(const IpAddress& address, unsigned length) {
    Key key;
    const ByteSpan bytes = address.bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      std::uint64_t& half = i < 8 ? key.high : key.low;
      half |= std::uint64_t{bytes[i]} << (56 - 8 * (i % 8));
    }
    key.high &= mask(length < 64 ? length : 64);
    key.low &= mask(length < 64 ? 0 : length - 64);
    key.family_and_length = (address.is_v6() ? 0x100u : 0u) | length;
    return key;
  }
  static std::uint64_t mask(unsigned bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

  template <typename Visitor>
  void visit_form(const IpAddress& address, unsigned length_max, Visitor& visitor) const {
    const std::bitset<129>& lengths = address.is_v6() ? lengths_v6_ : lengths_v4_;
    if (lengths.none()) return;
    for (unsigned length = 0; length <= length_max; ++length) {
      if (!lengths.test(length)) continue;
      const auto found = values_.find(key_of(address, length));
      if (found != values_.end()) visitor(found->second);
    }
  }

  std::bitset<129>& lengths_of(const IpAddress& address) {
    return address.is_v6() ? lengths_v6_ : lengths_v4_;
  }

  absl::flat_hash_map<Key, T> values_;
  std::bitset<129> lengths_v4_;
  std::bitset<129> lengths_v6_;
};

}  // namespace sallyport::policy
