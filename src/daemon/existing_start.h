// What becomes of connections that are older than the service (defaults.existing): it is carried out just before the rules divert
// packets, from what the kernel lists then. Main thread, at start.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sallyport/netfilter/conntrack.h"
#include "sallyport/netfilter/existing_flows.h"
#include "sallyport/netfilter/rule_text.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

// ExistingSets is for the workers; null: none.
struct ExistingSets {
  std::shared_ptr<const netfilter::ConnectionSet> allowed;
  std::shared_ptr<const netfilter::ConnectionSet> cut;
  std::size_t ended = 0;    // Sockets of this host.
  std::size_t watched = 0;  // Connections that end with their next packet: of workloads, and where the kernel ends no sockets.
};

// keep_existing returns the entries that `allow` marks as allowed: TCP and UDP that was answered. Not port 53, where each question is
// judged, nor what was denied. Where rules of an earlier run stood (`guarded`), an unmarked entry is one that it had not decided, or
// never asked about: only what it allowed counts.
std::vector<netfilter::ConntrackEntry> keep_existing(std::span<const netfilter::ConntrackEntry> entries, const netfilter::MarkField& mark, bool guarded);

// Start is what an enforcing start finds.
struct Start {
  const netfilter::RulePlan& plan;
  bool guarded = false;                               // Rules of an earlier run stand.
  std::optional<netfilter::Generation> believed;      // Whose marks are this very policy's; none: no mark is.
  std::shared_ptr<const netfilter::ConnectionSet> incoming;  // Incoming::connections
};

// settle_existing carries `existing` out in the kernel for enforcing rules, and takes off whatever verdict is not believed. Fails with a message;
// then nothing has become allowed, and connections that were to be ended may go on under marks of an earlier run.
std::expected<ExistingSets, std::string> settle_existing(policy::Existing existing, const Start& start);

}  // namespace sallyport::daemon
