#include "sallyport/replay/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "sallyport/core/text.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t kTopNames = 15;
constexpr std::string_view kGreen = "\033[32m";
constexpr std::string_view kRed = "\033[31m";
constexpr std::string_view kYellow = "\033[33m";
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kReset = "\033[0m";

enum Column : std::size_t { kTime, kWho, kWhere, kProtocol, kName, kVerdict, kReason, kRule, kColumns };
using Cells = std::array<std::string, kColumns>;
using Widths = std::array<std::size_t, kColumns>;

constexpr std::array<std::string_view, kColumns> kTitles = {"TIME (UTC)", "FROM",    "TO",     "PROTOCOL",
                                                            "NAME",       "VERDICT", "REASON", "RULE"};
// What a column may be cut to when the terminal is narrow, in this order of cutting; the date goes first.
constexpr std::array<std::pair<Column, std::size_t>, 4> kShrinkable = {
    {{kTime, 12}, {kRule, 14}, {kName, 16}, {kReason, 12}}};

std::string_view colour_of(std::string_view verdict) {
  if (verdict == "allow" || verdict == "accept") return kGreen;
  if (verdict == "deny" || verdict == "drop") return kRed;
  return kYellow;
}

std::string with_port(const Endpoint& endpoint, Transport transport) {
  std::string text = endpoint.address.to_string();
  if (transport != Transport::kTcp && transport != Transport::kUdp) return text;
  if (endpoint.address.is_v6()) text = "[" + text + "]";
  return text + ":" + std::to_string(endpoint.port);
}

// short_time returns "2026-01-31 12:00:00.123".
std::string short_time(Timestamp time) {
  std::string text = format_time(time).substr(0, 23);
  text[10] = ' ';
  return text;
}

std::string protocol_text(const FlowRow& row) {
  const std::string_view transport = to_string(row.key.transport);
  const std::string inside = row.tunnel == Protocol::kUnknown ? "" : " in " + std::string(to_string(row.tunnel));
  if (row.protocol == Protocol::kUnknown) return std::string(transport) + inside;
  return std::string(to_string(row.protocol)) + "/" + std::string(transport) + inside;
}

Cells cells_of(const FlowRow& row, const LocateRule& locate) {
  Cells cells;
  cells[kTime] = short_time(row.time);
  cells[kWho] = row.key.client.address.to_string();
  cells[kWhere] = with_port(row.key.server, row.key.transport);
  cells[kProtocol] = protocol_text(row);
  cells[kName] = row.name.empty() ? "-" : printable(row.name);
  cells[kVerdict] = to_string(row.verdict);
  cells[kReason] = std::string(row.turned ? "turned: " : "") + std::string(to_string(row.reason));
  cells[kRule] = printable(locate(row.rule));
  return cells;
}

// fit gives each column its widest cell and then cuts where the terminal is too narrow.
Widths fit(const std::vector<Cells>& lines, std::size_t terminal) {
  Widths widths{};
  std::size_t total = kColumns - 1;
  for (std::size_t column = 0; column < kColumns; ++column) {
    for (const Cells& cells : lines) widths[column] = std::max(widths[column], cells[column].size());
    total += widths[column];
  }
  for (const auto& [column, least] : kShrinkable) {
    if (terminal == 0 || total <= terminal || widths[column] <= least) continue;
    // Half a date says nothing, so it goes as a whole.
    const std::size_t spare = widths[column] - least;
    const std::size_t cut = column == kTime ? spare : std::min(total - terminal, spare);
    widths[column] -= cut;
    total -= cut;
  }
  return widths;
}

std::string cut_to(const std::string& text, Column column, std::size_t width) {
  if (text.size() <= width) return text;
  if (column == kTime || column == kRule) return text.substr(text.size() - width);  // The end tells more.
  return text.substr(0, width - 1) + "~";
}

void append_line(const Cells& cells, const Widths& widths, bool colour, std::string& out) {
  for (std::size_t i = 0; i < kColumns; ++i) {
    const auto column = static_cast<Column>(i);
    const std::string text = cut_to(cells[i], column, widths[i]);
    const bool coloured = colour && column == kVerdict;
    if (coloured) out += colour_of(text);
    out += text;
    if (coloured) out += kReset;
    if (i + 1 < kColumns) out.append(widths[i] - text.size() + 1, ' ');
  }
  while (out.ends_with(' ')) out.pop_back();
  out += '\n';
}

