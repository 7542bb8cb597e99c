// InspectorWatch feeds packets to an inspector on behalf of a fuzz target and ends the program when one of the
// inspector's promises is broken:
// - a held packet is answered for exactly once, in the end always, and nothing else is;
// - the client's payload leaves only in a flow that an allow rule allows at that moment (of an SSH flow: its own part of
//   the beginning, while the server's is awaited; to a proxy: the allowed request, and what SOCKS says before it), in a tunnel too;
// - only a rule named "what they announce is expected" lets a flow of another rule's kind begin;
// - nothing of a denied flow passes but a reset instead of an SSH or FTP server's bytes, answers to DNS questions that were
//   allowed, and what a QUIC server says to a version that is not read;
// - a rule whose name begins with "strict" allows a flow only at an address that is bound, by name if the flow has one;
// - the inspector binds only by what a trusted resolver answers, outside of tunnels;
// - a replacement has its packet's length (but for a datagram of Reason::kRebinding) and addresses, right checksums, and only a packet of the server that leaves has one;
// - a flow misses a binding once at most;
// - a ct mark fits its verdict; every flow that was opened is ended;
// - a guard allows HTTP alone, for its hosts;
// - an observing inspector lets everything go at once, as it is.
// The policy's default must be to deny.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <source_location>
#include <string_view>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/quic.h"
#include "support/kept_inspector.h"

namespace sallyport::testing {

class InspectorWatch {
 public:
  InspectorWatch(KeptInspector& kept, const policy::Policy& policy, bool observing = false)
      : inspector_(kept.next()), kept_(kept), policy_(&policy), observing_(observing), begin_(kept.begin()), now_(begin_) {
    kept.on_miss([this](const engine::BindingMiss& miss) { miss_binding(miss); });
    opened_before_ = inspector_.counters().flows_opened;
  }
  ~InspectorWatch() { kept_.on_miss({}); }
  InspectorWatch(const InspectorWatch&) = delete;
  InspectorWatch& operator=(const InspectorWatch&) = delete;

  // on_miss is asked each time a flow begins to wait for a binding.
  void on_miss(std::function<void(const engine::BindingMiss&)> owner) { owner_ = std::move(owner); }

  // send gives the next packet; its id is its number, from 1 on. The answer holds the ids of the packets that
  // leave now, in their order.
  const std::vector<PacketId>& send(ByteSpan bytes, Origin origin, bool truncated = false, std::optional<std::uint32_t> uid = {}) {
    left_.clear();
    // A heap block of the exact size, so that AddressSanitizer sees a read one byte too far.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    Packet packet;
    packet.id = ++last_id_;
    packet.bytes = exact;
    packet.wire_size = static_cast<std::uint32_t>(exact.size() + (truncated ? 10 : 0));
    packet.origin = origin;
    packet.uid = uid;
    packet.inbound = origin == Origin::kOriginal && is_for_guard(packet);
    const std::uint64_t bindings = kept_.bindings().version();
    own_bindings_ = 0;
    const Decision decision = inspector_.inspect(packet, *policy_, now_);
    const Sent sent = sent_of(packet);
    read_verdicts();
    settle_releases();
    check_replacement(packet, decision);
    check_injections();
    if (kept_.bindings().version() != bindings + own_bindings_) check_bound_by(packet);
    judge(packet.id, decision, sent);
    forget_ended();
    verdicts_.push_back(decision.verdict);
    check(decision.reason != Reason::kNotEvaluated);
    if (decision.verdict == Verdict::kHold) held_.emplace(packet.id, sent);
    return left_;
  }

  // wait lets time pass; with `expire` the inspector is told.
  const std::vector<PacketId>& wait(Duration duration, bool expire) {
    now_ += duration;
    left_.clear();
    if (!expire) return left_;
    inspector_.expire(*policy_, now_);
    check_injections();
    settle();
    return left_;
  }

  // bind makes a binding, as a look-up of one's own does.
  void bind(const IpAddress& address, const DomainName& name, Duration life, policy::View view = 0) {
    const std::uint64_t before = kept_.bindings().version();
    (void)kept_.bindings().bind({address.unmapped(), name, now_ + life, engine::BindingSource::kLookup, view}, now_);
    own_bindings_ += kept_.bindings().version() - before;
  }

  // finish ends all. What is held by then is answered for without a further packet, if only time passes.
  void finish() {
    constexpr int kTicks = 6;  // Each longer than any wait; one may end in another.
    for (int i = 0; i < kTicks && !held_.empty(); ++i) wait(kHoldTime + std::chrono::seconds(1), true);
    check(held_.empty());
    left_.clear();
    inspector_.finish(*policy_, now_);
    settle();
    check(held_.empty() && flows_.empty());
    check(misses_ <= kWaitsPerFlow * (inspector_.counters().flows_opened - opened_before_));
  }

