// Another policy: each flow is judged again from what is remembered of it. What a flow says is not at hand any more, so each
// question that cannot be answered is answered with no, but for one: a rule that stands in both policies word for word, and
// is for the flow's scopes now, goes on allowing what it allowed.
#include <algorithm>
#include <utility>

#include "inspector_impl.h"
#include "sallyport/parsers/tunnel.h"
#include "sallyport/refusal/packet.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kFlowsPerCall = 128;  // Their events and texts have room in one call.
// A reset counts only with the number that its receiver waits for. Packets under way may have moved that on, so the next
// packets are answered as well, by their own numbers.
constexpr std::uint8_t kResetsMax = 8;

}  // namespace

bool Inspector::Impl::rejudge(const policy::Policy& before, const policy::Policy& policy, Timestamp now, const InterfaceOf& interface_of) {
  begin_call(policy, now);
  remarks.clear();
  if (next_slot_ == 0) {
    rejudge_counts = {};
    const std::optional<Timestamp> end = before.next_expiry(judged_at_.value_or(now));
    other_terms_ = before.fingerprint() != policy.fingerprint() || (end && *end <= now);
    judged_at_ = now;
    no_more_request_terms_ = policy.denies_no_more_requests(before);
  }
  before_ = &before;
  for (std::size_t i = 0; i < kFlowsPerCall && next_slot_ < table_.slots(); ++next_slot_) {
    Flow* flow = table_.at(next_slot_);
    if (flow == nullptr) continue;
    rejudge_flow(*flow, interface_of);
    ++i;
  }
  before_ = nullptr;
  note_releases();
  note_gauges();
  const bool more = next_slot_ < table_.slots();
  if (!more) next_slot_ = 0;
  return more;
}

void Inspector::Impl::rejudge_flow(Flow& flow, const InterfaceOf& interface_of) {
  const RuleId successor = successor_of(flow.rule);
  if (flow.state == FlowState::kDenied) {
    // A TCP connection that was refused is over. Datagrams are judged anew.
    if (flow.key.transport == Transport::kTcp) {
      flow.rule = successor;
      return;
    }
    ++rejudge_counts.forgotten;
    return close_flow(flow);
  }
  const bool decided = flow.state != FlowState::kUndecided;
  flow.scopes = scopes_again(flow, interface_of);
  flow.expected = successor_of(flow.expected);
  if (!policy_->rule_in_force(flow.expected, flow.scopes, now_)) flow.expected = kNoRule;
  flow.own_word_rule = successor_of(flow.own_word_rule);
  flow.ice_rule = successor_of(flow.ice_rule);
  flow.proxy_rule = successor_of(flow.proxy_rule);
  if (!decided && !is_guarded(flow)) return rejudge_undecided(flow);
  ++rejudge_counts.judged;
  denier_ = kNoRule;
  rejudging_ = true;
  const Standing standing = is_guarded(flow) ? standing_guarded(flow) : standing_of(flow, successor);
  rejudging_ = false;
  switch (standing) {
    case Standing::kKept: ++rejudge_counts.kept; break;
    case Standing::kRevoked:
      ++rejudge_counts.cut;
      return revoke(flow, denier_);
    case Standing::kForgotten:
      ++rejudge_counts.forgotten;
      if (!is_guarded(flow)) remark(flow, FlowMark::kUndecided);
      return close_flow(flow);
  }
  const bool asked_again = flow.key.transport == Transport::kUdp &&
                           policy_->denies_datagrams_at(flow.scopes, flow.key.server.address, flow.key.server.port, now_);
  if (asked_again && !flow.asked_again && flow.state == FlowState::kFinal) {  // Its datagrams must be seen again.
    flow.state = FlowState::kJudged;
    flow.watch = true;
    remark(flow, FlowMark::kUndecided);
  }
  flow.asked_again = asked_again;
  if (flow.state == FlowState::kFinal) remark(flow, FlowMark::kAllow, false, true);
}

