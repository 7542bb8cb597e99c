#include "sallyport/engine/inspector.h"

#include <algorithm>

#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kEventsPerCall = 512;       // Room for one packet's events; more are not reported.
constexpr std::size_t kTextsPerCall = 256 * 1024;
constexpr std::size_t kPacketMax = 0x10000 + 40;  // With an IPv6 header.
constexpr std::size_t kInjectionsPerCall = 1'024;
constexpr std::size_t kFlowsExpiredPerCall = 128;  // Bounds the work and the events of one expire().

Duration timeout_of(AgeClass age) {
  switch (age) {
    case AgeClass::kUndecidedTcp: return kTcpUndecidedTimeout;
    case AgeClass::kTcp: return kTcpIdleTimeout;
    case AgeClass::kUdp: return kUdpIdleTimeout;
    case AgeClass::kDenied: return kDeniedFlowTimeout;
    case AgeClass::kFinal: return kTcpIdleTimeout;
    case AgeClass::kCount: break;
  }
  return Duration::zero();
}

}  // namespace

Inspector::Impl::Impl(const InspectorOptions& options)
    : options_(options),
      table_(options.flows, options.hash_key),
      windows_(options.stream_windows),
      held_(options.held_packets),
      awaiting_(options.awaiting, options.awaiting_of_client, options.hash_key),
      questions_(kDnsPendingPerWorker),
      bindings_(options.bindings != nullptr ? options.bindings : std::make_shared<NameBindings>(kBindings, options.hash_key)),
      http2_readers_(kHttp2ReadersPerWorker),
      proxy_targets_(kProxyTargetsPerWorker),
      budget_(options.lookup_budget ? options.lookup_budget : std::make_shared<LookupBudget>(options.hash_key)),
      expectations_(options.expectations ? options.expectations : std::make_shared<Expectations>(options.hash_key)),
      refusal_budget_(options.hash_key) {
  releases.reserve(options.held_packets);
  events.reserve(kEventsPerCall);
  texts_.reserve(kTextsPerCall);
  replacement_.reserve(kPacketMax);
  injections.reserve(kInjectionsPerCall);
  injected_.resize(kRefusalBytesPerCall);
  refused_.resize(parsers::kDnsMessageMax);
}

void Inspector::Impl::begin_call(const policy::Policy& policy, Timestamp now) {
  releases.clear();
  events.clear();
  texts_.clear();
  last_flow.reset();
  last_inner_flow.reset();
  last_inner_size = 0;
  replacement = {};
  injections.clear();
  datagram_ = {};
  policy_ = &policy;
  now_ = now;
  if (!judged_at_) judged_at_ = now;
}

Decision Inspector::Impl::inspect(const Packet& packet, const policy::Policy& policy, Timestamp now) {
  begin_call(policy, now);
  const Decision decision = as_enforced(inspect_packet(packet));
  note_releases();
  note(decision);
  if (!last_flow) increment(counters.packets_by_protocol[static_cast<std::size_t>(Protocol::kUnknown)]);
  count_noted_packets();
  note_gauges();
  return decision;
}

void Inspector::Impl::note(const Decision& decision) {
  increment(counters.packets_by_reason[static_cast<std::size_t>(decision.reason)]);
  increment(counters.packets_by_verdict[static_cast<std::size_t>(decision.verdict)]);
}

// note_releases is the end of every call that may release: here a release gets its last form and is counted.
void Inspector::Impl::note_releases() {
  for (Release& release : releases) {
    release.decision = as_enforced(release.decision);
    note(release.decision);
  }
}

void Inspector::Impl::note_gauges() {
  counters.packets_held.store(held_.in_use(), std::memory_order_relaxed);
  counters.flows_active.store(table_.size(), std::memory_order_relaxed);
  counters.flows_awaiting.store(awaiting_.flows(), std::memory_order_relaxed);
}

