// Problem is one thing wrong (or doubtful) in a policy: where, what was expected, and a suggestion if
// there is one.
#pragma once

#include <string>

namespace sallyport::policy {

struct Problem {
  std::string file;
  unsigned line = 0;    // From 1; 0 when the file as a whole is meant.
  unsigned column = 0;  // From 1.
  std::string message;  // "rules[3].prot: unknown key; did you mean \"protocols\"?"

  std::string to_string() const;  // "file:line:column: message"
};

}  // namespace sallyport::policy