// scopes_again: who opened the flow is the same; what is remembered of that alone as scopes holds where these are the same.
policy::ScopeSet Inspector::Impl::scopes_again(const Flow& flow, const InterfaceOf& interface_of) const {
  if (is_guarded(flow)) return 0;
  if (flow.key.tunnel != 0) return policy_->scopes_from(*before_, flow.scopes, true);
  policy::ScopeFacts facts{.source = flow.key.client.address, .interface = {}, .uid = flow.uid, .gid = flow.gid};
  facts.interface = interface_of ? interface_of(flow.client_link) : std::string_view{};
  facts.workload = options_.workload || flow.client_link != 0;
  policy::ScopeSet owner = policy_->scopes_from(*before_, flow.scopes, false);
  // Of what came in by an interface no scope by cgroup can be, and a capture knows neither cgroups nor containers.
  const bool has_none = !options_.owner_of || (flow.client_link != 0 && policy_->containers().empty());
  if (has_none) owner &= ~policy::kUnknownOwner | (flow.scopes & policy::kUnknownOwner);
  facts.containers = owner & ~policy::kUnknownOwner;
  facts.owner_unknown = (owner & policy::kUnknownOwner) != 0;
  return policy_->scopes_of(facts);
}

RuleId Inspector::Impl::successor_of(RuleId rule) const { return policy_->rule_defined(before_->definition_of(rule)); }

// rejudge_undecided has a flow go on under the new policy, whose rules its bytes will meet. What its address alone decides is
// decided now, as its first packet will not come again.
void Inspector::Impl::rejudge_undecided(Flow& flow) {
  const bool has_ports = flow.key.transport == Transport::kTcp || flow.key.transport == Transport::kUdp;
  const policy::EarlyResult early =
      policy_->match_early(flow.scopes, flow.key.transport, flow.key.server.address, flow.key.server.port, now_);
  const bool by_default = early.match == policy::EarlyMatch::kDeny && early.rule == kNoRule && !early.metadata;
  const bool expected = flow.expected != kNoRule && (by_default || early.match == policy::EarlyMatch::kUndecided);
  const bool lookup = flow.key.server.port == kDnsPort && by_default;
  flow.needs_binding = early.needs_binding && !expected;
  if (flow.key.transport == Transport::kUdp) {
    flow.asked_again = policy_->denies_datagrams_at(flow.scopes, flow.key.server.address, flow.key.server.port, now_);
  }
  const std::uint32_t held = flow.held.count;
  if (has_ports && early.match == policy::EarlyMatch::kDeny && !lookup && !expected && !observing()) {
    deny_flow(flow, early.metadata ? Reason::kMetadataAddress : by_default ? Reason::kAddressNotAllowed : Reason::kRuleDenies, early.rule);
    if (held != 0 && !releases.empty()) releases.back().decision = refusal_of(flow);
    return;
  }
  switch (flow.binding_wait) {
    case BindingWait::kNone: return;
    case BindingWait::kSyn:
      if (flow.needs_binding && !names_cover(flow)) break;
      end_binding_wait(flow);
      flow.reason = Reason::kConnecting;
      return release_held(flow, UINT64_MAX);
    case BindingWait::kDatagram: retry_binding(flow); break;
    case BindingWait::kClaim: retry_claim(flow); break;
  }
  if (flow.binding_wait == BindingWait::kNone || !options_.on_miss) return;
  // The names that may be looked up for it are others now.
  options_.on_miss({flow.scopes, flow.key.transport, target_address(flow), target_port(flow),
                    flow.binding_wait == BindingWait::kClaim ? flow.name : DomainName()});
}

// standing_guarded: a guard that says the same allows what it allowed. Without it nobody judges what comes in.
Inspector::Impl::Standing Inspector::Impl::standing_guarded(Flow& flow) {
  const policy::GuardId guard = policy_->guard_of(flow.key.server.address, flow.key.server.port);
  if (guard == policy::kNoGuard) {
    remark(flow, FlowMark::kAllow);
    return Standing::kForgotten;
  }
  const bool same = before_->definition_of(before_->rule_of(flow.guard)) == policy_->definition_of(policy_->rule_of(guard));
  flow.guard = guard;
  denier_ = policy_->rule_of(guard);
  if (flow.verdict == FlowVerdict::kAllow) flow.rule = denier_;
  return same ? Standing::kKept : Standing::kRevoked;
}