Decision Inspector::Impl::inspect_packet(const Packet& packet) {
  const auto ip = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
  if (!ip) {
    const bool fragment = ip.error() == parsers::IpPacketError::kFragment;
    return {.reason = fragment ? Reason::kFragment : Reason::kUnparsablePacket};
  }
  switch (ip->transport) {
    case Transport::kTcp: return tcp(packet, *ip);
    case Transport::kUdp: return udp(packet, *ip);
    case Transport::kIcmp:
    case Transport::kIcmpv6: return icmp(packet, *ip);
    case Transport::kOther: return other_transport(packet, *ip);
  }
  return {};
}

// as_enforced turns the judgement into what is done: in observe mode everything goes at once, and a flow
// that would have been denied is handed to the kernel like an allowed one.
Decision Inspector::Impl::as_enforced(Decision decision) {
  if (!observing()) return decision;
  decision.verdict = Verdict::kAccept;
  if (decision.mark && *decision.mark != FlowMark::kWatch) decision.mark = FlowMark::kAllow;
  return decision;
}

bool Inspector::Impl::observing() const {
  return options_.mode.value_or(policy_->defaults().mode) == policy::Mode::kObserve;
}

bool Inspector::Impl::shadow(const Flow& flow) const {
  if (flow.state == FlowState::kDenied || flow.answers_read) return true;
  // QUIC's long header packets are judged for the whole life of the tuple (R5).
  return flow.state == FlowState::kFinal && flow.stage != Protocol::kQuic;
}

Flow* Inspector::Impl::open_flow(const Packet& packet, const FlowKey& key) {
  if (table_.full()) {
    Flow* victim = table_.eviction_candidate();
    if (victim == nullptr) return nullptr;
    close_flow(*victim);
  }
  Flow& flow = table_.open(key);
  flow.number = next_number_++;
  flow.opened = flow.last_seen = now_;
  flow.uid = packet.uid;
  flow.gid = packet.gid;
  flow.client_link = packet.origin == Origin::kReply ? packet.out_link : packet.in_link;
  set_owner(flow, packet);
  flow.tunnel = inside_.tunnel;
  flow.carrier = inside_.carrier;
  increment(counters.flows_opened);
  if (options_.on_open) options_.on_open(key, packet);
  return &flow;
}

// is_misplaced tells a reply that came in by the interface that the client is behind: the client, or a neighbour of it, made
// it. The rules drop such packets where they enforce; this holds when they only observe, too.
bool Inspector::Impl::is_misplaced(const Flow& flow, const Packet& packet) {
  return packet.origin == Origin::kReply && packet.in_link != 0 && packet.in_link == flow.client_link;
}

// scopes_of tells whose a flow is. Inside a tunnel anyone may write any source address: there it is whose the
// tunnel is.
policy::ScopeSet Inspector::Impl::scopes_of(const Packet& packet, const FlowKey& key) const {
  if (inside_.id != 0) return inside_.scopes;
  policy::ScopeFacts facts{.source = key.client.address, .interface = packet.in_interface, .uid = packet.uid, .gid = packet.gid};
  // The name of an interface that is gone is not known; that the flow came in by one is.
  facts.workload = options_.workload || packet.in_link != 0;
  if (options_.owner_of) {
    const FlowOwner owner = packet.origin == Origin::kOriginal ? options_.owner_of(key, packet) : FlowOwner{.unknown = true};
    facts.cgroup = owner.cgroup;
    facts.containers = owner.containers;
    facts.owner_unknown = owner.unknown;
  }
  return policy_->scopes_of(facts);
}

void Inspector::Impl::close_flow(Flow& flow) {
  if (noted_ == &flow) noted_ = nullptr;
  count_packets(flow);
  end_binding_wait(flow);
  drop_held(flow, flow.verdict == FlowVerdict::kDeny ? Reason::kFlowDenied : Reason::kHoldTimeout);
  if (flow.verdict == FlowVerdict::kPending) increment(counters.flows_by_verdict[0]);
  increment(counters.flows_by_protocol[static_cast<std::size_t>(flow.protocol)]);
  if (options_.read_details) read_last_details(flow);
  if (!flow.ended) report(flow, FlowEvent::Kind::kEnd, flow.has_name ? flow.name.text() : std::string_view{});
  questions_.forget_all(flow.questions);
  windows_.release(flow.client);
  windows_.release(flow.server);
  windows_.release(flow.answers);
  windows_.release(flow.ssh_client);
  http2_readers_.release(flow.http2);
  proxy_targets_.release(flow.proxy);
  table_.close(flow);
}

