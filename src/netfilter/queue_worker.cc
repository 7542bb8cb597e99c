#include "sallyport/netfilter/queue_worker.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "file_descriptor.h"
#include "held_marks.h"
#include "injector.h"
#include "interface_names.h"
#include "queue_message.h"
#include "queue_socket.h"
#include "repeat_guard.h"
#include "sallyport/core/clock.h"
#include "sallyport/netfilter/queue_stats.h"
#include "sallyport/parsers/ip_packet.h"

namespace sallyport::netfilter {
namespace {

constexpr std::chrono::milliseconds kExpireInterval{50};
constexpr std::chrono::milliseconds kExpireIntervalWhileHolding{10};  // Below kHoldStall.
constexpr std::size_t kSightingsPerRound = 8 * engine::kSightingsPerCall;  // A tenth of a millisecond between two batches.

void count(std::atomic<std::uint64_t>& counter, std::uint64_t more = 1) {
  // One writer: a plain add is enough, and cheaper than a locked one.
  counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// with_random_key keys the flow table: a workload chooses addresses and ports (R17).
engine::InspectorOptions with_random_key(engine::InspectorOptions options) {
  options.hash_key = {random_seed(), random_seed()};
  return options;
}

}  // namespace

class QueueWorker::Impl {
 public:
  Impl(const WorkerOptions& options, std::shared_ptr<const policy::Policy> policy, EventHandler on_event,
       QueueSocket socket, std::optional<Injector> injector)
      : options_(options),
        policy_(std::move(policy)),
        on_event_(std::move(on_event)),
        socket_(std::move(socket)),
        injector_(std::move(injector)),
        inspector_(with_random_key(options.inspector)),
        repeat_guard_(random_seed()),
        // The wall clock is read once: later steps of it must not expire or prolong anything.
        wall_offset_(std::chrono::system_clock::now().time_since_epoch() - monotonic_now()) {}

  void start() {
    thread_ = std::thread([this] { run(); });
    const std::string name = "queue " + std::to_string(options_.queue);
    (void)pthread_setname_np(thread_.native_handle(), name.c_str());
  }

  void stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

  void recall(std::span<const engine::RememberedFlow> flows) { inspector_.recall(flows, *policy_, timestamp(monotonic_now())); }

  void set_existing(std::shared_ptr<const ExistingFlows> flows) {
    const ExistingFlows* newest = flows.get();
    snapshots_.push_back(std::move(flows));
    existing_.store(newest);
    const ExistingFlows* in_use = existing_in_use_.load();
    std::erase_if(snapshots_, [&](const auto& each) { return each.get() != newest && each.get() != in_use; });
  }

  void set_policy(std::shared_ptr<PolicyChange> change) {
    const std::lock_guard lock(changes_mutex_);
    changes_.push_back(std::move(change));
    changes_waiting_.store(true, std::memory_order_release);
  }

  void heed(std::shared_ptr<const Sightings> sightings) {
    const std::lock_guard lock(changes_mutex_);
    newest_sightings_ = std::move(sightings);
    sightings_waiting_.store(true, std::memory_order_release);
  }

  const WorkerCounters& counters() const { return counters_; }
  const engine::Counters& inspector_counters() const { return inspector_.counters(); }
  bool has_conntrack() const { return socket_.has_conntrack(); }
  std::uint32_t overruns() const { return socket_overruns(socket_.fd()); }
  const std::vector<engine::RememberedFlow>& remembered() const { return remembered_; }

 private:
  Timestamp timestamp(std::chrono::nanoseconds now) const { return Timestamp(now + wall_offset_); }

