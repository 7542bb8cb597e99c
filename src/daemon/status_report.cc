#include "status_report.h"

#include <unistd.h>

#include <array>

#include "sallyport/netfilter/queue_stats.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::ordered_json;

// sum adds up a counter array of all workers, as {word: figure}.
template <typename Array, typename Word>
Json sum(const Workers& workers, Array engine::Counters::*array, Word word) {
  Json group = Json::object();
  const std::size_t size = (workers.empty() ? Array{} : Array{}).size();
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t total = 0;
    for (const auto& worker : workers) {
      total += (worker->inspector_counters().*array)[i].load(std::memory_order_relaxed);
    }
    if (total != 0) group[std::string(word(i))] = total;
  }
  return group;
}

std::uint64_t sum(const Workers& workers, std::atomic<std::uint64_t> engine::Counters::*counter) {
  std::uint64_t total = 0;
  for (const auto& worker : workers)
    total += (worker->inspector_counters().*counter).load(std::memory_order_relaxed);
  return total;
}

Json worker_report(std::size_t index, const netfilter::QueueWorker& worker) {
  const netfilter::WorkerCounters& counters = worker.counters();
  const auto figure = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {{"queue", index},
          {"packets", figure(counters.packets)},
          {"holds", figure(counters.held)},
          {"truncated", figure(counters.truncated)},
          {"conntrack_told", figure(counters.conntrack_told)},
          {"existing_flow_packets", figure(counters.existing)},
          {"repeat_loops", figure(counters.repeat_loops)},
          {"receive_errors", figure(counters.receive_errors)},
          {"injected", figure(counters.injected)},
          {"injection_errors", figure(counters.injection_errors)},
          {"verdict_errors", figure(counters.verdict_errors)}};
}

}  // namespace

Json queue_reports(const Workers& workers) {
  Json queues = Json::array();
  for (const netfilter::QueueStats& stats : netfilter::read_queue_stats()) {
    if (stats.queue >= workers.size()) continue;
    queues.push_back({{"queue", stats.queue},
                      {"waiting", stats.waiting},
                      {"queue_dropped", stats.queue_dropped},
                      {"user_dropped", stats.user_dropped},
                      {"overruns", workers[stats.queue]->overruns()},
                      {"packets", stats.last_id}});
  }
  return queues;
}

namespace {

Json binding_report(const std::vector<engine::Binding>& bindings) {
  std::array<std::size_t, 3> by_source{};
  for (const engine::Binding& binding : bindings) ++by_source[static_cast<std::size_t>(binding.source)];
  return {{"answers", by_source[static_cast<std::size_t>(engine::BindingSource::kAnswer)]},
          {"lookups", by_source[static_cast<std::size_t>(engine::BindingSource::kLookup)]},
          {"restored", by_source[static_cast<std::size_t>(engine::BindingSource::kState)]}};
}

Json bind_report(const std::shared_ptr<const engine::NameBindings>& bindings) {
  using Outcome = engine::NameBindings::Outcome;
  Json report = Json::object();
  for (std::size_t i = 0; bindings != nullptr && i < engine::NameBindings::kOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    report[std::string(engine::NameBindings::to_string(outcome))] = bindings->outcome_count(outcome);
  }
  return report;
}

Json address_list(const std::vector<IpAddress>& addresses) {
  Json list = Json::array();
  for (const IpAddress& address : addresses) list.push_back(address.to_string());
  return list;
}

Json resolver_report(const resolver::ResolverStatus& status) {
  Json report = {{"trusted", address_list(status.trusted)},
                 {"asked", address_list(status.asked)},
                 {"names", status.names},
                 {"names_left_out", status.names_left_out},
                 {"under_way", status.under_way},
                 {"failing", status.failing},
                 {"lookups", status.lookups},
                 {"failures", status.failures},
                 {"misses", status.misses},
                 {"misses_lost", status.misses_lost},
                 {"private_answers", status.private_answers}};
  if (!status.last_error.empty()) report["last_error"] = status.last_error;
  return report;
}

Json drift_report(const DriftStatus& drift) {
  Json kinds = Json::object();
  for (std::size_t i = 0; i < drift.current.size(); ++i) {
    if (drift.current[i] != 0) kinds[std::string(to_string(static_cast<DriftKind>(i)))] = drift.current[i];
  }
  Json report = {{"looks", drift.looks}, {"sockets", drift.sockets}, {"findings", std::move(kinds)}, {"begun", drift.begun}, {"ended", drift.ended}};
  if (!drift.error.empty()) report["error"] = drift.error;
  return report;
}

Json rule_watch_report(const RuleWatchStatus& watch) {
  Json report;
  report["watching"] = watch.watching;
  report["in_place"] = watch.in_place;
  report["displaced"] = watch.displaced;
  if (watch.failures != 0) report["failures"] = watch.failures;
  if (watch.removed) report["removed"] = true;
  if (!watch.last.empty()) report["last"] = watch.last;
  if (!watch.error.empty()) report["error"] = watch.error;
  return report;
}

}  // namespace

nlohmann::ordered_json status_report(const StatusFacts& facts, const Workers& workers) {
  Json report;
  report["version"] = facts.version;
  report["pid"] = ::getpid();
  report["mode"] = facts.mode == policy::Mode::kObserve ? "observe" : "enforce";
  report["policy"] = facts.policy_name;
  report["uptime_s"] = facts.uptime.count();
  report["rules"] = facts.backend.empty() ? Json(nullptr) : Json(facts.backend);
  if (!facts.backend.empty()) report["rule_watch"] = rule_watch_report(facts.rule_watch);
  report["flows_opened"] = sum(workers, &engine::Counters::flows_opened);
  report["flows_active"] = sum(workers, &engine::Counters::flows_active);
  report["held"] = sum(workers, &engine::Counters::packets_held);
  report["awaiting_binding"] = sum(workers, &engine::Counters::flows_awaiting);
  report["flows"] = sum(workers, &engine::Counters::flows_by_verdict,
                        [](std::size_t i) { return to_string(static_cast<engine::FlowVerdict>(i)); });
  report["protocols"] = sum(workers, &engine::Counters::flows_by_protocol,
                            [](std::size_t i) { return to_string(static_cast<Protocol>(i)); });
  report["packets"] = sum(workers, &engine::Counters::packets_by_verdict,
                          [](std::size_t i) { return to_string(static_cast<Verdict>(i)); });
  report["packet_reasons"] = sum(workers, &engine::Counters::packets_by_reason,
                          [](std::size_t i) { return to_string(static_cast<Reason>(i)); });
  report["events_lost"] = facts.events_lost;
  report["events"] = facts.events;
  report["bindings"] = binding_report(facts.bindings);
  report["binds"] = bind_report(facts.name_bindings);
  report["resolver"] = resolver_report(facts.resolver);
  if (!facts.live.is_null()) report["flow_book"] = facts.live;
  if (facts.drift.watching) report["listeners"] = drift_report(facts.drift);
  if (!facts.state_error.empty()) report["state_error"] = facts.state_error;
  report["workers"] = Json::array();
  for (std::size_t i = 0; i < workers.size(); ++i) report["workers"].push_back(worker_report(i, *workers[i]));
  report["queues"] = queue_reports(workers);
  return report;
}

}  // namespace sallyport::daemon