Inspector::Impl::Standing Inspector::Impl::standing_of(Flow& flow, RuleId successor) {
  if (!policy_->rule_in_force(successor, flow.scopes, now_)) successor = kNoRule;
  // Each question is judged for itself; it is the flow's answers that must still be read.
  if (flow.stage == Protocol::kDns && !flow.early && !flow.by_address) {
    flow.rule = successor;
    return Standing::kKept;
  }
  // A tunnel whose inside is judged now, or is not any more: its packets tell.
  const bool over_ip = flow.key.transport == Transport::kOther;
  const Protocol family = parsers::tunnel_family(flow.protocol);
  const bool looked_into = over_ip ? policy_->looks_into(family) : flow.carries != Protocol::kUnknown && policy_->looks_into(flow.carries);
  if (looked_into != (flow.carries != Protocol::kUnknown)) return Standing::kForgotten;
  const bool more_tunnels = (policy_->inspect().tunnels & ~before_->inspect().tunnels) != 0;
  if (more_tunnels && flow.key.transport == Transport::kUdp && flow.stage != Protocol::kQuic && flow.stage != Protocol::kDtls) return Standing::kForgotten;
  if (flow.verdict != FlowVerdict::kAllow) return standing_negotiation(flow);
  if (flow.several_names && other_terms_) return Standing::kRevoked;
  if (flow.reason == Reason::kExpected) return standing_expected(flow);
  if (flow.early || flow.by_address) return standing_early(flow, successor);
  return standing_by_bytes(flow, successor);
}

// standing_early is of a flow whose bytes were never read: only what allows any bytes can go on allowing it.
Inspector::Impl::Standing Inspector::Impl::standing_early(Flow& flow, RuleId successor) {
  const policy::EarlyResult early =
      policy_->match_early(flow.scopes, flow.key.transport, flow.key.server.address, flow.key.server.port, now_);
  const bool datagrams = flow.key.transport == Transport::kUdp;
  if (early.match == policy::EarlyMatch::kAllow) {
    flow.rule = early.bypass ? successor : early.rule;
    const bool reads_on = flow.answers_read && reads_answers(flow);
    if (flow.answers_read && !reads_on && !datagrams && flow.state == FlowState::kJudged) become_final(flow);
    flow.answers_read = reads_on;
    return Standing::kKept;
  }
  denier_ = early.rule;
  if (early.match == policy::EarlyMatch::kDeny && early.rule != kNoRule) return Standing::kRevoked;
  const bool asks = flow.key.server.port == kDnsPort && flow.state == FlowState::kJudged && (datagrams || flow.stage == Protocol::kDns);
  if (asks) {  // From now on each question is judged.
    flow.early = flow.by_address = flow.answers_read = false;
    flow.stage = Protocol::kDns;
    flow.stage_known = flow.watch = true;
    flow.rule = successor;
    return Standing::kKept;
  }
  if (early.match == policy::EarlyMatch::kUndecided && !early.could_deny && successor != kNoRule) {
    flow.rule = successor;
    return Standing::kKept;
  }
  return datagrams && early.match == policy::EarlyMatch::kUndecided ? Standing::kForgotten : Standing::kRevoked;
}

// standing_expected: the announcement holds for as long as the rule that allowed the flow that made it. Deny rules win over it.
Inspector::Impl::Standing Inspector::Impl::standing_expected(Flow& flow) {
  const policy::EarlyResult early =
      policy_->match_early(flow.scopes, flow.key.transport, flow.key.server.address, flow.key.server.port, now_);
  denier_ = early.rule;
  if (early.match == policy::EarlyMatch::kDeny && (early.rule != kNoRule || early.metadata)) return Standing::kRevoked;
  if (flow.expected == kNoRule) {
    const bool read = flow.stage_known && flow.ice.phase == IcePhase::kNone;
    return read ? standing_by_bytes(flow, kNoRule) : standing_early(flow, kNoRule);
  }
  if (early.could_deny && !flow.stage_known) return Standing::kRevoked;  // Its bytes were not read.
  if (flow.stage_known) {
    const policy::PolicyMatch match = match_remembered(flow, flow.stage);
    denier_ = match.rule;
    if (denies_by_rule(match)) return Standing::kRevoked;
  }
  flow.rule = flow.expected;
  return Standing::kKept;
}

