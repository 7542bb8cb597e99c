#include "sallyport/view/terminal.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdlib>
#include <cstdio>
#include <cstring>
#include <utility>

#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

enum Pair : short { kNoPair = 0, kGreen = 1, kRed, kYellow, kCyan };

std::array<attr_t, kStyles> attributes(bool colour) {
  const auto pair = [colour](short number) -> attr_t { return colour ? static_cast<attr_t>(COLOR_PAIR(number)) : A_NORMAL; };
  std::array<attr_t, kStyles> list{};
  const auto set = [&](Style style, attr_t attribute) { list[static_cast<std::size_t>(style)] = attribute; };
  set(Style::kBold, A_BOLD);
  set(Style::kDim, A_DIM);
  set(Style::kTitle, A_BOLD | A_REVERSE);
  set(Style::kHeading, A_BOLD | pair(kCyan));
  set(Style::kAllow, pair(kGreen));
  set(Style::kDeny, A_BOLD | pair(kRed));
  set(Style::kWarn, pair(kYellow));
  set(Style::kSelected, A_REVERSE);
  return list;
}

Key::Kind kind_of(int code) {
  switch (code) {
    case KEY_UP: return Key::Kind::kUp;
    case KEY_DOWN: return Key::Kind::kDown;
    case KEY_LEFT: return Key::Kind::kLeft;
    case KEY_RIGHT: return Key::Kind::kRight;
    case KEY_PPAGE: return Key::Kind::kPageUp;
    case KEY_NPAGE: return Key::Kind::kPageDown;
    case KEY_HOME: return Key::Kind::kHome;
    case KEY_END: return Key::Kind::kEnd;
    case KEY_ENTER:
    case '\r':
    case '\n': return Key::Kind::kEnter;
    case 27: return Key::Kind::kEscape;
    case KEY_BACKSPACE:
    case 8:
    case 127: return Key::Kind::kBackspace;
    case '\t': return Key::Kind::kTab;
    default: return code >= 0x20 && code < 0x7f ? Key::Kind::kCharacter : Key::Kind::kOther;
  }
}

}  // namespace

struct Terminal::Impl {
  SCREEN* screen = nullptr;
  std::array<attr_t, kStyles> attributes{};
};

std::expected<std::unique_ptr<Terminal>, std::string> Terminal::open(bool colour) {
  const char* name = std::getenv("TERM");
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return std::unexpected("this is no terminal");
  if (name == nullptr || *name == '\0' || std::strcmp(name, "dumb") == 0) return std::unexpected("a terminal of this kind (TERM) cannot show it");
  (void)std::setlocale(LC_CTYPE, "");
  auto impl = std::make_unique<Impl>();
  impl->screen = ::newterm(nullptr, stdout, stdin);
  if (impl->screen == nullptr) return std::unexpected("no description of the terminal \"" + visible(name) + "\" (TERM) is installed");
  std::unique_ptr<Terminal> terminal(new Terminal(std::move(impl)));
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, TRUE);
  ::nodelay(stdscr, TRUE);
  ::set_escdelay(25);
  (void)::curs_set(0);
  const bool has = colour && ::has_colors() && ::start_color() == OK;
  if (has) {
    const short background = ::use_default_colors() == OK ? short{-1} : short{COLOR_BLACK};
    ::init_pair(kGreen, COLOR_GREEN, background);
    ::init_pair(kRed, COLOR_RED, background);
    ::init_pair(kYellow, COLOR_YELLOW, background);
    ::init_pair(kCyan, COLOR_CYAN, background);
  }
  terminal->impl_->attributes = attributes(has);
  return terminal;
}

Terminal::Terminal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Terminal::~Terminal() {
  ::endwin();
  ::delscreen(impl_->screen);
}

Size Terminal::size() const {
  return {static_cast<std::size_t>(std::max(::getmaxx(stdscr), 1)), static_cast<std::size_t>(std::max(::getmaxy(stdscr), 1))};
}

void Terminal::show(const Grid& grid) {
  const Size now = size();
  const Size wanted = grid.size();
  ::erase();
  for (std::size_t y = 0; y < std::min(wanted.height, now.height); ++y) {
    for (std::size_t x = 0; x < std::min(wanted.width, now.width); ++x) {
      const Cell& cell = grid.at(x, y);
      const chtype what = cell.character == kLine ? ACS_HLINE : static_cast<chtype>(static_cast<unsigned char>(cell.character));
      (void)::mvaddch(static_cast<int>(y), static_cast<int>(x), what | impl_->attributes[static_cast<std::size_t>(cell.style)]);
    }
  }
  ::refresh();
}

std::optional<Key> Terminal::read() {
  for (;;) {
    const int code = ::getch();
    if (code == ERR) return std::nullopt;
    if (code == KEY_RESIZE) continue;  // getch has taken the new size already.
    return Key{kind_of(code), code >= 0x20 && code < 0x7f ? static_cast<char>(code) : '\0'};
  }
}

void Terminal::redraw() {
  ::clearok(curscr, TRUE);
}

void Terminal::to_clipboard(std::string_view text) {
  const std::string sequence = "\x1b]52;c;" + base64(text) + '\a';
  (void)std::fwrite(sequence.data(), 1, sequence.size(), stdout);
  (void)std::fflush(stdout);
}

}  // namespace sallyport::view
