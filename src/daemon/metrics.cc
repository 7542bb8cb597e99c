#include "metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <limits>
#include <string_view>
#include <utility>

#include "sallyport/netfilter/queue_stats.h"

namespace sallyport::daemon {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  Families& begin(MetricType type, std::string_view name, std::string_view help) {
    list_.push_back({"sallyport_" + std::string(name), std::string(help), type, {}});
    return *this;
  }
  Families& counter(std::string_view name, std::string_view help) { return begin(MetricType::Counter, name, help); }
  Families& gauge(std::string_view name, std::string_view help) { return begin(MetricType::Gauge, name, help); }
  // process begins a family whose name is not ours to choose.
  Families& process(MetricType type, std::string_view name, std::string_view help) {
    begin(type, name, help);
    list_.back().name = name;
    return *this;
  }
  Families& value(double figure, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = metric.gauge.value = figure;
    list_.back().metric.push_back(std::move(metric));
    return *this;
  }
  Families& value(std::uint64_t figure, Labels labels = {}) { return value(static_cast<double>(figure), std::move(labels)); }
  void histogram(ClientMetric::Histogram histogram) {
    ClientMetric metric;
    metric.histogram = std::move(histogram);
    list_.back().metric.push_back(std::move(metric));
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(list_); }

 private:
  std::vector<prometheus::MetricFamily> list_;
};

std::uint64_t sum(const Workers& workers, std::atomic<std::uint64_t> engine::Counters::*counter) {
  std::uint64_t total = 0;
  for (const auto& worker : workers) total += (worker->inspector_counters().*counter).load(std::memory_order_relaxed);
  return total;
}

// add_sums adds a value for each place of a counter array, which `word` names.
template <std::size_t kSize, typename Word>
void add_sums(Families& out, const Workers& workers, std::array<std::atomic<std::uint64_t>, kSize> engine::Counters::*array, const char* label,
              Word word) {
  for (std::size_t i = 0; i < kSize; ++i) {
    std::uint64_t total = 0;
    for (const auto& worker : workers) total += (worker->inspector_counters().*array)[i].load(std::memory_order_relaxed);
    out.value(total, {{label, std::string(word(i))}});
  }
}

// decision_times reads the buckets before the sum; a flow that is decided in between is a matter of one flow.
ClientMetric::Histogram decision_times(const Workers& workers) {
  ClientMetric::Histogram histogram;
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < engine::kDecisionTimeBuckets; ++i) {
    for (const auto& worker : workers) so_far += worker->inspector_counters().decision_times[i].load(std::memory_order_relaxed);
    const bool last = i + 1 == engine::kDecisionTimeBuckets;
    const double bound = last ? std::numeric_limits<double>::infinity() : static_cast<double>(std::uint64_t{1} << i) / 1e6;
    histogram.bucket.push_back({so_far, bound});
  }
  histogram.sample_count = so_far;
  histogram.sample_sum = static_cast<double>(sum(workers, &engine::Counters::decision_time_us)) / 1e6;
  return histogram;
}

void add_flows(Families& out, const Workers& workers) {
  const auto reason = [](std::size_t i) { return to_string(static_cast<Reason>(i)); };
  out.counter("flows_opened_total", "Flows whose first packet was seen.").value(sum(workers, &engine::Counters::flows_opened));
  out.gauge("flows_active", "Flows that are tracked now.").value(sum(workers, &engine::Counters::flows_active));
  out.counter("flows_total", "Flows by verdict; pending: they ended without one.");
  add_sums(out, workers, &engine::Counters::flows_by_verdict, "verdict", [](std::size_t i) { return to_string(static_cast<engine::FlowVerdict>(i)); });
  out.counter("flows_by_protocol_total", "Flows that are over by the protocol that their bytes were.");
  add_sums(out, workers, &engine::Counters::flows_by_protocol, "protocol", [](std::size_t i) { return to_string(static_cast<Protocol>(i)); });
  out.counter("flow_verdicts_total", "Verdicts on flows by reason (docs/decisions.md).");
  add_sums(out, workers, &engine::Counters::flows_by_reason, "reason", reason);
  out.begin(MetricType::Histogram, "flow_decision_seconds", "Time from a flow's first packet to its verdict.").histogram(decision_times(workers));
  out.counter("packets_total", "Decisions on packets by verdict; one that was held counts again when its wait is over.");
  add_sums(out, workers, &engine::Counters::packets_by_verdict, "verdict", [](std::size_t i) { return to_string(static_cast<Verdict>(i)); });
  out.counter("packets_by_reason_total", "Decisions on packets by reason (docs/decisions.md).");
  add_sums(out, workers, &engine::Counters::packets_by_reason, "reason", reason);
  out.counter("packets_by_protocol_total", "Packets by the protocol of their flow, each once; those before it is known follow when it is.");
  add_sums(out, workers, &engine::Counters::packets_by_protocol, "protocol", [](std::size_t i) { return to_string(static_cast<Protocol>(i)); });
  out.gauge("packets_held", "Packets that wait for a decision now.").value(sum(workers, &engine::Counters::packets_held));
  out.gauge("flows_awaiting_binding", "Flows that wait for a name of their address now.").value(sum(workers, &engine::Counters::flows_awaiting));
}

