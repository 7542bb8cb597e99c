// Terminal puts grids on the real terminal, and reads its keys. One at a time, and one thread: curses has global state.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/view/keys.h"
#include "sallyport/view/screen.h"

namespace sallyport::view {

class Terminal {
 public:
  // open takes the terminal of standard input and output over. Fails with a sentence where there is none, or it cannot be moved
  // about in (TERM=dumb).
  static std::expected<std::unique_ptr<Terminal>, std::string> open(bool colour);
  // The destructor leaves the terminal as it was found.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  Size size() const;
  void show(const Grid& grid);
  // read returns a key that was pressed, without waiting. A change of size is seen by size().
  std::optional<Key> read();
  // redraw has the next show draw everything anew: something else wrote to the terminal.
  void redraw();
  // to_clipboard asks the terminal to (OSC 52); many do, some have it turned off.
  void to_clipboard(std::string_view text);

 private:
  struct Impl;
  explicit Terminal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::view
