#include "sallyport/view/screen.h"

#include <algorithm>

#include "sallyport/view/rule_text.h"
#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

// Layout is which rows of the screen are for what. Small screens lose the third header line first, then the list of names.
struct Layout {
  std::size_t header = 1;      // Rows of the header.
  std::size_t flows_top = 1;   // The heading of the list; rows follow.
  std::size_t flow_rows = 0;
  std::size_t denied_top = 0;
  std::size_t denied_rows = 0;  // 0: there is no such list.
  std::size_t message = 0;
  std::size_t keys = 0;
};

Layout layout_of(Size size) {
  Layout layout;
  layout.header = size.height >= 16 ? 3 : size.height >= 12 ? 2 : 1;
  layout.keys = size.height - 1;
  layout.message = size.height - 2;
  layout.flows_top = layout.header;
  const std::size_t room = layout.message - layout.header;
  layout.denied_rows = size.height >= 18 ? std::min<std::size_t>(12, size.height / 5) : 0;
  const std::size_t below = layout.denied_rows == 0 ? 0 : layout.denied_rows + 2;  // A line and a heading.
  layout.flow_rows = room - below - 2;
  layout.denied_top = layout.flows_top + 2 + layout.flow_rows;
  return layout;
}

// Columns of a list of flows; 0: left out. The name gets what the others leave.
struct Columns {
  std::size_t time = 0, who = 0, protocol = 0, name = 0, endpoint = 0, verdict = 10, reason = 0, rule = 0;
};

Columns columns_of(std::size_t width) {
  Columns columns;
  columns.protocol = 5;
  if (width >= 56) columns.time = 8;
  if (width >= 76) columns.endpoint = 21;
  if (width >= 92) columns.who = 10;
  if (width >= 124) columns.reason = 22;
  if (width >= 160) columns.rule = 24;
  std::size_t used = 1;
  for (const std::size_t each : {columns.time, columns.who, columns.protocol, columns.endpoint, columns.reason, columns.rule}) {
    if (each != 0) used += each + 1;
  }
  columns.name = width - used - columns.verdict;
  columns.name -= 1;
  return columns;
}

Style verdict_style(const Flow& flow, bool observing) {
  if (flow.verdict == "allow") return Style::kAllow;
  if (flow.denied()) return observing ? Style::kWarn : Style::kDeny;
  return Style::kDim;
}

std::string verdict_text(const Flow& flow, bool observing) {
  return flow.denied() && observing ? "would deny" : flow.verdict;
}

void rule_off(Grid& grid, std::size_t y, std::string_view title, std::string_view right, bool active) {
  grid.fill(y, kLine, Style::kDim);
  grid.put(2, y, ' ' + std::string(title) + ' ', active ? Style::kHeading : Style::kDim);
  const std::size_t width = grid.size().width;
  if (!right.empty() && right.size() + title.size() + 10 < width) grid.put(width - right.size() - 4, y, ' ' + std::string(right) + ' ', Style::kDim);
}