void Inspector::Impl::touch(Flow& flow) {
  flow.last_seen = now_;
  keep_binding(flow);
  table_.touch(flow, age_class_of(flow));
}

AgeClass Inspector::Impl::age_class_of(const Flow& flow) {
  if (flow.revoked != 0) return AgeClass::kFinal;  // Its next packet may come hours later, and must find it.
  if (flow.state == FlowState::kDenied) return AgeClass::kDenied;
  if (flow.key.transport != Transport::kTcp) return AgeClass::kUdp;
  if (flow.state == FlowState::kUndecided) return AgeClass::kUndecidedTcp;
  return flow.state == FlowState::kFinal ? AgeClass::kFinal : AgeClass::kTcp;
}

// note_packet is what every packet of a flow comes through, first.
void Inspector::Impl::note_packet(Flow& flow, const Packet& packet) {
  count_noted_packets();  // The tunnel's, whose content this is.
  noted_ = &flow;
  last_flow = flow.number;
  ++flow.packets;
  flow.bytes += packet.wire_size;
  touch(flow);
}

void Inspector::Impl::allow_flow(Flow& flow, Reason reason, RuleId rule) {
  end_binding_wait(flow);
  if (flow.state == FlowState::kUndecided) flow.state = FlowState::kJudged;
  touch(flow);  // An allowed connection may be idle for longer than an undecided one.
  const bool again = flow.verdict == FlowVerdict::kAllow;
  if (again && reason == Reason::kBypass) return;  // Its end asks for what allowed the flow else.
  flow.verdict = FlowVerdict::kAllow;
  flow.reason = reason;
  flow.rule = rule;  // As the name, of what was allowed last.
  if (again) return;
  count_verdict(flow);
  report(flow, FlowEvent::Kind::kVerdict, flow.has_name ? flow.name.text() : std::string_view{});
}

Decision Inspector::Impl::deny_flow(Flow& flow, Reason reason, RuleId rule) {
  if (shadow(flow)) return denied(flow);
  if (is_guarded(flow)) rule = policy_->rule_of(flow.guard);
  end_binding_wait(flow);
  flow.state = FlowState::kDenied;
  flow.verdict = FlowVerdict::kDeny;
  flow.reason = reason;
  flow.rule = rule;
  flow.told = tell(flow);
  drop_held(flow, reason);
  table_.stop_waiting(flow);
  count_verdict(flow);
  report(flow, FlowEvent::Kind::kVerdict, flow.has_name ? flow.name.text() : std::string_view{});  // With the proxy's target.
  give_back_windows(flow);
  touch(flow);
  return refusal_of(flow);
}

Decision Inspector::Impl::denied(const Flow& flow) const {
  // The ct mark is the carrying flow's, which goes on.
  if (flow.key.tunnel != 0) return {Verdict::kDrop, Reason::kFlowDenied, flow.rule, {}};
  FlowMark mark = flow.key.transport == Transport::kTcp ? FlowMark::kReset : FlowMark::kIcmp;
  if (flow.told || policy_->refuse_of(flow.rule) == policy::Refuse::kDrop) mark = FlowMark::kSilent;
  return {Verdict::kDrop, Reason::kFlowDenied, flow.rule, mark};
}

Decision Inspector::Impl::refusal_of(const Flow& flow) const {
  Decision decision = denied(flow);
  decision.reason = flow.reason;
  return decision;
}

void Inspector::Impl::refuse(Flow& flow, Reason reason) {
  if (!shadow(flow)) deny_flow(flow, reason);
}

