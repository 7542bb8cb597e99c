// The long-running service: queues, rules, control socket, event output, signals.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/policy/policy.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {

// Attended makes a run one that somebody in this process attends (scoped_run.h): it has no control socket and no state
// file, prints one short line on standard error for each denied flow, and ends when `attend` returns.
struct Attended {
  std::string cgroup;                  // RulePlan::cgroup; empty: the whole network namespace.
  std::vector<std::string> inside;     // Not empty: the forward hook for these interfaces, and no other hook.
  unsigned first_queue = 0;
  std::string resolv_conf;             // What stands for this host's resolver configuration; empty: that itself.
  bool verbose = false;                // A line for each allowed flow, too.
  std::function<void()> before_rules;  // Called when the kernel's rules are about to be changed.
  // Called when the rules are in force, with a signalfd of the signals that are blocked; returns the exit code.
  std::function<int(int signal_fd)> attend;
  std::function<bool()> may_open;  // Called behind it: false has the rules stay, as something could still send.
};

struct DaemonOptions {
  std::shared_ptr<const policy::Policy> policy;
  std::shared_ptr<policy::PolicySource> source;  // Where a reload gets it from; null: it stays.
  std::string policy_name;  // For people: the file, or "embedded".
  std::string version;
  std::optional<policy::Mode> mode;    // Overrides the policy's own.
  std::optional<unsigned> queues;      // Overrides the policy's own; at least 1.
  std::optional<std::string> control;  // Path of the control socket; overrides the policy's own.
  bool install_rules = true;
  bool json = false;   // Events as JSON lines.
  bool quiet = false;  // No event is printed.
  const Attended* attended = nullptr;  // Borrowed for the run.
};

// queue_count returns how many queues a run uses: the override, the policy's number, or one per core.
unsigned queue_count(const policy::Policy& policy, std::optional<unsigned> override_count);

// run_daemon runs until a signal ends it, and returns the process's exit code. Problems are one line on
// standard error. It installs the rules only when every queue is bound; when it fails to start it takes out
// what it put in.
int run_daemon(const DaemonOptions& options);

}  // namespace sallyport::daemon