// by_count orders a table by its figures, largest first.
template <typename Key>
std::vector<std::pair<Key, std::uint64_t>> by_count(const std::map<Key, std::uint64_t>& counts) {
  std::vector<std::pair<Key, std::uint64_t>> sorted(counts.begin(), counts.end());
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

void append_counts(std::string_view title, const std::map<std::string_view, std::uint64_t>& counts,
                   std::string& out) {
  if (counts.empty()) return;
  char label[32];
  std::snprintf(label, sizeof label, "%-10.*s", static_cast<int>(title.size()), title.data());
  out += label;
  for (const auto& [key, count] : by_count(counts)) out += "  " + std::string(key) + " " + std::to_string(count);
  out += '\n';
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

void Report::count(const FlowRow& row) {
  if (!row.turned) {
    ++flows_;
    ++protocols_[to_string(row.protocol)];
  }
  ++verdicts_[row.turned ? "turned" : to_string(row.verdict)];
  ++reasons_[to_string(row.reason)];
  if (!row.name.empty()) ++names_[{row.name, to_string(row.verdict)}];
}

std::string Report::flow_lines(const CaptureResult& result) const {
  std::vector<Cells> lines;
  lines.emplace_back();
  std::ranges::copy(kTitles, lines.front().begin());
  for (const FlowRow& row : result.flows) lines.push_back(cells_of(row, locate_));
  const Widths widths = fit(lines, style_.width);
  std::string out;
  if (style_.colour) out += kBold;
  append_line(lines.front(), widths, false, out);
  if (style_.colour) out += kReset;
  for (std::size_t i = 1; i < lines.size(); ++i) append_line(lines[i], widths, style_.colour, out);
  return out;
}

std::string Report::frame_lines(const CaptureResult& result) const {
  std::string out;
  for (const FrameRow& row : result.frames) {
    char text[160];
    std::snprintf(text, sizeof text, "%8llu  %s  %8s  ", static_cast<unsigned long long>(row.frame),
                  short_time(row.time).c_str(), row.flow ? ("#" + std::to_string(*row.flow)).c_str() : "-");
    out += text;
    const std::string_view verdict = row.seen_by_inspector ? to_string(row.verdict) : "none";
    if (style_.colour) out += colour_of(verdict);
    out += verdict;
    if (style_.colour) out += kReset;
    out.append(8 - std::min<std::size_t>(verdict.size(), 7), ' ');
    out += row.reason;
    if (row.rewritten) out += " (rewritten)";
    if (row.released) {
      out += " (" + std::string(to_string(*row.released)) + " by frame " + std::to_string(row.released_by) + ")";
    }
    out += '\n';
  }
  return out;
}

std::string Report::add(const CaptureResult& result, bool with_title) {
  ++captures_;
  frames_ += result.frames_read;
  for (const FlowRow& row : result.flows) count(row);
  for (const auto& [why, frames] : result.without_packet) without_packet_[why] += frames;
  std::string out;
  if (with_title) out += (style_.colour ? std::string(kBold) : "") + printable(result.file.string()) +
                         (style_.colour ? std::string(kReset) : "") + "\n";
  out += frame_lines(result);
  if (!result.flows.empty()) out += flow_lines(result);
  if (!out.empty()) out += '\n';
  return out;
}

std::string Report::summary() const {
  std::string out = plural(flows_, "flow") + " in " + plural(frames_, "frame") + " of " +
                    plural(captures_, "capture") + "\n";
  append_counts("verdict", verdicts_, out);
  append_counts("protocol", protocols_, out);
  append_counts("reason", reasons_, out);
  append_counts("not IP", without_packet_, out);
  std::size_t shown = 0;
  for (const auto& [key, count] : by_count(names_)) {
    if (shown++ == kTopNames) break;
    const auto& [name, verdict] = key;
    char text[64];
    std::snprintf(text, sizeof text, "%-10s  %-7.*s %6llu  ", shown == 1 ? "names" : "",
                  static_cast<int>(verdict.size()), verdict.data(), static_cast<unsigned long long>(count));
    out += text + printable(name) + "\n";
  }
  if (names_.size() > kTopNames) out += "            ... and " + plural(names_.size() - kTopNames, "more name") + "\n";
  return out;
}

}  // namespace sallyport::replay