bool Inspector::Impl::judge_early(Flow& flow, const Packet& packet) {
  if (is_guarded(flow)) return judge_guard_early(flow, packet);
  const policy::EarlyResult early = policy_->match_early(flow.scopes, flow.key.transport, flow.key.server.address,
                                                         flow.key.server.port, now_);
  flow.needs_binding = early.needs_binding;
  if (take_expected_connection(flow, early)) return flow.state != FlowState::kUndecided;
  // A trusted resolver may be asked for the names of other rules. Over UDP the first packet is the question, which the
  // event should name.
  const bool by_default = early.match == policy::EarlyMatch::kDeny && early.rule == kNoRule;
  const bool lookup = flow.key.server.port == kDnsPort && by_default;
  if (lookup && (flow.key.transport == Transport::kUdp || trusts(flow) || is_own(flow))) return false;
  // An observer wants to see the name that the flow would have been for.
  if (observing() || early.match == policy::EarlyMatch::kUndecided) return false;
  if (early.match == policy::EarlyMatch::kAllow) {
    flow.early = true;
    allow_flow(flow, reason_to_allow(early), early.rule);
    if (reads_answers(flow)) flow.answers_read = flow.by_address = flow.watch = true;
  } else {
    deny_flow(flow, lookup ? Reason::kResolverNotTrusted : early.metadata ? Reason::kMetadataAddress : by_default ? Reason::kAddressNotAllowed : Reason::kRuleDenies, early.rule);
  }
  return true;
}

// may_await_binding tells the flows whose packets can wait for a claim to be judged again.
bool Inspector::Impl::may_await_binding(const Flow& flow, const NameClaim& claim) {
  if (flow.key.transport != Transport::kTcp) return true;
  if (flow.stage == Protocol::kHttp2) return claim.name != nullptr;
  return flow.stage == Protocol::kTls || flow.stage == Protocol::kHttp;
}

bool Inspector::Impl::judge(Flow& flow, Protocol protocol, const NameClaim& claim) {
  report_claim(flow, claim);
  if (protocol == Protocol::kTls || protocol == Protocol::kQuic || protocol == Protocol::kDtls) {
    flow.hello_named = claim.name != nullptr;
    flow.offers_ech = claim.ech;
  }
  if (carries_name(protocol) && !flow.session.upgraded) note_another_name(flow, claim);
  return judge_claim(flow, protocol, claim);
}

// note_another_name tells a claim for another name than the one that the flow was allowed for, of which nothing is remembered then.
void Inspector::Impl::note_another_name(Flow& flow, const NameClaim& claim) {
  if (flow.verdict != FlowVerdict::kAllow) return;
  const bool named = flow.has_name && !flow.name_of_address;
  flow.several_names |= claim.name != nullptr ? !named || *claim.name != flow.name : named;
}

bool Inspector::Impl::judge_claim(Flow& flow, Protocol protocol, const NameClaim& claim) {
  if (shadow(flow)) return true;
  if (claim.invalid) {
    deny_flow(flow, Reason::kNameInvalid);
    return false;
  }
  if (differs_from_target(flow, claim)) {
    flow.has_name = claim.name != nullptr;
    if (claim.name != nullptr) flow.name = *claim.name;
    flow.name_of_address = false;
    deny_flow(flow, Reason::kNameDiffers);
    return false;
  }
  const policy::PolicyMatch match = this->match(flow, protocol, claim);
  if (match.action == policy::Action::kAllow && claim.ech && policy_->ech_of(match.rule) == policy::Ech::kDeny) {
    deny_flow(flow, Reason::kEchDenied, match.rule);
    return false;
  }
  if (match.action == policy::Action::kAllow && flow.midstream) {
    // Only an address rule could have allowed what was sent before; match_early has said that none does.
    deny_flow(flow, Reason::kMidstream);
    return false;
  }
  if (match.action == policy::Action::kAllow && match.needs_tls) {
    if (flow.key.transport != Transport::kTcp || flow.tunnel_base != 0) {  // No session is followed there.
      deny_flow(flow, Reason::kTlsRequired, match.rule);
      return false;
    }
    flow.session.tls_required = true;
  }
  if (protocol == Protocol::kSsh && match.action == policy::Action::kAllow) {
    flow.ssh.host_key_wanted = match.needs_host_key;
    if (match.needs_host_key || (flow.ssh.server_wanted && flow.ssh.phase == SshPhase::kIdentification)) {
      flow.state = FlowState::kJudged;  // Told once the server's side is judged.
      flow.reason = Reason::kAwaitingServer;
      return true;
    }
  }
  if (match.action == policy::Action::kDeny && match.rule == kNoRule && !match.metadata && flow.expected != kNoRule) {
    if (claim.ech && policy_->ech_of(flow.expected) == policy::Ech::kDeny) return deny_flow(flow, Reason::kEchDenied, flow.expected), false;
    allow_flow(flow, Reason::kExpected, flow.expected);
    return true;
  }
  if (match.action == policy::Action::kAllow) {
    flow.own_word_rule = match.own_word;
    flow.ice_rule = match.ice;
    allow_flow(flow, reason_to_allow(match), match.rule);
    return true;
  }
  Reason reason = why_denied(flow, protocol, claim, match);
  if (reason == Reason::kAddressNotBound && may_await_binding(flow, claim)) {
    reason = await_binding(flow, claim.name != nullptr ? BindingWait::kClaim : BindingWait::kDatagram);
    if (reason == Reason::kAwaitingBinding) return false;
  }
  const bool by_request = match.rule == kNoRule && match.unbound == kNoRule && match.other_host_key == kNoRule;
  deny_flow(flow, reason, by_request ? match.other_request : match.rule);
  return false;
}

