// Inspector is the whole of the firewall's judgement: packets in, decisions out. It reads no clock,
// opens no socket, logs nothing and takes all its memory in the constructor. The live queue and the
// replay feed the same class. One thread owns an Inspector and is its only caller.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/core/decision.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/packet.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/expectations.h"
#include "sallyport/engine/lookup_budget.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/engine/remembered_flow.h"
#include "sallyport/engine/resolvers.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

// BindingMiss is a flow that waits for its address to be bound.
struct BindingMiss {
  policy::ScopeSet scopes = 0;
  Transport transport = Transport::kTcp;
  IpAddress destination;
  std::uint16_t port = 0;
  DomainName name{};  // What the flow's bytes claim; empty for a protocol without a name, or before it is read.
};

// FlowOwner is what only the host knows of who opened a flow.
struct FlowOwner {
  std::string_view cgroup{};        // policy::ScopeFacts::cgroup. Valid until the next question.
  policy::ScopeSet containers = 0;  // policy::ScopeFacts::containers
  bool unknown = false;             // policy::ScopeFacts::owner_unknown
};

struct InspectorOptions {
  std::size_t flows = kFlowsPerWorker;
  std::size_t stream_windows = kStreamWindowsPerWorker;
  std::size_t held_packets = kHeldPacketsPerWorker;
  // Flows that may wait for a binding at once, and packets held for them: in all, and of one client.
  std::size_t awaiting = kAwaitingPerWorker;
  std::size_t awaiting_of_client = kAwaitingPerClient;
  // Overrides the policy's own mode.
  std::optional<policy::Mode> mode;
  // Key of the flow table's hash: random where a workload chooses the addresses and ports.
  std::array<std::uint64_t, 2> hash_key{};
  // Keep reading a flow for its details after it was decided (replay: the packets are there anyway).
  // Never changes a verdict.
  bool read_details = false;
  // Shared by all workers. Absent: the inspector makes its own, which a replay's captured answers fill.
  std::shared_ptr<NameBindings> bindings;
  // What view 0 believes, the policy's own servers included. Absent: the servers that the policy's `dns.resolvers` list, and any when they say "system".
  std::shared_ptr<const Resolvers> resolvers;
  // Of this process. With it, questions for names of rules that come from one of the resolvers' own ports and this user are
  // its own look-ups, and pass whoever else may not ask them.
  std::optional<std::uint32_t> own_uid;
  // All flows are of one workload (the command of a run): none is one of the host's own, in no scope.
  bool workload = false;
  // Distinct names below wildcards, counted for all workers together. Absent: the inspector counts its own.
  std::shared_ptr<LookupBudget> lookup_budget;
  // What flows announce for others, of all workers together. Absent: the inspector has its own.
  std::shared_ptr<Expectations> expectations;
  // Called when a flow begins to wait because its address belongs to no name that its port's rules have: the owner may
  // look these names up again and bind. Called once for each kind of wait that the flow has (SYN, first datagrams,
  // claimed name), on the worker's thread; must not block. Absent: such flows are denied at once, as nothing could come.
  std::function<void(const BindingMiss&)> on_miss;
  // Called once for each flow that is opened from the side that is inspected, with its first packet, on the worker's thread.
  // Absent: no flow has a cgroup or a container (a capture).
  std::function<FlowOwner(const FlowKey&, const Packet&)> owner_of;
  // Called once for each flow with the packet that opened it, on the worker's thread; must not block. May be absent.
  std::function<void(const FlowKey&, const Packet&)> on_open;
};

// Release answers for a packet that was held. Releases of one flow come in the order of arrival and
// must be carried out before the decision of the packet that caused them.
struct Release {
  PacketId id = 0;
  Decision decision;
};

// Injection is a packet of the inspector's own: what a refused client is told, in the server's name, or the reset that ends
// the server's side. It is a whole IP packet with its checksums; to the client only words of src/refusal/, to the server
// nothing but a TCP RST without payload. It goes out behind the verdict of the packet that caused it.
struct Injection {
  ByteSpan packet;
  bool to_client = false;
};

enum class FlowVerdict : std::uint8_t { kPending, kAllow, kDeny };

constexpr std::string_view to_string(FlowVerdict verdict) {
  switch (verdict) {
    case FlowVerdict::kPending: return "pending";
    case FlowVerdict::kAllow: return "allow";
    case FlowVerdict::kDeny: return "deny";
  }
  return "pending";
}

