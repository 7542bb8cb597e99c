#include "sallyport/policy/policy_file.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <system_error>
#include <utility>

#include "diagnostics.h"
#include "dns_reader.h"
#include "events_reader.h"
#include "embedded_texts.h"
#include "guard_reader.h"
#include "listeners_reader.h"
#include "metrics_reader.h"
#include "overlay.h"
#include "policy_builder.h"
#include "reader.h"
#include "rule_reader.h"
#include "sallyport/core/limits.h"
#include "section_reader.h"
#include "text_file.h"
#include "toml_document.h"

namespace sallyport::policy {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPresetPrefix = "preset:";

// Source is one text of a policy. `identity` tells two spellings of one file to be the same.
struct Source {
  std::string name;
  std::string identity;
  std::optional<fs::path> folder;  // Where relative includes start; a text that is not a file has none.
  std::optional<TomlDocument> document;
};

std::string identity_of(const fs::path& path) {
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(path, error);
  return (error ? path : canonical).string();
}

class Loader {
 public:
  Loader(TextStore store, const Overlay& overlay) : store_(store), overlay_(overlay) {}

  LoadResult load_text(std::string_view text, std::string name, std::optional<fs::path> folder,
                       std::string identity, std::string_view further = {}, std::string_view further_name = {}) {
    sources_.push_back({std::move(name), std::move(identity), std::move(folder), std::nullopt});
    open_.push_back(sources_.front().identity);
    read_source(0, text);
    if (!further.empty()) {
      sources_.push_back({std::string(further_name), std::string(), std::nullopt, std::nullopt});
      read_source(sources_.size() - 1, further);
    }
    read_sections();
    if (diagnostics_.failed()) {
      // The sound rules are compared although nothing will be loaded, so that one run shows all there is to
      // mend.
      compile_rules();
      return std::unexpected(diagnostics_.take_errors());
    }
    return build();
  }

 private:
  Reader reader_of(const Source& source) { return Reader(source.name, diagnostics_); }

  // read_source parses a text and, depth first, what it includes.
  void read_source(std::size_t index, std::string_view text) {
    auto document = TomlDocument::parse(text);
    if (!document) {
      diagnostics_.error(sources_[index].name, document.error().position, document.error().message);
      return;
    }
    sources_[index].document = std::move(*document);
    const Value& root = sources_[index].document->root();
    const Reader reader = reader_of(sources_[index]);
    reader.check_keys(root, "", "");
    check_version(reader, root);
    const auto* include = root.find("include");
    if (include == nullptr) return;
    for (const Value& item : one_or_many(include->value)) {
      if (const auto name = reader.string(item, "include")) read_include(reader, index, item.position, *name);
    }
  }

  static void check_version(const Reader& reader, const Value& root) {
    const auto* version = root.find("version");
    if (version == nullptr) {
      reader.error({1, 1}, "version", "required; begin the file with version = 1");
    } else if (version->value.kind != Value::Kind::kInteger || version->value.integer != 1) {
      reader.error(version->value.position, "version", "expected 1, the only version there is");
    }
  }

  void read_include(const Reader& reader, std::size_t parent, Position position, std::string_view name) {
    const auto fail = [&](const std::string& why) {
      reader.error(position, "include", quote(name) + ": " + why);
    };
    if (name.empty() || name.find('\0') != std::string_view::npos)
      return fail("expected \"preset:NAME\" or a file");
    Source source;
    std::string text;
    if (name.starts_with(kPresetPrefix)) {
      const auto preset = find_preset(name.substr(kPresetPrefix.size()));
      if (!preset) return fail("no such preset" + suggest_preset(name.substr(kPresetPrefix.size())));
      source.name = source.identity = name;
      text = preset->text;
    } else {
      const fs::path path(name);
      const auto& folder = sources_[parent].folder;
      if (path.is_absolute()) return fail("expected a path relative to this file");
      if (!folder) return fail("a policy that is not a file can include presets only");
      const fs::path full = *folder / path;
      source = {full.string(), identity_of(full), full.parent_path(), std::nullopt};
    }
    if (std::find(open_.begin(), open_.end(), source.identity) != open_.end())
      return fail("a file that includes itself");
    const auto known = [&](const Source& other) { return other.identity == source.identity; };
    if (std::any_of(sources_.begin(), sources_.end(), known))
      return;  // Two ways to one file: its rules count once.
    if (open_.size() > kPolicyIncludeDepthMax)
      return fail("includes are nested deeper than " + std::to_string(kPolicyIncludeDepthMax));
    if (sources_.size() > kPolicyIncludesMax)
      return fail("a policy includes at most " + std::to_string(kPolicyIncludesMax) + " files");
    if (source.folder) {
      auto content = store_.read(source.name, kPolicyFileMax);
      if (!content) return fail(content.error());
      text = std::move(*content);
    }
    open_.push_back(source.identity);
    sources_.push_back(std::move(source));
    read_source(sources_.size() - 1, text);
    open_.pop_back();
  }

  static std::optional<Preset> find_preset(std::string_view name) {
    for (const Preset& preset : presets()) {
      if (preset.name == name) return preset;
    }
    return std::nullopt;
  }

  static std::string suggest_preset(std::string_view name) {
    std::vector<std::string_view> names;
    for (const Preset& preset : presets()) names.push_back(preset.name);
    const std::string near = did_you_mean(name, names);
    return near.empty() ? "; there are " + one_of(names) : near;
  }

