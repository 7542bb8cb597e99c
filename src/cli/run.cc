#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/daemon.h"

namespace sallyport::cli {
namespace {

constexpr const char* kFooter =
    R"(One line is printed per decided flow: time, user or source address, protocol, name,
destination, verdict. Without --policy, and with --observe, everything passes and
the line tells what the policy would have said.

Ctrl-C removes every rule and ends. SIGTERM does the same when observing or with
on_exit = "open"; otherwise it leaves the rules, which then let nothing new pass,
until the service is back or `sallyport rules remove` is run.

Exit codes: 0 ended by a signal, 1 failure, 2 usage or a policy that does not load.

Examples:
  sudo sallyport run                              watch this host
  sudo sallyport run --policy policy.toml --observe
  sudo sallyport run --policy policy.toml         enforce)";

struct RunArguments {
  std::string policy;
  std::string control;
  unsigned queues = 0;
  bool observe = false;
  bool json = false;
  bool quiet = false;
  bool no_rules = false;
};

int run(const RunArguments& arguments) {
  daemon::DaemonOptions options;
  options.policy = load_live_policy(arguments.policy);
  if (!options.policy) return kExitUsage;
  options.policy_name = policy_name(arguments.policy);
  options.version = SALLYPORT_VERSION;
  if (arguments.observe) options.mode = policy::Mode::kObserve;
  if (arguments.queues != 0) options.queues = arguments.queues;
  if (!arguments.control.empty()) options.control = arguments.control;
  options.install_rules = !arguments.no_rules;
  options.json = arguments.json;
  options.quiet = arguments.quiet;
  return daemon::run_daemon(options);
}

}  // namespace

void add_run_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Inspect live traffic of this network namespace and decide");
  command->add_option("--policy", arguments->policy, kPolicyHelp)->type_name("FILE");
  command->add_flag("--observe", arguments->observe, "Decide and print, but let everything through");
  command->add_flag("--json", arguments->json, "Print flows as JSON lines");
  command->add_flag("--quiet", arguments->quiet, "Print no flows; `sallyport status` has the counters");
  command
      ->add_option("--control", arguments->control, "Control socket (default: the policy's deploy.control)")
      ->type_name("PATH");
  command
      ->add_option("--queues", arguments->queues,
                   "Queues and workers (default: deploy.queues, or one per core)")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  command->add_flag("--no-rules", arguments->no_rules,
                    "Serve the queues, but leave the kernel's rules to others");
  command->footer(kFooter);
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace sallyport::cli
