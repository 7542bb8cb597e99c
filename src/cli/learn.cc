#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "input_files.h"
#include "sallyport/core/text.h"
#include "sallyport/learn/event_file.h"
#include "sallyport/learn/learner.h"
#include "sallyport/replay/report.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  sallyport learn day.pcap > policy.toml            the smallest policy that allows what day.pcap shows
  sallyport learn --fold captures/                  names that share their parent become "*.parent"
  sallyport learn --from-events events.jsonl        from what an observing service reported
  sallyport learn --policy policy.toml --diff new.pcap   what the policy lacks for new.pcap, and which rules it did not need

Captures are replayed under what was learned until nothing is denied that a rule can allow; what no rule can allow
stands at the end, as comments. Events cannot be replayed.
Exit codes: 0 all of it is allowed (--diff: nothing is missing), 1 something cannot be learned, is damaged, or
(--diff) is missing, 2 wrong use, a bad policy, or a file that cannot be read.)";

struct Arguments {
  std::vector<std::string> events;
  std::vector<std::string> captures;
  std::string policy;
  std::string output;
  std::string scope;
  bool diff = false;
  bool fold = false;
  std::optional<std::size_t> fold_at;
  bool pin_host_keys = false;
  bool no_verify = false;
  bool denied = false;
  bool json = false;
  unsigned jobs = 0;
};

int fail(const std::string& message, int exit_code) {
  std::fprintf(stderr, "sallyport learn: %s\n", replay::printable(message).c_str());
  return exit_code;
}

// read_all reads the event files; false when one cannot be opened.
bool read_all(const std::vector<std::string>& names, learn::EventFile& events) {
  for (const std::string& name : names) {
    if (name == "-") {
      learn::read_events(std::cin, "standard input", events);
      continue;
    }
    if (!can_open("learn", name)) return false;
    std::ifstream in(name, std::ios::binary);
    learn::read_events(in, name, events);
  }
  return true;
}

// write_new writes a file that is not there yet.
bool write_new(const std::string& name, const std::string& text) {
  std::FILE* const out = std::fopen(name.c_str(), "wx");
  if (out == nullptr) return false;
  const bool whole = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  return std::fclose(out) == 0 && whole;
}

int give(const Arguments& arguments, const learn::LearnOptions& options, const learn::Learned& learned) {
  if (learned.flows == 0 && !learned.unreadable.empty()) {  // Nothing was seen, so nothing can be said.
    for (const std::string& one : learned.unreadable) fail(one, kExitNo);
    return kExitNo;
  }
  const std::string text = arguments.json ? learn::learned_json(learned) : learn::learned_text(learned, options);
  if (arguments.output.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  } else if (!write_new(arguments.output, text)) {
    return fail("cannot write " + arguments.output + ": " + std::strerror(errno), kExitNo);
  }
  for (const std::string& one : learned.unreadable) fail(one, kExitNo);
  const bool missing = options.running && !learned.rules.empty();
  if (!learned.not_learned.empty())
    fail("some flows cannot be learned; they stand at the end of the output", kExitNo);
  if (!options.captures.empty() && options.verify && !learned.verified)
    return fail("the policy still denies flows that a rule could allow", kExitNo);
  return missing || !learned.not_learned.empty() || !learned.unreadable.empty() ? kExitNo : kExitOk;
}

// check_together refuses options that would be ignored beside others.
const char* check_together(const Arguments& arguments) {
  if (arguments.captures.empty() && arguments.events.empty()) return "captures or --from-events are needed";
  if (arguments.diff == arguments.policy.empty()) return "--policy and --diff go together";
  if (arguments.fold_at && !arguments.fold) return "--fold-at is for --fold";
  if (arguments.denied && arguments.events.empty()) return "--denied is for --from-events; of captures everything is learned";
  if (arguments.no_verify && arguments.captures.empty()) return "--no-verify is for captures; events cannot be replayed";
  if (arguments.jobs != 0 && arguments.captures.empty()) return "--jobs is for captures";
  if (std::ranges::count(arguments.events, "-") > 1) return "--from-events -: there is one standard input";
  std::error_code ignored;
  if (!arguments.output.empty() && std::filesystem::exists(arguments.output, ignored)) return "--output: it is there already, and is left alone";
  const std::filesystem::path folder = std::filesystem::path(arguments.output).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored)) return "--output: there is no such folder";
  return nullptr;
}

