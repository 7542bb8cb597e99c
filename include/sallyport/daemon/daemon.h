// The long-running service: queues, rules, control socket, event output, signals.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

struct DaemonOptions {
  std::shared_ptr<const policy::Policy> policy;
  std::string policy_name;  // For people: the file, or "embedded".
  std::string version;
  std::optional<policy::Mode> mode;    // Overrides the policy's own.
  std::optional<unsigned> queues;      // Overrides the policy's own; at least 1.
  std::optional<std::string> control;  // Path of the control socket; overrides the policy's own.
  bool install_rules = true;
  bool json = false;   // Events as JSON lines.
  bool quiet = false;  // No event is printed.
};

// queue_count returns how many queues a run uses: the override, the policy's number, or one per core.
unsigned queue_count(const policy::Policy& policy, std::optional<unsigned> override_count);

// run_daemon runs until a signal ends it, and returns the process's exit code. Problems are one line on
// standard error. It installs the rules only when every queue is bound; when it fails to start it takes out
// what it put in.
int run_daemon(const DaemonOptions& options);

}  // namespace sallyport::daemon
