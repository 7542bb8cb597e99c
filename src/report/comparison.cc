#include "sallyport/report/comparison.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sallyport/advice/rule_text.h"
#include "sallyport/replay/report.h"
#include "subject.h"

namespace sallyport::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLinesMax = 200;  // Of a table for people; --json has all.

std::string_view word_of(Difference difference) {
  switch (difference) {
    case Difference::kAllowed: return "newly allowed";
    case Difference::kDenied: return "newly denied";
    case Difference::kOtherwise: return "otherwise decided";
  }
  return "";
}

Side side_of(const replay::FlowRow& row, const policy::Policy& policy, advice::RuleTexts& texts) {
  return {row.verdict, row.reason, policy.location(row.rule), texts.text_of(row.rule)};
}

// last_rows returns the row of each flow that stands in the end: a turned one comes behind its flow's own.
std::map<std::uint64_t, const replay::FlowRow*> last_rows(const replay::CaptureResult& result) {
  std::map<std::uint64_t, const replay::FlowRow*> rows;
  for (const replay::FlowRow& row : result.flows) rows[row.flow] = &row;
  return rows;
}

Json json_of(const Side& side) {
  return {{"verdict", to_string(side.verdict)}, {"reason", to_string(side.reason)}, {"rule", side.rule}};
}

}  // namespace

void Comparison::add_old(const replay::CaptureResult& result, const policy::Policy& policy) {
  advice::RuleTexts texts(policy);
  for (const auto& [flow, row] : last_rows(result)) old_[{result.file.string(), flow}] = side_of(*row, policy, texts);
}

void Comparison::add_new(const replay::CaptureResult& result, const policy::Policy& policy) {
  advice::RuleTexts texts(policy);
  for (const auto& [flow, row] : last_rows(result)) {
    ++flows_;
    const auto before = old_.find({result.file.string(), flow});
    if (before == old_.end()) continue;  // A flow inside a tunnel that only one policy looks into.
    Side after = side_of(*row, policy, texts);
    const bool same_verdict = before->second.verdict == after.verdict;
    if (same_verdict && before->second.reason == after.reason && before->second.rule_text == after.rule_text) continue;
    const Difference difference = same_verdict                                      ? Difference::kOtherwise
                                  : after.verdict == engine::FlowVerdict::kAllow    ? Difference::kAllowed
                                  : after.verdict == engine::FlowVerdict::kDeny     ? Difference::kDenied
                                                                                    : Difference::kOtherwise;
    ++counts_[static_cast<std::size_t>(difference)];
    if (changes_.size() < kChangedFlowsMax) {
      changes_.push_back({difference, result.file.string(), flow, subject_of(*row), before->second, std::move(after)});
    }
  }
}

std::string Comparison::to_text(bool colour) const {
  std::string out;
  for (const Difference difference : {Difference::kDenied, Difference::kAllowed, Difference::kOtherwise}) {
    const std::string_view code = !colour ? "" : difference == Difference::kDenied ? "\033[31m" : difference == Difference::kAllowed ? "\033[32m" : "\033[33m";
    out += std::string(code) + std::string(word_of(difference)) + (colour ? "\033[0m" : "") + ": " + std::to_string(count(difference)) + "\n";
    std::size_t lines = 0;
    for (const ChangedFlow& one : changes_) {
      if (one.difference != difference || ++lines > kLinesMax) continue;
      out += "  " + replay::printable(one.subject) + "\n    " + std::string(to_string(one.before.verdict)) + " " + std::string(to_string(one.before.reason)) + " (" +
             replay::printable(one.before.rule) + ") -> " + std::string(to_string(one.after.verdict)) + " " + std::string(to_string(one.after.reason)) + " (" +
             replay::printable(one.after.rule) + ")\n";
    }
    if (lines > kLinesMax) out += "  ... and " + std::to_string(count(difference) - kLinesMax) + " more\n";
  }
  const std::uint64_t changed = counts_[0] + counts_[1] + counts_[2];
  return out + std::to_string(flows_ - std::min(flows_, changed)) + " of " + std::to_string(flows_) + " flows stay as they were\n";
}

std::string Comparison::to_json() const {
  std::string out;
  for (const ChangedFlow& one : changes_) {
    Json row{{"file", one.file}, {"flow", one.flow}, {"change", word_of(one.difference)}, {"subject", replay::printable(one.subject)},
             {"before", json_of(one.before)}, {"after", json_of(one.after)}};
    out += row.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
  }
  const Json counts{{"flows", flows_}, {"newly_allowed", count(Difference::kAllowed)}, {"newly_denied", count(Difference::kDenied)},
                    {"otherwise_decided", count(Difference::kOtherwise)}};
  return out + counts.dump() + "\n";
}

}  // namespace sallyport::report