void draw_header(Grid& grid, const Model& model, const Layout& layout) {
  const Header& header = model.header();
  const std::size_t width = grid.size().width;
  std::size_t x = grid.put(0, 0, " Sallyport ", Style::kTitle);
  if (!model.connected) {
    grid.put(x + 1, 0, "no service: " + cut_right(model.connection_problem, width) + "; trying again", Style::kDeny);
  } else {
    x = grid.put(x + 1, 0, model.observing() ? "observing" : header.mode == "enforce" ? "enforcing" : header.mode, model.observing() ? Style::kWarn : Style::kBold);
    if (!header.bypasses.empty()) x = grid.put(x + 1, 0, "BYPASS", Style::kDeny);
    if (model.paused()) x = grid.put(x + 1, 0, "paused", Style::kWarn);
    const std::string up = "up " + span_text(header.uptime_s);
    const std::size_t clock = width >= 56 ? 9 : 0;
    const std::size_t right = up.size() + 2 + clock;
    if (x + right + 3 < width) {
      const std::size_t room = width - right - x - 3;
      if (room >= 8) grid.put(x + 2, 0, cut_left(header.policy, room));
      grid.put(width - right, 0, up);
      if (clock != 0) grid.put(width - clock, 0, clock_text(header.time));
    }
  }
  if (layout.header < 2) return;
  x = grid.put(1, 1, "new " + rate_text(header.opened) + "/s");
  x = grid.put(x + 2, 1, "allowed " + rate_text(header.allowed) + "/s", header.allowed > 0 ? Style::kAllow : Style::kPlain);
  const Style denied = header.denied <= 0 ? Style::kPlain : model.observing() ? Style::kWarn : Style::kDeny;
  x = grid.put(x + 2, 1, (model.observing() ? "would deny " : "denied ") + rate_text(header.denied) + "/s", denied);
  x = grid.put(x + 2, 1, "held " + count_text(header.held), header.held > 0 ? Style::kWarn : Style::kPlain);
  x = grid.put(x + 2, 1, "live " + count_text(header.live));
  grid.put(x + 2, 1, "packets " + rate_text(header.packet_rate) + "/s");
  if (layout.header < 3) return;
  const std::uint64_t dropped = header.queue_dropped + header.user_dropped;
  x = grid.put(1, 2, (header.queues == 1 ? "1 queue: " : std::to_string(header.queues) + " queues: ") + count_text(header.waiting) + " waiting");
  if (dropped != 0) x = grid.put(x + 2, 2, count_text(dropped) + " lost by the kernel", Style::kDeny);
  if (header.awaiting_binding != 0) x = grid.put(x + 2, 2, count_text(header.awaiting_binding) + " wait for a look-up", Style::kWarn);
  if (header.events_lost != 0) x = grid.put(x + 2, 2, count_text(header.events_lost) + " events lost", Style::kWarn);
  for (const std::string& each : header.bypasses) x = grid.put(x + 2, 2, "bypass: " + each, Style::kDeny);
  if (!header.grants.empty()) {
    const std::string count = std::to_string(header.grants.size()) + (header.grants.size() == 1 ? " grant: " : " grants: ");
    grid.put(x + 2, 2, cut_right(count + header.grants.back(), width > x + 3 ? width - x - 3 : 0), Style::kWarn);
  }
}

void draw_flow(Grid& grid, std::size_t y, const Flow& flow, const Columns& columns, bool observing, bool selected) {
  const Style style = flow.ended ? Style::kDim : Style::kPlain;
  std::size_t x = 1;
  const auto column = [&](std::size_t width, const std::string& text, Style how) {
    if (width == 0) return;
    grid.put(x, y, cut_right(text, width), how);
    x += width + 1;
  };
  column(columns.time, clock_text(flow.time), style);
  column(columns.who, flow.user.empty() ? flow.source : flow.user, style);
  column(columns.protocol, flow.protocol, style);
  const bool named = !flow.name.empty();
  const std::string name = named ? flow.name : columns.endpoint == 0 ? flow.endpoint() : "-";
  column(columns.name, cut_left(name, columns.name), named && !flow.ended ? Style::kBold : style);
  column(columns.endpoint, cut_left(flow.endpoint(), columns.endpoint), style);
  column(columns.verdict, verdict_text(flow, observing), verdict_style(flow, observing));
  column(columns.reason, flow.reason, style);
  column(columns.rule, cut_left(flow.rule, columns.rule), style);
  if (selected) {
    grid.put(0, y, ">", Style::kSelected);
    grid.restyle(y, Style::kSelected);
  }
}

