// Another policy while the service runs: the workers go over to it, and what lost permission is cut (docs/netfilter.md, "Reload").
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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
  bool complete = false;  // Every worker is done.
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
  // restore returns the generation for this policy: its marks', if the saved ones are its own, else one that they do not have. Nothing:
  // none are saved.
  std::optional<netfilter::Generation> restore(const policy::Policy& policy, const Say& say) const;
  // Without a fingerprint the marks are of no policy: what lost permission is being cut, or could not be.
  void save(std::optional<std::uint64_t> fingerprint, netfilter::Generation generation, const Say& say) const;

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
  Cutter(netfilter::MarkField mark, netfilter::Generation generation, bool local) : mark_(mark), generation_(generation), local_(local) {}
  // Returns what failed, or an empty text. Flows that it could not mark are cut by their next packet that is queued.
  std::string carry_out(const Changed& changed);
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
  std::vector<FlowKey> left_;
};

}  // namespace sallyport::daemon
