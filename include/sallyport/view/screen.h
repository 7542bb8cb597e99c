// The live view's screen as a grid of characters: a pure function of the model and the size. Nothing here knows a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/view/model.h"

namespace sallyport::view {

enum class Style : std::uint8_t {
  kPlain, kBold, kDim, kTitle, kHeading, kAllow, kDeny, kWarn,
  kSelected,  // The row that keys are about.
};
inline constexpr std::size_t kStyles = 9;

struct Size {
  std::size_t width = 80;
  std::size_t height = 24;
};

struct Cell {
  char character = ' ';  // Visible ASCII, or kLine.
  Style style = Style::kPlain;
};
// kLine is a piece of a horizontal line; what draws the grid chooses a character for it.
inline constexpr char kLine = '\x01';

class Grid {
 public:
  explicit Grid(Size size) : size_(size), cells_(size.width * size.height) {}

  Size size() const { return size_; }
  const Cell& at(std::size_t x, std::size_t y) const { return cells_[y * size_.width + x]; }
  // put writes ASCII text, cut at the right edge, and returns the column behind it. What is not visible ASCII becomes "?".
  std::size_t put(std::size_t x, std::size_t y, std::string_view text, Style style = Style::kPlain);
  void fill(std::size_t y, char character, Style style);
  void restyle(std::size_t y, Style style);
  // text returns the rows as lines, blanks at their ends cut off, kLine as "-"; for tests and for plain output.
  std::string text() const;

 private:
  Size size_;
  std::vector<Cell> cells_;
};

inline constexpr Size kSmallestScreen{40, 10};

// draw returns the whole screen. Below kSmallestScreen it says so and nothing else.
Grid draw(const Model& model, Size size);
// flow_rows returns how many rows of flows such a screen shows.
std::size_t flow_rows(Size size);

// plain_line returns one line that tells of a frame, for logs.
std::string plain_line(const Header& header);

}  // namespace sallyport::view
