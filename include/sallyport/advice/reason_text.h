// What a reason means and what to do about it, for people. The rows are those of docs/decisions.md, which is built into the
// program: there is one table. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "sallyport/core/reason.h"

namespace sallyport::advice {

struct ReasonText {
  std::string meaning;  // Sentences without Markdown.
  std::string to_do;
};

// text_of returns the row of a reason; every reason has one (a test says so).
const ReasonText& text_of(Reason reason);

// reason_from_word returns the reason that a log word stands for, or kNotEvaluated.
Reason reason_from_word(std::string_view word);

}  // namespace sallyport::advice