// standing_negotiation is of a flow that has no verdict yet, though bytes of it have left: a proxy was asked, or SSH waits for the
// server's key.
Inspector::Impl::Standing Inspector::Impl::standing_negotiation(Flow& flow) {
  if (flow.stage == Protocol::kSsh && flow.proxy == nullptr) {
    const policy::PolicyMatch match = match_remembered(flow, Protocol::kSsh);
    flow.ssh.host_key_wanted = match.needs_host_key;
    denier_ = match.rule;
    return match.action == policy::Action::kAllow ? Standing::kKept : Standing::kRevoked;
  }
  if (!proxy_allowed(flow)) return Standing::kRevoked;
  if (flow.proxy == nullptr) return Standing::kKept;  // It has not been asked for anything yet.
  const ProxyTarget& target = *flow.proxy;
  const policy::EarlyResult early =
      target.by_name() ? policy_->match_named_early(flow.scopes, target.name, target.port, now_)
                       : policy_->match_early(flow.scopes, Transport::kTcp, target.address, target.port, now_, policy::Via::kProxy);
  denier_ = early.rule;
  return early.match == policy::EarlyMatch::kDeny ? Standing::kRevoked : Standing::kKept;
}

// proxy_allowed tells whether the flow's server may still be asked as a proxy.
bool Inspector::Impl::proxy_allowed(Flow& flow) {
  ProxyTarget* const target = std::exchange(flow.proxy, nullptr);
  const bool socks = flow.protocol == Protocol::kSocks;
  policy::FlowQuery query = query_of(flow, socks ? Protocol::kSocks : Protocol::kHttp);
  query.proxy = query.bound = query.claimed = true;
  const policy::PolicyMatch match = match_every_name(flow, query);
  flow.proxy = target;
  denier_ = match.rule;
  if (match.action == policy::Action::kAllow) {
    flow.proxy_rule = match.rule;
    return true;
  }
  return match.rule == kNoRule && policy_->rule_in_force(flow.proxy_rule, flow.scopes, now_);
}

// match_remembered asks for the name that the flow was for. What began at an address of the name goes on when the binding has ended.
policy::PolicyMatch Inspector::Impl::match_remembered(Flow& flow, Protocol protocol) {
  const bool names_itself = carries_name(protocol) || protocol == Protocol::kHttp2;
  const bool hello = protocol == Protocol::kTls || protocol == Protocol::kQuic || protocol == Protocol::kDtls;
  const bool claims = names_itself && flow.has_name && (!hello || flow.hello_named);
  const Protocol asked = protocol == Protocol::kHttp2 ? Protocol::kHttp : protocol;
  const DomainName name = flow.name;
  const bool has_name = flow.has_name;
  NameClaim claim;
  if (claims) claim = {name.text(), &name, false};
  policy::PolicyMatch match = this->match(flow, asked, claim);
  if (!claims && has_name && match.action == policy::Action::kDeny && match.rule == kNoRule) {
    policy::FlowQuery query = query_of(flow, asked);
    query.name = &name;
    query.bound = true;
    query.host_key_pending = query.host_key_pending && flow.state == FlowState::kJudged;
    query.request_judged = true;
    match = policy_->match(query);
    flow.name = name;
    flow.has_name = true;
  }
  return match;
}

Inspector::Impl::Standing Inspector::Impl::standing_by_bytes(Flow& flow, RuleId successor) {
  if (flow.stage == Protocol::kQuic && policy_->defaults().quic == policy::Action::kDeny) return Standing::kRevoked;
  ProxyTarget remembered;
  const bool lent = flow.proxy == nullptr && flow.asked.known;
  if (lent) {
    remembered.address = flow.asked.address;
    if (flow.asked.by_name) remembered.name = flow.name;
    remembered.port = flow.asked.port;
    remembered.reached = true;
  }
  if ((lent || flow.proxy != nullptr) && !proxy_allowed(flow)) return Standing::kRevoked;
  if (lent) flow.proxy = &remembered;
  const bool has_ports = flow.key.transport == Transport::kTcp || flow.key.transport == Transport::kUdp;
  const policy::PolicyMatch match = match_remembered(flow, has_ports ? flow.stage : flow.protocol);
  if (lent) flow.proxy = nullptr;
  denier_ = match.rule;
  if (denies_by_rule(match)) return Standing::kRevoked;
  if (match.bypass) {  // Its end asks again for what allowed the flow before.
    flow.rule = successor;
    return Standing::kKept;
  }
  if (match.action == policy::Action::kAllow) {
    denier_ = kNoRule;
    const bool other_rule = match.rule != successor || successor == kNoRule;
    if (flow.offers_ech && policy_->ech_of(match.rule) == policy::Ech::kDeny) return Standing::kRevoked;
    if (match.needs_tls && !flow.session.upgraded) {
      if (follows_session(flow)) {
        flow.session.tls_required = true;
      } else if (other_rule) {
        return Standing::kRevoked;
      }
    }
    if (match.needs_host_key && !flow.ssh.host_key_known) {
      if (awaits_ssh_server(flow)) {
        flow.ssh.host_key_wanted = true;
      } else if (other_rule) {
        return Standing::kRevoked;
      }
    }
    flow.rule = match.rule;
    flow.own_word_rule = match.own_word;
    if (flow.ice.phase == IcePhase::kServer) flow.ice_rule = match.ice;
    return Standing::kKept;
  }
  if (successor != kNoRule) {
    flow.rule = successor;
    return Standing::kKept;
  }
  const bool by_request = match.other_request != kNoRule && match.unbound == kNoRule;
  return by_request && request_judged(flow) && flow.state == FlowState::kJudged ? Standing::kKept : Standing::kRevoked;
}

