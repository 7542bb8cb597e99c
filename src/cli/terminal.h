// What the terminal can show.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sallyport::cli {

// terminal_width returns the columns of standard output, or 0 if it is no terminal.
std::size_t terminal_width();
// terminal_has_colour returns false for files, pipes, TERM=dumb, and where NO_COLOR is set.
bool terminal_has_colour();

// ProgressBar draws one line on standard error, on a terminal only, and only from the second second on.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::uint64_t done, std::uint64_t total);
  // clear removes the line, so that other output may follow.
  void clear();

 private:
  bool is_terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace sallyport::cli
