#include "sallyport/core/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sallyport {
namespace {

bool bit_at(ByteSpan bytes, unsigned index) { return (bytes[index / 8] >> (7 - index % 8) & 1) != 0; }

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address;
  for (unsigned i = 0; i < 4; ++i) address.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

std::optional<IpAddress> IpAddress::from_bytes(ByteSpan bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  IpAddress address;
  address.is_v6_ = bytes.size() == 16;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char copy[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  if (std::strlen(copy) != text.size()) return std::nullopt;
  std::uint8_t bytes[16];
  if (inet_pton(AF_INET, copy, bytes) == 1) return from_bytes({bytes, 4});
  if (inet_pton(AF_INET6, copy, bytes) == 1) return from_bytes({bytes, 16});
  return std::nullopt;
}

IpAddress IpAddress::unmapped() const {
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!is_v6_ || !std::equal(kMapped, kMapped + 12, bytes_.begin())) return *this;
  return *from_bytes({bytes_.data() + 12, 4});
}

bool IpAddress::is_loopback() const {
  const IpAddress plain = unmapped();
  if (plain.is_v4()) return plain.bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::is_multicast_or_broadcast() const {
  const IpAddress plain = unmapped();
  if (plain.is_v6()) return plain.bytes_[0] == 0xff;
  if ((plain.bytes_[0] & 0xf0) == 0xe0) return true;
  return std::all_of(plain.bytes_.begin(), plain.bytes_.begin() + 4, [](auto b) { return b == 0xff; });
}

bool IpAddress::is_link_local() const {
  const IpAddress plain = unmapped();
  if (plain.is_v4()) return plain.bytes_[0] == 169 && plain.bytes_[1] == 254;
  return plain.bytes_[0] == 0xfe && (plain.bytes_[1] & 0xc0) == 0x80;
}

std::string_view IpAddress::text(Text& storage) const {
  static_assert(std::tuple_size_v<Text> >= INET6_ADDRSTRLEN);
  return inet_ntop(is_v6_ ? AF_INET6 : AF_INET, bytes_.data(), storage.data(), static_cast<socklen_t>(storage.size()));
}

std::string IpAddress::to_string() const {
  Text storage;
  return std::string(text(storage));
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  IpPrefix prefix = host(*address);
  if (slash == std::string_view::npos) return prefix;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length_);
  if (error != std::errc{} || end != digits.data() + digits.size() || prefix.length_ > address->bits()) {
    return std::nullopt;
  }
  for (unsigned i = prefix.length_; i < address->bits(); ++i) {
    if (bit_at(address->bytes(), i)) return std::nullopt;
  }
  return prefix;
}

IpPrefix IpPrefix::host(const IpAddress& address) {
  IpPrefix prefix;
  prefix.address_ = address;
  prefix.length_ = address.bits();
  return prefix;
}

bool IpPrefix::contains(const IpAddress& address) const {
  if (address.is_v6() != address_.is_v6()) return false;
  const ByteSpan ours = address_.bytes();
  const ByteSpan theirs = address.bytes();
  const std::size_t whole = length_ / 8;
  if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(whole), theirs.begin())) return false;
  for (unsigned i = static_cast<unsigned>(whole) * 8; i < length_; ++i) {
    if (bit_at(ours, i) != bit_at(theirs, i)) return false;
  }
  return true;
}

std::string IpPrefix::to_string() const {
  return address_.to_string() + "/" + std::to_string(length_);
}

}  // namespace sallyport
