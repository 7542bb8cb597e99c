#include "describe.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <string>

#include "sallyport/policy/policy_keys.h"

namespace sallyport::cli {
namespace {

using nlohmann::ordered_json;

ordered_json describe(const CLI::Option& option) {
  return {{"positional", option.get_positional() ? option.get_name(true) : ""},
          {"long", option.get_lnames()},
          {"short", option.get_snames()},
          {"type", option.get_items_expected_max() == 0 ? "" : option.get_type_name()},
          {"many", option.get_items_expected_max() > 1},
          {"required", option.get_required()},
          {"default", option.get_default_str()},
          {"text", option.get_description()}};
}

ordered_json describe(CLI::App& app) {
  ordered_json options = ordered_json::array();
  ordered_json commands = ordered_json::array();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) options.push_back(describe(*option));
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    if (command->get_group().empty()) continue;  // Hidden.
    commands.push_back(describe(*command));
  }
  return {{"name", app.get_name()},
          {"text", app.get_description()},
          {"footer", app.get_footer()},
          {"options", options},
          {"commands", commands}};
}

ordered_json describe_keys() {
  ordered_json keys = ordered_json::array();
  for (const policy::PolicyKey& key : policy::policy_keys()) {
    if (key.stage != policy::KeyStage::kSupported) continue;
    keys.push_back({{"table", key.table}, {"key", key.key}, {"type", key.type}, {"default", key.default_value}});
  }
  return keys;
}

}  // namespace

void describe_instead(CLI::App& app) {
  app.preparse_callback([&app](std::size_t) {
    const ordered_json description = {{"program", describe(app)}, {"keys", describe_keys()}};
    std::puts(description.dump(1).c_str());
    throw CLI::Success();
  });
}

}  // namespace sallyport::cli
