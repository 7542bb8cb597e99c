// One command behind the firewall: its own cgroup, rules that are about it alone, and nothing left when it is over.
#pragma once

#include <string>
#include <vector>

#include "sallyport/daemon/daemon.h"

namespace sallyport::daemon {

struct ScopedOptions {
  DaemonOptions daemon;              // Policy, mode, queues. What concerns a service is ignored.
  std::vector<std::string> command;  // Not empty.
  std::string user;                  // Whom the command runs as; empty: as the caller does.
  bool own_network = false;          // A network namespace of its own, whose gateway enforces.
  bool verbose = false;              // A line for what is allowed, too.
};

// run_scoped returns the command's exit code, 128 and the signal's number when one ended it, 125 when the firewall could not
// be set up (the command did not run then), or was lost or could not be taken down, 126 when the command cannot be run, and 127 when there is none of its name. The
// caller must be root and have no threads yet.
int run_scoped(const ScopedOptions& options);

}  // namespace sallyport::daemon
