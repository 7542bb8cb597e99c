// Tables and summaries for a terminal or a pipe: what `flows` and `status` print.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/view/model.h"

namespace sallyport::view {

// FlowTable is the list of `sallyport flows`, aligned; names are cut where a terminal is too narrow, and not for a pipe.
class FlowTable {
 public:
  // `width` is the terminal's, 0 without one.
  FlowTable(std::size_t width, bool colour) : width_(width), colour_(colour) {}
  // add takes a row of the service as JSON.
  void add(std::string_view row);
  // text returns the lines; a sentence if there is no flow.
  std::string text() const;

 private:
  std::size_t width_;
  bool colour_;
  std::vector<Flow> flows_;
};

// status_text returns what `sallyport status` prints of the service's answer; empty: the answer makes no sense. `width` as above.
std::string status_text(std::string_view answer, std::size_t width, bool colour);

}  // namespace sallyport::view
