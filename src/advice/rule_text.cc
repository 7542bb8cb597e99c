#include "sallyport/advice/rule_text.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "sallyport/core/limits.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::advice {
namespace {

constexpr std::size_t kRuleLinesMax = 40;
constexpr std::string_view kPresetPrefix = "preset:";

std::string_view trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

// begins_table tells "[x]" and "[[x]]" from an element of a list: keys are bare words where this program's policies are
// concerned.
bool begins_table(std::string_view line) {
  line = trimmed(line);
  if (!line.starts_with('[')) return false;
  line.remove_prefix(line.starts_with("[[") ? 2 : 1);
  return !line.empty() && (std::isalpha(static_cast<unsigned char>(line.front())) != 0 || line.front() == '"') && line.find(']') != std::string_view::npos &&
         line.find(',') == std::string_view::npos && line.find('"') == std::string_view::npos;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

std::string content_of(const std::string& file) {
  if (file.starts_with(kPresetPrefix)) {
    for (const policy::Preset& preset : policy::presets()) {
      if (preset.name == std::string_view(file).substr(kPresetPrefix.size())) return std::string(preset.text);
    }
    return {};
  }
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error) || std::filesystem::file_size(file, error) > kPolicyFileMax) return {};
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

const std::vector<std::string>& RuleTexts::lines_of(const std::string& file) {
  const auto [place, is_new] = files_.try_emplace(file);
  if (is_new) place->second = split(content_of(file));
  return place->second;
}

std::string RuleTexts::text_of(RuleId rule) {
  std::string file;
  unsigned line = 0;
  if (const policy::Guard* guard = policy_.guard_at(rule)) {
    file = guard->file;
    line = guard->line;
  } else if (rule < policy_.rules().size()) {
    file = policy_.rules()[rule].file;
    line = policy_.rules()[rule].line;
  }
  const std::vector<std::string>& lines = lines_of(file);
  if (line == 0 || line > lines.size()) return {};
  std::size_t end = line;
  if (begins_table(lines[line - 1])) {
    while (end < lines.size() && end < line + kRuleLinesMax && !begins_table(lines[end])) ++end;
    const auto says_nothing = [](std::string_view text) { return trimmed(text).empty() || trimmed(text).starts_with('#'); };
    while (end > line && says_nothing(lines[end - 1])) --end;
  }
  std::string text;
  for (std::size_t i = line - 1; i < end; ++i) text += std::string(trimmed(lines[i])) + "\n";
  return text;
}

}  // namespace sallyport::advice
