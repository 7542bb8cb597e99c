#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>

#include "sallyport/resolver/resolv_conf.h"

namespace sallyport::resolver {
namespace {

bool is_one_of(std::string_view name, std::span<const std::string> interfaces) {
  return std::ranges::any_of(interfaces, [&](std::string_view wanted) {
    if (wanted.ends_with('+')) return name.starts_with(wanted.substr(0, wanted.size() - 1));
    return name == wanted;
  });
}

std::optional<IpAddress> address_of(const sockaddr* socket_address) {
  if (socket_address == nullptr) return std::nullopt;
  const auto bytes_of = [](const auto& field) {
    return ByteSpan(reinterpret_cast<const std::uint8_t*>(&field), sizeof field);
  };
  if (socket_address->sa_family == AF_INET) {
    return IpAddress::from_bytes(bytes_of(reinterpret_cast<const sockaddr_in*>(socket_address)->sin_addr));
  }
  if (socket_address->sa_family == AF_INET6) {
    return IpAddress::from_bytes(bytes_of(reinterpret_cast<const sockaddr_in6*>(socket_address)->sin6_addr));
  }
  return std::nullopt;
}

}  // namespace

std::vector<IpAddress> own_addresses(std::span<const std::string> interfaces) {
  std::vector<IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (interfaces.empty() || ::getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (!is_one_of(entry->ifa_name, interfaces)) continue;
    const std::optional<IpAddress> address = address_of(entry->ifa_addr);
    if (address && std::ranges::find(addresses, *address) == addresses.end()) addresses.push_back(*address);
  }
  ::freeifaddrs(list);
  return addresses;
}

}  // namespace sallyport::resolver
