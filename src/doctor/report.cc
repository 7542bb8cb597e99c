// Findings as text.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "sallyport/doctor/doctor.h"

namespace sallyport::doctor {
namespace {

const char* colour_of(Level level) {
  switch (level) {
    case Level::kOk:
      return "\x1b[32m";
    case Level::kNote:
      return "\x1b[36m";
    case Level::kWarn:
      return "\x1b[33m";
    case Level::kFail:
      return "\x1b[31m";
  }
  return "";
}

std::string lower(std::string_view word) {
  std::string text(word);
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::kOk:
      return "OK";
    case Level::kNote:
      return "NOTE";
    case Level::kWarn:
      return "WARN";
    case Level::kFail:
      return "FAIL";
  }
  return "?";
}

Level worst(std::span<const Finding> findings) {
  Level level = Level::kOk;
  for (const Finding& finding : findings) level = std::max(level, finding.level);
  return level;
}

std::string findings_table(std::span<const Finding> findings, bool colour) {
  std::string text;
  std::size_t counts[4] = {};
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  for (const Finding& finding : findings) {
    ++counts[static_cast<std::size_t>(finding.level)];
    const std::string word(to_string(finding.level));
    text += (colour ? colour_of(finding.level) : "") + word + (colour ? "\x1b[0m" : "") + std::string(6 - word.size(), ' ');
    text += finding.check + std::string(width + 2 - finding.check.size(), ' ') + finding.text + '\n';
    if (!finding.advice.empty()) text += std::string(6 + width + 2, ' ') + "-> " + finding.advice + '\n';
  }
  text += '\n' + std::to_string(counts[0]) + " ok, " + std::to_string(counts[1]) + " to note, " + std::to_string(counts[2]) + " warnings, " +
          std::to_string(counts[3]) + " failures\n";
  return text;
}

std::string findings_json(std::span<const Finding> findings, std::string_view version) {
  using Json = nlohmann::ordered_json;
  Json report;
  report["version"] = version;
  report["worst"] = lower(to_string(worst(findings)));
  report["findings"] = Json::array();
  for (const Finding& finding : findings) {
    Json row;
    row["level"] = lower(to_string(finding.level));
    row["check"] = finding.check;
    row["text"] = finding.text;
    if (!finding.advice.empty()) row["advice"] = finding.advice;
    report["findings"].push_back(std::move(row));
  }
  return report.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace sallyport::doctor
