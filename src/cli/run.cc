#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/daemon/scoped_run.h"

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

With -- COMMAND only that command, and what it starts, is behind the firewall, as long
as it runs; all other traffic of the host is left alone, and nothing is left behind.
What is denied is told on standard error. The exit code is the command's, 128 and the
number of the signal that ended it, 125 if the firewall could not be set up (the
command did not run) or was lost while it ran, 126 and 127 if the command cannot be
run or is not there.

Examples:
  sudo sallyport run                              watch this host
  sudo sallyport run --policy policy.toml --observe
  sudo sallyport run --policy policy.toml         enforce
  sudo sallyport run --policy policy.toml -- curl https://example.org
  sudo sallyport run --policy policy.toml --user builder -- make test)";

struct RunArguments {
  std::string policy;
  std::string control;
  unsigned queues = 0;
  bool observe = false;
  bool json = false;
  bool quiet = false;
  bool no_rules = false;
  std::vector<std::string> command;
  std::string user;
  bool own_network = false;
  bool verbose = false;
};

int usage(const char* text) {
  std::fprintf(stderr, "sallyport run: %s (see sallyport run --help)\n", text);
  return kExitUsage;
}

// check_together refuses options that mean nothing in the kind of run that was asked for.
const char* check_together(const RunArguments& arguments) {
  if (!arguments.command.empty()) {
    if (arguments.no_rules) return "--no-rules is for a service, not for a command";
    if (!arguments.control.empty()) return "--control is for a service, not for a command";
    if (arguments.json) return "--json is for a service, not for a command";
    if (arguments.quiet && arguments.verbose) return "--quiet and --verbose exclude each other";
    return nullptr;
  }
  if (arguments.json && arguments.quiet) return "--json and --quiet exclude each other";
  if (!arguments.user.empty()) return "--user needs a command behind --";
  if (arguments.own_network) return "--netns needs a command behind --";
  if (arguments.verbose) return "--verbose needs a command behind --";
  return nullptr;
}

int run(const RunArguments& arguments) {
  if (const char* problem = check_together(arguments)) return usage(problem);
  daemon::DaemonOptions options;
  options.source = std::make_shared<policy::PolicySource>(arguments.policy);
  const policy::LoadResult loaded = options.source->load({});
  options.source->accept();
  if (!loaded) return print_problems(loaded.error());
  options.policy = *loaded;
  options.policy_name = policy_name(arguments.policy);
  options.version = SALLYPORT_VERSION;
  if (arguments.observe) options.mode = policy::Mode::kObserve;
  if (arguments.queues != 0) options.queues = arguments.queues;
  if (!arguments.control.empty()) options.control = arguments.control;
  options.install_rules = !arguments.no_rules;
  options.json = arguments.json;
  options.quiet = arguments.quiet;
  if (arguments.command.empty()) return daemon::run_daemon(options);
  return daemon::run_scoped({options, arguments.command, arguments.user, arguments.own_network, arguments.verbose});
}

}  // namespace

void add_run_command(CLI::App& app, int& exit_code, std::vector<std::string> guest) {
  auto arguments = std::make_shared<RunArguments>();
  arguments->command = std::move(guest);
  CLI::App* command = app.add_subcommand("run", "Inspect live traffic of this network namespace, or of one command (-- COMMAND)");
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
  command->add_option("--user", arguments->user, "Whom the command runs as (default: you)")->type_name("NAME");
  command->add_flag("--netns", arguments->own_network, "Give the command a network namespace of its own");
  command->add_flag("--verbose", arguments->verbose, "Tell what the command is allowed, too");
  command->footer(kFooter);
  command->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace sallyport::cli