void add_worker_counter(Families& out, const Workers& workers, std::string_view name, std::string_view help,
                        std::atomic<std::uint64_t> netfilter::WorkerCounters::*counter) {
  out.counter(name, help);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    out.value((workers[i]->counters().*counter).load(std::memory_order_relaxed), {{"queue", std::to_string(i)}});
  }
}

void add_queues(Families& out, const MetricFacts& facts, const Workers& workers) {
  using Counters = netfilter::WorkerCounters;
  add_worker_counter(out, workers, "queue_packets_total", "Packets that came from the kernel's queue.", &Counters::packets);
  add_worker_counter(out, workers, "queue_receive_errors_total", "Errors on the queue's socket.", &Counters::receive_errors);
  add_worker_counter(out, workers, "queue_verdict_errors_total", "Verdicts that the kernel refused.", &Counters::verdict_errors);
  add_worker_counter(out, workers, "queue_repeat_loops_total", "Packets that circled between rules and queue and were stopped.", &Counters::repeat_loops);
  add_worker_counter(out, workers, "queue_truncated_total", "Packets that came without their end.", &Counters::truncated);
  add_worker_counter(out, workers, "injected_packets_total", "Refusals and resets that were sent.", &Counters::injected);
  add_worker_counter(out, workers, "injection_errors_total", "Refusals and resets that the kernel did not take.", &Counters::injection_errors);
  out.gauge("queue_waiting_packets", "Packets in the kernel's queue without a verdict (/proc).");
  for (const auto& queue : facts.queues) out.value(std::uint64_t{queue.waiting}, {{"queue", std::to_string(queue.queue)}});
  out.counter("queue_overruns_total", "Times that the kernel had no room for a packet in the buffer of the queue's socket (ENOBUFS).");
  for (std::size_t i = 0; i < workers.size(); ++i) out.value(std::uint64_t{workers[i]->overruns()}, {{"queue", std::to_string(i)}});
  out.counter("queue_dropped_packets_total", "Packets that the kernel lost because its queue or the socket's buffer was full (/proc).");
  for (const auto& queue : facts.queues) {
    out.value(queue.queue_dropped, {{"queue", std::to_string(queue.queue)}, {"full", "queue"}});
    out.value(queue.user_dropped, {{"queue", std::to_string(queue.queue)}, {"full", "socket"}});
  }
}

