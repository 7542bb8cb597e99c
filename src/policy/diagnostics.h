// Collects the problems of a policy.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/problem.h"
#include "sallyport/policy/suggestion.h"
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

}  // namespace sallyport::policy
