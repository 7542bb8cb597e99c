// What the commands that ask the running service share.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "commands.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/policy/policy.h"

namespace sallyport::cli {

inline constexpr const char* kControlExitCodes =
    "Exit codes: 0 done, 1 the service refuses or does not answer properly, 2 usage, 3 it is not running.";

struct ControlArguments {
  std::string control = policy::Deploy().control;
  bool json = false;
};

inline void add_control_options(CLI::App& command, ControlArguments& arguments) {
  command.add_option("--control", arguments.control, "Control socket of the service")->type_name("PATH")->capture_default_str();
  command.add_flag("--json", arguments.json, "Print the service's answer as one line of JSON");
}

// ask_service prints why there is no answer, or what the service refuses, and sets the exit code; with --json it prints the
// answer, too. Empty: there is nothing more to do.
inline std::optional<nlohmann::ordered_json> ask_service(const ControlArguments& arguments, const nlohmann::ordered_json& request, int& exit_code,
                                                         std::chrono::seconds limit = daemon::kReadWait) {
  const std::string text = request.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  const auto answer = daemon::ask_daemon(arguments.control, text, limit);
  exit_code = kExitNo;
  if (!answer) {
    const bool absent = answer.error().error == daemon::ControlError::kNotRunning;
    std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", answer.error().message.c_str());
    if (absent) exit_code = kExitNotRunning;
    return std::nullopt;
  }
  auto report = nlohmann::ordered_json::parse(*answer, nullptr, false);
  if (!report.is_object()) {
    std::fprintf(stderr, "sallyport: %s: the answer makes no sense\n", arguments.control.c_str());
    return std::nullopt;
  }
  const bool failed = report.contains("error");
  if (!failed) exit_code = kExitOk;
  if (arguments.json) {
    std::puts(answer->c_str());
    return std::nullopt;
  }
  if (!failed) return report;
  const std::string why = report["error"].is_string() ? report["error"].get<std::string>() : report["error"].dump();
  std::fprintf(stderr, "sallyport: %s\n", why.c_str());
  return std::nullopt;
}

}  // namespace sallyport::cli