  void read_sections() {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      if (!sources_[i].document) continue;
      const Value& root = sources_[i].document->root();
      const Reader reader = reader_of(sources_[i]);
      for (const std::string_view key : {"defaults", "refusals", "deploy", "inspect", "dns", "guards", "listeners", "events", "metrics"}) {
        const auto* entry = root.find(key);
        if (entry == nullptr) continue;
        if (i != 0) {
          reader.error(entry->position, key, "an included file may hold only rules and scopes");
        } else if (key == "defaults") {
          read_defaults(reader, entry->value, builder_.rules().defaults);
        } else if (key == "refusals") {
          read_refusals(reader, entry->value, builder_.rules().refusals);
        } else if (key == "inspect") {
          read_inspect(reader, entry->value, builder_.rules().inspect);
        } else if (key == "guards") {
          read_guards(reader, entry->value, builder_.rules().guards);
        } else if (key == "dns") {
          read_dns(reader, entry->value, builder_.rules());
        } else if (key == "metrics") {
          read_metrics(reader, entry->value, builder_.rules().metrics);
        } else if (key == "events") {
          read_events(reader, entry->value, builder_.rules().events);
        } else if (key == "listeners") {
          read_listeners(reader, entry->value, builder_.rules().listeners);
        } else {
          read_deploy(reader, entry->value, builder_.rules().deploy);
        }
      }
      if (const auto* scopes = root.find("scopes")) scopes_.read(reader, scopes->value);
    }
    read_rules();
  }

  void read_rules() {
    RuleReader rule_reader(builder_.rules().arena, scopes_.names(), builder_.rules().defaults, store_);
    for (const Source& source : sources_) {
      if (!source.document) continue;
      const auto* rules = source.document->root().find("rules");
      if (rules != nullptr) rule_reader.read(reader_of(source), source.folder, rules->value, drafts_);
    }
    if (overlay_.grants.empty()) return;
    const GrantRules grants(overlay_, builder_.rules().defaults.bind, now_);
    const std::size_t own = drafts_.size();
    rule_reader.read(Reader(kGrantFile, grant_problems_), std::nullopt, grants.list(), drafts_);
    for (std::size_t i = own; i < drafts_.size(); ++i) drafts_[i].is_grant = true;
  }

  void compile_rules() {
    const auto hashes = scopes_.finish(builder_.rules());
    builder_.add_rules(drafts_, hashes);
    builder_.report_redundant_rules(drafts_, diagnostics_, grant_problems_);
    add_bypasses(overlay_, now_, builder_.rules(), grant_problems_);
  }

  LoadResult build() {
    sources_.clear();  // The documents are large; the drafts have what is needed.
    compile_rules();
    if (diagnostics_.failed()) return std::unexpected(diagnostics_.take_errors());
    builder_.rules().grant_problems = grant_problems_.take_errors();
    return builder_.finish(diagnostics_.take_warnings());
  }

  TextStore store_;
  const Overlay& overlay_;
  Timestamp now_ = std::chrono::system_clock::now();  // What has ended takes no room.
  Diagnostics diagnostics_;
  Diagnostics grant_problems_;
  PolicyBuilder builder_;
  ScopeReader scopes_;
  std::deque<Source> sources_;     // In the order of their rules: a file before what it includes.
  std::vector<std::string> open_;  // Identities from the first file to the one being read.
  std::vector<RuleDraft> drafts_;
};

}  // namespace

namespace {

LoadResult load_file(const fs::path& path, const TextStore& store, const Overlay& overlay, std::string_view further = {},
                     std::string_view further_name = {}) {
  const auto text = store.read(path, kPolicyFileMax);
  if (!text) return std::unexpected(std::vector<Problem>{{path.string(), 0, 0, text.error()}});
  return Loader(store, overlay).load_text(*text, path.string(), path.parent_path(), identity_of(path), further, further_name);
}

}  // namespace

LoadResult load_policy_file(const fs::path& path, const Overlay& overlay) {
  return load_file(path, TextStore(), overlay);
}

LoadResult load_policy_file_with(const fs::path& path, std::string_view further, std::string_view name) {
  if (!path.empty()) return load_file(path, TextStore(), {}, further, name);
  return Loader(TextStore(), {}).load_text(kEmbeddedPolicy, "embedded", std::nullopt, std::string(), further, name);
}

LoadResult load_policy_text(std::string_view text, std::string_view name, const Overlay& overlay) {
  if (text.size() > kPolicyFileMax) {
    return std::unexpected(std::vector<Problem>{
        {std::string(name), 0, 0, "larger than " + std::to_string(kPolicyFileMax >> 20) + " MiB"}});
  }
  return Loader(TextStore(), overlay).load_text(text, std::string(name), std::nullopt, std::string());
}

LoadResult PolicySource::load(const Overlay& overlay) {
  if (path_.empty()) return load_policy_text(kEmbeddedPolicy, "embedded", overlay);
  std::map<std::string, std::string> texts;
  LoadResult loaded = load_file(path_, TextStore(&texts), overlay);
  if (loaded) loaded_ = std::move(texts);
  return loaded;
}

void PolicySource::accept() {
  if (!loaded_.empty()) texts_ = std::exchange(loaded_, {});
}

LoadResult PolicySource::apply(const Overlay& overlay) {
  if (path_.empty() || texts_.empty()) return load(overlay);
  return load_file(path_, TextStore(&texts_, true), overlay);
}

std::vector<std::string> PolicySource::files() const {
  std::vector<std::string> files;
  for (const auto& [file, text] : loaded_.empty() ? texts_ : loaded_) files.push_back(file);
  if (files.empty() && !path_.empty()) files.push_back(path_.string());
  return files;
}

std::shared_ptr<const Policy> embedded_policy() {
  static const LoadResult policy = load_policy_text(kEmbeddedPolicy, "embedded");
  return policy.value();  // A test loads it; it cannot fail in a program that was tested.
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list(kPresets.begin(), kPresets.end());
  return list;
}

}  // namespace sallyport::policy
