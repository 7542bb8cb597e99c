// HeldMarks remembers the packet marks of held packets that carry foreign bits, so that their verdict can
// put them back. Packets without foreign bits, which are nearly all, take no place. Memory is fixed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sallyport/core/limits.h"

namespace sallyport::netfilter {

class HeldMarks {
 public:
  HeldMarks() : places_(kPlaces) {}

  void put(std::uint32_t id, std::uint32_t mark) {
    if (mark == 0 || size_ >= kPlaces / 2) return;  // A full table loses foreign bits, not a verdict.
    std::size_t i = home(id);
    while (places_[i]) i = next(i);
    places_[i] = Place{id, mark};
    ++size_;
  }

  // take returns the mark of a packet and forgets it; 0 for one that was not put.
  std::uint32_t take(std::uint32_t id) {
    if (size_ == 0) return 0;
    std::size_t i = home(id);
    while (places_[i] && places_[i]->id != id) i = next(i);
    if (!places_[i]) return 0;
    const std::uint32_t mark = places_[i]->mark;
    erase(i);
    return mark;
  }

  std::size_t size() const { return size_; }

 private:
  struct Place {
    std::uint32_t id;
    std::uint32_t mark;
  };
  static constexpr std::size_t kPlaces = 2 * kHeldPacketsPerWorker;
  static_assert((kPlaces & (kPlaces - 1)) == 0, "a place is found by a mask");

  static std::size_t home(std::uint32_t id) { return id & (kPlaces - 1); }
  static std::size_t next(std::size_t i) { return (i + 1) & (kPlaces - 1); }

  // erase closes the gap: whatever was pushed beyond it moves back.
  void erase(std::size_t gap) {
    places_[gap].reset();
    --size_;
    for (std::size_t i = next(gap); places_[i]; i = next(i)) {
      const std::size_t from_home = (i - home(places_[i]->id)) & (kPlaces - 1);
      const std::size_t from_gap = (i - gap) & (kPlaces - 1);
      if (from_home < from_gap) continue;
      places_[gap] = places_[i];
      places_[i].reset();
      gap = i;
    }
  }

  std::vector<std::optional<Place>> places_;
  std::size_t size_ = 0;
};

}  // namespace sallyport::netfilter
