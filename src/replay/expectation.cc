#include "sallyport/replay/expectation.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace sallyport::replay {
namespace {

using Json = nlohmann::ordered_json;

// Beyond this many comparisons rows are paired by place alone; a test's expectation is far below.
constexpr std::size_t kAlignmentMax = 4'000'000;

struct Row {
  std::size_t line = 0;  // In the expectation; 0 for a printed row.
  Json object;
};

struct Line {
  std::size_t number;
  std::string_view text;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    if (!line.empty() && line.front() != '#') lines.push_back({number, line});
  }
  return lines;
}

std::vector<Row> printed_rows(std::string_view text) {
  std::vector<Row> rows;
  for (const Line& line : lines_of(text)) rows.push_back({0, Json::parse(line.text, nullptr, false)});
  return rows;
}

std::string base_name(const Json& value) {
  const auto text = value.get<std::string>();
  return text.substr(text.rfind('/') + 1);
}

bool value_matches(const std::string& key, const Json& expected, const Json& actual) {
  if (key == "file" && expected.is_string() && actual.is_string()) return base_name(expected) == base_name(actual);
  return expected == actual;
}

bool row_matches(const Json& expected, const Json& actual) {
  return std::ranges::all_of(expected.items(), [&](const auto& item) {
    const auto found = actual.find(item.key());
    return found != actual.end() && value_matches(item.key(), item.value(), *found);
  });
}

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string word(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) return "?";
  return found->is_string() ? found->get<std::string>() : text_of(*found);
}

// describe names a printed row for people.
std::string describe(const Json& row) {
  if (row.contains("frame")) return "frame " + word(row, "frame");
  std::string text = "flow " + word(row, "flow") + " (" + word(row, "proto") + " " + word(row, "src") + " port " +
                     word(row, "sport") + " -> " + word(row, "dst") + " port " + word(row, "dport");
  if (const std::string name = word(row, "name"); !name.empty() && name != "?") text += ", " + name;
  return text + ")";
}

// Pairing is the rows that match in both lists, in order, as pairs of indices.
using Pairing = std::vector<std::pair<std::size_t, std::size_t>>;

Pairing by_place(const std::vector<Row>& expected, const std::vector<Row>& actual) {
  Pairing pairs;
  for (std::size_t i = 0; i < std::min(expected.size(), actual.size()); ++i) {
    if (row_matches(expected[i].object, actual[i].object)) pairs.emplace_back(i, i);
  }
  return pairs;
}

// longest_common finds the longest common subsequence, so that one missing row is reported as one.
Pairing longest_common(const std::vector<Row>& expected, const std::vector<Row>& actual) {
  const std::size_t rows = expected.size();
  const std::size_t columns = actual.size();
  std::vector<std::uint32_t> best((rows + 1) * (columns + 1), 0);
  std::vector<bool> matches(rows * columns);
  const auto at = [columns](std::size_t i, std::size_t j) { return i * (columns + 1) + j; };
  for (std::size_t i = rows; i-- > 0;) {
    for (std::size_t j = columns; j-- > 0;) {
      matches[i * columns + j] = row_matches(expected[i].object, actual[j].object);
      best[at(i, j)] = matches[i * columns + j] ? best[at(i + 1, j + 1)] + 1
                                                : std::max(best[at(i + 1, j)], best[at(i, j + 1)]);
    }
  }
  Pairing pairs;
  for (std::size_t i = 0, j = 0; i < rows && j < columns;) {
    if (matches[i * columns + j]) {
      pairs.emplace_back(i++, j++);
    } else if (best[at(i + 1, j)] >= best[at(i, j + 1)]) {
      ++i;
    } else {
      ++j;
    }
  }
  return pairs;
}

class Comparison {
 public:
  Comparison(std::string_view name, std::vector<std::string>& out) : name_(name), out_(out) {}

  void compare(const std::vector<Row>& expected, const std::vector<Row>& actual) {
    Pairing pairs = by_place(expected, actual);
    const bool equal = pairs.size() == expected.size() && pairs.size() == actual.size();
    if (!equal && expected.size() * actual.size() <= kAlignmentMax) {
      // Only if it explains more: rows that differ at their own place read better than rows that moved.
      Pairing shifted = longest_common(expected, actual);
      if (shifted.size() > pairs.size()) pairs = std::move(shifted);
    }
    pairs.emplace_back(expected.size(), actual.size());
    std::size_t i = 0;
    std::size_t j = 0;
    for (const auto& [next_i, next_j] : pairs) {
      // Between two matches rows that stand side by side are taken for one another.
      for (; i < next_i && j < next_j; ++i, ++j) fields(expected[i], actual[j].object);
      for (; i < next_i; ++i) missing(expected[i]);
      for (; j < next_j; ++j) out_.push_back(name_ + ": not expected: " + text_of(actual[j].object));
      i = next_i + 1;
      j = next_j + 1;
    }
  }

 private:
  std::string place(const Row& row) const { return name_ + ":" + std::to_string(row.line) + ": "; }

  void missing(const Row& row) { out_.push_back(place(row) + "missing: " + text_of(row.object)); }

  void fields(const Row& expected, const Json& actual) {
    for (const auto& item : expected.object.items()) {
      const auto found = actual.find(item.key());
      if (found != actual.end() && value_matches(item.key(), item.value(), *found)) continue;
      const std::string is = found == actual.end() ? "is absent" : "is " + text_of(*found);
      out_.push_back(place(expected) + describe(actual) + ": " + item.key() + " " + is + ", expected " +
                     text_of(item.value()));
    }
  }

  std::string name_;
  std::vector<std::string>& out_;
};

}  // namespace

struct Expectation::Rows {
  std::string name;
  std::vector<Row> flows;
  std::vector<Row> frames;
};

Expectation::Expectation(std::unique_ptr<Rows> rows) : rows_(std::move(rows)) {}
Expectation::Expectation(Expectation&&) noexcept = default;
Expectation& Expectation::operator=(Expectation&&) noexcept = default;
Expectation::~Expectation() = default;

std::expected<Expectation, std::string> Expectation::parse(std::string_view text, std::string_view name) {
  auto rows = std::make_unique<Rows>();
  rows->name = name;
  for (const Line& line : lines_of(text)) {
    Json object = Json::parse(line.text, nullptr, false);
    if (!object.is_object()) {
      return std::unexpected(rows->name + ":" + std::to_string(line.number) + ": not a JSON object");
    }
    std::vector<Row>& kind = object.contains("frame") ? rows->frames : rows->flows;
    kind.push_back({line.number, std::move(object)});
  }
  return Expectation(std::move(rows));
}

bool Expectation::has_frames() const { return !rows_->frames.empty(); }

std::vector<std::string> Expectation::differences(std::string_view flow_json, std::string_view frame_json) const {
  std::vector<std::string> out;
  Comparison comparison(rows_->name, out);
  if (!rows_->flows.empty() || rows_->frames.empty()) comparison.compare(rows_->flows, printed_rows(flow_json));
  if (!rows_->frames.empty()) comparison.compare(rows_->frames, printed_rows(frame_json));
  return out;
}

}  // namespace sallyport::replay
