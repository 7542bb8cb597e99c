#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "sallyport/core/text.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/policy/policy.h"

namespace sallyport::cli {
namespace {

constexpr int kExitNotRunning = 3;
constexpr const char* kFooter = R"(The running service reads its policy file again, and what that includes, and judges every
connection anew: what is still allowed goes on, what is not is cut. A file with a mistake
changes nothing; each mistake is printed. SIGHUP does the same without this report, and so does
any change of a file with deploy.reload_on_change = true.

Exit codes: 0 the policy is in force, 1 it is not (what is wrong is printed), 2 usage,
3 the service is not running.

Examples:
  sudo sallyport reload
  sudo sallyport reload --json | jq '.cut_flows[].name')";

struct ReloadArguments {
  std::string control = policy::Deploy().control;
  bool json = false;
};

std::string word(const nlohmann::ordered_json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : std::string();
}

int print_report(const nlohmann::ordered_json& report) {
  if (report.contains("problems")) {
    for (const auto& problem : report["problems"]) std::fprintf(stderr, "%s\n", problem.get<std::string>().c_str());
  }
  if (const std::string error = word(report, "error"); !error.empty()) std::fprintf(stderr, "sallyport: %s\n", error.c_str());
  if (!report.value("changed", false)) return kExitNo;
  std::printf("reloaded in %.1f ms: %s judged again, %s kept, %s cut\n", static_cast<double>(report.value("took_us", 0)) / 1'000,
              plural(report["judged"].get<std::uint64_t>(), "flow").c_str(), report["kept"].dump().c_str(), report["cut"].dump().c_str());
  for (const auto& flow : report["cut_flows"]) {
    const std::string name = word(flow, "name");
    std::printf("  cut: %s %s -> %s%s (%s)\n", word(flow, "protocol").c_str(), word(flow, "client").c_str(), name.empty() ? "" : (name + ' ').c_str(),
                word(flow, "server").c_str(), word(flow, "rule").c_str());
  }
  const std::size_t cut = report["cut"].get<std::size_t>();
  if (cut > report["cut_flows"].size()) std::printf("  and %zu more\n", cut - report["cut_flows"].size());
  const std::size_t unknown = report.value("unknown", std::size_t{0});
  if (unknown != 0) std::printf("  %zu connections older than the service are cut: what they were for is not known\n", unknown);
  const std::size_t left = report.value("sockets_left", std::size_t{0});
  if (left != 0) std::printf("  the kernel did not end %zu sockets of these; each ends with its next packet\n", left);
  return kExitOk;
}

int reload(const ReloadArguments& arguments) {
  const auto answer = daemon::ask_daemon(arguments.control, R"({"command":"reload"})", daemon::kChangeWait);
  if (!answer) {
    const bool absent = answer.error().error == daemon::ControlError::kNotRunning;
    std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", answer.error().message.c_str());
    return absent ? kExitNotRunning : kExitNo;
  }
  const auto report = nlohmann::ordered_json::parse(*answer, nullptr, false);
  if (!report.is_object()) {
    std::fprintf(stderr, "sallyport: %s: the answer makes no sense\n", arguments.control.c_str());
    return kExitNo;
  }
  if (!arguments.json) return print_report(report);
  std::puts(answer->c_str());
  return report.value("changed", false) ? kExitOk : kExitNo;
}

}  // namespace

void add_reload_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<ReloadArguments>();
  CLI::App* command = app.add_subcommand("reload", "Have the running service take its policy file as it is now");
  command->add_option("--control", arguments->control, "Control socket of the service")->type_name("PATH")->capture_default_str();
  command->add_flag("--json", arguments->json, "Print the report as one line of JSON");
  command->footer(kFooter);
  command->callback([arguments, &exit_code] { exit_code = reload(*arguments); });
}

}  // namespace sallyport::cli
