#include <algorithm>
#include <tuple>

#include "flow_reader.h"
#include "sallyport/view/table.h"
#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

constexpr std::size_t kTitle = 11;

class Report {
 public:
  Report(std::size_t width, bool colour) : width_(width == 0 ? 0 : std::max<std::size_t>(width, 40)), colour_(colour) {}

  // line adds "title  text"; what does not fit the terminal goes on below, broken at ", ".
  void line(std::string_view title, std::string text, std::string_view colour = "") {
    std::string head(title);
    while (width_ != 0 && kTitle + text.size() > width_) {
      const std::size_t cut = text.rfind(", ", width_ - kTitle - 1);
      if (cut == std::string::npos || cut == 0) break;
      put(head, text.substr(0, cut + 1), colour);
      text.erase(0, cut + 2);
      head.clear();
    }
    put(head, text, colour);
  }
  void blank() { out_ += '\n'; }
  std::string take() { return std::move(out_); }

 private:
  void put(std::string_view title, std::string_view text, std::string_view colour) {
    out_ += padded(title, kTitle);
    const bool coloured = colour_ && !colour.empty();
    if (coloured) out_ += colour;
    out_ += text;
    if (coloured) out_ += "\x1b[0m";
    out_ += '\n';
  }

  std::size_t width_;
  bool colour_;
  std::string out_;
};

constexpr std::string_view kGood = "\x1b[32m", kBad = "\x1b[31m", kWatchful = "\x1b[33m";

// group_text turns {"allow": 3, "deny": 1} into "3 allow, 1 deny".
std::string group_text(const Json& group) {
  std::string text;
  if (!group.is_object()) return text;
  for (const auto& [word, figure] : group.items()) {
    if (figure.is_number_unsigned()) text += (text.empty() ? "" : ", ") + count_text(figure.get<std::uint64_t>()) + ' ' + visible(word);
  }
  return text;
}

void group(Report& report, const Json& status, const char* key, std::string_view title) {
  if (const std::string text = group_text(member(status, key)); !text.empty()) report.line(title, text);
}

void add_head(Report& report, const Json& status) {
  const bool observing = text_of(status, "mode") == "observe";
  report.line("sallyport", text_of(status, "version") + ", pid " + std::to_string(count_of(status, "pid")) + ", up " + span_text(count_of(status, "uptime_s")));
  report.line("mode", observing ? "observing: nothing is stopped" : "enforcing", observing ? kWatchful : kGood);
  const std::string rules = text_of(status, "rules");
  report.line("policy", text_of(status, "policy") + ", rules " + (rules.empty() ? "not installed by the service" : "by " + rules));
}

void add_flows(Report& report, const Json& status) {
  const Json& book = member(status, "flow_book");
  const Json& rates = member(book, "rates");
  group(report, status, "flows", "flows");
  report.line("live", count_text(count_of(book, "live")) + " decided, " + count_text(count_of(status, "flows_active")) + " in the workers' tables");
  report.line("rates", rate_text(figure_of(rates, "opened_minute")) + "/s new, " + rate_text(figure_of(rates, "allowed_minute")) + "/s allowed, " +
                                 rate_text(figure_of(rates, "denied_minute")) + "/s denied, over the last minute");
  group(report, status, "protocols", "protocols");
  group(report, status, "packets", "packets");
  group(report, status, "packet_reasons", "of these");
  const std::uint64_t held = count_of(status, "held");
  report.line("held now", count_text(held) + (held == 1 ? " packet, " : " packets, ") + count_text(count_of(status, "awaiting_binding")) + " flows wait for a binding");
}

void add_denied(Report& report, const Json& status) {
  const Json& names = member(member(status, "flow_book"), "top_denied");
  if (!names.is_array() || names.empty()) return;
  std::string_view title = "top denied";
  std::size_t shown = 0;
  for (const Json& row : names) {
    const DeniedName name = read_denied(row);
    const char* over = name.protocol == "dns" && name.transport == "tcp" ? ", over TCP" : "";  // Else the same line might be there twice.
    report.line(title, right_aligned(count_text(name.count), 7) + "  " + padded(name.protocol, 5) + "  " + name.name + ':' + std::to_string(name.port) + "  (" + name.reason + over + ')');
    title = "";
    if (++shown == 5) break;
  }
}

