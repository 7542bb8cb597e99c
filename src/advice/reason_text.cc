#include "sallyport/advice/reason_text.h"

#include <array>
#include <string_view>
#include <vector>

namespace sallyport::advice {

extern const std::string_view kDecisionsPage;  // docs/decisions.md, built in by cmake/embed_text.cmake.

namespace {

// plain returns a cell without its Markdown: links become their words, marks of code and emphasis go.
std::string plain(std::string_view cell) {
  std::string out;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const char c = cell[i];
    if (c == '[') {
      const std::size_t end = cell.find("](", i);
      const std::size_t close = end == std::string_view::npos ? end : cell.find(')', end);
      // A list in TOML has no "(" behind it.
      if (close != std::string_view::npos && cell.substr(i + 1, end - i - 1).find_first_of("[`") == std::string_view::npos) {
        out += cell.substr(i + 1, end - i - 1);
        i = close;
        continue;
      }
    }
    if (c == '`' || (c == '*' && cell.substr(i, 2) == "**")) {
      i += c == '*' ? 1 : 0;
      continue;
    }
    out += c;
  }
  const std::size_t first = out.find_first_not_of(' ');
  const std::size_t last = out.find_last_not_of(' ');
  return first == std::string::npos ? std::string() : out.substr(first, last - first + 1);
}

// cells_of splits a row of a table; a cell holds no "|".
std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (std::size_t begin = 1; begin < line.size();) {
    const std::size_t end = line.find('|', begin);
    if (end == std::string_view::npos) break;
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

using Table = std::array<ReasonText, kReasonCount>;

Table read_table() {
  Table table;
  std::string_view rest = kDecisionsPage;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (!line.starts_with("| `")) continue;
    const auto cells = cells_of(line);
    if (cells.size() != 3) continue;
    const std::string word = plain(cells[0]);
    for (std::size_t i = 0; i < kReasonCount; ++i) {
      if (kReasonInfo[i].word == word) table[i] = {plain(cells[1]), plain(cells[2])};
    }
  }
  return table;
}

}  // namespace

const ReasonText& text_of(Reason reason) {
  static const Table table = read_table();
  return table[static_cast<std::size_t>(reason)];
}

Reason reason_from_word(std::string_view word) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    if (kReasonInfo[i].word == word) return static_cast<Reason>(i);
  }
  return Reason::kNotEvaluated;
}

}  // namespace sallyport::advice