// push_held answers false when there is no room: for a flow that waits for a binding, in its client's share either.
bool Inspector::Impl::push_held(Flow& flow, const Packet& packet, std::uint64_t end) {
  const bool awaits = flow.binding_wait != BindingWait::kNone;
  if (awaits && !awaiting_.take(flow.wait_place)) return false;
  if (held_.push(flow.held, packet.id, end)) return true;
  if (awaits) awaiting_.give_back(flow.wait_place, 1);
  return false;
}

Decision Inspector::Impl::hold(Flow& flow, const Packet& packet, std::uint64_t end) {
  const Reason reason = flow.binding_wait == BindingWait::kNone ? Reason::kNeedMoreData : Reason::kAwaitingBinding;
  if (observing()) {  // as_enforced lets it go.
    flow.left = std::max(flow.left, end);
    return {Verdict::kHold, reason};
  }
  if (flow.held.count >= kHeldPacketsPerFlow || !push_held(flow, packet, end)) {
    // A datagram is the sender's to send again; of a stream the bytes are remembered, and TCP does.
    if (flow.binding_wait != BindingWait::kNone) return {.reason = reason};
    return deny_flow(flow, Reason::kHoldLimit);
  }
  if (flow.waiting.list == 0) flow.hold_deadline = now_ + kHoldTime;
  if (flow.held.count == 1) flow.stall_deadline = now_ + kHoldStall;
  table_.start_waiting(flow);
  table_.start_holding(flow);
  return {Verdict::kHold, reason};
}

void Inspector::Impl::release_held(Flow& flow, std::uint64_t up_to) {
  if (up_to == UINT64_MAX || flow.client == nullptr || flow.client->received_end() <= up_to) table_.stop_waiting(flow);
  const std::uint32_t before = flow.held.count;
  if (before == 0) return;
  held_.take_if(
      flow.held, [up_to](const HeldPackets::Node& node) { return node.end <= up_to; },
      [&](const HeldPackets::Node& node) {
        flow.left = std::max(flow.left, node.end);
        releases.push_back({node.id, pass(flow, flow.reason)});
      });
  if (flow.binding_wait != BindingWait::kNone) awaiting_.give_back(flow.wait_place, before - flow.held.count);
  if (flow.held.count == 0) table_.stop_holding(flow);
}

void Inspector::Impl::drop_held(Flow& flow, Reason reason) {
  if (flow.held.count == 0) return;
  if (flow.binding_wait != BindingWait::kNone) awaiting_.give_back(flow.wait_place, flow.held.count);
  held_.take_if(
      flow.held, [](const HeldPackets::Node&) { return true; },
      [&](const HeldPackets::Node& node) { releases.push_back({node.id, {Verdict::kDrop, reason, flow.rule, {}}}); });
  table_.stop_holding(flow);
}