// request_judged tells whether deny rules with request terms have no more to say: each request of the connection is judged, or those
// of both policies are the same.
bool Inspector::Impl::request_judged(const Flow& flow) const {
  const bool requests = (flow.stage == Protocol::kHttp || flow.stage == Protocol::kHttp2) && flow.http_phase == HttpPhase::kRequests;
  return (requests && flow.state == FlowState::kJudged) || no_more_request_terms_;
}

// revoke takes the verdict back. Nobody is told in words: the connection is in the middle of something else.
void Inspector::Impl::revoke(Flow& flow, RuleId rule) {
  end_binding_wait(flow);
  const bool tcp = flow.key.transport == Transport::kTcp;
  flow.state = FlowState::kDenied;
  flow.verdict = FlowVerdict::kDeny;
  flow.reason = Reason::kRevoked;
  flow.rule = rule;
  flow.told = false;
  flow.revoked = tcp && flow.key.tunnel == 0 ? 1 : 0;
  drop_held(flow, Reason::kRevoked);
  table_.stop_waiting(flow);
  count_verdict(flow);
  report(flow, FlowEvent::Kind::kVerdict, flow.has_name ? flow.name.text() : std::string_view{});
  give_back_windows(flow);
  touch(flow);
  remark(flow, tcp ? FlowMark::kWatch : denied(flow).mark.value_or(FlowMark::kIcmp), true);
}

void Inspector::Impl::remark(const Flow& flow, FlowMark mark, bool cut, bool passed) {
  if (flow.key.tunnel == 0) remarks.push_back({flow.key, mark, cut, passed});
}

void Inspector::Impl::remember_target(Flow& flow) {
  if (flow.proxy == nullptr) return;
  flow.asked = {true, flow.proxy->by_name(), flow.proxy->port, flow.proxy->address};
}

// revoked_packet ends a connection that lost permission at its next packet, whichever side sent it: both ends get a reset that goes by
// the numbers of this packet. A reset of their own passes, as one of the few: a socket that writes its own could say things by them.
Decision Inspector::Impl::revoked_packet(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (flow.revoked > kResetsMax) return denied(flow);
  ++flow.revoked;
  if (ip.tcp.rst && ip.payload.empty()) return {Verdict::kAccept, Reason::kRevoked, flow.rule, FlowMark::kWatch};
  const Endpoint source{ip.source, ip.source_port};
  const Endpoint destination{ip.destination, ip.destination_port};
  const bool from_client = flow.key.client == source;
  if (!observing() && flow.key.tunnel == 0 && packet.origin != Origin::kUnknown) {
    refusal::TcpSegment reset;
    reset.rst = true;
    // The sender's first, which is exact. Where the receiver lacks bytes before this packet, ours is none to it yet: it answers with an
    // ACK of what it has (RFC 5961 §3.2), and the sender, gone by then, resets it by that number.
    reset.from = destination;
    reset.to = source;
    reset.sequence = ip.tcp.acknowledgment;
    if (ip.tcp.ack) (void)inject(refusal::tcp_segment(std::span(injected_).subspan(injected_size()), reset), from_client);
    std::swap(reset.from, reset.to);
    reset.sequence = ip.tcp.sequence;
    (void)inject(refusal::tcp_segment(std::span(injected_).subspan(injected_size()), reset), !from_client);
  }
  const FlowMark mark = flow.revoked > kResetsMax ? denied(flow).mark.value_or(FlowMark::kReset) : FlowMark::kWatch;
  return {Verdict::kDrop, Reason::kFlowDenied, flow.rule, mark};
}

}  // namespace sallyport::engine
