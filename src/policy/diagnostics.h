// Collects the problems of a policy, and words them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/problem.h"
#include "toml_document.h"

namespace sallyport::policy {

class Diagnostics {
 public:
  void error(std::string_view file, Position position, std::string message);
  void warning(std::string_view file, Position position, std::string message);
  bool failed() const { return !errors_.empty(); }

  // take_errors and take_warnings return them sorted by file and place.
  std::vector<Problem> take_errors();
  std::vector<Problem> take_warnings();

 private:
  std::vector<Problem> errors_;
  std::vector<Problem> warnings_;
  std::size_t unreported_ = 0;
};

// quote returns `text` in double quotes, escaped and cut so that it can stand in a message.
std::string quote(std::string_view text);

// did_you_mean returns `; did you mean "x"?` for the nearest candidate, or an empty string when none is near.
std::string did_you_mean(std::string_view text, std::span<const std::string_view> candidates);

// one_of returns `"a", "b" or "c"`.
std::string one_of(std::span<const std::string_view> words);

}  // namespace sallyport::policy
