#include "sallyport/daemon/daemon.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <expected>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <utility>

#include "change_event.h"
#include "control_server.h"
#include "drift_fields.h"
#include "drift_watch.h"
#include "event_log.h"
#include "grant_commands.h"
#include "live_view.h"
#include "metrics.h"
#include "metrics_server.h"
#include "namespace_lock.h"
#include "notify.h"
#include "owners.h"
#include "reload.h"
#include "privileges.h"
#include "saved_bindings.h"
#include "rule_watch.h"
#include "sallyport/netfilter/cgroup.h"
#include "sallyport/netfilter/rule_installer.h"
#include "sallyport/resolver/name_resolver.h"
#include "status_report.h"
#include "watchdog.h"

namespace sallyport::daemon {
namespace {

constexpr unsigned kQueuesMax = 64;
constexpr int kSaveIntervalMs = 30'000;
constexpr int kFileIntervalMs = 1'000;  // How soon a change of the policy's files is seen.
using Outcome = std::expected<void, std::string>;
constexpr const char* kAlreadyHere = "a sallyport service, or its rules, is already in this network namespace; use --netns, or `sallyport rules remove`";

void say(const std::string& text) {
  const std::string line = "sallyport: " + text + '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

// random_key is for hash tables whose keys the network chooses.
std::array<std::uint64_t, 2> random_key() {
  std::array<std::uint64_t, 2> key{};
  (void)!::getrandom(key.data(), sizeof key, 0);
  return key;
}

bool may_colour() {
  return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
}

// Daemon owns everything of one run. The order of members is the order of construction; shut_down takes
// things apart in the order that the mode asks for.
class Daemon {
 public:
  Daemon(const DaemonOptions& options, GrantStore& grants)
      : options_(options),
        grants_(grants),
        policy_(options.policy),
        mode_(options.mode.value_or(policy_->defaults().mode)),
        queues_(queue_count(*policy_, options.queues)),
        control_path_(options.attended != nullptr ? std::string() : options.control.value_or(policy_->deploy().control)),
        saved_(saved_bindings_path(control_path_)),
        generation_(saved_generation_path(control_path_)),
        owners_(policy_),
        live_(policy_, [this] { return watch_figures({mode_, options_.policy_name, uptime(), log_.dropped()}, workers_); }),
        log_(log_options()),
        drift_(policy_, unix_only_of(policy_->guards()), [this](const DriftFinding& finding, bool begins) { report_drift(finding, begins); }, say) {}

  int run() {
    block_signals();
    if (const Outcome started = start(); !started) {
      say(started.error());
      undo_start();
      return 1;
    }
    if (attended() != nullptr) return attend();
    announce();
    save_generation();
    watch_files();
    drift_.start();
    const int signal = wait_for_end();
    notify_service_manager("STOPPING=1");
    return shut_down(signal);
  }

 private:
  bool observing() const { return mode_ == policy::Mode::kObserve; }
  const Attended* attended() const { return options_.attended; }
  EventLogOptions log_options() const {
    return {.workers = queues_,
            .policy = policy_,
            .mode = options_.mode,
            .brief = attended() != nullptr,
            .json = options_.json,
            .quiet = options_.quiet,
            .colour = attended() == nullptr && may_colour(),
            .say = say};
  }

  void block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
    if (attended() != nullptr) {
      for (const int signal : {SIGQUIT, SIGUSR1, SIGUSR2}) sigaddset(&signals, signal);
    }
    (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // Inherited by every thread made later.
    (void)std::signal(SIGPIPE, SIG_IGN);
    signal_fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
  }

  void save_generation(bool in_doubt = false) {
    if (observing()) return;
    generation_.save(in_doubt ? std::nullopt : std::optional(policy_->fingerprint()), plan_.generation, say);
  }

  Outcome start() {
    std::expected<netfilter::RulePlan, std::string> plan = make_plan();
    if (!plan) return std::unexpected(plan.error());
    if (!observing()) plan->generation = generation_.restore(*policy_, say).value_or(plan->generation);
    if (const Outcome opened = open_resolver(); !opened) return opened;
    plan_ = *plan;
    if (const Outcome opened = open_workers(*plan); !opened) return opened;
    if (attended() == nullptr) {
      auto control = ControlServer::open(control_path_);
      if (!control) return std::unexpected(control.error());
      control_ = std::move(*control);
      add_commands();
      grant_commands_.register_at(*control_);
      if (const Outcome opened = open_metrics(); !opened) return opened;
      live_.attach(log_);
      live_.serve(*control_);
    }
    saved_.restore(*bindings_, *policy_, resolver_->status().trusted, say);  // Behind the control socket: this run is the only one here.
    log_.start();
    publish_existing_flows();
    for (const auto& worker : workers_) worker->start();
    // Before the rules: the first look-ups need nobody's leave. Behind them they pass as any allowed question does.
    resolver_->start();
    if (!options_.install_rules) return {};
    if (const Outcome installed = install(*plan); !installed) return installed;
    // Connections that came in while the rules were on their way are in this second snapshot.
    publish_existing_flows();
    return {};
  }

  void report_drift(const DriftFinding& finding, bool begins) {
    log_.add_event("port_drift", drift_fields(finding, begins));
  }

  void report_displaced(nlohmann::ordered_json fields) {
    if (attended() == nullptr) log_.add_event("rules_displaced", std::move(fields));  // There, what is said is enough.
  }

  std::expected<netfilter::RulePlan, std::string> make_plan() const {
    auto plan = netfilter::plan_rules(*policy_, mode_, queues_);
    if (plan) plan->service_uid = ::geteuid();
    if (!plan || attended() == nullptr) return plan;
    plan->output = attended()->inside.empty();
    plan->forward = !plan->output;
    plan->inside = attended()->inside;
    plan->cgroup = attended()->cgroup;
    plan->first_queue = attended()->first_queue;
    return plan;
  }

  Outcome open_resolver() {
    resolver::ResolverOptions options{policy_, bindings_, resolvers_, say};
    if (attended() != nullptr && !attended()->resolv_conf.empty()) {
      options.read_file = [text = attended()->resolv_conf](const char* path) -> std::optional<std::string> {
        if (std::string_view(path) == resolver::resolver_files().front()) return text;
        return std::nullopt;
      };
    }
    auto opened = resolver::NameResolver::open(std::move(options));
    if (!opened) return std::unexpected(opened.error());
    resolver_ = std::move(*opened);
    return {};
  }

  Outcome open_workers(const netfilter::RulePlan& plan) {
    owners_.start(say);
    const auto budget = std::make_shared<engine::LookupBudget>(random_key());
    const auto expectations = std::make_shared<engine::Expectations>(random_key());
    for (unsigned i = 0; i < queues_; ++i) {
      netfilter::WorkerOptions worker;
      worker.queue = static_cast<std::uint16_t>(plan.first_queue + i);
      worker.observe = observing();
      worker.mark = plan.mark;
      worker.generation = plan.generation;
      worker.inspector.mode = mode_;
      worker.inspector.bindings = bindings_;
      worker.inspector.resolvers = resolvers_;
      worker.inspector.workload = attended() != nullptr;
      // What a command sends is never this process's own, even if the user is the same.
      if (attended() == nullptr) worker.inspector.own_uid = ::geteuid();
      worker.inspector.on_miss = [this](const engine::BindingMiss& miss) { resolver_->request(miss); };
      worker.inspector.lookup_budget = budget;
      worker.inspector.expectations = expectations;
      if (const auto owner_of = owners_.for_worker(); !owner_of) {
        return std::unexpected(owner_of.error());
      } else {
        worker.inspector.owner_of = *owner_of;
      }
      netfilter::EventHandler on_event;
      if (attended() != nullptr && !attended()->verbose) {
        on_event = [this, i](const engine::FlowEvent& event) {
          if (event.verdict == engine::FlowVerdict::kDeny) log_.add(i, event);
        };
      } else {
        worker.inspector.on_open = [this, i](const FlowKey& key, const Packet& packet) { log_.note_flow(i, key, packet); };
        on_event = [this, i](const engine::FlowEvent& event) { log_.add(i, event); };
      }
      auto opened = netfilter::QueueWorker::open(worker, policy_, std::move(on_event));
      if (!opened) return std::unexpected(opened.error());
      workers_.push_back(std::move(*opened));
    }
    return {};
  }

  // Without the snapshot, existing incoming connections could be cut: say so, but start.
  void publish_existing_flows() {
    if (observing() || !policy_->deploy().hook_output || attended() != nullptr) return;  // A new cgroup has no sockets.
    const auto sockets = netfilter::list_tcp_sockets();
    if (!sockets) {
      say("existing connections are not known: " + sockets.error());
      return;
    }
    const auto flows = std::make_shared<const netfilter::ExistingFlows>(*sockets);
    for (const auto& worker : workers_) worker->set_existing(flows);
  }

  Outcome install(const netfilter::RulePlan& plan) {
    if (attended() == nullptr) {  // A run took it before it forked.
      auto lock = NamespaceLock::take();
      if (!lock) return std::unexpected(lock.error());
      lock_.emplace(std::move(*lock));
    }
    auto installer = netfilter::RuleInstaller::open();
    if (!installer) return std::unexpected(installer.error());
    const std::expected<bool, std::string> present = installer->present();
    if (!present) return std::unexpected(present.error());
    if (attended() != nullptr && *present) return std::unexpected(kAlreadyHere);
    if (attended() != nullptr) attended()->before_rules();
    installer_ = *installer;
    rules_were_there_ = *present;
    touched_rules_ = true;
    const Outcome applied = installer_->apply(plan);
    if (applied) rule_watch_.start(*installer_);
    return applied;
  }

  // undo_start leaves the kernel as it was found: rules of an earlier enforcing run stay closed.
  void undo_start() {
    rule_watch_.stop();
    if (touched_rules_ && !rules_were_there_) {
      if (const auto removed = installer_->remove(); !removed) say(removed.error());
    }
    stop_workers();
  }

  // attend is the run of one command: when it is over nothing is left behind.
  int attend() {
    const int exit_code = attended()->attend(signal_fd_);
    if (!attended()->may_open()) touched_rules_ = false;
    shut_down(SIGINT);
    return exit_code;
  }

  void announce() {
    const std::string summary = "sallyport: " + std::string(observing() ? "observing" : "enforcing") +
                                "; policy " + options_.policy_name + "; " + std::to_string(queues_) +
                                (queues_ == 1 ? " queue" : " queues") +
                                (options_.install_rules ? "" : "; no rules") + "; ready\n";
    // Standard output carries nothing but rows when a program reads it.
    (void)!::write(log_.stdout_is_for_programs() ? STDERR_FILENO : STDOUT_FILENO, summary.data(), summary.size());
    notify_service_manager("READY=1\nSTATUS=" + summary);
  }

  int wait_for_end() {
    pollfd fds[2] = {{signal_fd_, POLLIN, 0}, {control_->fd(), POLLIN, 0}};
    for (;;) {
      const int ready = ::poll(fds, 2, watchdog_.sleep_ms(policy_->deploy().reload_on_change ? kFileIntervalMs : kSaveIntervalMs));
      tell_watchdog();
      if (saved_.due(*bindings_)) save_bindings();
      if (policy_->deploy().reload_on_change && files_.settled()) (void)reload("a file of the policy has changed");
      if (ready <= 0) continue;
      if ((fds[1].revents & POLLIN) != 0) control_->serve();
      signalfd_siginfo info{};
      if ((fds[0].revents & POLLIN) != 0 && ::read(signal_fd_, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP) return static_cast<int>(info.ssi_signo);
        (void)reload("SIGHUP");
      }
    }
  }

  void tell_watchdog() {
    std::vector<std::uint64_t> rounds;
    for (const auto& worker : workers_) rounds.push_back(worker->counters().rounds.load(std::memory_order_relaxed));
    if (watchdog_.look(Watchdog::Clock::now(), rounds, say)) notify_service_manager("WATCHDOG=1");
  }

  int shut_down(int signal) {
    drift_.stop();
    rule_watch_.stop();
    const bool closed =
        !observing() && signal != SIGINT && policy_->deploy().on_exit == policy::OnExit::kClosed;
    int exit_code = 0;
    if (touched_rules_ && closed) {
      say("the rules stay and nothing new passes; to remove them: sallyport rules remove");
    } else if (touched_rules_) {
      // First the rules, then the queues: nothing may be sent to a queue that nobody reads.
      if (const auto removed = installer_->remove(); !removed) {
        say(removed.error());
        exit_code = 1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Packets between rule and queue arrive.
    }
    stop_workers();
    // The operator is present and ends it: nothing is left behind. Otherwise the next run goes on where this one was.
    if (signal == SIGINT) {
      saved_.remove();
    } else {
      save_bindings();
    }
    return exit_code;
  }

  void save_bindings() {
    resolver::ResolverStatus status = resolver_->status();
    // An address of this host may be gone by the next start; what its stub said is as true then.
    std::erase_if(status.trusted, [&](const IpAddress& address) { return std::ranges::find(status.own, address) != status.own.end(); });
    saved_.save(*bindings_, *policy_, {status.trusted, status.trusted_since}, say);
  }

  std::chrono::seconds uptime() const {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  }

  void stop_workers() {
    live_.stop();
    for (const auto& worker : workers_) worker->stop();
    if (resolver_) resolver_->stop();
  }

  // reload has the policy's files read again, or with `from_disk` unset compiled again with another overlay, and goes over to what
  // they say now. Whatever is wrong with it is said, and changes nothing.
  ReloadReport reload(const std::string& why, bool from_disk = true) {
    const auto begun = std::chrono::steady_clock::now();
    const auto begun_us = std::chrono::duration_cast<std::chrono::microseconds>(begun.time_since_epoch()).count();
    notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(begun_us));
    const Timestamp judged = saved_.now();
    ReloadReport report;
    (void)files_.changed();  // What changes from here on is seen by the next look.
    policy::LoadResult loaded = options_.source == nullptr ? policy::LoadResult(policy_) : from_disk ? options_.source->load(grants_.overlay()) : options_.source->apply(grants_.overlay());
    if (loaded) {
      take_policy(*loaded, report);
      if (report.changed && from_disk && options_.source != nullptr) options_.source->accept();
      if (report.changed) say_grant_problems(**loaded, say), grant_commands_.policy_changed(judged);
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
    event["message"] = why + ": " + (report.changed ? std::to_string(report.judged) + " flows judged again, " + std::to_string(report.cut) + " cut"
                                                    : "nothing was changed");
    log_.add_event("reload", std::move(event));
    notify_service_manager("READY=1");
    return report;
  }

  void take_policy(const std::shared_ptr<const policy::Policy>& next, ReloadReport& report) {
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
    const Changed changed = change_workers(workers_, next, owners, report);
    if (other_views) bindings_->forget_views();  // Until now they may have been told under their former numbers.
    tell_watchdog();
    drift_.set_policy(next, unix_only_of(next->guards()));
    policy_ = next;
    plan_ = *plan;
    report.changed = true;
    ++reloads_;
    policy_loaded_ = std::chrono::system_clock::now();
    if (!changed.complete) report.error = "a queue is slow to take the policy; its flows are judged when it does";
    if (observing()) return;
    if (const std::string failed = Cutter(plan_.mark, plan_.generation, plan_.output).carry_out(changed); !failed.empty()) report.error = failed;
    if (report.error.empty()) save_generation();  // Else the next start believes no mark.
  }

  // watch_files has the policy's files looked at; those that were before as they were then.
  void watch_files() {
    if (options_.source != nullptr) files_.watch(options_.source->files());
  }

  // add_commands says what may be asked of the control socket (docs/control.md).
  void add_commands() {
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

  GrantHost grant_host() {
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

  // adopt puts a policy in force that differs from this one in its grants.
  std::expected<nlohmann::ordered_json, std::string> adopt(const std::shared_ptr<const policy::Policy>& policy) {
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

  Outcome open_metrics() {
    if (!policy_->metrics().address) return {};
    auto opened = MetricsServer::open(policy_->metrics(), [this] { return metrics(); });
    if (!opened) return std::unexpected(opened.error());
    metrics_server_ = std::move(*opened);
    if (!control_->attend(metrics_server_->fd(), [this] { metrics_server_->serve(); })) return std::unexpected(std::string("metrics.listen: cannot be polled"));
    return {};
  }

  std::string metrics() const {
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

  nlohmann::ordered_json status() const {
    nlohmann::ordered_json report = status_report(status_facts(), workers_);
    if (attended() == nullptr) report.update(grant_commands_.listing());
    return report;
  }

  StatusFacts status_facts() const {
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

  const DaemonOptions& options_;
  GrantStore& grants_;  // Restored, and in the policy.
  std::shared_ptr<const policy::Policy> policy_;
  netfilter::RulePlan plan_;
  PolicyFiles files_;
  policy::Mode mode_;
  unsigned queues_;
  std::string control_path_;
  SavedBindings saved_;
  SavedGeneration generation_;
  std::shared_ptr<engine::NameBindings> bindings_ =
      std::make_shared<engine::NameBindings>(kBindings, random_key());
  std::shared_ptr<engine::Resolvers> resolvers_ = std::make_shared<engine::Resolvers>();
  Owners owners_;
  std::unique_ptr<resolver::NameResolver> resolver_;  // Outlives the workers, which ask it.
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  int signal_fd_ = -1;
  LiveView live_;  // Outlives the log, which writes to it.
  EventLog log_;  // Outlives the workers and the watch, which write to it.
  DriftWatch drift_;
  Watchdog watchdog_ = Watchdog::from_environment();
  RuleWatch rule_watch_{[this](nlohmann::ordered_json fields) { report_displaced(std::move(fields)); }, say, &NamespaceLock::removal_noted};
  Workers workers_;
  GrantCommands grant_commands_{grants_, grant_host()};
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::uint64_t reloads_ = 0;
  std::uint64_t failed_reloads_ = 0;
  Timestamp policy_loaded_ = std::chrono::system_clock::now();
  std::optional<NamespaceLock> lock_;
  std::optional<netfilter::RuleInstaller> installer_;
  bool rules_were_there_ = false;
  bool touched_rules_ = false;
};

}  // namespace

unsigned queue_count(const policy::Policy& policy, std::optional<unsigned> override_count) {
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);
  const unsigned wanted = override_count ? *override_count : policy.deploy().queues.value_or(cores);
  return std::clamp(wanted, 1U, kQueuesMax);
}

int run_daemon(const DaemonOptions& given) {
  DaemonOptions options = given;
  const std::string control = options.control.value_or(options.policy->deploy().control);
  GrantStore grants(options.attended != nullptr ? std::string() : grants_path(control));
  if (options.attended == nullptr) options.policy = restore_grants(grants, options.source.get(), options.policy, say);
  // Whoever starts a command needs more than the service, and it is not the command's filter either.
  if (options.attended == nullptr) {
    const Needs needs{.other_namespaces = options.policy->listeners().all_namespaces};
    (void)netfilter::cgroup_root();  // Where it is not in sight it is mounted, which nobody may do afterwards.
    if (const auto dropped = drop_privileges(needs); !dropped) say(dropped.error());
    if (const auto filtered = filter_system_calls(needs); !filtered) say(filtered.error());
  }
  return Daemon(options, grants).run();
}

}  // namespace sallyport::daemon