// Detail names a fact that a flow's bytes gave beside protocol and name. The words are the keys of the
// JSON rows.
enum class Detail : std::uint8_t {
  kAlpn, kTlsVersion, kEch, kJa3, kJa4,
  kQuicVersion,
  kHttpMethod, kHttpTarget, kUserAgent,
  kClientBanner, kServerBanner, kHassh, kHasshServer, kHostKeyType, kHostKeySha256,
  kQueryType, kAnswer,
  kBoundNames,  // What a trusted resolver gave the flow's address for, the newest first, joined by spaces.
  kProxyTarget,  // What a proxy was asked for: "name:port".
};
constexpr std::string_view to_string(Detail detail) {
  constexpr std::string_view kWords[] = {"alpn", "tls_version", "ech", "ja3", "ja4", "quic_version",
                                         "http_method", "http_target", "user_agent", "client_banner",
                                         "server_banner", "hassh", "hassh_server", "hostkey_type",
                                         "hostkey_sha256", "query_type", "answer", "bound_names", "proxy_target"};
  return kWords[static_cast<std::size_t>(detail)];
}

// FlowEvent tells what became known of a flow during one call. A flow gets one kVerdict event when it
// is decided, and a further one each time the verdict turns (an allowed flow that goes bad).
struct FlowEvent {
  enum class Kind : std::uint8_t {
    kName,     // text: one name (canonical host name, IP literal, or DNS name with \DDD escapes).
    kDetail,   // detail and text.
    kVerdict,  // verdict, reason, rule; text: the name that decided, or empty.
    kEnd,      // The flow is over, or forgotten: closed, timed out or evicted. Once for each flow. verdict is the last one.
  };
  Kind kind = Kind::kVerdict;
  std::uint64_t flow = 0;  // Unique within the inspector.
  FlowKey key;
  Timestamp opened;
  Timestamp time;
  std::optional<std::uint32_t> uid;
  policy::ScopeSet scopes = 0;
  // What the inspector has seen of it so far, both ways, IP headers included. The kernel passes the packets of decided flows.
  std::uint32_t packets = 0;
  std::uint64_t bytes = 0;
  Protocol protocol = Protocol::kUnknown;
  // Of a flow inside a tunnel (key.tunnel is not zero): what it came in, and the flow that brought its first packet.
  Protocol tunnel = Protocol::kUnknown;
  std::uint64_t carrier = 0;
  FlowVerdict verdict = FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  const policy::Policy* policy = nullptr;  // Whose rule that is. Valid for as long as somebody keeps the policy.
  Detail detail = Detail::kAlpn;
  std::string_view text;  // Valid until the next call of the inspector.
  // Of a verdict because of what a DNS answer says (Reason::kRebinding): the address in it.
  std::optional<IpAddress> answer;
  // Of a verdict for which a rule's host keys count: SHA-256 of the server's key as OpenSSH prints it, without
  // "SHA256:". Valid as `text` is.
  std::string_view host_key;
  bool name_of_address = false;   // `text` is a name that the address is known by; else the flow's bytes said it.
  std::string_view proxy_target;  // Of kVerdict and kEnd: what the proxy was asked for last, as Detail::kProxyTarget; else empty.
};

// Remark is what the ct mark of a flow must become because another policy judged it (Inspector::rejudge). Only of flows that
// are in no tunnel.
struct Remark {
  FlowKey key;
  FlowMark mark = FlowMark::kUndecided;
  bool cut = false;      // It lost permission: kWatch for TCP, whose next packet is answered by resets; kIcmp for others.
  bool passed = false;   // It stays allowed for good, and its mark need not change. `mark` is kAllow.
};

// Sighting is what the kernel says of a flow that it passes alone. While the kernel has it, it is not forgotten for being silent here.
struct Sighting {
  FlowKey key;
  bool over = false;  // TCP: connection tracking takes it for ended. It gets its kEnd event, and is known on.
};
inline constexpr std::size_t kSightingsPerCall = 128;

struct RejudgeCounts {
  std::uint64_t judged = 0;     // Flows that had a verdict to allow, or waited for one.
  std::uint64_t kept = 0;
  std::uint64_t cut = 0;
  std::uint64_t forgotten = 0;  // Denied ones, and those that are judged anew with their next packet.
};

// InterfaceOf tells the name of an interface by its number (Packet::in_link), or gives an empty view.
using InterfaceOf = std::function<std::string_view(std::uint32_t)>;

// The time from a flow's opening to its verdict is counted in buckets: those of at most 2^i microseconds, from 1 µs to 2^25 µs
// (33 s), and the rest.
inline constexpr std::size_t kDecisionTimeBuckets = 27;
constexpr std::size_t decision_time_bucket(Duration time) {
  const auto micros = static_cast<std::uint64_t>(std::max<std::int64_t>(std::chrono::ceil<std::chrono::microseconds>(time).count(), 1));
  return std::min(static_cast<std::size_t>(std::bit_width(micros - 1)), kDecisionTimeBuckets - 1);
}

