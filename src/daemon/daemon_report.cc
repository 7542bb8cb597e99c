#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "daemon_impl.h"
#include "change_event.h"
#include "notify.h"

namespace sallyport::daemon {

void Daemon::tell_watchdog() {
  std::vector<std::uint64_t> rounds;
  for (const auto& worker : workers_) rounds.push_back(worker->counters().rounds.load(std::memory_order_relaxed));
  if (watchdog_.look(Watchdog::Clock::now(), rounds, say)) notify_service_manager("WATCHDOG=1");
}

std::chrono::seconds Daemon::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
}

void Daemon::add_commands() {
  control_->set_change_log([this](const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer) {
    log_.add_event("control", change_fields(peer, request, answer));
  });
  control_->on("status", [this](const nlohmann::json& request, const Peer&) {
    if (const auto unknown = unknown_argument(request, {})) return control_error(*unknown);
    return status();
  });
  control_->on("metrics", [this](const nlohmann::json& request, const Peer&) {
    if (const auto unknown = unknown_argument(request, {})) return control_error(*unknown);
    return nlohmann::ordered_json{{"text", metrics()}};
  });
  control_->on("reload", [this](const nlohmann::json& request, const Peer&) {
    if (const auto unknown = unknown_argument(request, {})) return control_error(*unknown);
    return reload_json(reload("sallyport reload"));
  }, ControlRight::kChange);
}

Outcome Daemon::open_metrics() {
  if (!policy_->metrics().address) return {};
  auto opened = MetricsServer::open(policy_->metrics(), [this] { return metrics(); });
  if (!opened) return std::unexpected(opened.error());
  metrics_server_ = std::move(*opened);
  if (!control_->attend(metrics_server_->fd(), [this] { metrics_server_->serve(); })) return std::unexpected(std::string("metrics.listen: cannot be polled"));
  return {};
}

std::string Daemon::metrics() const {
  MetricFacts facts;
  facts.status = status_facts();
  for (const GrantEntry& entry : grants_.list()) {
    ++(entry.is_bypass ? facts.bypasses : entry.grant.action == policy::Action::kAllow ? facts.allow_grants : facts.deny_grants);
  }
  facts.reloads = reloads_;
  facts.failed_reloads = failed_reloads_;
  facts.policy_loaded = policy_loaded_;
  facts.rules = policy_->rules().size();
  facts.queues = netfilter::read_queue_stats();
  std::erase_if(facts.queues, [this](const netfilter::QueueStats& queue) { return queue.queue >= workers_.size(); });
  return metrics_text(facts, workers_);
}

nlohmann::ordered_json Daemon::status() const {
  nlohmann::ordered_json report = status_report(status_facts(), workers_);
  if (attended() == nullptr) report.update(grant_commands_.listing());
  return report;
}

StatusFacts Daemon::status_facts() const {
  StatusFacts facts;
  facts.version = options_.version;
  facts.mode = mode_;
  facts.policy_name = options_.policy_name;
  if (touched_rules_) facts.backend = to_string(installer_->backend());
  facts.uptime = uptime();
  facts.live = live_report(live_.book());
  facts.events_lost = log_.dropped();
  facts.events = log_.status();
  facts.bindings = bindings_->list(saved_.now());
  facts.name_bindings = bindings_;
  facts.resolver = resolver_->status();
  facts.state_error = saved_.error();
  facts.drift = drift_.status();
  facts.rule_watch = rule_watch_.status();
  return facts;
}

}  // namespace sallyport::daemon
