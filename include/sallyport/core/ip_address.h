// IPv4 and IPv6 addresses and prefixes as values.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/core/bytes.h"

namespace sallyport {

// IpAddress is an IPv4 or IPv6 address. An IPv4 address is not equal to its IPv4-mapped IPv6 form;
// callers that must treat them alike use unmapped().
class IpAddress {
 public:
  constexpr IpAddress() = default;  // The IPv4 unspecified address 0.0.0.0.
  static IpAddress v4(std::uint32_t host_order);
  // from_bytes takes 4 or 16 bytes in network order; any other length gives nullopt.
  static std::optional<IpAddress> from_bytes(ByteSpan bytes);
  // parse reads the textual form ("192.0.2.1", "2001:db8::1"); no brackets, no zone.
  static std::optional<IpAddress> parse(std::string_view text);

  constexpr bool is_v4() const { return !is_v6_; }
  constexpr bool is_v6() const { return is_v6_; }
  // bytes returns 4 or 16 bytes in network order.
  ByteSpan bytes() const { return {bytes_.data(), is_v6_ ? std::size_t{16} : std::size_t{4}}; }
  constexpr unsigned bits() const { return is_v6_ ? 128 : 32; }
  // unmapped returns the IPv4 address inside ::ffff:0:0/96 (RFC 4291 §2.5.5.2), else the address itself.
  IpAddress unmapped() const;
  bool is_loopback() const;
  bool is_multicast_or_broadcast() const;
  bool is_link_local() const;
  // Text is an address as to_string() has it, without memory of its own.
  using Text = std::array<char, 46>;  // INET6_ADDRSTRLEN, RFC 4291 §2.2
  std::string_view text(Text& storage) const;
  std::string to_string() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool is_v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

// IpPrefix is an address and a prefix length, with the host bits zero.
class IpPrefix {
 public:
  // parse reads "192.0.2.0/24", "2001:db8::/32", or a bare address (a host prefix). Host bits that are
  // set, and a length beyond the family's, give nullopt.
  static std::optional<IpPrefix> parse(std::string_view text);
  static IpPrefix host(const IpAddress& address);

  bool contains(const IpAddress& address) const;
  const IpAddress& address() const { return address_; }
  constexpr unsigned length() const { return length_; }
  std::string to_string() const;

  friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;

 private:
  IpAddress address_;
  unsigned length_ = 0;
};

}  // namespace sallyport
