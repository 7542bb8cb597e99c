#include <CLI/CLI.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/doctor/doctor.h"

namespace sallyport::cli {
namespace {

constexpr const char* kFooter =
    R"(It changes nothing: the policy's rules are tried in a network namespace of their own, which ends with
the command. Modules that the kernel loads for an answer stay loaded, as they would when the service starts.

Examples:
  sudo sallyport doctor                            can this host run it, and who else is there?
  sudo sallyport doctor --policy policy.toml       with the hooks, interfaces and marks of a policy
  sudo sallyport doctor --json | jq -r '.findings[] | select(.level != "ok") | .text'

OK: as it should be. NOTE: worth knowing. WARN: may break something, or let something pass. FAIL: keeps it from working.

Exit codes: 0 nothing fails (warnings may be there), 1 something fails, 2 usage or a policy that does not load.)";

struct DoctorArguments {
  std::string policy;
  bool json = false;
};

int doctor(const DoctorArguments& arguments) {
  sallyport::doctor::Patient patient;
  patient.policy = load_live_policy(arguments.policy);
  if (!patient.policy) return kExitUsage;
  patient.mode = patient.policy->defaults().mode;
  // What enforcing needs is more, and without a policy nothing says that it is not wanted.
  if (arguments.policy.empty()) patient.mode = policy::Mode::kEnforce;
  patient.queues = daemon::queue_count(*patient.policy, std::nullopt);
  const auto findings = sallyport::doctor::examine(patient);
  if (arguments.json) {
    std::puts(sallyport::doctor::findings_json(findings, SALLYPORT_VERSION).c_str());
  } else {
    const bool colour = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
    std::fputs(sallyport::doctor::findings_table(findings, colour).c_str(), stdout);
  }
  return sallyport::doctor::worst(findings) == sallyport::doctor::Level::kFail ? kExitNo : kExitOk;
}

}  // namespace

void add_doctor_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<DoctorArguments>();
  CLI::App* command = app.add_subcommand("doctor", "Examine the kernel, the rules of others and the resolver; changes nothing");
  command->add_option("--policy", arguments->policy, kPolicyHelp)->type_name("FILE");
  command->add_flag("--json", arguments->json, "One JSON object");
  command->footer(kFooter);
  command->callback([arguments, &exit_code] { exit_code = doctor(*arguments); });
}

}  // namespace sallyport::cli
