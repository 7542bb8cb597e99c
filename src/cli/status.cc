#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/control_client.h"

namespace sallyport::cli {
namespace {

constexpr int kExitNotRunning = 3;

struct StatusArguments {
  std::string control = policy::Deploy().control;
  bool json = false;
};

// print_group prints {"allow": 3, "deny": 1} as "flows: 3 allow, 1 deny".
void print_group(const nlohmann::ordered_json& report, const char* key, const char* title) {
  if (!report.contains(key) || report[key].empty()) return;
  std::string text;
  for (const auto& [word, figure] : report[key].items()) {
    text += (text.empty() ? "" : ", ") + figure.dump() + ' ' + word;
  }
  std::printf("%-10s %s\n", title, text.c_str());
}

void print_report(const nlohmann::ordered_json& report) {
  const auto word = [&](const char* key) {
    return report.contains(key) && report[key].is_string() ? report[key].get<std::string>()
                                                           : std::string("-");
  };
  const auto figure = [&](const char* key) {
    return report.contains(key) ? report[key].dump() : std::string("-");
  };
  std::printf("%-10s %s (pid %s), up %s s\n", "sallyport", word("version").c_str(), figure("pid").c_str(),
              figure("uptime_s").c_str());
  std::printf("%-10s %s, policy %s, rules by %s\n", "mode", word("mode").c_str(), word("policy").c_str(),
              word("rules").c_str());
  print_group(report, "flows", "flows");
  print_group(report, "protocols", "protocols");
  print_group(report, "packets", "packets");
  print_group(report, "packet_reasons", "of these");
  std::printf("%-10s %s\n", "held now", figure("held").c_str());
  if (!report.contains("queues")) return;
  for (const auto& queue : report["queues"]) {
    std::printf("%-10s %s: %s packets, %s waiting, %s lost by a full queue, %s by a full socket\n", "queue",
                queue["queue"].dump().c_str(), queue["packets"].dump().c_str(),
                queue["waiting"].dump().c_str(), queue["queue_dropped"].dump().c_str(),
                queue["user_dropped"].dump().c_str());
  }
}

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
  const auto report = nlohmann::ordered_json::parse(*answer, nullptr, false);
  if (!report.is_object()) {
    std::fprintf(stderr, "sallyport: %s: the answer makes no sense\n", arguments.control.c_str());
    return kExitNo;
  }
  print_report(report);
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
      "Exit codes: 0 the service answers, 1 it does not answer properly, 2 usage, 3 it is not running.");
  command->callback([arguments, &exit_code] { exit_code = status(*arguments); });
}

}  // namespace sallyport::cli
