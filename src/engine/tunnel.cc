// Transports without ports, and what is inside tunnels that the policy asks to look into ([inspect] tunnels).
//
// The flow that carries is judged first, by its own rules. Each packet of it that may pass is then opened and what is
// inside is judged as a packet of a flow of its own, by the same rules. The carrying flow is never handed to the
// kernel, and a refusal of what is inside drops its packet alone.
#include <algorithm>
#include <cstring>

#include "inspector_impl.h"
#include "sallyport/parsers/tunnel.h"

namespace sallyport::engine {
namespace {

constexpr std::uint8_t kAhProtocol = 51;

Reason reason_of(parsers::TunnelError error) {
  switch (error) {
    case parsers::TunnelError::kCut: return Reason::kTruncated;
    case parsers::TunnelError::kMalformed: return Reason::kMalformed;
    case parsers::TunnelError::kNotRead: return Reason::kTunnelNotRead;
    case parsers::TunnelError::kTrailing: return Reason::kTrailingData;
  }
  return Reason::kNotEvaluated;
}

}  // namespace

Decision Inspector::Impl::other_transport(const Packet& packet, const parsers::IpPacket& ip) {
  const FlowKey key{ip.transport, ip.ip_protocol, {ip.source, 0}, {ip.destination, 0}, inside_.id};
  Flow* flow = table_.find(key);
  if (flow != nullptr && is_misplaced(*flow, packet)) return {.reason = Reason::kReplyMisplaced};
  const bool fresh = flow == nullptr;
  if (fresh && packet.origin == Origin::kReply) return {.reason = Reason::kReplyWithoutFlow};
  if (fresh) flow = open_flow(packet, key);
  if (flow == nullptr) return {.reason = Reason::kFlowTableFull};
  note_packet(*flow, packet);
  if (!fresh && flow->state == FlowState::kDenied) return denied(*flow);
  if (fresh) {
    set_protocol(*flow, parsers::name_ip_protocol(ip.ip_protocol, ip.payload));
    const Protocol family = parsers::tunnel_family(flow->protocol);
    if (policy_->looks_into(family)) flow->carries = family;
    if (inside_.id != 0 && flow->carries != Protocol::kUnknown) return deny_flow(*flow, Reason::kTunnelTooDeep);
    flow->needs_binding = policy_->match_early(flow->scopes, key.transport, key.server.address, 0, now_).needs_binding;
  }
  if (flow->state == FlowState::kUndecided && !judge(*flow, flow->protocol, {})) {
    return flow->binding_wait != BindingWait::kNone ? hold_unbound(*flow, packet) : refusal_of(*flow);
  }
  if (flow->carries != Protocol::kUnknown) return look_inside(*flow, packet, ip);
  if (inside_.id != 0) return pass(*flow, flow->reason);
  // The kernel tracks IPv6 connections behind AH, too (RFC 4302): allowed for good would be what is inside, with or without it.
  const bool for_good = ip.ip_protocol != kAhProtocol || !ip.source.is_v6();
  return {Verdict::kAccept, flow->reason, flow->rule, for_good ? FlowMark::kAllow : FlowMark::kWatch};
}

// carried_by_datagram returns the tunnel that a UDP flow, known by its first datagram, carries, if it is to be
// looked into. On a tunnel's own port every datagram must be of it, or another reading of its reserved bits would
// be a way past.
Protocol Inspector::Impl::carried_by_datagram(const FlowKey& key, ByteSpan datagram) const {
  if (!policy_->looks_into_any()) return Protocol::kUnknown;
  const Protocol at_home = parsers::tunnel_at_home(key.server.port);
  if (policy_->looks_into(at_home)) return at_home;
  for (const auto& [protocol, looks_like] :
       {std::pair{Protocol::kVxlan, &parsers::looks_like_vxlan}, std::pair{Protocol::kGeneve, &parsers::looks_like_geneve},
        std::pair{Protocol::kTeredo, &parsers::looks_like_teredo}}) {
    if (policy_->looks_into(protocol) && looks_like(datagram) == parsers::Likeness::kYes) return protocol;
  }
  return Protocol::kUnknown;
}

// look_inside judges what a packet of an allowed tunnel carries. The table may give up `carrier` on the way.
Decision Inspector::Impl::look_inside(const Flow& carrier, const Packet& packet, const parsers::IpPacket& ip) {
  const auto content = parsers::open_tunnel(carrier.carries, ip.payload, ip.payload_size);
  if (!content) return {Verdict::kDrop, reason_of(content.error()), carrier.rule, {}};
  if (content->control) return {Verdict::kAccept, Reason::kTunnelControl, carrier.rule, FlowMark::kWatch};
  // A flow that an address rule allowed need not have been named.
  const bool named = parsers::tunnel_family(carrier.protocol) == carrier.carries;
  inside_ = {tunnel_id(carrier, ip, content->segment), named ? carrier.protocol : carrier.carries, carrier.number,
             carrier.scopes};
  Packet inner = packet;
  inner.bytes = content->packet;
  inner.wire_size = static_cast<std::uint32_t>(content->wire_size);
  const auto outer_flow = last_flow;
  last_flow.reset();
  const Decision decision = inspect_packet(inner);
  last_inner_flow = last_flow;
  last_inner_size = inner.wire_size;
  last_flow = outer_flow;
  inside_ = {};
  return decision;
}

// tunnel_id tells a tunnel and the network in it, for both directions: by its ends, and for VXLAN and GENEVE by the
// port that both of them listen on, since each sends from any port (RFC 7348 §5).
std::uint64_t Inspector::Impl::tunnel_id(const Flow& carrier, const parsers::IpPacket& ip, std::uint64_t segment) const {
  const Protocol family = carrier.carries;
  Endpoint low{ip.source, ip.source_port};
  Endpoint high{ip.destination, ip.destination_port};
  if (family == Protocol::kVxlan || family == Protocol::kGeneve) low.port = high.port = carrier.key.server.port;
  if (high < low) std::swap(low, high);
  std::array<std::uint8_t, 48> text{};
  std::uint8_t* out = text.data();
  for (const Endpoint* end : {&low, &high}) {
    const ByteSpan address = end->address.bytes();
    std::copy(address.begin(), address.end(), out);
    std::memcpy(out + 16, &end->port, sizeof end->port);
    out += 18;
  }
  std::memcpy(out, &segment, sizeof segment);
  out[8] = static_cast<std::uint8_t>(family);
  out[9] = ip.source.is_v6() ? 6 : 4;
  const std::uint64_t id = keyed_hash(options_.hash_key, text.data(), text.size());
  return id == 0 ? 1 : id;
}

}  // namespace sallyport::engine
