#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/daemon/removal_note.h"
#include "sallyport/netfilter/rule_installer.h"

namespace sallyport::cli {
namespace {

// Nothing else hangs on this process, and nobody may be there to try again: at boot, on a slow disk, kernel modules are read first.
constexpr std::chrono::milliseconds kPatience{90'000};

constexpr const char* kExitCodes = "Exit codes: 0 done (also when there was nothing to remove), 1 failure, 2 usage or a policy that does not load.";

struct RulesArguments {
  std::string policy;
  unsigned queues = 0;
  bool observe = false;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "sallyport: %s\n", message.c_str());
  return kExitNo;
}

// make_plan gives the plan that `run` would use with the same arguments, or null after telling why not.
std::unique_ptr<netfilter::RulePlan> make_plan(const RulesArguments& arguments, int& exit_code) {
  const std::shared_ptr<const policy::Policy> policy = load_live_policy(arguments.policy);
  if (!policy) {
    exit_code = kExitUsage;
    return nullptr;
  }
  const policy::Mode mode = arguments.observe ? policy::Mode::kObserve : policy->defaults().mode;
  const auto override_count = arguments.queues == 0 ? std::nullopt : std::optional(arguments.queues);
  auto plan = netfilter::plan_rules(*policy, mode, daemon::queue_count(*policy, override_count));
  if (!plan) {
    exit_code = fail(plan.error());
    return nullptr;
  }
  return std::make_unique<netfilter::RulePlan>(std::move(*plan));
}

int print(const RulesArguments& arguments) {
  int exit_code = kExitOk;
  const auto plan = make_plan(arguments, exit_code);
  if (!plan) return exit_code;
  std::printf("# iptables-restore --noflush\n%s# ip6tables-restore --noflush\n%s",
              netfilter::restore_text(*plan, netfilter::Family::kIpv4).c_str(),
              netfilter::restore_text(*plan, netfilter::Family::kIpv6).c_str());
  return kExitOk;
}

int apply(const RulesArguments& arguments) {
  int exit_code = kExitOk;
  const auto plan = make_plan(arguments, exit_code);
  if (!plan) return exit_code;
  const auto installer = netfilter::RuleInstaller::open(kPatience);
  if (!installer) return fail(installer.error());
  const std::expected<void, std::string> applied = installer->apply(*plan);
  if (!applied) return fail(applied.error());
  if (plan->mode == policy::Mode::kEnforce) {
    std::puts("sallyport: rules applied; nothing new passes until `sallyport run` serves the queues");
  } else {
    std::puts("sallyport: rules applied; everything passes");
  }
  return kExitOk;
}

int remove() {
  const auto installer = netfilter::RuleInstaller::open(kPatience);
  if (!installer) return fail(installer.error());
  daemon::note_rules_removed();
  const std::expected<bool, std::string> removed = installer->remove();
  if (!removed) return fail(removed.error());
  std::puts(*removed ? "sallyport: rules removed" : "sallyport: there were no rules to remove");
  return kExitOk;
}

void add_plan_options(CLI::App* command, const std::shared_ptr<RulesArguments>& arguments) {
  command->add_option("--policy", arguments->policy, kPolicyHelp)->type_name("FILE");
  command->add_flag("--observe", arguments->observe, "The rules of observe mode, whatever the policy says");
  command->add_option("--queues", arguments->queues, "Queues (default: deploy.queues, or one per core)")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
}

}  // namespace

void add_rules_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<RulesArguments>();
  CLI::App* rules = app.add_subcommand("rules", "Print, apply or remove the kernel's rules");
  rules->require_subcommand(1);
  const auto footer = [](CLI::App* command, const char* examples) { command->footer(std::string("Examples:\n") + examples + "\n" + kExitCodes); };
  footer(rules, "  sallyport rules print --policy policy.toml\n  sudo sallyport rules remove                      open again, whatever happened\n");

  CLI::App* print_command = rules->add_subcommand("print", "Print the rules of a policy; changes nothing");
  add_plan_options(print_command, arguments);
  footer(print_command, "  sallyport rules print                            those of observe mode\n"
                        "  sallyport rules print --policy policy.toml | less\n");
  print_command->callback([arguments, &exit_code] { exit_code = print(*arguments); });

  CLI::App* apply_command = rules->add_subcommand(
      "apply", "Put the rules in place without a service, as at boot: closed until it runs");
  add_plan_options(apply_command, arguments);
  footer(apply_command, "  sudo sallyport rules apply --policy policy.toml  nothing new passes until `sallyport run` serves it\n"
                        "  sudo sallyport rules apply --observe             everything passes\n");
  apply_command->callback([arguments, &exit_code] { exit_code = apply(*arguments); });

  CLI::App* remove_command =
      rules->add_subcommand("remove", "Break glass: remove every rule of ours, service or not");
  // Taken so that the same arguments work for all three; what is removed does not depend on a policy.
  remove_command->add_option("--policy", arguments->policy, "Not needed; accepted and not read")
      ->type_name("FILE");
  footer(remove_command, "  sudo sallyport rules remove                      open again; a running service leaves it so\n");
  remove_command->callback([&exit_code] { exit_code = remove(); });
}

}  // namespace sallyport::cli
