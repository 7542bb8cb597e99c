// Report turns results into text for people: a line per flow or frame and a summary at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "sallyport/replay/json_rows.h"
#include "sallyport/replay/replay.h"

namespace sallyport::replay {

struct ReportStyle {
  std::size_t width = 0;  // Columns of the terminal; 0: lines are as long as they are.
  bool colour = false;
};

class Report {
 public:
  Report(ReportStyle style, LocateRule locate) : style_(style), locate_(std::move(locate)) {}

  // add returns the lines of one capture and counts it for the summary. `with_title` puts the file's name
  // above them. Names come from hostile bytes: all but printable ASCII is shown as \xNN.
  std::string add(const CaptureResult& result, bool with_title);
  // summary returns how many flows, by verdict, protocol and reason, and the names seen most.
  std::string summary() const;

 private:
  void count(const FlowRow& row);
  std::string flow_lines(const CaptureResult& result) const;
  std::string frame_lines(const CaptureResult& result) const;

  ReportStyle style_;
  LocateRule locate_;
  std::uint64_t captures_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t flows_ = 0;
  std::map<std::string_view, std::uint64_t> verdicts_;
  std::map<std::string_view, std::uint64_t> protocols_;
  std::map<std::string_view, std::uint64_t> reasons_;
  std::map<std::string_view, std::uint64_t> without_packet_;
  std::map<std::pair<std::string, std::string_view>, std::uint64_t> names_;  // Name and verdict.
};

// printable returns `text` with everything but printable ASCII as \xNN, so that it cannot move a terminal.
std::string printable(std::string_view text);

}  // namespace sallyport::replay
