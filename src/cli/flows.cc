#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/view/table.h"
#include "sallyport/view/text.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

constexpr std::size_t kLimitMax = 100'000;

struct FlowsArguments {
  std::string control = policy::Deploy().control;
  std::string verdict;
  std::string name;
  std::size_t limit = 100;
  bool ended = false;
  bool json = false;
};

int not_answered(const daemon::ControlFailure& failure) {
  const bool absent = failure.error == daemon::ControlError::kNotRunning;
  std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", failure.message.c_str());
  return absent ? kExitNotRunning : kExitNo;
}

int flows(const FlowsArguments& arguments) {
  nlohmann::json request{{"command", "flows"}, {"ended", arguments.ended}};
  if (!arguments.verdict.empty()) request["verdict"] = arguments.verdict;
  if (!arguments.name.empty()) request["name"] = arguments.name;
  view::FlowTable table(terminal_width(), terminal_has_colour());
  std::size_t left = arguments.limit;
  while (left > 0) {  // An answer holds so many rows; the next request goes on below the last one.
    request["limit"] = left;
    const auto answer = daemon::ask_daemon(arguments.control, request.dump());
    if (!answer) return not_answered(answer.error());
    const auto parsed = nlohmann::ordered_json::parse(*answer, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("flows") || !parsed["flows"].is_array()) {
      const bool said = parsed.is_object() && parsed.contains("error") && parsed["error"].is_string();
      std::fprintf(stderr, "sallyport: %s: %s\n", arguments.control.c_str(), said ? view::visible(parsed["error"].get<std::string>()).c_str() : "the answer makes no sense");
      return kExitNo;
    }
    const auto& rows = parsed["flows"];
    for (const auto& row : rows) {
      if (arguments.json) {
        std::puts(row.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace).c_str());
      } else {
        table.add(row.dump());
      }
    }
    left -= std::min(left, rows.size());
    if (rows.empty() || !parsed.contains("below")) break;
    request["below"] = parsed["below"];
  }
  if (!arguments.json) std::fputs(table.text().c_str(), stdout);
  return kExitOk;
}

}  // namespace

void add_flows_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<FlowsArguments>();
  CLI::App* command = app.add_subcommand("flows", "List the flows that the running service knows, the newest first");
  command->add_option("--verdict", arguments->verdict, "Only flows of this verdict; while observing, deny is what would be denied")
      ->type_name("VERDICT")
      ->check(CLI::IsMember({"allow", "deny", "pending"}));
  command->add_option("--name", arguments->name, "Only names like this, or addresses of flows without a name; * stands for anything")->type_name("GLOB");
  command->add_option("--limit", arguments->limit, "At most so many")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kLimitMax))
      ->capture_default_str();
  command->add_flag("--ended", arguments->ended, "Also flows that ended, as far as they are still known");
  command->add_option("--control", arguments->control, "Control socket of the service")->type_name("PATH")->capture_default_str();
  command->add_flag("--json", arguments->json, "One line of JSON for each flow");
  command->footer(
      "Examples:\n"
      "  sallyport flows --verdict deny --ended            what was denied lately\n"
      "  sallyport flows --name '*.github.com' --json      for scripts\n\n"
      "Exit codes: 0 the service answers, 1 it does not answer properly, 2 usage, 3 it is not running.");
  command->callback([arguments, &exit_code] { exit_code = flows(*arguments); });
}

}  // namespace sallyport::cli
