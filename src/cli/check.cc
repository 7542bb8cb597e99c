#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "sallyport/core/text.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  sallyport check policy.toml              all problems and warnings at once, with file:line:column
  sallyport check --json /etc/sallyport/*.toml

Exit codes: 0 every policy is well-formed, 2 at least one is not, or cannot be read.)";

struct CheckOptions {
  std::vector<std::string> files;
  bool json = false;
};

nlohmann::ordered_json to_json(const std::vector<policy::Problem>& problems) {
  auto list = nlohmann::ordered_json::array();
  for (const policy::Problem& problem : problems) {
    list.push_back(nlohmann::ordered_json::object({{"file", problem.file},
                                                   {"line", problem.line},
                                                   {"column", problem.column},
                                                   {"message", problem.message}}));
  }
  return list;
}

void print_problems(const std::vector<policy::Problem>& problems, const char* kind) {
  for (const policy::Problem& problem : problems) {
    policy::Problem shown = problem;
    shown.message = kind + shown.message;
    std::fprintf(stderr, "%s\n", shown.to_string().c_str());
  }
}

void print_json(const std::string& file, const policy::LoadResult& result) {
  nlohmann::ordered_json object = {{"file", file}, {"ok", result.has_value()}};
  if (result) {
    object["rules"] = (*result)->rules().size();
    object["scopes"] = (*result)->scope_names().size();
    object["warnings"] = to_json((*result)->warnings());
  } else {
    object["problems"] = to_json(result.error());
  }
  std::puts(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void print_text(const std::string& file, const policy::LoadResult& result) {
  if (result) {
    const policy::Policy& policy = **result;
    print_problems(policy.warnings(), "warning: ");
    std::printf("%s: ok, %s, %s, %s\n", file.c_str(), plural(policy.rules().size(), "rule").c_str(),
                plural(policy.scope_names().size(), "scope").c_str(),
                plural(policy.warnings().size(), "warning").c_str());
    return;
  }
  print_problems(result.error(), "");
}

int run_check(const CheckOptions& options) {
  int exit_code = kExitOk;
  for (const std::string& file : options.files) {
    const policy::LoadResult result = policy::load_policy_file(file);
    options.json ? print_json(file, result) : print_text(file, result);
    if (!result) exit_code = kExitUsage;
  }
  return exit_code;
}

}  // namespace

void add_check_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = app.add_subcommand("check", "Read policy files and report every problem in them");
  command->add_option("FILE", options->files, "Policy files (TOML)")->required()->type_name("")->check(CLI::Validator(
      [](const std::string& name) { return name.empty() ? std::string("a file name is empty") : std::string(); }, ""));
  command->add_flag("--json", options->json, "One JSON object per file");
  command->footer(kExamples);
  command->callback([options, &exit_code] { exit_code = run_check(*options); });
}

}  // namespace sallyport::cli