  void run() {
    std::chrono::nanoseconds last_expire = monotonic_now();
    std::chrono::milliseconds interval{0};
    while (!stopping_.load(std::memory_order_relaxed)) {
      count(counters_.rounds);
      const bool holding = inspector_.counters().packets_held.load(std::memory_order_relaxed) != 0;
      if (const auto wanted = holding ? kExpireIntervalWhileHolding : kExpireInterval; wanted != interval) {
        interval = wanted;
        socket_.set_receive_timeout(interval);
      }
      (void)read_batch();
      const std::chrono::nanoseconds now = monotonic_now();
      if (changes_waiting_.load(std::memory_order_acquire)) take_changes(now);
      heed_some(now);
      if (now - last_expire >= interval) {
        last_expire = now;
        inspector_.expire(*policy_, timestamp(now));
        carry_out_releases();
        take_injections(nullptr);
        emit_events();
        flush();
      }
    }
    drain();
  }

  // take_changes goes over to another policy. The verdicts of the former one are with the kernel, and no packet is read before all
  // flows are judged again.
  void take_changes(std::chrono::nanoseconds now) {
    std::deque<std::shared_ptr<PolicyChange>> changes;
    {
      const std::lock_guard lock(changes_mutex_);
      changes.swap(changes_);
      changes_waiting_.store(false, std::memory_order_relaxed);
    }
    const engine::InterfaceOf interface_of = [&](std::uint32_t link) { return interfaces_.name_of(link, now); };
    for (const auto& change : changes) {
      const std::shared_ptr<const policy::Policy> before = std::exchange(policy_, change->policy);
      inspector_.set_owner_of(change->owner_of);
      bool more = true;
      while (more) {
        more = inspector_.rejudge(*before, *policy_, timestamp(now), interface_of);
        note_change(*change);
        carry_out_releases();
        take_injections(nullptr);
        emit_events();
        flush();
      }
      change->counts = inspector_.rejudge_counts();
      change->done.store(true, std::memory_order_release);
    }
  }

  // heed_some goes on with what the kernel said of its flows.
  void heed_some(std::chrono::nanoseconds now) {
    if (sightings_waiting_.load(std::memory_order_acquire)) {
      const std::lock_guard lock(changes_mutex_);
      sightings_ = std::move(newest_sightings_);
      sightings_waiting_.store(false, std::memory_order_relaxed);
      next_sighting_ = 0;
    }
    if (sightings_ == nullptr) return;
    const std::size_t end = std::min(sightings_->flows.size(), next_sighting_ + kSightingsPerRound);
    for (; next_sighting_ < end; next_sighting_ += engine::kSightingsPerCall) {
      const std::size_t count = std::min(end - next_sighting_, engine::kSightingsPerCall);
      inspector_.heed(std::span(sightings_->flows).subspan(next_sighting_, count), timestamp(sightings_->seen), *policy_, timestamp(now));
      emit_events();
    }
    if (end == sightings_->flows.size()) sightings_.reset();
  }

  void note_change(PolicyChange& change) const {
    const auto remarks = inspector_.remarks();
    change.remarks.insert(change.remarks.end(), remarks.begin(), remarks.end());
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind != engine::FlowEvent::Kind::kVerdict || event.reason != Reason::kRevoked) continue;
      change.revoked.push_back({event.key, std::string(event.text), event.protocol, event.rule, event.uid});
    }
  }

  // drain answers what came in while we were told to stop, then gives up what is held.
  void drain() {
    constexpr int kBatchesMax = 1024;
    socket_.set_receive_timeout(std::chrono::milliseconds(1));
    for (int i = 0; i < kBatchesMax && read_batch(); ++i) {
    }
    if (!options_.observe) inspector_.remember(remembered_);
    inspector_.finish(*policy_, timestamp(monotonic_now()));
    carry_out_releases();
    take_injections(nullptr);
    emit_events();
    flush();
  }

  // read_batch handles one batch; gives false when nothing was there.
  bool read_batch() {
    const int got = socket_.receive();
    if (got <= 0) {
      note_receive_error(-got);
      return false;
    }
    const std::chrono::nanoseconds now = monotonic_now();
    const ExistingFlows* existing = take_existing();
    for (int i = 0; i < got; ++i) {
      const std::span<const std::uint8_t> bytes = socket_.message(i);
      int left = static_cast<int>(bytes.size());
      const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
      for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
        handle(*message, existing, now);
    }
    flush();
    return true;
  }

