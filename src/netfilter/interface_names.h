// InterfaceNames turns interface indexes into names, asking the kernel about each at most once a second: an
// interface can be renamed, and decides which scope a packet belongs to.
#pragma once

#include <net/if.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sallyport::netfilter {

class InterfaceNames {
 public:
  // name_of returns the name, or an empty view. Valid until the next call.
  std::string_view name_of(std::uint32_t index, std::chrono::nanoseconds now) {
    if (index == 0) return {};
    Place& place = places_[index % places_.size()];
    if (place.index != index || now - place.asked > std::chrono::seconds(1)) {
      place.index = index;
      place.asked = now;
      if (::if_indextoname(index, place.name.data()) == nullptr) place.name[0] = '\0';
    }
    return {place.name.data(), ::strnlen(place.name.data(), place.name.size())};
  }

 private:
  struct Place {
    std::uint32_t index = 0;
    std::chrono::nanoseconds asked{0};
    std::array<char, IF_NAMESIZE> name{};
  };
  std::array<Place, 64> places_{};
};

}  // namespace sallyport::netfilter
