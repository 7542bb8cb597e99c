// The answer to the control socket's "status".
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "drift_watch.h"
#include "rule_watch.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/netfilter/queue_worker.h"
#include "sallyport/policy/policy.h"
#include "sallyport/resolver/name_resolver.h"

namespace sallyport::daemon {

struct StatusFacts {
  std::string version;
  policy::Mode mode = policy::Mode::kEnforce;
  std::string policy_name;
  std::string backend;  // Empty: the rules are not ours to manage.
  std::chrono::seconds uptime{0};
  std::uint64_t events_lost = 0;
  nlohmann::json events;  // EventLog::status
  std::vector<engine::Binding> bindings;  // The living ones.
  std::shared_ptr<const engine::NameBindings> name_bindings;
  resolver::ResolverStatus resolver;
  std::string state_error;  // Why the state file could not be written.
  DriftStatus drift;
  RuleWatchStatus rule_watch;
  nlohmann::ordered_json live;  // live_report (live_view.h), or null.
};

using Workers = std::vector<std::unique_ptr<netfilter::QueueWorker>>;

// status_report returns an object. Counters that are zero are left out of the groups.
nlohmann::ordered_json status_report(const StatusFacts& facts, const Workers& workers);
// queue_reports tells what the kernel counts for our queues, one a worker.
nlohmann::ordered_json queue_reports(const Workers& workers);

}  // namespace sallyport::daemon
