#include "sallyport/core/special_addresses.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace sallyport {
namespace {

// What each has is in docs/policy.md.
constexpr std::string_view kMetadata[] = {
    "169.254.169.254",     // AWS, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner, Linode and others
    "169.254.170.2",       // AWS: credentials of ECS tasks
    "169.254.170.23",      // AWS: credentials of EKS pods
    "169.254.42.42",       // Scaleway
    "169.254.0.23",        // Tencent
    "100.100.100.200",     // Alibaba
    "168.63.129.16",       // Azure: the wire server
    "192.0.0.192",         // Oracle, before the present cloud
    "fd00:ec2::254",       // AWS
    "fd00:ec2::23",        // AWS: credentials of EKS pods
    "fd20:ce::254",        // Google
    "fd00:c1::a9fe:a9fe",  // Oracle
    "fd00:42::42",         // Scaleway
    "fd00:a9fe:a9fe::1",   // Linode
    "fd00:100::100:200",   // Alibaba
    "fe80::a9fe:a9fe",     // OpenStack
};

// embedded_at returns the IPv4 address behind an IPv6 prefix of that length.
IpAddress embedded_at(unsigned length, ByteSpan bytes) {
  std::array<std::uint8_t, 4> out{};
  std::size_t at = length / 8;
  for (std::uint8_t& byte : out) {
    if (at == 8) ++at;
    byte = bytes[at++];
  }
  return *IpAddress::from_bytes(out);
}

// is_local_nat64 tells an address that a translator of this network may serve: 64:ff9b:1::/48 (RFC 8215).
bool is_local_nat64(const IpAddress& address) {
  static const IpPrefix kLocal = *IpPrefix::parse("64:ff9b:1::/48");
  return !address.is_v4() && kLocal.contains(address);
}

// embeds_metadata: which prefix of them the translator has is not known, so each place of an IPv4 address counts (RFC 6052 §2.2).
bool embeds_metadata(const IpAddress& address) {
  for (const unsigned length : {48U, 56U, 64U, 96U}) {
    if (is_metadata_address(embedded_at(length, address.bytes()))) return true;
  }
  return false;
}

}  // namespace

bool is_metadata_address(const IpAddress& address) {
  if (is_local_nat64(address)) return embeds_metadata(address);
  static const auto kAddresses = [] {
    std::array<IpAddress, std::size(kMetadata)> list;
    std::ranges::transform(kMetadata, list.begin(), [](std::string_view text) { return *IpAddress::parse(text); });
    return list;
  }();
  // Few addresses begin like these.
  const std::uint8_t first = address.bytes()[0];
  const bool could = address.is_v4() ? first == 169 || first == 100 || first == 168 || first == 192 : first == 0xfd || first == 0xfe;
  return could && std::ranges::find(kAddresses, address) != kAddresses.end();
}

bool is_nat64_length(unsigned length) { return length == 96 || (length >= 32 && length <= 64 && length % 8 == 0); }

std::optional<IpAddress> embedded_v4(const IpPrefix& nat64, const IpAddress& address) {
  if (!nat64.contains(address)) return std::nullopt;
  return embedded_at(nat64.length(), address.bytes());
}

}  // namespace sallyport