// Counters are written by the owning thread alone and may be read by any (relaxed: figures, not order).
// Packets are counted by decision, each decision once under its verdict and once under its reason: a held packet counts as
// held when it comes, and again, as accepted or dropped, when it is released. So accepted + dropped + packets_held is how many
// packets came, and held - packets_held how many were released.
// By protocol a packet is counted once, under what its flow's bytes are, so those that come before that is known (a TCP handshake's)
// are counted when it is, and under kUnknown when the flow is decided or ends without. What is no flow's is kUnknown, too; what is
// inside a tunnel counts for the flow inside and for the tunnel.
struct Counters {
  std::array<std::atomic<std::uint64_t>, kReasonCount> packets_by_reason{};
  std::array<std::atomic<std::uint64_t>, 3> packets_by_verdict{};  // Index: Verdict.
  std::array<std::atomic<std::uint64_t>, kProtocolCount> packets_by_protocol{};
  std::array<std::atomic<std::uint64_t>, 3> flows_by_verdict{};    // Index: FlowVerdict.
  std::array<std::atomic<std::uint64_t>, kProtocolCount> flows_by_protocol{};
  std::atomic<std::uint64_t> flows_opened{0};
  std::atomic<std::uint64_t> flows_active{0};
  std::atomic<std::uint64_t> packets_held{0};    // At this moment.
  std::atomic<std::uint64_t> flows_awaiting{0};  // A binding, at this moment.
  std::array<std::atomic<std::uint64_t>, kReasonCount> flows_by_reason{};  // Of verdicts.
  std::array<std::atomic<std::uint64_t>, kDecisionTimeBuckets> decision_times{};
  std::atomic<std::uint64_t> decision_time_us{0};  // Sum of them, in microseconds.
};

class Inspector {
 public:
  explicit Inspector(const InspectorOptions& options);
  ~Inspector();
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  // inspect judges one packet. Never throws, never allocates in the steady state.
  Decision inspect(const Packet& packet, const policy::Policy& policy, Timestamp now);

  // expire ends what has timed out by `now`; its releases answer for packets held too long. Live: call
  // it a few times a second. Bounded work per call.
  void expire(const policy::Policy& policy, Timestamp now);

  // rejudge judges flows again by `policy` that `before` has judged, a bounded number per call; true: call it again, with the
  // same arguments and nothing in between, or flows would be of two policies. Flows that lose permission get a kVerdict event
  // (Reason::kRevoked). From the first call on every other function must be given `policy`.
  bool rejudge(const policy::Policy& before, const policy::Policy& policy, Timestamp now, const InterfaceOf& interface_of);
  // remarks of the last call of rejudge, valid until the next call; rejudge_counts of the last policy's calls together.
  std::span<const Remark> remarks() const;
  const RejudgeCounts& rejudge_counts() const;

  // set_owner_of replaces InspectorOptions::owner_of, between two policies.
  void set_owner_of(std::function<FlowOwner(const FlowKey&, const Packet&)> owner_of);

  // remember adds what another inspector must know of the flows that the kernel passes alone; recall takes it up, before the first packet. The
  // policy must be of the same fingerprint. Without room, and for keys that are there, a flow is left out. Both allocate.
  void remember(std::vector<RememberedFlow>& flows);
  void recall(std::span<const RememberedFlow> flows, const policy::Policy& policy, Timestamp now);

  // heed takes note of at most kSightingsPerCall flows, which the kernel had at `seen` (by the clock of `now`). Flows that a packet came of
  // since, and those that the kernel does not pass alone, stay as they are.
  void heed(std::span<const Sighting> sightings, Timestamp seen, const policy::Policy& policy, Timestamp now);

  // finish ends every flow: the end of a capture, or the worker's stop. Packets still held are dropped.
  void finish(const policy::Policy& policy, Timestamp now);

  // releases and events of the last call of inspect, expire, heed or finish; valid until the next.
  std::span<const Release> releases() const;
  std::span<const FlowEvent> events() const;

  // replacement returns the bytes that must go instead of the packet inspected last, lengths and checksums right (an HTTPS record
  // without its ECH keys, a refused answer); empty: the packet goes as it is. Of the same length but for a datagram whose
  // answer was refused (Reason::kRebinding). Valid until the next call.
  ByteSpan replacement() const;

  // injections returns the packets that the last call of inspect, expire or finish made, in order; valid until the next. None in
  // observe mode.
  std::span<const Injection> injections() const;

  // flow_of_last_packet returns the number of the flow that the last inspected packet belongs to, if any.
  // Of a tunnel's packet that is the outer flow; inner_flow_of_last_packet returns the flow inside, if any.
  std::optional<std::uint64_t> flow_of_last_packet() const;
  std::optional<std::uint64_t> inner_flow_of_last_packet() const;
  std::uint32_t inner_size_of_last_packet() const;  // From the inner IP header on; 0 without one.

  const Counters& counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::engine
