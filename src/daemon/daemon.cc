#include "daemon_impl.h"

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

#include "drift_fields.h"
#include "notify.h"
#include "sallyport/netfilter/cgroup.h"

namespace sallyport::daemon {
namespace {

constexpr unsigned kQueuesMax = 64;
// How long a program that changes rules may take at the start, when nothing waits for this thread, and the kernel may have to read its
// modules first. Below TimeoutStartSec (90 s).
constexpr std::chrono::milliseconds kStartPatience{60'000};
constexpr int kFileIntervalMs = 1'000;  // How soon a change of the policy's files is seen.
constexpr int kIntervalMs = 10'000;     // Else. What has a pace of its own (bindings, kCensusInterval) is looked at each time.
constexpr const char* kAlreadyHere = "a sallyport service, or its rules, is already in this network namespace; use --netns, or `sallyport rules remove`";

// random_key is for hash tables whose keys the network chooses.
std::array<std::uint64_t, 2> random_key() {
  std::array<std::uint64_t, 2> key{};
  (void)!::getrandom(key.data(), sizeof key, 0);
  return key;
}

bool may_colour() {
  return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
}

}  // namespace

void say(const std::string& text) {
  const std::string line = "sallyport: " + text + '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

Daemon::Daemon(const DaemonOptions& options, GrantStore& grants)
    : options_(options),
      grants_(grants),
      policy_(options.policy),
      mode_(options.mode.value_or(policy_->defaults().mode)),
      queues_(queue_count(*policy_, options.queues)),
      control_path_(options.attended != nullptr ? std::string() : options.control.value_or(policy_->deploy().control)),
      saved_(saved_bindings_path(control_path_)),
      generation_(saved_generation_path(control_path_)),
      bindings_(std::make_shared<engine::NameBindings>(kBindings, random_key())),
      owners_(policy_),
      live_(policy_, [this] { return watch_figures({mode_, options_.policy_name, uptime(), log_.dropped()}, workers_); }),
      log_(log_options()),
      drift_(policy_, unix_only_of(policy_->guards()), [this](const DriftFinding& finding, bool begins) { report_drift(finding, begins); }, say),
      saved_flows_(saved_flows_path(control_path_)),
      incoming_(incoming_path(control_path_)) {}

int Daemon::run() {
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

EventLogOptions Daemon::log_options() const {
  return {.workers = queues_,
          .policy = policy_,
          .mode = options_.mode,
          .brief = attended() != nullptr,
          .json = options_.json,
          .quiet = options_.quiet,
          .colour = attended() == nullptr && may_colour(),
          .say = say};
}

void Daemon::block_signals() {
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

Outcome Daemon::start() {
  std::expected<netfilter::RulePlan, std::string> plan = make_plan();
  if (!plan) return std::unexpected(plan.error());
  judged_at_ = saved_.now();
  if (const auto marks = observing() ? std::nullopt : generation_.restore(*policy_, say)) {
    plan->generation = marks->generation;
    judged_before_ = true;
    if (marks->judged) {
      believed_ = marks->generation;
      judged_at_ = std::min(judged_at_, *marks->judged);
    }
  }
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
  if (const Outcome found = find_rules(); !found) return found;
  watched_before_ = rules_were_there_;
  recall_flows();
  look_for_incoming();
  publish_existing_flows();
  const Loses expired = believed_ ? losses(policy_, saved_.now()) : nullptr;
  auto older = older_flows(expired);
  judged_at_ = saved_.now();
  for (const auto& worker : workers_) worker->start();
  // Before the rules: the first look-ups need nobody's leave. Behind them they pass as any allowed question does.
  resolver_->start();
  if (options_.install_rules) {
    if (const Outcome installed = install(*plan); !installed) return installed;
    if (!watched_before_) {  // Connections that came in while the rules were on their way.
      look_for_incoming();
      publish_existing_flows();
    }
  } else if (const Outcome settled = settle_existing_flows(*plan); !settled) {
    return settled;
  }
  cut_expired(std::move(older), expired);
  return {};
}

void Daemon::report_drift(const DriftFinding& finding, bool begins) {
  log_.add_event("port_drift", drift_fields(finding, begins));
}

void Daemon::report_displaced(nlohmann::ordered_json fields) {
  if (attended() == nullptr) log_.add_event("rules_displaced", std::move(fields));  // There, what is said is enough.
}

std::expected<netfilter::RulePlan, std::string> Daemon::make_plan() const {
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

Outcome Daemon::open_resolver() {
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

Outcome Daemon::open_workers(const netfilter::RulePlan& plan) {
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

void Daemon::recall_flows() {
  if (observing() || attended() != nullptr) return;
  if (!believed_) return saved_flows_.remove();
  FlowsByWorker flows = saved_flows_.take(*policy_, workers_.size(), say);
  const auto entries = allowed_flows();
  if (!entries) return say("what connections were for is not known: " + entries.error());
  std::vector<FlowKey> living;
  for (const netfilter::ConntrackEntry& entry : *entries) living.push_back(entry.key);
  const netfilter::ConnectionSet allowed(living);
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    std::erase_if(flows[i], [&](const engine::RememberedFlow& flow) { return !allowed.contains(flow.key); });
    workers_[i]->recall(flows[i]);
  }
}

void Daemon::save_flows() {
  if (observing() || attended() != nullptr || !unfinished_cut_.empty()) return;  // A slow worker's are another policy's.
  FlowsByWorker flows;
  for (const auto& worker : workers_) flows.push_back(worker->remembered());
  saved_flows_.save(flows, *policy_, say);
}

Outcome Daemon::find_rules() {
  if (!options_.install_rules) {  // They are another's, and may be gone.
    if (auto installer = netfilter::RuleInstaller::open(kStartPatience)) rules_were_there_ = installer->present().value_or(false);
    return {};
  }
  if (attended() == nullptr) {  // A run took it before it forked.
    auto lock = NamespaceLock::take();
    if (!lock) return std::unexpected(lock.error());
    lock_.emplace(std::move(*lock));
  } else {
    NamespaceLock::forget_removal();
  }
  auto installer = netfilter::RuleInstaller::open(kStartPatience);
  if (!installer) return std::unexpected(installer.error());
  const std::expected<bool, std::string> present = installer->present();
  if (!present) return std::unexpected(present.error());
  if (attended() != nullptr && *present) return std::unexpected(kAlreadyHere);
  installer_ = *installer;
  rules_were_there_ = *present;
  return {};
}

void Daemon::look_for_incoming() {
  if (attended() != nullptr || !policy_->deploy().hook_output) return;  // A new cgroup has no sockets.
  const auto sockets = netfilter::list_tcp_sockets();
  if (!sockets) return say("existing connections are not known: " + sockets.error());
  const auto conntrack = netfilter::Conntrack::open(plan_.mark);
  const auto entries = conntrack ? (*conntrack)->list(0, 0) : std::unexpected(conntrack.error());
  const auto opened = entries ? netfilter::opened_connections(*entries) : netfilter::ConnectionSet();
  if (!entries) say("which connections this host opened is not known: " + entries.error());
  const auto proven = entries ? netfilter::came_in_by_tracking(*sockets, *entries) : std::vector<FlowKey>();
  if (!watched_before_ || !incoming_.restore(*sockets, proven, say)) {
    watched_before_ = false;
    incoming_.look(*sockets, opened);
  }
  incoming_.save(say);
}

void Daemon::publish_existing_flows() {
  if (observing() || attended() != nullptr) return;
  const auto flows = std::make_shared<const netfilter::ExistingFlows>(incoming_.connections(), existing_.allowed, existing_.cut);
  for (const auto& worker : workers_) worker->set_existing(flows);
}

Outcome Daemon::settle_existing_flows(const netfilter::RulePlan& plan) {
  if (observing() || attended() != nullptr) return {};
  auto settled = settle_existing(policy_->defaults().existing, {plan, rules_were_there_ && judged_before_, believed_, incoming_.connections()});
  if (!settled) return std::unexpected("defaults.existing: " + settled.error());
  existing_ = std::move(*settled);
  if (policy_->defaults().existing == policy::Existing::kKill) {
    say("defaults.existing: " + std::to_string(existing_.ended) + " connections of this host are ended, " + std::to_string(existing_.watched) +
        " others with their next packet");
  }
  if (existing_.allowed != nullptr || existing_.cut != nullptr) publish_existing_flows();
  return {};
}

Outcome Daemon::install(const netfilter::RulePlan& plan) {
  if (attended() != nullptr) attended()->before_rules();
  touched_rules_ = true;
  const bool ends = policy_->defaults().existing == policy::Existing::kKill || (rules_were_there_ && !believed_);
  if (ends && !observing()) {  // Before anything ends, or is judged anew, for rules that the kernel refuses.
    if (const Outcome rehearsed = installer_->rehearse(plan); !rehearsed) return rehearsed;
  }
  if (const Outcome settled = settle_existing_flows(plan); !settled) return settled;
  const Outcome applied = installer_->apply(plan);
  installer_->set_limit(netfilter::kCommandTime);
  if (applied) rule_watch_.start(*installer_);
  return applied;
}

void Daemon::undo_start() {
  rule_watch_.stop();
  if (touched_rules_ && !rules_were_there_) {
    if (const auto removed = installer_->remove(); !removed) say(removed.error());
  }
  stop_workers();
}

int Daemon::attend() {
  const int exit_code = attended()->attend(signal_fd_);
  if (!attended()->may_open()) touched_rules_ = false;
  shut_down(SIGINT);
  return exit_code;
}

void Daemon::announce() {
  const std::string summary = "sallyport: " + std::string(observing() ? "observing" : "enforcing") +
                              "; policy " + options_.policy_name + "; " + std::to_string(queues_) +
                              (queues_ == 1 ? " queue" : " queues") +
                              (options_.install_rules ? "" : "; no rules") + "; ready\n";
  // Standard output carries nothing but rows when a program reads it.
  (void)!::write(log_.stdout_is_for_programs() ? STDERR_FILENO : STDOUT_FILENO, summary.data(), summary.size());
  notify_service_manager("READY=1\nSTATUS=" + summary);
}

int Daemon::wait_for_end() {
  pollfd fds[2] = {{signal_fd_, POLLIN, 0}, {control_->fd(), POLLIN, 0}};
  for (;;) {
    const bool soon = policy_->deploy().reload_on_change || !unfinished_cut_.empty();
    const int ready = ::poll(fds, 2, watchdog_.sleep_ms(soon ? kFileIntervalMs : kIntervalMs));
    tell_watchdog();
    finish_cut();
    take_census();
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

int Daemon::shut_down(int signal) {
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
    } else {
      incoming_.remove();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Packets between rule and queue arrive.
  }
  stop_workers();
  // The operator is present and ends it: nothing is left behind. Otherwise the next run goes on where this one was.
  if (signal == SIGINT) {
    saved_.remove();
  } else {
    save_bindings();
    save_flows();
  }
  return exit_code;
}

void Daemon::save_bindings() {
  resolver::ResolverStatus status = resolver_->status();
  // An address of this host may be gone by the next start; what its stub said is as true then.
  std::erase_if(status.trusted, [&](const IpAddress& address) { return std::ranges::find(status.own, address) != status.own.end(); });
  saved_.save(*bindings_, *policy_, status.trusted, say);
}

void Daemon::stop_workers() {
  live_.stop();
  for (const auto& worker : workers_) worker->stop();
  if (resolver_) resolver_->stop();
}

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
    netfilter::load_legacy_modules();
    (void)netfilter::cgroup_root();  // Where it is not in sight it is mounted, which nobody may do afterwards.
    if (const auto dropped = drop_privileges(needs); !dropped) say(dropped.error());
    if (const auto filtered = filter_system_calls(needs); !filtered) say(filtered.error());
  }
  return Daemon(options, grants).run();
}

}  // namespace sallyport::daemon
