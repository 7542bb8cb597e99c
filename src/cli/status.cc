#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "grant_text.h"
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

// print_resolver shows what stands behind names: bindings, look-ups, and whom they ask.
void print_resolver(const nlohmann::ordered_json& report) {
  print_group(report, "bindings", "bindings");
  print_group(report, "binds", "binds");
  if (!report.contains("resolver") || !report["resolver"].is_object()) return;
  const nlohmann::ordered_json& resolver = report["resolver"];
  const auto figure = [&](const char* key) { return resolver.contains(key) ? resolver[key].dump() : "-"; };
  std::string servers;
  if (resolver.contains("trusted") && resolver["trusted"].is_array()) {
    for (const auto& server : resolver["trusted"]) {
      servers += (servers.empty() ? "" : ", ") + (server.is_string() ? server.get<std::string>() : server.dump());
    }
  }
  std::printf("%-10s %s\n", "resolvers", servers.empty() ? "none: no answer is believed" : servers.c_str());
  std::printf("%-10s %s names kept warm, %s failing; %s lookups, %s failed; %s misses, %s lost\n", "lookups",
              figure("names").c_str(), figure("failing").c_str(), figure("lookups").c_str(),
              figure("failures").c_str(), figure("misses").c_str(), figure("misses_lost").c_str());
  if (resolver.contains("last_error")) std::printf("%-10s %s\n", "", ("last failure: " + figure("last_error")).c_str());
}

// print_listeners shows how what listens differs from what is declared.
void print_listeners(const nlohmann::ordered_json& report) {
  if (!report.contains("listeners") || !report["listeners"].is_object()) return;
  const nlohmann::ordered_json& listeners = report["listeners"];
  std::string text = listeners.value("sockets", nlohmann::ordered_json(0)).dump() + " sockets";
  std::string kinds;
  if (listeners.contains("findings") && listeners["findings"].is_object()) {
    for (const auto& [kind, count] : listeners["findings"].items()) kinds += ", " + count.dump() + ' ' + kind;
  }
  std::printf("%-10s %s%s\n", "listeners", text.c_str(), kinds.empty() ? ", as declared" : kinds.c_str());
  if (listeners.contains("error")) std::printf("%-10s last look failed: %s\n", "", listeners["error"].dump().c_str());
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
  std::printf("%-10s %s packets, %s flows wait for a binding\n", "held now", figure("held").c_str(), figure("awaiting_binding").c_str());
  print_resolver(report);
  print_listeners(report);
  print_grants(report, nullptr);
  if (report.contains("state_error")) std::printf("%-10s %s\n", "state", word("state_error").c_str());
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