  // take_existing returns the newest snapshot, which set_existing leaves alone until the next one is taken (a hazard pointer: whoever publishes
  // a snapshot looks at existing_in_use_ behind that, so one of the two sees the other).
  const ExistingFlows* take_existing() {
    const ExistingFlows* newest = existing_.load();
    for (;;) {
      existing_in_use_.store(newest);
      const ExistingFlows* again = existing_.load();
      if (again == newest) return newest;
      newest = again;
    }
  }

  void note_receive_error(int error) {
    if (error == 0 || error == EINTR) return;
    count(counters_.receive_errors);
  }

  // flush: verdicts first, as they mark the flows that the injections are about.
  void flush() {
    if (!socket_.flush()) count(counters_.verdict_errors);
    if (!injector_ || injector_->waiting() == 0) return;
    const Injector::Sent sent = injector_->send();
    count(counters_.injected, sent.packets);
    count(counters_.injection_errors, sent.failed);
  }

  // take_injections keeps what the inspector wants sent until the next flush. `queued`, if there is one, is the packet that
  // it is about. Its link counts for link-local addresses alone, and these are never forwarded: so there is one.
  void take_injections(const QueuedPacket* queued) {
    if (!injector_) return;
    std::uint32_t link = 0;
    if (queued != nullptr) link = queued->in_interface != 0 ? queued->in_interface : queued->out_interface;
    for (const engine::Injection& injection : inspector_.injections()) {
      if (injector_->put(injection.packet, injection.to_client, link)) continue;
      flush();
      if (!injector_->put(injection.packet, injection.to_client, link)) count(counters_.injection_errors);
    }
  }

  void handle(const nlmsghdr& message, const ExistingFlows* existing, std::chrono::nanoseconds now) {
    if (message.nlmsg_type == NLMSG_ERROR) {
      count(counters_.verdict_errors);
      return;
    }
    const std::optional<QueuedPacket> queued = decode_packet(message);
    if (!queued) return;
    count(counters_.packets);
    if (queued->wire_size > queued->bytes.size()) count(counters_.truncated);
    if (queued->reply) count(counters_.conntrack_told);
    if (repeat_guard_.stuck(queued->bytes, now)) {
      // The rules send this packet round in circles. Accepting ends the circle, and only an observer may.
      count(counters_.repeat_loops);
      give_verdict(queued->id, {static_cast<std::uint32_t>(options_.observe ? NF_ACCEPT : NF_DROP), {}});
      return;
    }
    if (existing != nullptr && queued->hook == NF_INET_LOCAL_OUT && existing->admit(queued->bytes)) {
      count(counters_.existing);
      give_verdict(queued->id,
                   map({Verdict::kAccept, Reason::kFlowAllowed, kNoRule, FlowMark::kAllow}, queued->mark));
      return;
    }
    const bool cut = existing != nullptr && is_cut(*queued, *existing);
    if (cut && !is_judged_here(*queued, now)) {
      count(counters_.existing);
      return give_verdict(queued->id, map({Verdict::kAccept, Reason::kFlowAllowed, kNoRule, FlowMark::kAllow}, queued->mark));
    }
    judge(*queued, now, cut);
  }

  // is_cut tells whether a packet is of a connection to end. What comes in for this host from elsewhere is nobody's to end.
  bool is_cut(const QueuedPacket& queued, const ExistingFlows& existing) const {
    const bool reply = origin_of(queued) == Origin::kReply;
    if (queued.hook == NF_INET_LOCAL_OUT && reply) return false;
    if (queued.hook == NF_INET_LOCAL_IN && !reply) return false;
    return existing.cuts(queued.bytes, reply);
  }

