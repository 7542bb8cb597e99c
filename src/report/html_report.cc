#include "sallyport/report/html_report.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include "sallyport/advice/explanation.h"
#include "sallyport/advice/reason_text.h"
#include "sallyport/replay/report.h"
#include "subject.h"

namespace sallyport::report {

extern const std::string_view kReportTemplate;  // report.html, built in by cmake/embed_text.cmake.

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kBuckets = 96;
constexpr std::size_t kTriedMax = 300;  // Suggestions that are loaded and asked; a large policy takes its time.
constexpr std::string_view kPlace = "%%DATA%%";

double seconds_of(Timestamp time) {
  return static_cast<double>(std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count()) / 1e3;
}

// in_script writes JSON so that nothing in it ends the script or begins a comment of HTML.
std::string in_script(const Json& data) {
  const std::string text = data.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (const char c : text) {
    switch (c) {
      case '<': out += "\\u003c"; break;
      case '>': out += "\\u003e"; break;
      case '&': out += "\\u0026"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

struct HtmlReport::State {
  struct Name {
    std::array<std::uint64_t, 3> verdicts{};  // In the order of kVerdicts.
    std::uint64_t bytes = 0;
  };
  static constexpr std::array<engine::FlowVerdict, 3> kVerdicts = {engine::FlowVerdict::kAllow, engine::FlowVerdict::kDeny, engine::FlowVerdict::kPending};
  static std::size_t index_of(engine::FlowVerdict verdict) {
    return static_cast<std::size_t>(std::ranges::find(kVerdicts, verdict) - kVerdicts.begin());
  }

  State(std::shared_ptr<const policy::Policy> of, std::string file) : policy(std::move(of)), policy_file(std::move(file)), texts(*policy) {}

  // explanation_of returns the index of the row's explanation, or -1 where there are too many.
  std::int64_t explanation_of(const replay::FlowRow& row) {
    const std::string key = subject_of(row) + "\n" + std::string(to_string(row.verdict)) + "\n" + std::string(to_string(row.reason)) + "\n" +
                            policy->location(row.rule) + "\n" + std::to_string(policy->scopes_of({.source = row.key.client.address, .interface = {}, .uid = {}, .gid = {}}));
    if (const auto known = explained.find(key); known != explained.end()) return known->second;
    if (explanations.size() >= kExplanationsMax) return -1;
    const advice::LoadWith with = [&](const std::string& toml) { 
      const std::string text = "version = 1\n" + toml;
      return policy_file.empty() ? policy::load_policy_text(text, "added") : policy::load_policy_file_with(policy_file, text, "added");
    };
    const bool tried = explanations.size() < kTriedMax;
    explanations.push_back(advice::to_text(advice::explain(*policy, advice::question_of_flow(row, *policy), texts, tried ? with : advice::LoadWith()), {}));
    return explained[key] = static_cast<std::int64_t>(explanations.size()) - 1;
  }

  void add(const replay::FlowRow& row, std::size_t file) {
    const std::size_t verdict = index_of(row.verdict);
    if (!row.turned) ++flows_seen;
    ++totals[verdict];
    ++reasons[std::string(to_string(row.reason))];
    times.emplace_back(seconds_of(row.time), static_cast<std::uint8_t>(verdict));
    if (!row.name.empty() && (names.contains(row.name) || names.size() < 20 * kNamesShownMax)) {
      ++names[row.name].verdicts[verdict];
      names[row.name].bytes += row.bytes;
    }
    if (flows.size() >= kFlowsShownMax) {
      ++left_out;
      return;
    }
    flows.push_back({file, row.flow, row.turned, seconds_of(row.time), row.key.client.address.to_string(), server_of(row), protocol_of(row),
                     replay::printable(row.name), to_string(row.verdict), to_string(row.reason), policy->location(row.rule), row.packets, row.bytes, explanation_of(row)});
  }

  Json timeline() const {
    if (times.empty()) return Json::object();
    const auto [first, last] = std::ranges::minmax(times, {}, [](const auto& one) { return one.first; });
    const double span = std::max(last.first - first.first, 1e-3);
    std::vector<std::array<std::uint64_t, 3>> buckets(kBuckets);
    for (const auto& [time, verdict] : times) {
      const auto at = static_cast<std::size_t>((time - first.first) / span * (static_cast<double>(kBuckets) - 1e-6));
      ++buckets[std::min(at, kBuckets - 1)][verdict];
    }
    return {{"start", first.first}, {"end", last.first}, {"buckets", buckets}};
  }

  Json name_table() const {
    std::vector<std::pair<std::string, Name>> sorted(names.begin(), names.end());
    const auto flows_of = [](const auto& one) { return one.second.verdicts[0] + one.second.verdicts[1] + one.second.verdicts[2]; };
    std::ranges::sort(sorted, [&](const auto& a, const auto& b) { return flows_of(a) != flows_of(b) ? flows_of(a) > flows_of(b) : a.first < b.first; });
    if (sorted.size() > kNamesShownMax) sorted.resize(kNamesShownMax);
    Json table = Json::array();
    for (const auto& [name, counts] : sorted) {
      table.push_back({replay::printable(name), counts.verdicts[0], counts.verdicts[1], counts.verdicts[2], counts.bytes});
    }
    return table;
  }

  std::shared_ptr<const policy::Policy> policy;
  std::string policy_file;
  advice::RuleTexts texts;
  std::vector<std::string> files;
  std::vector<Json> flows;
  std::uint64_t left_out = 0;
  std::uint64_t flows_seen = 0;
  std::uint64_t frames = 0;
  std::array<std::uint64_t, 3> totals{};
  std::map<std::string, std::uint64_t> reasons;
  std::vector<std::pair<double, std::uint8_t>> times;
  std::unordered_map<std::string, Name> names;
  std::unordered_map<std::string, std::int64_t> explained;
  std::vector<std::string> explanations;
};

HtmlReport::HtmlReport(std::shared_ptr<const policy::Policy> policy, std::string policy_file)
    : state_(std::make_unique<State>(std::move(policy), std::move(policy_file))) {}
HtmlReport::~HtmlReport() = default;

void HtmlReport::add(const replay::CaptureResult& result) {
  state_->files.push_back(replay::printable(result.file.string()));
  state_->frames += result.frames_read;
  for (const replay::FlowRow& row : result.flows) state_->add(row, state_->files.size() - 1);
}

std::string HtmlReport::page(const Comparison* comparison) const {
  const State& state = *state_;
  Json data;
  data["policy"] = state.policy_file.empty() ? "embedded" : replay::printable(state.policy_file);
  data["files"] = state.files;
  data["frames"] = state.frames;
  data["flow_count"] = state.flows_seen;
  data["totals"] = state.totals;
  data["left_out"] = state.left_out;
  data["timeline"] = state.timeline();
  data["names"] = state.name_table();
  data["name_count"] = state.names.size();
  data["flows"] = state.flows;
  data["explanations"] = state.explanations;
  data["reasons"] = Json::object();
  for (const auto& [word, count] : state.reasons) {
    data["reasons"][word] = {count, advice::text_of(advice::reason_from_word(word)).meaning};
  }
  if (comparison != nullptr) {
    Json& compare = data["compare"];
    compare["counts"] = {comparison->count(Difference::kAllowed), comparison->count(Difference::kDenied), comparison->count(Difference::kOtherwise)};
    compare["flows"] = comparison->flows();
    compare["rows"] = Json::array();
    for (const ChangedFlow& one : comparison->changes()) {
      const auto side = [](const Side& x) { return Json{to_string(x.verdict), to_string(x.reason), replay::printable(x.rule)}; };
      compare["rows"].push_back({static_cast<int>(one.difference), replay::printable(one.subject), side(one.before), side(one.after)});
    }
  }
  const std::size_t at = kReportTemplate.find(kPlace);
  std::string page(kReportTemplate.substr(0, at));
  page += in_script(data);
  page += kReportTemplate.substr(at + kPlace.size());
  return page;
}

}  // namespace sallyport::report
