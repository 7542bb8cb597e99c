#include <CLI/CLI.hpp>

#include <sys/un.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "sallyport/policy/suggestion.h"
#ifdef SALLYPORT_DESCRIBE
#include "describe.h"
#endif

namespace {

constexpr const char* kExamples = R"(Examples:
  sudo sallyport run                               watch this host, stop nothing
  sudo sallyport run --policy policy.toml          enforce
  sallyport check policy.toml                      is the policy well-formed?
  sudo sallyport audit --policy policy.toml        does anything listen that should not?
  sallyport explain --policy p.toml example.com    may I go there, and if not, why?
  sallyport replay --policy policy.toml day.pcap   what would it have said of this traffic?

Each command has its own: sallyport COMMAND --help, or sallyport help COMMAND)";

// take_command cuts what `run` is to start, everything behind the first "--", off the arguments.
// Nothing where there is none; a "--" with nothing behind it is a command that is empty.
std::optional<std::vector<std::string>> take_command(int& argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "run") return std::nullopt;
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  const auto separator = std::ranges::find_if(arguments, [](const char* each) { return std::string_view(each) == "--"; });
  if (separator == arguments.end()) return std::nullopt;
  argc = static_cast<int>(separator - arguments.begin());
  return std::vector<std::string>(separator + 1, arguments.end());
}

// refuse_empty_values: an empty value is a script's variable that was not set, never what was meant. Nor is a path that no
// socket can have.
void refuse_empty_values(CLI::App& app) {
  static const CLI::Validator not_empty([](const std::string& value) { return value.empty() ? std::string("it is empty") : std::string(); }, "");
  static const CLI::Validator fits_a_socket([](const std::string& value) { return value.size() < sizeof(sockaddr_un::sun_path) ? std::string() : std::string("the path is too long for a socket"); }, "");
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() > 0) option->check(not_empty);
    if (option->check_lname("control")) option->check(fits_a_socket);
  }
  for (CLI::App* command : app.get_subcommands({})) refuse_empty_values(*command);
}

// unknown_command tells whether a word stands where a command should; then help that was asked for, too, is no answer.
bool unknown_command(const CLI::App& app) {
  const CLI::App* innermost = &app;
  while (!innermost->get_subcommands().empty()) innermost = innermost->get_subcommands().front();
  const auto extras = innermost->remaining();
  return innermost->get_require_subcommand_min() > 0 && !extras.empty() && !extras.front().starts_with('-');
}

// nearest returns what of a command's own options or commands may have been meant.
std::string nearest(const CLI::App& command, const std::string& word) {
  std::vector<std::string> known;
  if (word.starts_with('-')) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* each : command.get_subcommands({})) known.push_back(each->get_name());
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  return sallyport::policy::did_you_mean(word.substr(0, word.find('=')), views);
}

// help_instead makes `help [COMMAND...]` the command's --help.
std::vector<std::string> help_instead(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  std::ranges::reverse(words);  // As CLI11 wants them.
  return words;
}

// Wrong use is answered in one line, whatever the argument held.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string text = error.what();
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  const CLI::App* innermost = &app;
  std::string command;
  while (!innermost->get_subcommands().empty()) {
    innermost = innermost->get_subcommands().front();
    command += ' ' + innermost->get_name();
  }
  // CLI11 says of a mistyped command only that one is required, and of a mistyped option sometimes that something else is.
  for (const std::string& extra : innermost->remaining()) {
    const bool option = extra.starts_with('-');
    if (!option && innermost->get_require_subcommand_min() == 0) continue;
    text = (option ? "unknown option " : "unknown command ") + sallyport::policy::quote(extra) + nearest(*innermost, extra);
    break;
  }
  std::fprintf(stderr, "sallyport%s: %s (see sallyport%s --help)\n", command.c_str(), text.c_str(),
               command.c_str());
  return sallyport::cli::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = sallyport::cli::kExitOk;
  try {
    std::optional<std::vector<std::string>> command = take_command(argc, argv);
    if (command && command->empty()) {  // Without this an empty variable would close the whole host.
      std::fprintf(stderr, "sallyport run: there is no command behind -- (see sallyport run --help)\n");
      return sallyport::cli::kExitUsage;
    }
    CLI::App app{"Sallyport decides by name what this host may talk to.", "sallyport"};
#ifdef SALLYPORT_DESCRIBE  // The variant that the manual is made with (packaging/manual).
    sallyport::cli::describe_instead(app);
#endif
    app.set_version_flag("--version", "sallyport " SALLYPORT_VERSION);
    app.require_subcommand(1);
    app.footer(kExamples);
    app.option_defaults()->disable_flag_override();  // `--observe=no` must not observe.
    sallyport::cli::add_run_command(app, exit_code, std::move(command).value_or(std::vector<std::string>()));
    sallyport::cli::add_status_command(app, exit_code);
    sallyport::cli::add_grant_commands(app, exit_code);
    sallyport::cli::add_metrics_command(app, exit_code);
    sallyport::cli::add_reload_command(app, exit_code);
    sallyport::cli::add_watch_command(app, exit_code);
    sallyport::cli::add_flows_command(app, exit_code);
    sallyport::cli::add_rules_command(app, exit_code);
    sallyport::cli::add_audit_command(app, exit_code);
    sallyport::cli::add_check_command(app, exit_code);
    sallyport::cli::add_explain_command(app, exit_code);
    sallyport::cli::add_doctor_command(app, exit_code);
    sallyport::cli::add_replay_command(app, exit_code);
    sallyport::cli::add_learn_command(app, exit_code);
    refuse_empty_values(app);
    try {
      app.parse(help_instead(argc, argv));
    } catch (const CLI::ParseError& error) {
      // Help and version come as exceptions as well; CLI11 prints them.
      return error.get_exit_code() == 0 && !unknown_command(app) ? app.exit(error) : usage_error(app, error);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sallyport: %s\n", error.what());
    return sallyport::cli::kExitNo;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "sallyport: cannot write the output\n");
    return sallyport::cli::kExitNo;
  }
  return exit_code;
}
