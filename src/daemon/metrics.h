// The service's figures in Prometheus' text format (docs/metrics.md). What is counted on the packet path are relaxed atomics
// of the workers, which are read here; nothing is locked and no worker waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "sallyport/netfilter/queue_stats.h"
#include "status_report.h"

namespace sallyport::daemon {

struct MetricFacts {
  StatusFacts status;
  std::uint64_t allow_grants = 0;
  std::uint64_t deny_grants = 0;
  std::uint64_t bypasses = 0;
  std::uint64_t reloads = 0;         // That put a policy in force.
  std::uint64_t failed_reloads = 0;
  Timestamp policy_loaded{};         // When the policy in force was loaded; the epoch: not known.
  std::size_t rules = 0;             // Of the policy in force, grants included.
  std::vector<netfilter::QueueStats> queues{};  // Of the kernel, of this service's queues.
};

// metrics_text returns families that are the same from scrape to scrape: a counter that is zero is there, too.
std::string metrics_text(const MetricFacts& facts, const Workers& workers);

}  // namespace sallyport::daemon
