#include "live_view.h"

#include "flow_json.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTopDeniedInStatus = 10;

}  // namespace

LiveView::LiveView(const std::shared_ptr<const policy::Policy>& policy, Facts facts)
    : has_scopes_(!policy->scope_names().empty()), feed_(book_, [this, facts = std::move(facts)] {
        Json figures = facts();
        figures["has_scopes"] = has_scopes_.load();
        return figures;
      }) {}

void LiveView::set_policy(const std::shared_ptr<const policy::Policy>& policy) {
  has_scopes_.store(!policy->scope_names().empty());
}

void LiveView::attach(EventLog& log) {
  log.set_observer([this](const EventRecord& record, std::string_view id, const policy::Policy& judge) { book_.observe(record, id, judge); });
}

void LiveView::serve(ControlServer& control) {
  control.on("flows", [this](const nlohmann::json& request, const Peer&) -> Json {
    if (const auto unknown = unknown_argument(request, {"verdict", "name", "proto", "src", "sport", "dst", "dport", "ended", "below", "limit"})) return control_error(*unknown);
    const auto query = flow_query(request);
    return query ? flows_answer(book_, *query) : control_error(query.error());
  });
  control.on("event", [this](const nlohmann::json& request, const Peer&) -> Json {
    if (const auto unknown = unknown_argument(request, {"id"})) return control_error(*unknown);
    return event_answer(book_, request);
  });
  control.on_stream("watch", [this](const nlohmann::json& request, const Peer&, std::shared_ptr<ControlStream> stream) -> Json {
    if (const auto unknown = unknown_argument(request, {})) return control_error(*unknown);
    feed_.add(std::move(stream));
    return {{"interval_s", 1}};
  });
}

Json watch_figures(const WatchFacts& facts, const Workers& workers) {
  std::uint64_t held = 0, awaiting = 0, packets = 0, holds = 0;
  for (const auto& worker : workers) {
    held += worker->inspector_counters().packets_held.load(std::memory_order_relaxed);
    awaiting += worker->inspector_counters().flows_awaiting.load(std::memory_order_relaxed);
    packets += worker->counters().packets.load(std::memory_order_relaxed);
    holds += worker->counters().held.load(std::memory_order_relaxed);
  }
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()).time_since_epoch().count();
  return {{"time", static_cast<double>(now) / 1e3},
          {"mode", facts.mode == policy::Mode::kObserve ? "observe" : "enforce"},
          {"policy", facts.policy_name},
          {"uptime_s", facts.uptime.count()},
          {"held", held},
          {"awaiting_binding", awaiting},
          {"packets", packets},
          {"holds", holds},
          {"events_lost", facts.events_lost},
          {"queues", queue_reports(workers)}};
}

Json live_report(const FlowBook& book) {
  const FlowTotals totals = book.totals();
  return {{"live", totals.live},
          {"ended", totals.ended},
          {"forgotten", totals.forgotten},
          {"rates", rates_json(book.rates(std::chrono::system_clock::now()))},
          {"top_denied", denied_json(book.top_denied(kTopDeniedInStatus))}};
}

}  // namespace sallyport::daemon
