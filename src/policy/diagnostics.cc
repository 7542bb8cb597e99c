#include "diagnostics.h"

#include <algorithm>
#include <tuple>

#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

void sort_by_place(std::vector<Problem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.file, a.line, a.column, a.message) < std::tie(b.file, b.line, b.column, b.message);
  });
}

}  // namespace

std::string Problem::to_string() const {
  std::string out = file;
  if (line != 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
  return out + ": " + message;
}

void Diagnostics::error(std::string_view file, Position position, std::string message) {
  if (errors_.size() >= kPolicyProblemsMax) {
    ++unreported_;
    return;
  }
  errors_.push_back({std::string(file), position.line, position.column, std::move(message)});
}

void Diagnostics::warning(std::string_view file, Position position, std::string message) {
  if (warnings_.size() >= kPolicyProblemsMax) return;
  warnings_.push_back({std::string(file), position.line, position.column, std::move(message)});
}

std::vector<Problem> Diagnostics::take_errors() {
  sort_by_place(errors_);
  if (unreported_ != 0) {
    errors_.push_back({errors_.back().file, 0, 0, "and " + std::to_string(unreported_) + " more problems"});
  }
  return std::move(errors_);
}

std::vector<Problem> Diagnostics::take_warnings() {
  sort_by_place(warnings_);
  return std::move(warnings_);
}

}  // namespace sallyport::policy
