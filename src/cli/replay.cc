#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "input_files.h"
#include "policy_option.h"
#include "replay_report.h"
#include "sallyport/replay/expectation.h"
#include "sallyport/replay/replay.h"
#include "sallyport/replay/report.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  sallyport replay day.pcap                                 who talked to what, under no policy
  sallyport replay --policy policy.toml day.pcapng.zst      what this policy would have said
  sallyport replay --json --frames -j 4 captures/           every flow and frame of a folder, as JSON lines
  sallyport replay --policy p.toml --expect expected.jsonl input.pcap
  sallyport replay --policy p.toml --html report.html day.pcap     a page with a timeline, names and explanations
  sallyport replay --compare old.toml new.toml day.pcap            what would change

Captures: pcap and pcapng, plain, gzip or zstd. A folder stands for all captures in it.
Exit codes: 0 done (and as expected), 1 a difference, a changed verdict, a damaged capture or a page that cannot be written, 2 wrong use,
a bad policy, or a file that cannot be read.)";

struct Arguments {
  std::string policy;
  bool observe = false;
  bool json = false;
  bool frames = false;
  std::string expect;
  std::string html;
  std::pair<std::string, std::string> compare;
  std::vector<std::string> resolvers;
  unsigned jobs = 0;
  std::vector<std::string> captures;
};

std::optional<replay::Expectation> load_expectation(const std::string& file) {
  if (!can_open("replay", file)) return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  auto expectation = replay::Expectation::parse(text, file);
  if (expectation) return std::move(*expectation);
  std::fprintf(stderr, "sallyport replay: %s\n", expectation.error().c_str());
  return std::nullopt;
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Output takes the results in order: a table, JSON lines, or text to compare with an expectation.
class Output {
 public:
  Output(const Arguments& arguments, const replay::ReplayOptions& options, bool compare, bool titles)
      : json_(arguments.json), compare_(compare), titles_(titles),
        report_({terminal_width(), terminal_has_colour()},
                [policy = options.policy](RuleId rule) { return policy->location(rule); }) {}

  void take(replay::CaptureResult&& result) {
    progress_.clear();
    if (json_) {
      print(result.flow_json);
      print(result.frame_json);
    } else if (!compare_) {
      print(report_.add(result, titles_));
    }
    if (compare_) {
      flow_json_ += result.flow_json;
      frame_json_ += result.frame_json;
    }
    if (!result.error) return;
    failed_ = true;
    std::fflush(stdout);
    std::fprintf(stderr, "sallyport replay: %s: %s (%llu frames read)\n", result.file.c_str(),
                 result.error->c_str(), static_cast<unsigned long long>(result.frames_read));
  }

  void progress(std::uint64_t done, std::uint64_t total) { progress_.show(done, total); }

  int finish(const std::optional<replay::Expectation>& expectation) {
    progress_.clear();
    if (expectation) {
      const auto differences = expectation->differences(flow_json_, frame_json_);
      for (const std::string& line : differences) std::fprintf(stderr, "%s\n", line.c_str());
      return differences.empty() && !failed_ ? kExitOk : kExitNo;
    }
    if (!json_) print(report_.summary());
    return failed_ ? kExitNo : kExitOk;
  }

 private:
  bool json_;
  bool compare_;
  bool titles_;
  bool failed_ = false;
  replay::Report report_;
  ProgressBar progress_;
  std::string flow_json_;
  std::string frame_json_;
};

// check_together refuses options that would be ignored beside others.
const char* check_together(const Arguments& arguments) {
  const bool page = !arguments.html.empty();
  const bool compares = !arguments.compare.first.empty();
  if (page && arguments.frames) return "--frames and --html exclude each other: a page has no frames";
  if (page && arguments.json && !compares) return "--json and --html exclude each other, but with --compare";
  if (page && !arguments.expect.empty()) return "--expect and --html exclude each other";
  if (compares && arguments.frames) return "--frames and --compare exclude each other: flows are compared";
  if (!arguments.expect.empty() && arguments.json) return "--expect prints differences alone, without --json";
  return nullptr;
}

int run_replay(const Arguments& arguments) {
  if (const char* problem = check_together(arguments)) {
    std::fprintf(stderr, "sallyport replay: %s (see sallyport replay --help)\n", problem);
    return kExitUsage;
  }
  replay::ReplayOptions options;
  options.policy = load_live_policy(arguments.policy);
  if (options.policy == nullptr) return kExitUsage;
  std::optional<replay::Expectation> expectation;
  if (!arguments.expect.empty()) {
    expectation = load_expectation(arguments.expect);
    if (!expectation) return kExitUsage;
  }
  const auto files = replay::list_captures({arguments.captures.begin(), arguments.captures.end()});
  if (!files) {
    std::fprintf(stderr, "sallyport replay: %s (see sallyport replay --help)\n", replay::printable(files.error()).c_str());
    return kExitUsage;
  }
  for (const auto& file : *files) {
    if (!can_open("replay", file)) return kExitUsage;
  }
  if (arguments.observe) options.mode = policy::Mode::kObserve;
  options.frames = arguments.frames || (expectation && expectation->has_frames());
  options.json = arguments.json || expectation.has_value();
  options.jobs = arguments.jobs;
  for (const std::string& text : arguments.resolvers) options.resolvers.push_back(*IpAddress::parse(text));
  if (!arguments.html.empty() || !arguments.compare.first.empty()) {
    return run_replay_report({arguments.html, arguments.compare.first, arguments.compare.second, arguments.policy, arguments.json}, *files, options);
  }
  Output output(arguments, options, expectation.has_value(), files->size() > 1);
  replay::replay_all(
      *files, options, [&](replay::CaptureResult&& result) { output.take(std::move(result)); },
      [&](std::uint64_t done, std::uint64_t total) { output.progress(done, total); });
  return output.finish(expectation);
}

}  // namespace

void add_replay_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("replay", "Judge captures by a policy and tell each flow's verdict");
  command->add_option("--policy", arguments->policy, kPolicyHelp)->type_name("FILE");
  command->add_flag("--observe", arguments->observe, "Decide and report, but let every frame through");
  command->add_flag("--json", arguments->json, "One JSON object per flow");
  command->add_flag("--frames", arguments->frames, "Also a row per frame: accept, drop or hold");
  command->add_option("--expect", arguments->expect, "Compare with these JSON lines; exit 1 if they differ")
      ->type_name("FILE");
  command->add_option("--html", arguments->html, "Write one page about the flows to this file, instead of tables")->type_name("FILE");
  command->add_option("--compare", arguments->compare, "What would change between two policies; exit 1 if a verdict does")
      ->type_name("OLD NEW")
      ->excludes("--policy")
      ->excludes("--expect");
  const auto is_address = [](const std::string& text) {
    return IpAddress::parse(text) ? std::string{} : text + " is no IP address";
  };
  command->add_option("--resolver", arguments->resolvers, "Believe the DNS answers of this server and of the policy's alone "
                      "(default: of any, where dns.resolvers says \"system\"); may be given again")
      ->check(CLI::Validator(is_address, "ADDRESS"))
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("");
  command->add_option("-j,--jobs", arguments->jobs, "Captures replayed at once (default: one per core)")
      ->check(CLI::Range(1u, 1024u))
      ->type_name("N");
  command->add_option("CAPTURE", arguments->captures, "Capture files and folders")->required()->type_name("");
  command->footer(kExamples);
  command->callback([arguments, &exit_code] { exit_code = run_replay(*arguments); });
}

}  // namespace sallyport::cli