void Inspector::Impl::give_back_windows(Flow& flow) {
  remember_target(flow);
  if (options_.read_details) return;  // They are read on; close_flow gives them back.
  windows_.release(flow.client);
  windows_.release(flow.server);
  windows_.release(flow.answers);
  http2_readers_.release(flow.http2);
  proxy_targets_.release(flow.proxy);
}

void Inspector::Impl::expire(const policy::Policy& policy, Timestamp now) {
  begin_call(policy, now);
  retry_bindings();
  std::size_t budget = kFlowsExpiredPerCall;
  while (budget-- > 0) {
    Flow* flow = table_.oldest_waiting();
    if (flow == nullptr || flow->hold_deadline > now) break;
    expire_waiting(*flow);
  }
  drop_stalled();
  if (!observing()) end_told();
  for (std::size_t i = 0; i < static_cast<std::size_t>(AgeClass::kCount) && budget > 0; ++i) {
    const AgeClass age = static_cast<AgeClass>(i);
    for (Flow* flow = table_.oldest(age); flow != nullptr && flow->last_seen + timeout_of(age) <= now && budget-- > 0;
         flow = table_.oldest(age)) {
      close_flow(*flow);
      if (budget == 0) break;
    }
  }
  note_releases();
  note_gauges();
}

// drop_stalled lets senders go on whose held segments use up their socket's share (kHoldStall). Datagrams
// stay: nobody would send them again so soon.
void Inspector::Impl::drop_stalled() {
  for (std::size_t i = 0; i < kFlowsExpiredPerCall; ++i) {
    Flow* flow = table_.oldest_holding();
    if (flow == nullptr || flow->stall_deadline > now_) return;
    // What waits for a binding is a whole message, of which its sender has no more to send.
    if (flow->key.transport == Transport::kTcp && flow->binding_wait == BindingWait::kNone) {
      drop_held(*flow, Reason::kNeedMoreData);
    } else {
      table_.stop_holding(*flow);
    }
  }
}

// expire_waiting ends a wait for bytes that did not come. Bytes that could still have become some protocol
// are then no known one, which an address rule may allow (a client that speaks first and little).
void Inspector::Impl::expire_waiting(Flow& flow) {
  if (flow.key.transport == Transport::kTcp && !flow.stage_known && flow.client != nullptr &&
      !flow.client->contiguous().empty()) {
    flow.stage_known = true;
    read_client_stream(flow);
    if (flow.state == FlowState::kDenied) return;
    release_held(flow, judged_end(flow));
    if (flow.waiting.list == 0) return;
  }
  // The last held packet carries the refusal, the others are dropped before it.
  const std::uint32_t count = flow.held.count;
  deny_flow(flow, Reason::kHoldTimeout);
  if (count != 0 && !releases.empty()) {
    releases.back().decision = denied(flow);
    releases.back().decision.reason = Reason::kHoldTimeout;
  }
}

void Inspector::Impl::finish(const policy::Policy& policy, Timestamp now) {
  begin_call(policy, now);
  for (std::size_t i = 0; i < static_cast<std::size_t>(AgeClass::kCount); ++i) {
    while (Flow* flow = table_.oldest(static_cast<AgeClass>(i))) close_flow(*flow);
  }
  note_releases();
  note_gauges();
}

void Inspector::Impl::set_protocol(Flow& flow, Protocol protocol) {
  flow.stage = protocol;
  flow.stage_known = true;
  if (flow.protocol == Protocol::kUnknown) flow.protocol = protocol;
}

// What is read again because it waits for a binding was told the first time.
void Inspector::Impl::report_name(Flow& flow, std::string_view text) {
  if (flow.binding_wait == BindingWait::kNone && !rejudging_) report(flow, FlowEvent::Kind::kName, text);
}

void Inspector::Impl::report_detail(Flow& flow, Detail detail, std::string_view text) {
  if (flow.binding_wait != BindingWait::kNone || rejudging_) return;
  if (!text.empty()) report(flow, FlowEvent::Kind::kDetail, text).detail = detail;
}

