// The queries that a question becomes.
#pragma once

#include "sallyport/advice/explanation.h"

namespace sallyport::advice {

// Asked borrows from its question, and points into itself: it stays where it is.
struct Asked {
  explicit Asked(const Question& question);
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  policy::FlowQuery claimed;    // For the name that the bytes carry, if any.
  policy::FlowQuery unclaimed;  // For a name that the address has; the name is still to be set.
  policy::FlowQuery decisive;   // What a rule for this flow would be found by.
  bool has_claim = false;
  policy::HttpRequestFacts http;
};

}  // namespace sallyport::advice
