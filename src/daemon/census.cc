#include "census.h"

#include <algorithm>

#include "sallyport/core/clock.h"
#include "sallyport/core/limits.h"

namespace sallyport::daemon {

std::vector<engine::Sighting> sightings_of(std::span<const netfilter::ConntrackEntry> entries) {
  std::vector<engine::Sighting> sightings;
  sightings.reserve(entries.size());
  for (const netfilter::ConntrackEntry& entry : entries) {
    if (entry.key.transport != Transport::kTcp && entry.key.transport != Transport::kUdp) continue;
    sightings.push_back({entry.key, entry.over});
  }
  return sightings;
}

void Census::take(const List& list, std::span<const std::unique_ptr<netfilter::QueueWorker>> workers, const Say& say) {
  const Clock::time_point begun = Clock::now();
  auto sightings = std::make_shared<netfilter::Sightings>();
  sightings->seen = monotonic_now();  // Before the list: of what a packet comes meanwhile, the packet knows better.
  if (const auto entries = list()) {
    failed_ = false;
    sightings->flows = sightings_of(*entries);
    for (const auto& worker : workers) worker->heed(sightings);
    last_ = std::move(sightings);
  } else if (!std::exchange(failed_, true)) {
    say("which connections are over is not known: " + entries.error());
  }
  const Clock::time_point done = Clock::now();
  next_ = done + std::max<Clock::duration>(kCensusInterval, (done - begun) * kCensusShare);
}

}  // namespace sallyport::daemon