  // is_judged_here: a connection that did not begin behind an inside interface is not this policy's to end. Of the original direction
  // the rules queue no packet of one; of the replies they do, since its ct mark is like the others'.
  bool is_judged_here(const QueuedPacket& queued, std::chrono::nanoseconds now) {
    if (queued.hook != NF_INET_FORWARD || origin_of(queued) != Origin::kReply) return true;
    if (queued.out_interface == queued.in_interface) return false;
    const std::string_view name = interfaces_.name_of(queued.out_interface, now);
    return std::ranges::find(policy_->deploy().inside, name) != policy_->deploy().inside.end();
  }

  void judge(const QueuedPacket& queued, std::chrono::nanoseconds now, bool cut) {
    Packet packet;
    packet.cut = cut;
    packet.id = queued.id;
    packet.bytes = queued.bytes;
    packet.wire_size = queued.wire_size;
    packet.checksum_pending = queued.checksum_pending;
    packet.in_interface = interfaces_.name_of(queued.in_interface, now);
    packet.in_link = queued.in_interface;
    packet.out_link = queued.out_interface;
    packet.origin = origin_of(queued);
    packet.inbound = queued.hook == NF_INET_LOCAL_IN && packet.origin == Origin::kOriginal;
    packet.uid = queued.uid;
    packet.gid = queued.gid;
    const Decision decision = inspector_.inspect(packet, *policy_, timestamp(now));
    carry_out_releases();
    if (decision.verdict == Verdict::kHold && !options_.observe) {
      count(counters_.held);
      held_marks_.put(queued.id, queued.mark & ~options_.mark.mask());
    } else {
      give_verdict(queued.id, map(decision, queued.mark), options_.observe ? ByteSpan{} : inspector_.replacement());
    }
    take_injections(&queued);
    emit_events();
  }

  // origin_of goes by conntrack's direction, which the rules tell in the mark of a forwarded packet.
  Origin origin_of(const QueuedPacket& queued) const {
    if (queued.reply) return *queued.reply ? Origin::kReply : Origin::kOriginal;
    switch (queued.hook) {
      case NF_INET_LOCAL_OUT:
        return own_resolver_sends(queued) || guard_answers(queued) ? Origin::kReply : Origin::kOriginal;
      case NF_INET_LOCAL_IN:
        return own_resolver_is_asked(queued) || guard_is_asked(queued) ? Origin::kOriginal : Origin::kReply;
      case NF_INET_FORWARD:
        return options_.mark.verdict_of(queued.mark) == FlowMark::kReply ? Origin::kReply : Origin::kOriginal;
      default:
        return Origin::kUnknown;
    }
  }

  // What workloads ask a resolver on this host comes in, and its answers go out. A process that sends from port 53
  // gains nothing: a reply needs a flow that is known.
  static bool own_resolver_is_asked(const QueuedPacket& queued) {
    const auto ip = parsers::parse_ip_packet(queued.bytes, queued.wire_size);
    return ip && ip->destination_port == kDnsPort && ip->source_port != kDnsPort;
  }
  static bool own_resolver_sends(const QueuedPacket& queued) {
    const auto ip = parsers::parse_ip_packet(queued.bytes, queued.wire_size);
    return ip && ip->source_port == kDnsPort && ip->destination_port != kDnsPort;
  }

  // What comes in for a guarded port is the client's, and what leaves from one the server's.
  bool guard_is_asked(const QueuedPacket& queued) const {
    const auto ip = parsers::parse_ip_packet(queued.bytes, queued.wire_size);
    return ip && ip->transport == Transport::kTcp && policy_->guard_of(ip->destination, ip->destination_port) != policy::kNoGuard;
  }
  bool guard_answers(const QueuedPacket& queued) const {
    const auto ip = parsers::parse_ip_packet(queued.bytes, queued.wire_size);
    return ip && ip->transport == Transport::kTcp && policy_->guard_of(ip->source, ip->source_port) != policy::kNoGuard;
  }

  KernelVerdict map(const Decision& decision, std::uint32_t packet_mark) const {
    return kernel_verdict(decision, options_.observe, options_.mark, options_.generation, packet_mark);
  }