  const std::vector<Verdict>& verdicts() const { return verdicts_; }
  // denied tells whether any flow was ever denied.
  bool denied() const { return denied_; }
  Duration passed() const { return now_ - begin_; }
  Timestamp now() const { return now_; }

  static void check(bool holds, const std::source_location& where = std::source_location::current()) {
    if (holds) return;
    std::fprintf(stderr, "%s:%u: a promise is broken\n", where.file_name(), static_cast<unsigned>(where.line()));
    std::abort();
  }

 private:
  // Known is what the events told of a flow.
  struct Known {
    engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
    Reason reason = Reason::kNotEvaluated;
    Protocol protocol = Protocol::kUnknown;
    Transport transport = Transport::kOther;
    bool quic = false;  // A QUIC version was told.
    bool proxied = false;  // What a proxy is asked for was told: names are those of that.
    std::int64_t questions = 0;  // Allowed datagrams of the client that no answer left for.
  };
  struct Sent {
    std::optional<std::uint64_t> flow;
    std::optional<std::uint64_t> inner;
    bool from_client = false;
    bool from_server = false;
    bool payload = false;
    bool inner_payload = false;
    bool negotiates = false;  // It may be SOCKS before the request, of which nothing is told.
  };

  Sent sent_of(const Packet& packet) const {
    Sent sent{.flow = inspector_.flow_of_last_packet(), .inner = inspector_.inner_flow_of_last_packet()};
    sent.from_client = packet.origin == Origin::kOriginal;
    sent.from_server = packet.origin == Origin::kReply;
    const auto ip = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
    sent.payload = ip && !ip->payload.empty();
    sent.negotiates = sent.payload && (ip->payload[0] == 5 || ip->payload[0] == 1);
    const std::size_t inner_size = inspector_.inner_size_of_last_packet();
    if (sent.inner && packet.wire_size == packet.bytes.size() && inner_size <= packet.bytes.size()) {
      const auto inner = parsers::parse_ip_packet(packet.bytes.last(inner_size), inner_size);
      sent.inner_payload = inner && !inner->payload.empty();
    }
    return sent;
  }

  void settle() {
    read_verdicts();
    settle_releases();
    forget_ended();
  }

  void miss_binding(const engine::BindingMiss& miss) {
    ++misses_;
    if (owner_) owner_(miss);
  }

