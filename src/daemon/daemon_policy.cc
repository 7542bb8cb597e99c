#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "daemon_impl.h"
#include "notify.h"
#include "sallyport/core/text.h"
#include "sallyport/policy/policy_loss.h"

namespace sallyport::daemon {

void Daemon::save_generation(bool in_doubt) {
  if (observing()) return;
  in_doubt = in_doubt || !unfinished_cut_.empty();
  generation_.save(in_doubt ? std::nullopt : std::optional(policy_->fingerprint()), plan_.generation, judged_at_, say);
}

ReloadReport Daemon::reload(const std::string& why, bool from_disk) {
  const auto begun = std::chrono::steady_clock::now();
  const auto begun_us = std::chrono::duration_cast<std::chrono::microseconds>(begun.time_since_epoch()).count();
  notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(begun_us));
  const Timestamp judged = saved_.now();
  ReloadReport report;
  if (from_disk) (void)files_.changed();  // What changes from here on is seen by the next look.
  policy::LoadResult loaded = options_.source == nullptr ? policy::LoadResult(policy_) : from_disk ? options_.source->load(grants_.overlay()) : options_.source->apply(grants_.overlay());
  if (loaded) {
    take_policy(*loaded, report);
    if (report.changed && from_disk && options_.source != nullptr) options_.source->accept();
    if (report.changed) {
      say_grant_problems(**loaded, say);
      grant_commands_.policy_changed(judged);
    }
  } else {
    report.problems = std::move(loaded.error());
    report.error = "the policy does not load; the former one stays in force";
    for (const policy::Problem& problem : report.problems) say(problem.to_string());
  }
  watch_files();
  report.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun);
  if (!report.changed) ++failed_reloads_;
  if (!report.error.empty()) say("reload: " + report.error);
  nlohmann::ordered_json event = reload_json(report);
  event["why"] = why;
  event["message"] = why + ": " + (report.changed ? plural(report.judged, "flow") + " judged again, " + std::to_string(report.cut) + " cut"
                                                  : "nothing was changed");
  log_.add_event("reload", std::move(event));
  notify_service_manager("READY=1");
  return report;
}

void Daemon::take_policy(const std::shared_ptr<const policy::Policy>& next, ReloadReport& report) {
  report.error = unchangeable(*policy_, *next, options_.mode.has_value());
  if (!report.error.empty()) return;
  auto plan = netfilter::plan_rules(*next, mode_, queues_);
  if (!plan) {
    report.error = plan.error();
    return;
  }
  plan->service_uid = plan_.service_uid;
  plan->generation = plan_.generation;  // Verdicts of two generations under way would send packets in circles.
  const Owners former = owners_;  // Its end waits for a thread: not on a worker.
  owners_.set_policy(next, say);
  std::vector<OwnerOf> owners;
  for (std::size_t i = 0; i < workers_.size() && report.error.empty(); ++i) {
    auto owner_of = owners_.for_worker();
    if (!owner_of) report.error = owner_of.error();
    else owners.push_back(std::move(*owner_of));
  }
  const bool other_rules = touched_rules_ && !same_rules(plan_, *plan);
  save_generation(true);
  if (report.error.empty() && other_rules) {
    if (const auto applied = installer_->apply(*plan); !applied) {
      report.error = applied.error();
      tell_watchdog();
      if (const auto restored = installer_->apply(plan_); !restored) say(restored.error());
    }
  }
  if (!report.error.empty()) {
    owners_ = former;
    save_generation();
    return;
  }
  const bool other_views = !next->same_views(*policy_);
  if (other_views) bindings_->forget_views();
  log_.set_policy(next);
  live_.set_policy(next);
  resolver_->set_policy(next);
  const Timestamp judged = saved_.now();
  const Loses loses = losses(next, judged);
  auto older = older_flows(loses);  // Before the workers go over: what begins behind that is judged by the new policy.
  Changed changed = change_workers(workers_, next, owners, report);
  if (other_views) bindings_->forget_views();  // Until now they may have been told under their former numbers.
  tell_watchdog();
  drift_.set_policy(next, unix_only_of(next->guards()));
  policy_ = next;
  plan_ = *plan;
  report.changed = true;
  ++reloads_;
  policy_loaded_ = std::chrono::system_clock::now();
  if (!changed.complete()) report.error = "a queue is slow to take the policy; its flows are judged, and cut, when it does";
  judged_at_ = judged;
  if (observing()) return;
  if (older) {
    changed.older = std::move(*older);
  } else {
    report.error = older.error();
    changed.relist = loses;
  }
  if (loses && existing_.allowed != nullptr) {  // Nothing tracked these until now.
    std::vector<FlowKey> keys = existing_.allowed->keys();
    const auto lost = std::ranges::partition(keys, [&](const FlowKey& key) { return !loses(key); });
    for (const FlowKey& key : lost) changed.remarks.push_back({key, FlowMark::kWatch, true, false});
    if (!lost.empty()) watch_older(lost);
    keys.erase(lost.begin(), lost.end());
    existing_.allowed = std::make_shared<const netfilter::ConnectionSet>(keys);
    publish_existing_flows();
  }
  unfinished_cut_.add_to(changed);
  carry_out(std::move(changed), report);
}

