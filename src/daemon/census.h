// Census asks connection tracking, again and again, which of the flows that the kernel passes alone go on, and which are over, and tells the
// workers: they see no packet of these flows. So a connection of days is known by its name when the policy changes, and one that has ended
// leaves the lists of what lives (the flow table knows it on). Main thread.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sallyport/netfilter/conntrack.h"
#include "sallyport/netfilter/queue_worker.h"

namespace sallyport::daemon {

// sightings_of: TCP connections and UDP flows alone have an idle time that this can prolong, and of these TCP alone tells its end.
std::vector<engine::Sighting> sightings_of(std::span<const netfilter::ConntrackEntry> entries);

class Census {
 public:
  using Clock = std::chrono::steady_clock;
  using Say = std::function<void(const std::string&)>;
  // List returns what the kernel passes alone.
  using List = std::function<std::expected<std::vector<netfilter::ConntrackEntry>, std::string>()>;

  bool due(Clock::time_point now) const { return now >= next_; }
  // take asks, and tells the workers. A failure is said once, until it works again. The next is due after kCensusInterval, or, of a large table,
  // when kCensusShare times as long is over as this one took.
  void take(const List& list, std::span<const std::unique_ptr<netfilter::QueueWorker>> workers, const Say& say);

 private:
  Clock::time_point next_{};
  bool failed_ = false;
  std::shared_ptr<const netfilter::Sightings> last_;  // Kept until the next one, so that its memory is not a worker's to give back.
};

}  // namespace sallyport::daemon