FlowEvent& Inspector::Impl::report(const Flow& flow, FlowEvent::Kind kind, std::string_view text) {
  // finish() reports every flow there is; a packet's events are few, and details are what may be lost.
  const auto may_be_lost = [](FlowEvent::Kind k) { return k == FlowEvent::Kind::kName || k == FlowEvent::Kind::kDetail; };
  if (events.size() == events.capacity() && may_be_lost(kind) && may_be_lost(events.back().kind)) events.pop_back();
  FlowEvent& event = events.emplace_back();
  event.kind = kind;
  event.flow = flow.number;
  event.key = flow.key;
  event.opened = flow.opened;
  event.time = now_;
  event.uid = flow.uid;
  event.scopes = flow.scopes;
  event.packets = flow.packets;
  event.bytes = flow.bytes;
  event.protocol = flow.protocol;
  event.tunnel = flow.tunnel;
  event.carrier = flow.carrier;
  event.verdict = flow.verdict;
  event.reason = flow.reason;
  event.rule = flow.rule;
  event.policy = policy_;
  event.text = keep(text);
  event.name_of_address = flow.name_of_address;
  const bool sums_up = kind == FlowEvent::Kind::kVerdict || kind == FlowEvent::Kind::kEnd;
  if (sums_up && flow.proxy != nullptr) event.proxy_target = keep(ProxyTargetText(*flow.proxy).view());
  if (kind == FlowEvent::Kind::kVerdict && flow.ssh.host_key_known) {
    event.host_key = keep(parsers::ssh_fingerprint(flow.ssh.host_key).text().substr(parsers::kSshFingerprintPrefix));
  }
  return event;
}

std::string_view Inspector::Impl::keep(std::string_view text) {
  text = text.substr(0, texts_.capacity() - texts_.size());  // Never beyond: earlier views must stay valid.
  const std::size_t position = texts_.size();
  texts_.insert(texts_.end(), text.begin(), text.end());
  return {texts_.data() + position, text.size()};
}

Inspector::Inspector(const InspectorOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Inspector::~Inspector() = default;

Decision Inspector::inspect(const Packet& packet, const policy::Policy& policy, Timestamp now) {
  return impl_->inspect(packet, policy, now);
}
void Inspector::expire(const policy::Policy& policy, Timestamp now) { impl_->expire(policy, now); }
void Inspector::finish(const policy::Policy& policy, Timestamp now) { impl_->finish(policy, now); }
bool Inspector::rejudge(const policy::Policy& before, const policy::Policy& policy, Timestamp now, const InterfaceOf& interface_of) {
  return impl_->rejudge(before, policy, now, interface_of);
}
void Inspector::set_owner_of(std::function<FlowOwner(const FlowKey&, const Packet&)> owner_of) {
  impl_->set_owner_of(std::move(owner_of));
}
void Inspector::remember(std::vector<RememberedFlow>& flows) { impl_->remember(flows); }
void Inspector::recall(std::span<const RememberedFlow> flows, const policy::Policy& policy, Timestamp now) { impl_->recall(flows, policy, now); }
void Inspector::heed(std::span<const Sighting> sightings, Timestamp seen, const policy::Policy& policy, Timestamp now) {
  impl_->heed(sightings, seen, policy, now);
}
std::span<const Remark> Inspector::remarks() const { return impl_->remarks; }
const RejudgeCounts& Inspector::rejudge_counts() const { return impl_->rejudge_counts; }
std::span<const Release> Inspector::releases() const { return impl_->releases; }
std::span<const FlowEvent> Inspector::events() const { return impl_->events; }
ByteSpan Inspector::replacement() const { return impl_->replacement; }
std::span<const Injection> Inspector::injections() const { return impl_->injections; }
std::optional<std::uint64_t> Inspector::flow_of_last_packet() const { return impl_->last_flow; }
std::optional<std::uint64_t> Inspector::inner_flow_of_last_packet() const { return impl_->last_inner_flow; }
std::uint32_t Inspector::inner_size_of_last_packet() const { return impl_->last_inner_size; }
const Counters& Inspector::counters() const { return impl_->counters; }

}  // namespace sallyport::engine
