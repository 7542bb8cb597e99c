#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/view/table.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

struct StatusArguments {
  std::string control = policy::Deploy().control;
  bool json = false;
};

int status(const StatusArguments& arguments) {
  const auto answer = daemon::ask_daemon(arguments.control, R"({"command":"status"})");
  if (!answer) {
    const bool absent = answer.error().error == daemon::ControlError::kNotRunning;
    std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", answer.error().message.c_str());
    return absent ? kExitNotRunning : kExitNo;
  }
  if (arguments.json) {
    std::puts(answer->c_str());
    return kExitOk;
  }
  const std::string text = view::status_text(*answer, terminal_width(), terminal_has_colour());
  if (text.empty()) {
    std::fprintf(stderr, "sallyport: %s: the answer makes no sense\n", arguments.control.c_str());
    return kExitNo;
  }
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void add_status_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* command = app.add_subcommand("status", "Ask the running service how it is");
  command->add_option("--control", arguments->control, "Control socket of the service")
      ->type_name("PATH")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "Print the service's answer as one line of JSON");
  command->footer(
      "Examples:\n"
      "  sallyport status\n"
      "  sallyport status --json | jq .flow_book.top_denied     what was denied most\n\n"
      "Exit codes: 0 the service answers, 1 it does not answer properly, 2 usage, 3 it is not running.");
  command->callback([arguments, &exit_code] { exit_code = status(*arguments); });
}

}  // namespace sallyport::cli
