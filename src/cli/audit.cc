#include <CLI/CLI.hpp>

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/port_drift.h"

namespace sallyport::cli {
namespace {

constexpr const char* kFooter =
    R"(A finding is a socket that [listeners] does not declare (unexpected), that takes more
addresses than declared (wider), that another process has (other_process), or one
that is declared and not there (missing). So is a TCP listener of a process that a
guard declares to serve a unix socket alone (unix_only). Without root, other users' processes are
not seen: their sockets have none, and are nobody's who is declared.

Examples:
  sudo sallyport audit --policy policy.toml
  sudo sallyport audit --policy policy.toml --netns --json
  sudo sallyport audit --write                     what listens now, as a [listeners] table

Exit codes: 0 as declared, 1 findings, or failure, 2 usage or a policy that does not load.)";

struct AuditArguments {
  std::string policy;
  bool json = false;
  bool write = false;
  bool all = false;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "sallyport: %s\n", message.c_str());
  return kExitNo;
}

int usage(const std::string& message) {
  std::fprintf(stderr, "sallyport audit: %s (see sallyport audit --help)\n", message.c_str());
  return kExitUsage;
}

void warn_without_root() {
  if (::geteuid() != 0) std::fputs("sallyport: not root: the processes of other users are not seen\n", stderr);
}

int write_declaration(bool all) {
  warn_without_root();
  daemon::Inventory inventory;
  const auto observed = inventory.everything(all);
  if (!observed) return fail(observed.error());
  std::fputs(daemon::declaration(*observed, all, daemon::ephemeral_ports()).c_str(), stdout);
  return kExitOk;
}

int audit(const AuditArguments& arguments) {
  if (arguments.write && arguments.json) return usage("--write and --json exclude each other");
  if (arguments.policy.empty() && !arguments.write) return usage("--policy is needed, or --write");
  std::shared_ptr<const policy::Policy> policy;
  if (!arguments.policy.empty()) {
    policy = load_live_policy(arguments.policy);
    if (!policy) return kExitUsage;
  }
  if (arguments.write) return write_declaration(arguments.all || (policy && policy->listeners().all_namespaces));
  policy::Listeners listeners = policy->listeners();
  const std::vector<std::string> unix_only = daemon::unix_only_of(policy->guards());
  if (!listeners.declared && unix_only.empty()) return usage(arguments.policy + " has neither [listeners] nor a guard with unix_socket; `sallyport audit --write` prints one");
  listeners.all_namespaces |= arguments.all;
  warn_without_root();
  const auto result = daemon::audit({&listeners, unix_only}, listeners.all_namespaces);
  if (!result) return fail(result.error());
  if (arguments.json) {
    for (const daemon::DriftFinding& finding : result->findings) std::puts(daemon::drift_json(finding).c_str());
  } else if (result->findings.empty()) {
    std::printf("as declared: %zu listening sockets\n", result->sockets);
  } else {
    std::fputs(daemon::drift_table(result->findings).c_str(), stdout);
  }
  return result->findings.empty() ? kExitOk : kExitNo;
}

}  // namespace

void add_audit_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<AuditArguments>();
  CLI::App* command = app.add_subcommand("audit", "Compare what listens on this host with what the policy declares");
  command->add_option("--policy", arguments->policy, "Policy file (TOML) with [listeners], or a guard with unix_socket")->type_name("FILE");
  command->add_flag("--json", arguments->json, "One line of JSON for each finding");
  command->add_flag("--write", arguments->write, "Print a [listeners] table of what listens now");
  command->add_flag("--netns", arguments->all, "Look into the network namespaces of containers and of `ip netns`, too");
  command->footer(kFooter);
  command->callback([arguments, &exit_code] { exit_code = audit(*arguments); });
}

}  // namespace sallyport::cli