int run_learn(const Arguments& arguments) {
  if (const char* problem = check_together(arguments)) return fail(problem + std::string(" (see sallyport learn --help)"), kExitUsage);
  learn::LearnOptions options;
  const auto files = replay::list_captures({arguments.captures.begin(), arguments.captures.end()});
  if (!files) return fail(files.error() + " (see sallyport learn --help)", kExitUsage);
  for (const auto& file : *files) {
    if (!can_open("learn", file)) return kExitUsage;
  }
  options.captures = *files;
  learn::EventFile events;
  if (!read_all(arguments.events, events)) return kExitUsage;
  options.events = std::move(events.sightings);
  if (arguments.diff) options.running = arguments.policy;
  options.scope = arguments.scope;
  options.fold = arguments.fold ? arguments.fold_at.value_or(3) : 0;
  options.pin_host_keys = arguments.pin_host_keys;
  options.verify = !arguments.no_verify;
  options.denied = arguments.denied;
  options.jobs = arguments.jobs;
  ProgressBar progress;
  options.on_progress = [&](std::string_view, std::uint64_t done, std::uint64_t total) { progress.show(done, total); };
  const auto learned = learn::learn(options);
  progress.clear();
  if (!learned) {
    for (const policy::Problem& problem : learned.error()) std::fprintf(stderr, "%s\n", problem.to_string().c_str());
    return kExitUsage;
  }
  if (events.unreadable + events.beyond != 0)
    fail(plural(events.unreadable, "unreadable line") + ", " + plural(events.beyond, "event") + " beyond the bound", kExitNo);
  const int exit_code = give(arguments, options, *learned);
  return events.unreadable + events.beyond != 0 ? kExitNo : exit_code;
}

std::string scope_problem(const std::string& name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  if (name == "none") return "none stands for flows in no scope";
  if (!name.empty() && name.size() <= 64 && std::ranges::all_of(name, fits)) return {};
  return "a scope's name has letters, digits, - and _, at most 64";
}

}  // namespace

void add_learn_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("learn", "Write the smallest policy that allows what was seen");
  command->add_option("--from-events", arguments->events, "Events of run --json or of the service's file; - is standard input; may be given again")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("FILE");
  command->add_option("--policy", arguments->policy, "With --diff: the running policy")->type_name("FILE");
  command->add_flag("--diff", arguments->diff, "Write only the rules that --policy lacks, and name those that it did not need");
  command->add_flag("--fold", arguments->fold, "Names that share their parent become \"*.parent\", never over a public suffix");
  command->add_option("--fold-at", arguments->fold_at, "How many names must share it (default: 3)")->check(CLI::Range(2u, 1'000'000u))->type_name("N");
  command->add_option("--scope", arguments->scope, "Rules for this scope alone, made of the clients and users that were seen")
      ->check(CLI::Validator(scope_problem, ""))
      ->type_name("NAME");
  command->add_flag("--pin-host-keys", arguments->pin_host_keys, "SSH servers only with the host keys that were seen");
  command->add_flag("--denied", arguments->denied, "Also learn what an enforcing service denied");
  command->add_flag("--no-verify", arguments->no_verify, "Do not replay the captures under the result");
  command->add_option("--output", arguments->output, "Write to this new file (default: standard output)")->type_name("FILE");
  command->add_flag("--json", arguments->json, "One JSON object");
  command->add_option("-j,--jobs", arguments->jobs, "Captures replayed at once (default: one per core)")
      ->check(CLI::Range(1u, 1024u))
      ->type_name("N");
  command->add_option("CAPTURE", arguments->captures, "Capture files and folders")->type_name("");
  command->footer(kExamples);
  command->callback([arguments, &exit_code] { exit_code = run_learn(*arguments); });
}

}  // namespace sallyport::cli