void draw_flows(Grid& grid, const Model& model, const Layout& layout) {
  const std::vector<const Flow*> flows = model.flows();
  const Columns columns = columns_of(grid.size().width);
  std::string right = count_text(flows.size()) + (model.hide_ended() ? " live" : "");
  if (!model.filter().empty()) right = "filter " + model.filter() + ": " + right;
  rule_off(grid, layout.flows_top, "flows, newest first", right, model.pane() == Pane::kFlows);
  Flow titles;
  titles.user = "WHO";
  titles.protocol = "PROTO";
  titles.name = "NAME";
  titles.address = "TO";
  titles.verdict = "VERDICT";
  titles.reason = "REASON";
  titles.rule = "RULE";
  draw_flow(grid, layout.flows_top + 1, titles, columns, false, false);
  if (columns.time != 0) grid.put(1, layout.flows_top + 1, "TIME    ");
  grid.restyle(layout.flows_top + 1, Style::kDim);
  const Flow* selected = model.selected_flow();
  const auto at = static_cast<std::size_t>(std::ranges::find(flows, selected) - flows.begin());
  std::size_t first = 0;
  if (at < flows.size() && at >= layout.flow_rows) first = at - layout.flow_rows + 1;
  for (std::size_t row = 0; row < layout.flow_rows && first + row < flows.size(); ++row) {
    const Flow& flow = *flows[first + row];
    draw_flow(grid, layout.flows_top + 2 + row, flow, columns, model.observing(), &flow == selected && model.pane() == Pane::kFlows);
  }
  if (flows.empty() && layout.flow_rows != 0)
    grid.put(2, layout.flows_top + 2, model.filter().empty() ? "No flow was decided yet." : "No flow has this. Esc clears the filter.", Style::kDim);
}

void draw_denied(Grid& grid, const Model& model, const Layout& layout) {
  if (layout.denied_rows == 0) return;
  const std::vector<const DeniedName*> names = model.denied();
  const std::size_t width = grid.size().width;
  rule_off(grid, layout.denied_top, model.observing() ? "would be denied most, since the start" : "denied most, since the start", count_text(names.size()), model.pane() == Pane::kDenied);
  const std::size_t reason = width >= 64 ? 22 : 0;
  const std::size_t name_width = width - 9 - 6 - 6 - 1 - (reason == 0 ? 0 : reason + 1);
  const auto put = [&](std::size_t y, const std::string& count, const std::string& protocol, const std::string& port, const std::string& name, const std::string& why, Style style) {
    grid.put(0, y, right_aligned(count, 8));
    grid.put(9, y, cut_right(protocol, 5));
    grid.put(15, y, port);
    grid.put(21, y, cut_left(name, name_width), style);
    if (reason != 0) grid.put(width - reason - 1, y, cut_right(why, reason));
  };
  put(layout.denied_top + 1, "COUNT", "PROTO", "PORT", "NAME", "REASON", Style::kDim);
  grid.restyle(layout.denied_top + 1, Style::kDim);
  const DeniedName* selected = model.selected_denied();
  const auto at = static_cast<std::size_t>(std::ranges::find(names, selected) - names.begin());
  const std::size_t first = at < names.size() && at >= layout.denied_rows ? at - layout.denied_rows + 1 : 0;
  for (std::size_t row = 0; row < layout.denied_rows && first + row < names.size(); ++row) {
    const DeniedName& name = *names[first + row];
    const std::size_t y = layout.denied_top + 2 + row;
    put(y, count_text(name.count), name.protocol, std::to_string(name.port), name.name, name.reason, model.observing() ? Style::kWarn : Style::kDeny);
    if (&name == selected && model.pane() == Pane::kDenied) grid.restyle(y, Style::kSelected);
  }
}

using Lines = std::vector<std::pair<std::string, Style>>;

void add_rule(Lines& lines, const std::expected<Wanted, std::string>& wanted) {
  lines.emplace_back("", Style::kPlain);
  if (!wanted) {
    const std::string& why = wanted.error();
    const std::size_t command = why.find(": ");  // On a line of its own, so that it is not cut.
    lines.emplace_back("No rule by a key: " + why.substr(0, command) + (command == std::string::npos ? "." : ":"), Style::kDim);
    if (command != std::string::npos) lines.emplace_back("  " + why.substr(command + 2), Style::kBold);
    return;
  }
  lines.emplace_back("The rule that allows it (c copies it):", Style::kDim);
  const std::string toml = rule_toml(*wanted);
  for (std::size_t begin = 0; begin < toml.size();) {
    const std::size_t end = toml.find('\n', begin);
    lines.emplace_back("  " + toml.substr(begin, end - begin), Style::kBold);
    begin = end + 1;
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& each : words) text += (text.empty() ? "" : ", ") + each;
  return text.empty() ? "-" : text;
}

