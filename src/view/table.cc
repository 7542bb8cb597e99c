#include "sallyport/view/table.h"

#include <algorithm>
#include <array>

#include "flow_reader.h"
#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

constexpr std::array<std::string_view, 8> kTitles = {"TIME", "WHO", "PROTO", "NAME", "TO", "VERDICT", "REASON", "RULE"};
constexpr std::size_t kNameColumn = 3, kVerdictColumn = 5;
constexpr std::size_t kNameLeast = 16;

using Row = std::array<std::string, kTitles.size()>;

Row row_of(const Flow& flow) {
  return {clock_text(flow.time), flow.user.empty() ? flow.source : flow.user, flow.protocol, flow.name.empty() ? "-" : flow.name,
          flow.endpoint(), flow.verdict, flow.reason + (flow.ended ? " (ended)" : ""), flow.rule};
}

}  // namespace

void FlowTable::add(std::string_view row) {
  const Json parsed = Json::parse(row, nullptr, false);
  if (parsed.is_object()) flows_.push_back(read_flow(parsed));
}

std::string FlowTable::text() const {
  if (flows_.empty()) return "no such flow\n";
  std::array<std::size_t, kTitles.size()> widths{};
  for (std::size_t i = 0; i < kTitles.size(); ++i) widths[i] = kTitles[i].size();
  std::vector<Row> rows;
  for (const Flow& flow : flows_) {
    rows.push_back(row_of(flow));
    for (std::size_t i = 0; i < kTitles.size(); ++i) widths[i] = std::max(widths[i], rows.back()[i].size());
  }
  std::size_t total = 2 * (kTitles.size() - 1);
  for (const std::size_t each : widths) total += each;
  if (width_ != 0 && total > width_)
    widths[kNameColumn] = std::max(kNameLeast, widths[kNameColumn] - std::min(widths[kNameColumn], total - width_));
  std::string text;
  const auto line = [&](const auto& cells, std::string_view colour) {
    std::string out;
    for (std::size_t i = 0; i < kTitles.size(); ++i) {
      const std::string cell = i == kNameColumn ? cut_left(cells[i], widths[i]) : std::string(cells[i]);
      std::string column = i + 1 == kTitles.size() ? cell : padded(cell, widths[i]);
      if (i == kVerdictColumn && colour_ && !colour.empty()) column = std::string(colour) + column + "\x1b[0m";
      out += (i == 0 ? "" : "  ") + column;
    }
    text += out + '\n';
  };
  line(kTitles, "");
  for (std::size_t i = 0; i < rows.size(); ++i) line(rows[i], flows_[i].verdict == "allow" ? "\x1b[32m" : flows_[i].denied() ? "\x1b[31m" : "");
  return text;
}

}  // namespace sallyport::view