void add_names(Families& out, const StatusFacts& facts) {
  std::array<std::uint64_t, 3> by_source{};
  for (const engine::Binding& binding : facts.bindings) ++by_source[static_cast<std::size_t>(binding.source)];
  out.gauge("bindings", "Living bindings of addresses to names by where they come from.");
  out.value(by_source[static_cast<std::size_t>(engine::BindingSource::kAnswer)], {{"source", "answers"}});
  out.value(by_source[static_cast<std::size_t>(engine::BindingSource::kLookup)], {{"source", "lookups"}});
  out.value(by_source[static_cast<std::size_t>(engine::BindingSource::kState)], {{"source", "restored"}});
  using Bindings = engine::NameBindings;
  out.counter("binds_total", "Addresses that were told for a name, by what became of them.");
  for (std::size_t i = 0; i < Bindings::kOutcomes && facts.name_bindings != nullptr; ++i) {
    const auto outcome = static_cast<Bindings::Outcome>(i);
    out.value(facts.name_bindings->outcome_count(outcome), {{"outcome", std::string(Bindings::to_string(outcome))}});
  }
  const resolver::ResolverStatus& resolver = facts.resolver;
  out.gauge("resolver_trusted_servers", "Servers whose answers are believed.").value(std::uint64_t{resolver.trusted.size()});
  out.gauge("resolver_names", "Names that are kept looked up.").value(resolver.names);
  out.gauge("resolver_failing_names", "Names whose last look-up failed.").value(resolver.failing);
  out.counter("resolver_lookups_total", "Look-ups of the service's own.").value(resolver.lookups);
  out.counter("resolver_lookup_failures_total", "Look-ups of the service's own that failed.").value(resolver.failures);
  out.counter("resolver_misses_total", "Flows to addresses without a name that had one looked up.").value(resolver.misses);
  out.counter("resolver_misses_lost_total", "Of these, those that there was no room for.").value(resolver.misses_lost);
  out.counter("resolver_private_answers_total", "Addresses that were not bound because they are not public.").value(resolver.private_answers);
}

void add_service(Families& out, const MetricFacts& facts) {
  const StatusFacts& status = facts.status;
  out.gauge("info", "Version and mode; always 1.");
  out.value(1.0, {{"version", status.version}, {"mode", status.mode == policy::Mode::kObserve ? "observe" : "enforce"}});
  out.counter("events_lost_total", "Events that were lost because their output was too slow.").value(status.events_lost);
  out.counter("rules_displaced_total", "Times that the kernel's rules were found changed by somebody else.").value(status.rule_watch.displaced);
  out.counter("rules_repair_failures_total", "Of these, times that they could not be put back at once.").value(status.rule_watch.failures);
  out.gauge("rules_in_place", "1 while the kernel's rules are as they were put in.").value(status.rule_watch.in_place ? 1.0 : 0.0);
  out.gauge("grants", "Grants in force by action.").value(facts.allow_grants, {{"action", "allow"}}).value(facts.deny_grants, {{"action", "deny"}});
  out.gauge("bypasses", "Bypasses (break-glass) in force.").value(facts.bypasses);
  out.counter("policy_reloads_total", "Policies that were to be put in force while the service ran, by result.");
  out.value(facts.reloads, {{"result", "ok"}}).value(facts.failed_reloads, {{"result", "failed"}});
  out.gauge("policy_rules", "Rules in force, grants included.").value(std::uint64_t{facts.rules});
  out.gauge("policy_loaded_timestamp_seconds", "When the policy in force was loaded.")
      .value(static_cast<double>(std::chrono::floor<std::chrono::milliseconds>(facts.policy_loaded).time_since_epoch().count()) / 1e3);
  out.gauge("unexpected_listeners", "Differences between what listens and what [listeners] declares, by kind.");
  for (std::size_t i = 0; i < status.drift.current.size(); ++i) {
    out.value(std::uint64_t{status.drift.current[i]}, {{"kind", std::string(to_string(static_cast<DriftKind>(i)))}});
  }
}

// resident_bytes reads /proc/self/statm.
double resident_bytes() {
  unsigned long total = 0;
  unsigned long resident = 0;
  FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const bool read = std::fscanf(file, "%lu %lu", &total, &resident) == 2;
  (void)std::fclose(file);
  return read ? static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) : 0;
}

void add_process(Families& out, const StatusFacts& facts) {
  rusage usage{};
  (void)::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  const auto started = std::chrono::system_clock::now() - facts.uptime;
  out.process(MetricType::Counter, "process_cpu_seconds_total", "Processor time, user and system.").value(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  out.process(MetricType::Gauge, "process_resident_memory_bytes", "Resident memory.").value(resident_bytes());
  out.process(MetricType::Gauge, "process_start_time_seconds", "Start, in seconds since the epoch.")
      .value(static_cast<double>(std::chrono::duration_cast<std::chrono::seconds>(started.time_since_epoch()).count()));
}

}  // namespace

std::string metrics_text(const MetricFacts& facts, const Workers& workers) {
  Families families;
  add_service(families, facts);
  add_flows(families, workers);
  add_queues(families, facts, workers);
  add_names(families, facts.status);
  add_process(families, facts.status);
  return families.text();
}

}  // namespace sallyport::daemon