  void read_verdicts() {
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind == engine::FlowEvent::Kind::kEnd) continue;
      Known& known = flows_[event.flow];
      known.protocol = event.protocol;
      known.transport = event.key.transport;
      known.quic |= event.kind == engine::FlowEvent::Kind::kDetail && event.detail == engine::Detail::kQuicVersion;
      known.proxied |= event.kind == engine::FlowEvent::Kind::kDetail && event.detail == engine::Detail::kProxyTarget;
      if (event.kind != engine::FlowEvent::Kind::kVerdict || event.reason == Reason::kRebinding) continue;  // Of one answer, not the flow.
      known.verdict = event.verdict;
      known.reason = event.reason;
      denied_ |= event.verdict == engine::FlowVerdict::kDeny;
      if (event.verdict == engine::FlowVerdict::kAllow) check_allowed(event, known.proxied);
    }
  }

  // is_for_guard: whatever goes to a guarded port counts as having come in for this host.
  bool is_for_guard(const Packet& packet) const {
    const auto ip = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
    return ip && policy_->guard_of(ip->destination, ip->destination_port) != policy::kNoGuard;
  }

  void check_guarded(const engine::FlowEvent& event) const {
    const policy::Guard& guard = policy_->guards()[policy_->guard_of(event.key.server.address, event.key.server.port)];
    check(event.reason == Reason::kRuleAllows && event.key.transport == Transport::kTcp && event.key.tunnel == 0);
    check(event.protocol == Protocol::kHttp || event.protocol == Protocol::kHttp2);
    check(event.text.empty() || guard.has_host(event.text));  // An address is no name.
  }

  void check_allowed(const engine::FlowEvent& event, bool proxied) const {
    if (event.rule != kNoRule && event.rule >= policy_->rules().size()) return check_guarded(event);
    if (event.rule == kNoRule) {  // What the policy's names let be asked of a trusted resolver.
      constexpr std::uint16_t kDnsPort = 53;
      check(event.reason == Reason::kDefaultAllows && event.protocol == Protocol::kDns && event.key.server.port == kDnsPort);
      check(trusts(event.scopes, event.key.server.address));
      return;
    }
    const policy::RuleInfo& rule = policy_->rules().at(event.rule);
    const bool expected = event.reason == Reason::kExpected && rule.name == "what they announce is expected";
    check(rule.action == policy::Action::kAllow && (expected || event.reason == Reason::kRuleAllows));
    check(rule.name != "proxies");
    if (expected || proxied || !rule.name.starts_with("strict")) return;
    if (event.protocol == Protocol::kDns && trusts(event.scopes, event.key.server.address)) return;  // Its names may be asked for.
    const IpAddress address = policy_->plain(event.key.server.address);
    const policy::View view = policy_->view_of(event.scopes);
    if (rule.name.starts_with("strict claim")) {
      const auto name = DomainName::parse(event.text);
      check(name && kept_.bindings().bound(address, *name, view, now_));
    } else {
      DomainName one;
      check(kept_.bindings().names_of(address, view, now_, {&one, 1}) == 1);
    }
  }

  bool trusts(policy::ScopeSet scopes, const IpAddress& server) const {
    if (const policy::View view = policy_->view_of(scopes); view != 0) return policy_->view_trusts(view, server.unmapped());
    if (const engine::Resolvers* resolvers = kept_.resolvers()) return resolvers->trusts(server.unmapped());
    return policy_->dns().system_resolvers || std::ranges::find(policy_->dns().resolvers, policy_->plain(server)) != policy_->dns().resolvers.end();
  }

  void check_bound_by(const Packet& packet) const {
    const auto ip = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
    check(ip && packet.origin != Origin::kOriginal && !inspector_.inner_flow_of_last_packet());
    bool trusted = trusts(0, ip->source);
    for (std::size_t scope = 0; scope < 64; ++scope) trusted = trusted || trusts(policy::ScopeSet{1} << scope, ip->source);
    check(trusted);
  }

  void check_replacement(const Packet& packet, const Decision& decision) const {
    const ByteSpan now = inspector_.replacement();
    if (now.empty()) return;
    check(!observing_ && decision.verdict == Verdict::kAccept && packet.origin != Origin::kOriginal);
    const auto before = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
    const auto after = parsers::parse_ip_packet(now, now.size());
    if (decision.reason == Reason::kRebinding) {  // A datagram, made anew: the addresses and ports stay.
      check(before && !before->truncated && after && !after->truncated && before->transport == Transport::kUdp);
      check(before->source == after->source && before->destination == after->destination && before->source_port == after->source_port);
      check(before->destination_port == after->destination_port && has_right_checksum(now, *after));
      return;
    }
    check(now.size() == packet.bytes.size());
    check(before && !before->truncated && after && after->payload.size() == before->payload.size());
    const std::size_t transport = before->transport_offset;
    constexpr std::size_t kPortsAndNumbers = 12;  // Of TCP; of UDP the ports and the length.
    check(std::ranges::equal(packet.bytes.first(transport), now.first(transport)));
    const std::size_t same = before->transport == Transport::kUdp ? 6 : kPortsAndNumbers;
    check(std::ranges::equal(packet.bytes.subspan(transport, same), now.subspan(transport, same)));
    check(has_right_checksum(now, *after));
  }

  // check_injections: what the inspector sends itself is words to a client that was denied in this call, UDP no more than it
  // sent, and to a server nothing but a reset.
  void check_injections() const {
    check(inspector_.injections().empty() || !observing_);
    for (const engine::Injection& injection : inspector_.injections()) {
      const auto ip = parsers::parse_ip_packet(injection.packet, injection.packet.size());
      check(ip && !ip->truncated && has_right_checksum(injection.packet, *ip));
      const bool tcp = ip->transport == Transport::kTcp;
      const Endpoint from{ip->source, ip->source_port}, to{ip->destination, ip->destination_port};
      const Endpoint client = injection.to_client ? to : from, server = injection.to_client ? from : to;
      const bool denied = std::ranges::any_of(inspector_.events(), [&](const engine::FlowEvent& event) {
        return event.kind == engine::FlowEvent::Kind::kVerdict && event.verdict == engine::FlowVerdict::kDeny &&
               event.key.client == client && event.key.server == server;
      });
      const bool later = injection.to_client && tcp && ip->tcp.rst && !ip->tcp.ack && ip->payload.empty();  // The end of what was told.
      check(denied || later || !tcp);  // Who sends a datagram again is told again.
      if (later) continue;
      if (!injection.to_client) check(tcp && ip->tcp.rst && ip->payload.empty());
      if (injection.to_client && tcp) check(ip->tcp.fin && !ip->payload.empty());
      if (!tcp) check(injection.to_client && !ip->payload.empty() && ip->payload.size() <= parsers::kQuicMinInitialDatagram);
    }
  }

  // has_right_checksum adds up the whole segment with the pseudo header: RFC 1071 makes that all ones.
  static bool has_right_checksum(ByteSpan packet, const parsers::IpPacket& ip) {
    const bool udp = ip.transport == Transport::kUdp;
    const bool v4 = packet[0] >> 4 == 4;
    const auto end = static_cast<std::size_t>(ip.payload.data() - packet.data()) + ip.payload.size();
    const ByteSpan segment = packet.subspan(ip.transport_offset, end - ip.transport_offset);
    if (udp && v4 && segment[6] == 0 && segment[7] == 0) return true;
    std::uint64_t sum = ip.ip_protocol + segment.size();
    const auto add = [&sum](ByteSpan bytes) {
      for (std::size_t i = 0; i < bytes.size(); ++i) sum += std::uint64_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
    };
    add(v4 ? packet.subspan(12, 8) : packet.subspan(8, 32));
    add(segment);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
  }

  void forget_ended() {
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind == engine::FlowEvent::Kind::kEnd) flows_.erase(event.flow);
    }
  }

  void settle_releases() {
    for (const engine::Release& release : inspector_.releases()) {
      const auto held = held_.find(release.id);
      check(held != held_.end() && release.decision.verdict != Verdict::kHold);
      judge(release.id, release.decision, held->second);
      held_.erase(held);
    }
  }

  Known* known(const std::optional<std::uint64_t>& flow) {
    const auto found = flow ? flows_.find(*flow) : flows_.end();
    return found == flows_.end() ? nullptr : &found->second;
  }

  void judge(PacketId id, const Decision& decision, const Sent& packet) {
    if (decision.verdict == Verdict::kAccept) left_.push_back(id);
    if (observing_) {
      check(decision.verdict == Verdict::kAccept);
      return;
    }
    if (decision.verdict == Verdict::kAccept) {
      check_accepted(known(packet.flow), decision, packet, packet.payload, false);
      if (packet.inner) check_accepted(known(packet.inner), decision, packet, packet.inner_payload, true);
    }
    check_mark(decision, packet);
  }

  void check_accepted(Known* flow, const Decision& decision, const Sent& packet, bool payload, bool inside) {
    if (flow != nullptr && flow->protocol == Protocol::kDns && flow->transport == Transport::kUdp && payload) {
      flow->questions += packet.from_client ? 1 : packet.from_server ? -1 : 0;
    }
    const bool allowed = flow != nullptr && flow->verdict == engine::FlowVerdict::kAllow;
    if (packet.from_client && payload && !allowed) {
      const bool known = flow != nullptr && flow->verdict == engine::FlowVerdict::kPending && (flow->proxied || flow->protocol == Protocol::kSsh);
      check(known || (packet.negotiates && (flow == nullptr || flow->protocol == Protocol::kSocks)));
      check(decision.reason == Reason::kAwaitingServer);
    }
    if (flow == nullptr || flow->verdict != engine::FlowVerdict::kDeny) return;
    const bool can_be_reset = flow->protocol == Protocol::kSsh || flow->protocol == Protocol::kFtp;
    const bool reset = !inside && !inspector_.replacement().empty() && can_be_reset;
    const bool answer = flow->protocol == Protocol::kDns && flow->transport == Transport::kUdp && flow->questions >= 0;
    // Neither a version that is not read, nor a refused question, nor a short header of nobody condemns a socket: a hello may follow.
    const bool version = flow->quic && (flow->reason == Reason::kUnsupportedVersion || flow->protocol == Protocol::kDns);
    const bool negotiation = version || flow->reason == Reason::kQuicShortHeader;
    check(!packet.from_client && (reset || answer || negotiation));
  }

  void check_mark(const Decision& decision, const Sent& packet) {
    if (!decision.mark) return;
    const Known* flow = known(packet.flow);
    switch (*decision.mark) {
      case FlowMark::kAllow:
        check(decision.verdict == Verdict::kAccept && flow != nullptr && flow->verdict == engine::FlowVerdict::kAllow);
        break;
      case FlowMark::kWatch:
        check(decision.verdict == Verdict::kAccept);
        break;
      case FlowMark::kReset:
      case FlowMark::kSilent:
      case FlowMark::kIcmp:
        check(decision.verdict == Verdict::kDrop);
        break;
      case FlowMark::kUndecided:
      case FlowMark::kPass:
      case FlowMark::kReply:
        check(false);
    }
  }

  engine::Inspector& inspector_;
  KeptInspector& kept_;
  const policy::Policy* policy_;
  const bool observing_;
  const Timestamp begin_;
  Timestamp now_;
  PacketId last_id_ = 0;
  bool denied_ = false;
  static constexpr std::uint64_t kWaitsPerFlow = 3;  // engine::BindingWait
  std::uint64_t misses_ = 0;
  std::uint64_t opened_before_ = 0;
  std::uint64_t own_bindings_ = 0;  // Made by bind() during the last packet.
  std::function<void(const engine::BindingMiss&)> owner_;
  std::vector<Verdict> verdicts_;
  std::vector<PacketId> left_;
  std::map<std::uint64_t, Known> flows_;
  std::map<PacketId, Sent> held_;
};

}  // namespace sallyport::testing
