#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "control_option.h"

namespace sallyport::cli {
namespace {

int metrics(const ControlArguments& arguments) {
  int exit_code = kExitNo;
  const auto answer = ask_service(arguments, {{"command", "metrics"}}, exit_code);
  if (answer && answer->contains("text") && (*answer)["text"].is_string()) {
    std::fputs((*answer)["text"].get_ref<const std::string&>().c_str(), stdout);
  }
  return exit_code;
}

}  // namespace

void add_metrics_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<ControlArguments>();
  CLI::App* command = app.add_subcommand("metrics", "Print the running service's figures in Prometheus' text format");
  add_control_options(*command, *arguments);
  command->footer(std::string(kControlExitCodes) + "\n\nExamples:\n  sallyport metrics\n  sallyport metrics | grep _dropped_   does the kernel lose packets?");
  command->callback([arguments, &exit_code] { exit_code = metrics(*arguments); });
}

}  // namespace sallyport::cli