  void carry_out_releases() {
    for (const engine::Release& release : inspector_.releases()) {
      if (options_.observe) continue;  // Its packet was not held.
      const auto id = static_cast<std::uint32_t>(release.id);
      give_verdict(id, map(release.decision, held_marks_.take(id)));
    }
  }

  void emit_events() {
    if (!on_event_) return;
    for (const engine::FlowEvent& event : inspector_.events()) on_event_(event);
  }

  void give_verdict(std::uint32_t id, const KernelVerdict& verdict, ByteSpan replacement = {}) {
    if (!socket_.add_verdict(id, verdict, replacement)) count(counters_.verdict_errors);
  }

  std::mutex changes_mutex_;  // Of changes_ and newest_sightings_; taken when there is one.
  std::deque<std::shared_ptr<PolicyChange>> changes_;
  std::atomic<bool> changes_waiting_{false};
  std::shared_ptr<const Sightings> newest_sightings_;
  std::atomic<bool> sightings_waiting_{false};
  std::shared_ptr<const Sightings> sightings_;  // Heeded up to next_sighting_.
  std::size_t next_sighting_ = 0;
  WorkerOptions options_;
  std::shared_ptr<const policy::Policy> policy_;
  EventHandler on_event_;
  QueueSocket socket_;
  std::optional<Injector> injector_;  // None when observing.
  std::atomic<bool> stopping_{false};
  engine::Inspector inspector_;
  RepeatGuard repeat_guard_;
  HeldMarks held_marks_;
  InterfaceNames interfaces_;
  std::chrono::nanoseconds wall_offset_;
  std::vector<engine::RememberedFlow> remembered_;  // By drain.
  std::vector<std::shared_ptr<const ExistingFlows>> snapshots_;
  std::atomic<const ExistingFlows*> existing_{nullptr};         // The newest of snapshots_.
  std::atomic<const ExistingFlows*> existing_in_use_{nullptr};  // By the batch that is read.
  WorkerCounters counters_;
  std::thread thread_;
};

std::expected<std::unique_ptr<QueueWorker>, std::string> QueueWorker::open(
    const WorkerOptions& options, std::shared_ptr<const policy::Policy> policy, EventHandler on_event) {
  std::expected<QueueSocket, std::string> socket = QueueSocket::open(options.queue, options.observe);
  if (!socket) return std::unexpected(socket.error());
  std::optional<Injector> injector;
  if (!options.observe) {
    std::expected<Injector, std::string> opened = Injector::open(options.mark);
    if (!opened) return std::unexpected(opened.error());
    injector = std::move(*opened);
  }
  auto impl = std::make_unique<Impl>(options, std::move(policy), std::move(on_event), std::move(*socket), std::move(injector));
  return std::unique_ptr<QueueWorker>(new QueueWorker(std::move(impl)));
}

QueueWorker::QueueWorker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
QueueWorker::~QueueWorker() {
  impl_->stop();
}

void QueueWorker::start() {
  impl_->start();
}
void QueueWorker::stop() {
  impl_->stop();
}
void QueueWorker::set_existing(std::shared_ptr<const ExistingFlows> flows) {
  impl_->set_existing(std::move(flows));
}
void QueueWorker::set_policy(std::shared_ptr<PolicyChange> change) {
  impl_->set_policy(std::move(change));
}
void QueueWorker::heed(std::shared_ptr<const Sightings> sightings) {
  impl_->heed(std::move(sightings));
}
const WorkerCounters& QueueWorker::counters() const {
  return impl_->counters();
}
const engine::Counters& QueueWorker::inspector_counters() const {
  return impl_->inspector_counters();
}
void QueueWorker::recall(std::span<const engine::RememberedFlow> flows) {
  impl_->recall(flows);
}
const std::vector<engine::RememberedFlow>& QueueWorker::remembered() const {
  return impl_->remembered();
}
bool QueueWorker::has_conntrack() const {
  return impl_->has_conntrack();
}
std::uint32_t QueueWorker::overruns() const {
  return impl_->overruns();
}

}  // namespace sallyport::netfilter
