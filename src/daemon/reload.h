// Another policy while the service runs: the workers go over to it, and what lost permission is cut (docs/netfilter.md, "Reload").
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sallyport/netfilter/conntrack.h"
#include "sallyport/netfilter/queue_worker.h"
#include "sallyport/netfilter/rule_text.h"
#include "sallyport/policy/problem.h"

namespace sallyport::daemon {

inline constexpr std::size_t kCutFlowsReported = 100;

struct CutFlow {
  FlowKey key;
  std::string name;  // Or empty.
  Protocol protocol = Protocol::kUnknown;
  std::string rule;  // "file:line" of what denies it, or "default".
};

struct ReloadReport {
  std::vector<policy::Problem> problems;  // Of a policy that does not load.
  std::string error;                      // Why nothing was changed, or what failed on the way.
  std::size_t judged = 0;                 // Flows that were allowed, or under way to it.
  std::size_t kept = 0;
  std::size_t cut = 0;
  std::vector<CutFlow> cut_flows;  // The first kCutFlowsReported.
  std::size_t unknown = 0;         // TCP connections that an earlier policy allowed and no worker knows, which are cut.
  std::size_t sockets_left = 0;    // Sockets of this host that the kernel did not end: their connections end with their next packet.
  std::chrono::microseconds took{0};
  bool changed = false;  // The new policy is in force.
};

// reload_json returns the report's members, for the control socket and events.
nlohmann::ordered_json reload_json(const ReloadReport& report);

// unchangeable returns why a policy cannot follow another one without a restart, naming the key; empty: it can.
std::string unchangeable(const policy::Policy& before, const policy::Policy& policy, bool mode_is_fixed);

// same_rules tells whether two plans make the same rules in the kernel.
bool same_rules(const netfilter::RulePlan& one, const netfilter::RulePlan& other);

// change_workers has each worker take the policy and adds what became of its flows to the report. `owners` makes what a worker asks.
// Returns what the ct marks must become; what the workers said in `remarks` of flows that are known goes with it.
using OwnerOf = std::function<engine::FlowOwner(const FlowKey&, const Packet&)>;
struct Changed {
  std::vector<engine::Remark> remarks;
  std::vector<std::shared_ptr<netfilter::PolicyChange>> unfinished;  // Of workers that are slow.
  // What was allowed before the change, and what went with it could be about: cut if no worker knows it. Later ones are judged already.
  std::vector<netfilter::ConntrackEntry> older;
  // Tells them, where they could not be listed: that must be done again. What began meanwhile, and could have been lost, is cut, too.
  std::function<bool(const FlowKey&)> relist;
  bool complete() const { return unfinished.empty(); }
};
Changed change_workers(const std::vector<std::unique_ptr<netfilter::QueueWorker>>& workers, const std::shared_ptr<const policy::Policy>& policy,
                       const std::vector<OwnerOf>& owners, ReloadReport& report);

// PolicyFiles tells whether a policy's files have changed (resolver/file_watch.h does it for fixed names).
class PolicyFiles {
 public:
  void watch(std::vector<std::string> paths);
  // changed compares with the last look. settled tells that there was a change, and none since the last look: what is being
  // written is not read half-way.
  bool changed();
  bool settled();

 private:
  using Signature = std::array<std::int64_t, 5>;
  std::vector<std::string> paths_;
  std::vector<Signature> seen_;
  bool unsettled_ = false;
};

// SavedGeneration keeps which policy the marks in the kernel are of, beside the control socket: a reload keeps the generation, so a
// restart with the policy that was loaded last must go on with it, or every connection would be judged anew in its middle.
class SavedGeneration {
 public:
  using Say = std::function<void(const std::string&)>;
  // An empty path: nothing is kept.
  explicit SavedGeneration(std::string path) : path_(std::move(path)) {}
  // Marks is the generation for a policy: that of the marks that are there, if they are its own (`judged` is when it judged all flows
  // last), else one that they do not have.
  struct Marks {
    netfilter::Generation generation = 0;
    std::optional<Timestamp> judged;
  };
  // restore returns nothing when none are saved.
  std::optional<Marks> restore(const policy::Policy& policy, const Say& say) const;
  // Without a fingerprint the marks are of no policy: what lost permission is being cut, or could not be. `judged` is when all flows were
  // judged last.
  void save(std::optional<std::uint64_t> fingerprint, netfilter::Generation generation, Timestamp judged, const Say& say) const;

 private:
  std::string path_;
};
// saved_generation_path returns "DIR/NAME.policy.json" for a control socket "DIR/NAME.sock"; empty for an abstract one.
std::string saved_generation_path(const std::string& control_path);

// carried_out tries something up to kCutTries times, kCutPause apart, until it fails no more (an empty text). Returns what failed last.
inline constexpr int kCutTries = 4;
inline constexpr std::chrono::milliseconds kCutPause{50};
std::string carried_out(const std::function<std::string()>& attempt, const std::function<void(std::chrono::milliseconds)>& pause);

// Cutter carries remarks out in the kernel. The sockets of this host end first (where `local`), then the marks are set. What the kernel
// refuses is tried again (carried_out).
class Cutter {
 public:
  // Watch has the workers end these TCP connections, which they do not know, at their next packet.
  using Watch = std::function<void(std::span<const FlowKey>)>;
  Cutter(netfilter::MarkField mark, netfilter::Generation generation, bool local, Watch watch)
      : mark_(mark), generation_(generation), local_(local), watch_(std::move(watch)) {}
  // Returns what failed, or an empty text. What it could not mark goes on as it was: it must be done again.
  std::string carry_out(const Changed& changed);
  // unknown counts the TCP connections that carry_out found allowed, that no worker knows, and cut.
  std::size_t unknown() const { return unknown_; }
  // sockets_left counts the sockets that carry_out could not end.
  std::size_t sockets_left() const { return left_.size(); }

 private:
  std::string end_sockets();
  std::string set_all(const Changed& changed, const std::vector<engine::Remark>& remarks);
  std::string set_marks(netfilter::Conntrack& conntrack, const std::vector<engine::Remark>& remarks);
  std::string forget_the_rest(netfilter::Conntrack& conntrack, const Changed& changed);

  netfilter::MarkField mark_;
  netfilter::Generation generation_;
  bool local_;
  Watch watch_;
  std::vector<FlowKey> left_;
  std::size_t unknown_ = 0;
};

// UnfinishedCut is what a policy change could not carry out: of workers that were slow, or that the kernel refused. Main thread.
class UnfinishedCut {
 public:
  bool empty() const { return !changed_; }
  // keep takes what is left to do.
  void keep(Changed changed) { changed_ = std::move(changed); }
  // add_to puts what is left, but for flows that `changed` has, in front of it, and has nothing left then.
  void add_to(Changed& changed);
  // take_finished moves in what slow workers have said by now.
  const Changed& take_finished();
  // relisted takes what `relist` asked for.
  void relisted(std::vector<netfilter::ConntrackEntry> older);
  void done() { changed_.reset(); }

 private:
  std::optional<Changed> changed_;
};

}  // namespace sallyport::daemon
