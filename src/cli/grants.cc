// allow, deny, revoke, grants and bypass: what is granted for a time while the service runs.
#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "control_option.h"
#include "grant_text.h"
#include "sallyport/core/text.h"
#include "sallyport/policy/duration.h"
#include "sallyport/policy/policy_file.h"
#include "sallyport/replay/report.h"

namespace sallyport::cli {
namespace {

using nlohmann::ordered_json;

constexpr Duration kGrantTimeMax = std::chrono::hours(24 * 366);
constexpr Duration kBypassTimeMax = std::chrono::hours(24);

bool is_time(const std::string& text, Duration most) {
  const auto length = policy::parse_duration(text, most);
  return length && *length > Duration{};
}

int usage(const std::string& command, const std::string& text) {
  std::fprintf(stderr, "sallyport %s: %s (see sallyport %s --help)\n", command.c_str(), text.c_str(), command.c_str());
  return kExitUsage;
}

struct GrantArguments {
  ControlArguments control;
  std::string name;
  std::vector<std::string> protocols;
  std::vector<std::string> ports;
  std::string scope;
  std::string time;
};

// print_effect tells what the change did to live flows.
void print_effect(const ordered_json& answer) {
  const auto figure = [&](const char* key) { return answer.contains(key) && answer[key].is_number_unsigned() ? answer[key].get<std::uint64_t>() : 0; };
  const std::uint64_t cut = figure("cut");
  if (cut != 0) std::printf("%s lost %s permission and %s cut\n", plural(cut, "live flow").c_str(), cut == 1 ? "its" : "their", cut == 1 ? "was" : "were");
  if (answer.contains("warning") && answer["warning"].is_string()) {
    std::fprintf(stderr, "sallyport: %s\n", answer["warning"].get_ref<const std::string&>().c_str());
  }
}

// problem_of asks the policy's own reader what is wrong with a grant's words, before any service is asked. Whether the scope is
// there, and whether a deny rule covers it, the service alone knows.
std::string problem_of(const std::string& command, const GrantArguments& arguments) {
  policy::Overlay overlay;
  overlay.grants.push_back({1, command == "allow" ? policy::Action::kAllow : policy::Action::kDeny, arguments.name, arguments.protocols, arguments.ports, {}, {}});
  const policy::LoadResult loaded = policy::load_policy_text("version = 1\n", "grant", overlay);
  const auto& problems = loaded ? (*loaded)->grant_problems() : loaded.error();
  if (problems.empty()) return {};
  const std::string& message = problems.front().message;
  const std::size_t end = message.starts_with("rules[") ? message.find_first_of(".:") : std::string::npos;
  if (end == std::string::npos) return message;
  std::string rest = message.substr(message[end] == '.' ? end + 1 : end + 2);
  constexpr std::pair<std::string_view, std::string_view> kHere[] = {{"to:", "NAME:"}, {"protocols:", "--protocol:"}, {"ports:", "--port:"}};
  for (const auto& [key, option] : kHere) {
    if (rest.starts_with(key)) rest.replace(0, key.size(), option);
  }
  return rest;
}

int grant(const std::string& command, const GrantArguments& arguments) {
  if (!arguments.time.empty() && !is_time(arguments.time, kGrantTimeMax)) {
    return usage(command, "--for: expected a time of at most 366 days, such as 90s, 10m, 8h or 7d");
  }
  if (const std::string problem = problem_of(command, arguments); !problem.empty()) return usage(command, replay::printable(problem));
  ordered_json request = {{"command", command}, {"name", arguments.name}};
  if (!arguments.protocols.empty()) request["protocols"] = arguments.protocols;
  if (!arguments.ports.empty()) request["ports"] = arguments.ports;
  if (!arguments.scope.empty()) request["scope"] = arguments.scope;
  if (!arguments.time.empty()) request["for"] = arguments.time;
  int exit_code = kExitNo;
  const auto answer = ask_service(arguments.control, request, exit_code, daemon::kChangeWait);
  if (!answer || !answer->contains("grant")) return exit_code;
  std::printf("grant %s\n", grant_line((*answer)["grant"]).c_str());
  if (arguments.time.empty()) std::printf("it stands until it is revoked: sallyport revoke %s\n", (*answer)["id"].dump().c_str());
  print_effect(*answer);
  return exit_code;
}

void add_grant_command(CLI::App& app, int& exit_code, const std::string& name, const char* description, const char* examples) {
  auto arguments = std::make_shared<GrantArguments>();
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("NAME", arguments->name, "A name, \"*.below\", \".apex-and-below\", an address, a prefix, or \"any\"")->required()->type_name("");
  command->add_option("--protocol", arguments->protocols, "As in `protocols` of a rule; may be repeated (default: tls, quic, http)")
      ->type_name("WORD")->expected(1)->delimiter(',')->take_all();
  command->add_option("--port", arguments->ports, "A port, a range or \"any\"; may be repeated (default: each protocol's own)")
      ->type_name("PORT")->expected(1)->delimiter(',')->take_all();
  command->add_option("--scope", arguments->scope, "For the flows of this scope of the policy alone (default: every flow)")->type_name("SCOPE");
  command->add_option("--for", arguments->time, "How long: 90s, 10m, 8h, 7d (default: until it is revoked)")->type_name("TIME");
  add_control_options(*command, arguments->control);
  const char* const rank = name == "deny" ? "It wins over every allow rule." : "A deny rule wins over it, as over any allow rule.";
  command->footer(std::string("It is a rule like those of the policy file, in force at once, and kept when the service starts again.\n") + rank +
                  " Who made it is logged.\n\n" +
                  kControlExitCodes + "\n\nExamples:\n" + examples);
  command->callback([arguments, name, &exit_code] { exit_code = grant(name, *arguments); });
}

struct RevokeArguments {
  ControlArguments control;
  std::string which;
  bool all = false;
};

int revoke(const RevokeArguments& arguments) {
  if (arguments.all == !arguments.which.empty()) return usage("revoke", "expected a grant's number, its NAME, or --all");
  ordered_json request = {{"command", "revoke"}};
  std::uint32_t id = 0;
  const char* const end = arguments.which.data() + arguments.which.size();
  const auto [rest, error] = std::from_chars(arguments.which.data(), end, id);
  if (arguments.all) {
    request["all"] = true;
  } else if (error == std::errc{} && rest == end) {
    request["id"] = id;
  } else {
    request["name"] = arguments.which;
  }
  int exit_code = kExitNo;
  const auto answer = ask_service(arguments.control, request, exit_code, daemon::kChangeWait);
  if (!answer || !answer->contains("revoked")) return exit_code;
  for (const auto& each : (*answer)["revoked"]) std::printf("revoked %s\n", grant_line(each).c_str());
  if ((*answer)["revoked"].empty()) std::printf("there are no grants\n");
  print_effect(*answer);
  return exit_code;
}

struct BypassArguments {
  ControlArguments control;
  std::string time;
  std::string scope;
  bool all = false;
  bool end = false;
};

int bypass(const BypassArguments& arguments) {
  ordered_json request = {{"command", "bypass"}};
  if (arguments.end) {
    if (!arguments.time.empty() || !arguments.scope.empty() || arguments.all) return usage("bypass", "--end stands alone");
    request["end"] = true;
  } else {
    if (arguments.time.empty()) return usage("bypass", "--for is required");
    if (!is_time(arguments.time, kBypassTimeMax)) return usage("bypass", "--for: expected a time of at most 24 hours, such as 5m");
    if (arguments.all == !arguments.scope.empty()) return usage("bypass", "expected --scope SCOPE, or --all for every flow");
    request["for"] = arguments.time;
    if (arguments.all) request["all"] = true;
    if (!arguments.all) request["scope"] = arguments.scope;
  }
  int exit_code = kExitNo;
  const auto answer = ask_service(arguments.control, request, exit_code, daemon::kChangeWait);
  if (!answer) return exit_code;
  if (arguments.end) {
    const std::string ended = answer->contains("ended") ? (*answer)["ended"].dump() : "0";
    std::printf("%s\n", ended == "0" ? "nothing was bypassed" : "the rules are in force again");
  } else if (answer->contains("bypass")) {
    std::printf("bypass %s\nevery new flow of it passes; to end it: sallyport bypass --end\n", bypass_line((*answer)["bypass"]).c_str());
  }
  print_effect(*answer);
  return exit_code;
}

int grants(const ControlArguments& arguments) {
  int exit_code = kExitNo;
  const auto answer = ask_service(arguments, {{"command", "grants"}}, exit_code);
  if (!answer) return exit_code;
  print_grants(*answer, "there are no grants");
  return exit_code;
}

void add_revoke_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<RevokeArguments>();
  CLI::App* command = app.add_subcommand("revoke", "Take back what was granted; flows allowed by it alone are cut");
  command->add_option("WHICH", arguments->which, "A grant's number, or the NAME that it was made for")->type_name("");
  command->add_flag("--all", arguments->all, "Every grant (not what is bypassed)");
  add_control_options(*command, arguments->control);
  command->footer(std::string(kControlExitCodes) + "\n\nExamples:\n  sallyport grants                  their numbers\n  sallyport revoke 3\n  sallyport revoke example.org\n  sallyport revoke --all");
  command->callback([arguments, &exit_code] { exit_code = revoke(*arguments); });
}

void add_bypass_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<BypassArguments>();
  CLI::App* command = app.add_subcommand("bypass", "Break-glass: let a scope's flows pass for a time, whatever the rules say");
  command->add_option("--for", arguments->time, "How long, at most 24h; required")->type_name("TIME");
  command->add_option("--scope", arguments->scope, "The scope of the policy, or \"none\" for flows in no scope")->type_name("SCOPE");
  command->add_flag("--all", arguments->all, "Every flow");
  command->add_flag("--end", arguments->end, "End whatever is bypassed now");
  add_control_options(*command, arguments->control);
  command->footer(std::string("New flows, look-ups included, pass unread. What the kernel's rules drop by themselves stays dropped: ICMP\n"
                              "types and IP protocols that no rule of the policy has. Guards of local services stay in force. Begin and\n"
                              "end are events, with who did it.\n\n") +
                  kControlExitCodes + "\n\nExamples:\n  sallyport bypass --for 5m --scope agent\n  sallyport bypass --for 10m --all\n  sallyport bypass --end");
  command->callback([arguments, &exit_code] { exit_code = bypass(*arguments); });
}

}  // namespace

void add_grant_commands(CLI::App& app, int& exit_code) {
  add_grant_command(app, exit_code, "allow", "Allow a name or address while the service runs",
                    "  sallyport allow example.org --for 10m\n  sallyport allow github.com --protocol ssh --scope agent --for 8h\n"
                    "  sallyport allow 192.0.2.0/24 --protocol tcp --port 8000-8010");
  add_grant_command(app, exit_code, "deny", "Deny a name or address while the service runs; flows to it are cut",
                    "  sallyport deny example.org\n  sallyport deny '*.ads.example' --for 1h");
  add_revoke_command(app, exit_code);
  auto arguments = std::make_shared<ControlArguments>();
  CLI::App* command = app.add_subcommand("grants", "List what is granted and bypassed, with the time that is left");
  add_control_options(*command, *arguments);
  command->footer(std::string(kControlExitCodes) + "\n\nExamples:\n  sallyport grants\n  sallyport grants --json");
  command->callback([arguments, &exit_code] { exit_code = grants(*arguments); });
  add_bypass_command(app, exit_code);
}

}  // namespace sallyport::cli