Lines flow_details(const Flow& flow, const Header& header, bool observing) {
  Lines lines;
  const auto line = [&](std::string_view title, const std::string& text, Style style = Style::kPlain) {
    if (!text.empty()) lines.emplace_back(padded(title, 10) + text, style);
  };
  line("name", flow.name.empty() ? "-" : flow.name, Style::kBold);
  line("verdict", verdict_text(flow, observing) + " (" + flow.reason + ", " + flow.rule + ')', verdict_style(flow, observing));
  line("protocol", flow.protocol + (flow.tunnel.empty() ? "" : " inside " + flow.tunnel) + ", " + flow.transport);
  line("to", flow.endpoint());
  line("from", flow.source + " port " + std::to_string(flow.source_port));
  line("user", flow.user);
  line("scopes", joined(flow.scopes));
  line("opened", clock_text(flow.opened) + ", decided " + clock_text(flow.time) + (flow.ended ? ", ended" : ", live"));
  line("asked of", flow.proxy_target);
  line("answer", flow.answer);
  line("host key", flow.host_key.empty() ? "" : "SHA256:" + flow.host_key);
  if (flow.octets_out || flow.octets_in) line("bytes", count_text(flow.octets_out.value_or(0)) + " out, " + count_text(flow.octets_in.value_or(0)) + " in");
  line("event", flow.id);
  add_rule(lines, wanted_of(flow, header.has_scopes));
  return lines;
}

Lines denied_details(const DeniedName& name, const Header& header) {
  Lines lines{{padded("name", 10) + name.name, Style::kBold},
              {padded("denied", 10) + count_text(name.count) + " times, last at " + clock_text(name.last), Style::kDeny},
              {padded("why", 10) + name.reason + ", " + name.rule, Style::kPlain},
              {padded("protocol", 10) + name.protocol + ", " + name.transport + " port " + std::to_string(name.port), Style::kPlain},
              {padded("last by", 10) + (name.user.empty() ? "-" : name.user) + ", scopes " + joined(name.scopes), Style::kPlain}};
  add_rule(lines, wanted_of(name, header.has_scopes));
  return lines;
}

Lines help_lines() {
  constexpr std::string_view kHelp[] = {
      "up down j k   select a row; PgUp PgDn Home End (g G) go further",
      "Tab           the other list",
      "Esc           let go of the row: the list follows the newest again",
      "Enter         all about the row, and the rule that would allow it",
      "a             allow its name, protocol and port for ten minutes",
      "d             deny them for ten minutes",
      "c             copy the rule that would allow it, to the clipboard too",
      "/             show only what has this text; Esc clears it",
      "e             hide flows that ended, or show them",
      "p             pause the lists",
      "q             quit (Ctrl-C, too)"};
  Lines lines;
  for (const std::string_view each : kHelp) lines.emplace_back(std::string(each), Style::kPlain);
  return lines;
}

void draw_overlay(Grid& grid, const Model& model, const Layout& layout) {
  if (model.overlay() == Overlay::kNone) return;
  Lines lines;
  std::string title = "help";
  if (model.overlay() == Overlay::kHelp) {
    lines = help_lines();
  } else if (const Flow* flow = model.selected_flow(); flow != nullptr && model.pane() == Pane::kFlows) {
    lines = flow_details(*flow, model.header(), model.observing());
    title = "flow";
  } else if (const DeniedName* name = model.selected_denied(); name != nullptr && model.pane() == Pane::kDenied) {
    lines = denied_details(*name, model.header());
    title = "denied";
  } else {
    return;
  }
  const std::size_t rows = layout.message - layout.flows_top;
  for (std::size_t y = layout.flows_top; y < layout.message; ++y) grid.fill(y, ' ', Style::kPlain);
  rule_off(grid, layout.flows_top, title, "Enter or Esc closes", true);
  const std::size_t most = lines.size() > rows - 1 ? lines.size() - (rows - 1) : 0;
  const std::size_t first = std::min(model.overlay_scroll(), most);
  for (std::size_t row = 0; row + 1 < rows && first + row < lines.size(); ++row) {
    const auto& [text, style] = lines[first + row];
    grid.put(2, layout.flows_top + 1 + row, text, style);
  }
}

