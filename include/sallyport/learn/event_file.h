// Reads events: the JSON lines that `run --json` prints and the service writes. Every line may be hostile: it came over a
// network once, and the file may be anybody's.
#pragma once

#include <cstdint>
#include <istream>
#include <vector>

#include "sallyport/learn/sighting.h"

namespace sallyport::learn {

inline constexpr std::size_t kEventLineMax = 64 * 1024;     // Octets; longer lines are skipped.
inline constexpr std::size_t kEventKindsMax = 200'000;      // Different flows; further ones are counted.

struct EventFile {
  std::vector<Sighting> sightings;  // Flows that differ in no more than client, port and time are one, with a count.
  std::uint64_t lines = 0;
  std::uint64_t others = 0;      // Lines that are about no flow.
  std::uint64_t unreadable = 0;  // Lines that are no event: too long, no JSON, an address that is none.
  std::uint64_t beyond = 0;      // Events beyond kEventKindsMax.
};

// read_events adds what `in` has. `name` stands for it in reports.
void read_events(std::istream& in, const std::string& name, EventFile& events);

}  // namespace sallyport::learn