std::string grant_line(const Json& grant) {
  std::string text;
  if (member(grant, "id").is_number()) text += '#' + member(grant, "id").dump() + ' ';
  text += text_of(grant, "action") + ' ' + text_of(grant, "name");
  for (const char* key : {"protocols", "ports"}) {
    for (const std::string& each : texts_of(grant, key)) text += ' ' + each;
  }
  if (const std::string scope = text_of(grant, "scope"); !scope.empty()) text += " in " + scope;
  if (const double left = figure_of(grant, "left_s"); left > 0) return text + " for " + span_text(static_cast<std::uint64_t>(left)) + " more";
  if (const double expires = figure_of(grant, "expires"); expires > 0) return text + " until " + clock_text(expires);
  return text;
}

void add_grants(Report& report, const Json& status) {
  for (const auto& [key, title, colour] : {std::tuple{"bypasses", "bypass", kBad}, std::tuple{"grants", "grants", kWatchful}}) {
    const Json& list = member(status, key);
    if (!list.is_array()) continue;
    std::string_view head = title;
    for (const Json& each : list) {
      const bool whole = std::string_view(key) == "bypasses" && text_of(each, "scope").empty();
      report.line(head, (whole ? "everything" : "") + grant_line(each), colour);
      head = "";
    }
  }
}

void add_resolver(Report& report, const Json& status) {
  group(report, status, "bindings", "bindings");
  group(report, status, "binds", "binds");
  const Json& resolver = member(status, "resolver");
  if (!resolver.is_object()) return;
  std::string servers;
  for (const std::string& each : texts_of(resolver, "trusted")) servers += (servers.empty() ? "" : ", ") + each;
  report.line("resolvers", servers.empty() ? "none: no answer is believed" : servers, servers.empty() ? kBad : "");
  const auto figure = [&](const char* key) { return count_text(count_of(resolver, key)); };
  report.line("lookups", figure("names") + " names kept warm, " + figure("failing") + " failing, " + figure("lookups") + " lookups, " + figure("failures") +
                             " failed, " + figure("misses") + " misses, " + figure("misses_lost") + " lost");
  if (const std::string error = text_of(resolver, "last_error"); !error.empty()) report.line("", "last failure: " + error, kWatchful);
}

void add_listeners(Report& report, const Json& status) {
  const Json& listeners = member(status, "listeners");
  if (!listeners.is_object()) return;
  const std::string findings = group_text(member(listeners, "findings"));
  report.line("listeners", count_text(count_of(listeners, "sockets")) + " sockets" + (findings.empty() ? ", as declared" : ", " + findings), findings.empty() ? "" : kBad);
  if (const std::string error = text_of(listeners, "error"); !error.empty()) report.line("", "last look failed: " + error, kBad);
}

void add_queues(Report& report, const Json& status) {
  const Json& queues = member(status, "queues");
  if (!queues.is_array()) return;
  for (const Json& queue : queues) {
    const std::uint64_t lost = count_of(queue, "queue_dropped") + count_of(queue, "user_dropped");
    report.line("queue " + std::to_string(count_of(queue, "queue")), count_text(count_of(queue, "packets")) + " packets, " + count_text(count_of(queue, "waiting")) +
                            " waiting, " + count_text(count_of(queue, "queue_dropped")) + " lost by a full queue, " + count_text(count_of(queue, "user_dropped")) +
                            " by a full socket",
                lost == 0 ? "" : kBad);
  }
}

}  // namespace

std::string status_text(std::string_view answer, std::size_t width, bool colour) {
  const Json status = Json::parse(answer, nullptr, false);
  if (!status.is_object() || text_of(status, "mode").empty()) return {};
  Report report(width, colour);
  add_head(report, status);
  add_grants(report, status);
  report.blank();
  add_flows(report, status);
  add_denied(report, status);
  report.blank();
  add_resolver(report, status);
  add_listeners(report, status);
  if (const std::uint64_t lost = count_of(status, "events_lost"); lost != 0) report.line("events", count_text(lost) + " lost", kWatchful);
  if (const std::string error = text_of(status, "state_error"); !error.empty()) report.line("state", error, kBad);
  add_queues(report, status);
  return report.take();
}

}  // namespace sallyport::view