// losses knows addresses alone. What another host opened to this one is nobody's to end.
Daemon::Loses Daemon::losses(const std::shared_ptr<const policy::Policy>& next, Timestamp now) const {
  policy::PolicyLoss loss(policy_, judged_at_, next, now);
  if (loss.empty()) return nullptr;
  return [loss = std::move(loss), incoming = incoming_.connections()](const FlowKey& key) {
    if (incoming != nullptr && (incoming->contains(key) || incoming->contains(key.reversed()))) return false;
    return loss.may_lose(key.transport, key.server.address, key.server.port);
  };
}

std::expected<std::vector<netfilter::ConntrackEntry>, std::string> Daemon::allowed_flows() const {
  const auto conntrack = netfilter::Conntrack::open(plan_.mark);
  if (!conntrack) return std::unexpected(conntrack.error());
  return (*conntrack)->list(plan_.mark.encode(FlowMark::kAllow, plan_.generation), plan_.mark.mask());
}

std::expected<std::vector<netfilter::ConntrackEntry>, std::string> Daemon::older_flows(const Loses& loses) const {
  if (!loses || observing()) return {};
  auto allowed = allowed_flows();
  if (!allowed) return allowed;
  std::erase_if(*allowed, [&](const netfilter::ConntrackEntry& entry) { return !loses(entry.key); });
  if (!plan_.output || allowed->empty()) return allowed;
  // What connection tracking saw others open: an allowed WebSocket behind a guard, what `existing = "allow"` let go on.
  const auto sockets = netfilter::list_tcp_sockets();
  if (!sockets) return std::unexpected(sockets.error());
  const netfilter::ConnectionSet came_in(netfilter::came_in_by_tracking(*sockets, *allowed));
  std::erase_if(*allowed, [&](const netfilter::ConntrackEntry& entry) { return came_in.contains(entry.key.reversed()); });
  return allowed;
}

void Daemon::watch_older(std::span<const FlowKey> keys) {
  std::vector<FlowKey> all = existing_.cut != nullptr ? existing_.cut->keys() : std::vector<FlowKey>();
  all.insert(all.end(), keys.begin(), keys.end());
  existing_.cut = std::make_shared<const netfilter::ConnectionSet>(all);
  publish_existing_flows();
}

Cutter Daemon::cutter() {
  return Cutter(plan_.mark, plan_.generation, plan_.output, [this](std::span<const FlowKey> keys) { watch_older(keys); });
}

void Daemon::carry_out(Changed changed, ReloadReport& report) {
  Cutter cutter = this->cutter();
  if (const std::string failed = cutter.carry_out(changed); !failed.empty()) report.error = failed;
  report.unknown = cutter.unknown();
  report.sockets_left = cutter.sockets_left();
  if (report.unknown != 0) say(std::to_string(report.unknown) + " connections older than this service are cut: what they were for is not known");
  if (report.sockets_left != 0) {
    say("the kernel did not end " + std::to_string(report.sockets_left) + " sockets of what was cut; each ends with its next packet");
  }
  if (report.error.empty()) return save_generation();  // Else the next start believes no mark.
  unfinished_cut_.keep(std::move(changed));
}

void Daemon::cut_expired(std::expected<std::vector<netfilter::ConntrackEntry>, std::string> older, const Loses& loses) {
  if (older && older->empty()) return;
  ReloadReport report;
  Changed changed;
  if (older) {
    changed.older = std::move(*older);
  } else {
    report.error = older.error();
    changed.relist = loses;
  }
  carry_out(std::move(changed), report);
  if (!report.error.empty()) say("rules that expired while the service was down: " + report.error);
}

void Daemon::finish_cut() {
  if (unfinished_cut_.empty()) return;
  if (const auto relist = unfinished_cut_.take_finished().relist) {
    auto older = older_flows(relist);
    if (!older) return;
    unfinished_cut_.relisted(std::move(*older));
  }
  const Changed changed = unfinished_cut_.take_finished();
  if (!cutter().carry_out(changed).empty() || !changed.complete()) return;
  unfinished_cut_.done();
  save_generation();
  say("what the last reload could not cut is cut now");
}

void Daemon::watch_files() {
  if (options_.source != nullptr) files_.watch(options_.source->files());
}

void Daemon::take_census() {
  if (!census_.due(Census::Clock::now())) return;
  census_.take([this] { return allowed_flows(); }, workers_, say);
}

GrantHost Daemon::grant_host() {
  return {.compile = [this](const policy::Overlay& overlay) { return options_.source ? options_.source->apply(overlay) : policy::LoadResult(policy_); },
          .adopt = [this](std::shared_ptr<const policy::Policy> policy, const std::string&) { return adopt(policy); },
          .report = [this](std::string_view kind, nlohmann::ordered_json fields) { log_.add_event(kind, std::move(fields)); },
          .say = say,
          .observing = [this] { return observing(); },
          .now = [] { return Timestamp(std::chrono::system_clock::now()); },
          .policy = [this] { return policy_; },
          .rules_now = [this] { return saved_.now(); },
          .judge_again = [this](const std::string& why) { return reload(why, false).changed; }};
}

std::expected<nlohmann::ordered_json, std::string> Daemon::adopt(const std::shared_ptr<const policy::Policy>& policy) {
  const auto begun = std::chrono::steady_clock::now();
  ReloadReport report;
  take_policy(policy, report);
  if (!report.changed) return std::unexpected(report.error);
  if (!report.error.empty()) say(report.error);
  report.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun);
  nlohmann::ordered_json answer{{"judged", report.judged}, {"kept", report.kept}, {"cut", report.cut}, {"took_us", report.took.count()}};
  if (!report.error.empty()) answer["warning"] = report.error;
  return answer;
}

}  // namespace sallyport::daemon
