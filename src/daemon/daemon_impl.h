// Daemon is one run of the service, or of one command: it puts the parts together and takes them apart. Its thread is the main one;
// what is asked on the control socket is answered on it. How it starts and ends is in daemon.cc, how it goes over to another policy
// in daemon_policy.cc, what it says of itself in daemon_report.cc.
#pragma once

#include <chrono>
#include <expected>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "census.h"
#include "control_server.h"
#include "drift_watch.h"
#include "event_log.h"
#include "existing_start.h"
#include "grant_commands.h"
#include "incoming.h"
#include "live_view.h"
#include "metrics.h"
#include "metrics_server.h"
#include "namespace_lock.h"
#include "owners.h"
#include "privileges.h"
#include "reload.h"
#include "rule_watch.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/netfilter/rule_installer.h"
#include "sallyport/resolver/name_resolver.h"
#include "saved_bindings.h"
#include "saved_flows.h"
#include "status_report.h"
#include "watchdog.h"

namespace sallyport::daemon {

using Outcome = std::expected<void, std::string>;

// say writes a line to standard error.
void say(const std::string& text);

// Daemon owns everything of one run. The order of members is the order of construction; shut_down takes
// things apart in the order that the mode asks for.
class Daemon {
 public:
  Daemon(const DaemonOptions& options, GrantStore& grants);
  int run();

 private:
  bool observing() const { return mode_ == policy::Mode::kObserve; }
  const Attended* attended() const { return options_.attended; }
  EventLogOptions log_options() const;
  void block_signals();
  void save_generation(bool in_doubt = false);
  Outcome start();
  void report_drift(const DriftFinding& finding, bool begins);
  void report_displaced(nlohmann::ordered_json fields);
  std::expected<netfilter::RulePlan, std::string> make_plan() const;
  Outcome open_resolver();
  Outcome open_workers(const netfilter::RulePlan& plan);
  // find_rules takes the namespace and looks whether rules of an earlier run stand.
  Outcome find_rules();
  // recall_flows has the workers take up what the last run knew of its flows; save_flows is for the next.
  void recall_flows();
  void save_flows();
  // look_for_incoming finds out which connections others had opened. Without that these could be cut: say so, but start.
  void look_for_incoming();
  // publish_existing_flows tells the workers.
  void publish_existing_flows();
  // settle_existing_flows does what defaults.existing says; the rules are about to be applied.
  Outcome settle_existing_flows(const netfilter::RulePlan& plan);
  Outcome install(const netfilter::RulePlan& plan);
  // undo_start leaves the kernel as it was found: rules of an earlier enforcing run stay closed.
  void undo_start();
  // attend is the run of one command: when it is over nothing is left behind.
  int attend();
  void announce();
  int wait_for_end();
  void tell_watchdog();
  int shut_down(int signal);
  void save_bindings();
  std::chrono::seconds uptime() const;
  void stop_workers();

  // reload has the policy's files read again, or with `from_disk` unset compiled again with another overlay, and goes over to what
  // they say now. Whatever is wrong with it is said, and changes nothing.
  ReloadReport reload(const std::string& why, bool from_disk = true);
  void take_policy(const std::shared_ptr<const policy::Policy>& next, ReloadReport& report);
  // losses tells of which flows the next policy may deny what policy_ allowed; null: of none.
  using Loses = std::function<bool(const FlowKey&)>;  // Not for several threads at once.
  Loses losses(const std::shared_ptr<const policy::Policy>& next, Timestamp now) const;
  // allowed_flows lists what the kernel allows by policy_ now.
  std::expected<std::vector<netfilter::ConntrackEntry>, std::string> allowed_flows() const;
  // older_flows lists what the kernel allows by policy_ now and may lose it.
  std::expected<std::vector<netfilter::ConntrackEntry>, std::string> older_flows(const Loses& loses) const;
  // watch_older has the workers end these connections, which are older than the service, at their next packet.
  void watch_older(std::span<const FlowKey> keys);
  Cutter cutter();
  // carry_out cuts in the kernel what lost permission. finish_cut does again what failed of it, until it is done.
  void carry_out(Changed changed, ReloadReport& report);
  void finish_cut();
  // cut_expired cuts what rules let in that have expired since all flows were judged last: the service was down.
  void cut_expired(std::expected<std::vector<netfilter::ConntrackEntry>, std::string> older, const Loses& loses);
  // watch_files has the policy's files looked at; those that were before as they were then.
  void watch_files();
  // take_census asks for what the kernel passes alone, when that is due.
  void take_census();

  // add_commands says what may be asked of the control socket (docs/control.md).
  void add_commands();
  GrantHost grant_host();
  // adopt puts a policy in force that differs from this one in its grants.
  std::expected<nlohmann::ordered_json, std::string> adopt(const std::shared_ptr<const policy::Policy>& policy);
  Outcome open_metrics();
  std::string metrics() const;
  nlohmann::ordered_json status() const;
  StatusFacts status_facts() const;

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
  std::shared_ptr<engine::NameBindings> bindings_;
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
  SavedFlows saved_flows_;
  Incoming incoming_;
  // What a start finds beside rules_were_there_, which may be there though nobody judged yet (`rules apply` at boot).
  bool judged_before_ = false;   // An enforcing run has left word of its policy.
  bool watched_before_ = false;  // A run has settled which connections came in.
  std::optional<netfilter::Generation> believed_;  // The generation of the marks that are this policy's.
  ExistingSets existing_;
  UnfinishedCut unfinished_cut_;
  Census census_;
  Timestamp judged_at_{};  // When all flows were judged by policy_, by the workers' clock.
  bool rules_were_there_ = false;
  bool touched_rules_ = false;
};

}  // namespace sallyport::daemon
