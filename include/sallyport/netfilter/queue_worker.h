// QueueWorker is one NFQUEUE queue, one thread and one Inspector: it reads packets in batches, asks the
// inspector, and sends the verdicts in the order of arrival. Nothing on the packet's path allocates, locks
// or logs.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/netfilter/existing_flows.h"
#include "sallyport/netfilter/mark_field.h"
#include "sallyport/policy/policy.h"

namespace sallyport::netfilter {

// EventHandler gets each FlowEvent on the worker's thread. It must not block, allocate or throw.
using EventHandler = std::function<void(const engine::FlowEvent&)>;

struct WorkerOptions {
  std::uint16_t queue = 0;
  // Observing: every packet passes whatever the inspector says, and those that find the queue full pass.
  bool observe = false;
  MarkField mark;
  Generation generation = 1;
  engine::InspectorOptions inspector;
};

// WorkerCounters are written by the worker alone and may be read by any thread.
struct WorkerCounters {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> rounds{0};  // Of the loop: packets or not, it goes round many times in a second.
  std::atomic<std::uint64_t> held{0};  // Holds begun, in all.
  std::atomic<std::uint64_t> truncated{0};
  std::atomic<std::uint64_t> conntrack_told{0};  // Packets with conntrack's facts (NFQA_CT), by which their direction went.
  std::atomic<std::uint64_t> existing{0};      // Packets of connections that were there before us.
  std::atomic<std::uint64_t> repeat_loops{0};  // Packets that circled (docs/netfilter.md) and were stopped.
  std::atomic<std::uint64_t> receive_errors{0};
  std::atomic<std::uint64_t> injected{0};          // Packets of our own that the kernel took.
  std::atomic<std::uint64_t> injection_errors{0};  // Those that it refused.
  std::atomic<std::uint64_t> verdict_errors{0};  // Verdicts that the kernel refused (the packet was gone).
};

// RevokedFlow is a flow that lost permission.
struct RevokedFlow {
  FlowKey key;
  std::string name;  // Or empty.
  Protocol protocol = Protocol::kUnknown;
  RuleId rule = kNoRule;  // Of the new policy: what denies it.
  std::optional<std::uint32_t> uid;
};

// PolicyChange is a policy on its way to one worker, and what became of the worker's flows.
struct PolicyChange {
  std::shared_ptr<const policy::Policy> policy;
  // Replaces InspectorOptions::owner_of: what it tells of containers is in scopes of this policy.
  std::function<engine::FlowOwner(const FlowKey&, const Packet&)> owner_of;

  // Written by the worker; to be read when `done`.
  engine::RejudgeCounts counts;
  std::vector<engine::Remark> remarks;
  std::vector<RevokedFlow> revoked;
  std::atomic<bool> done{false};
};

// Sightings is what connection tracking had at a moment of monotonic_now(): of all workers' flows.
struct Sightings {
  Duration seen{};
  std::vector<engine::Sighting> flows;
};

class QueueWorker {
 public:
  // open binds the queue. Fails with a message.
  static std::expected<std::unique_ptr<QueueWorker>, std::string> open(
      const WorkerOptions& options, std::shared_ptr<const policy::Policy> policy, EventHandler on_event);
  // The destructor stops the thread and unbinds the queue: packets that still wait in it are lost.
  ~QueueWorker();
  QueueWorker(const QueueWorker&) = delete;
  QueueWorker& operator=(const QueueWorker&) = delete;

  void start();
  // stop answers what is in the queue, ends every flow, and joins the thread. The queue stays bound.
  void stop();

  // recall takes up flows of the run before, which the same policy judged; before start.
  void recall(std::span<const engine::RememberedFlow> flows);
  // remembered returns what the next run may recall; behind stop.
  const std::vector<engine::RememberedFlow>& remembered() const;

  // set_existing publishes a snapshot; callable from another thread, before and after start.
  void set_existing(std::shared_ptr<const ExistingFlows> flows);

  // set_policy has the worker go over to another policy between two packets and judge its flows again. Changes are taken in order;
  // each within the time of a batch and kExpireInterval (50 ms). Callable from one other thread, behind start.
  void set_policy(std::shared_ptr<PolicyChange> change);

  // heed tells what the kernel has of the flows that it passes alone. The worker takes its time; a newer list takes the place of one
  // that it has not come to the end of. Callable from one other thread.
  void heed(std::shared_ptr<const Sightings> sightings);

  const WorkerCounters& counters() const;
  const engine::Counters& inspector_counters() const;
  // has_conntrack tells whether the kernel sends conntrack facts with the packets.
  bool has_conntrack() const;
  // overruns returns how often the buffer of the queue's socket had no room for a packet; callable from any thread.
  std::uint32_t overruns() const;

 private:
  class Impl;
  explicit QueueWorker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::netfilter