void draw_bottom(Grid& grid, const Model& model, const Layout& layout) {
  const std::size_t width = grid.size().width;
  if (model.editing_filter) {
    grid.put(1, layout.message, cut_left("/" + model.filter() + "_", width - 2), Style::kBold);
  } else if (!model.message.empty()) {
    grid.put(1, layout.message, cut_right(model.message, width - 2), model.message_is_problem ? Style::kDeny : Style::kBold);
  }
  constexpr std::string_view kKeys[] = {
      "j/k select  Enter details  a allow 10 min  d deny  c copy rule  / filter  Tab list  p pause  e ended  ? help  q quit",
      "Enter details  a allow 10 min  d deny  c copy  / filter  ? help  q quit",
      "a allow  d deny  c copy  / filter  ? help  q quit",
      "a allow  c copy  / filter  ? help"};
  for (const std::string_view each : kKeys) {
    if (each.size() + 2 > width) continue;
    grid.put(1, layout.keys, each, Style::kDim);
    break;
  }
}

}  // namespace

std::size_t Grid::put(std::size_t x, std::size_t y, std::string_view text, Style style) {
  if (y >= size_.height) return x;
  for (const char c : text) {
    if (x >= size_.width) break;
    cells_[y * size_.width + x++] = {c >= 0x20 && c < 0x7f ? c : '?', style};
  }
  return x;
}

void Grid::fill(std::size_t y, char character, Style style) {
  if (y >= size_.height) return;
  for (std::size_t x = 0; x < size_.width; ++x) cells_[y * size_.width + x] = {character, style};
}

void Grid::restyle(std::size_t y, Style style) {
  if (y >= size_.height) return;
  for (std::size_t x = 0; x < size_.width; ++x) cells_[y * size_.width + x].style = style;
}

std::string Grid::text() const {
  std::string out;
  for (std::size_t y = 0; y < size_.height; ++y) {
    std::string row;
    for (std::size_t x = 0; x < size_.width; ++x) row += at(x, y).character == kLine ? '-' : at(x, y).character;
    row.erase(row.find_last_not_of(' ') + 1);
    out += row + '\n';
  }
  return out;
}

Grid draw(const Model& model, Size size) {
  Grid grid(size);
  if (size.width < kSmallestScreen.width || size.height < kSmallestScreen.height) {
    grid.put(0, 0, "The terminal is too small: 40 x 10 at least. q quits.", Style::kBold);
    return grid;
  }
  const Layout layout = layout_of(size);
  draw_header(grid, model, layout);
  draw_flows(grid, model, layout);
  draw_denied(grid, model, layout);
  draw_overlay(grid, model, layout);
  draw_bottom(grid, model, layout);
  return grid;
}

std::size_t flow_rows(Size size) {
  return size.width < kSmallestScreen.width || size.height < kSmallestScreen.height ? 1 : layout_of(size).flow_rows;
}

std::string plain_line(const Header& header) {
  const bool observing = header.mode == "observe";
  std::string text = clock_text(header.time) + "  " + (observing ? "observing" : "enforcing") + "  new " + rate_text(header.opened) + "/s  allowed " +
                     rate_text(header.allowed) + "/s  " + (observing ? "would deny " : "denied ") + rate_text(header.denied) + "/s  held " +
                     count_text(header.held) + "  live " + count_text(header.live) + "  waiting " + count_text(header.waiting) + "  packets " +
                     rate_text(header.packet_rate) + "/s";
  if (const std::uint64_t lost = header.queue_dropped + header.user_dropped; lost != 0) text += "  lost " + count_text(lost);
  if (!header.bypasses.empty()) text += "  bypass " + header.bypasses.front();
  return text;
}

}  // namespace sallyport::view
