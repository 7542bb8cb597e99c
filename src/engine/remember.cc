// What goes over a restart: RememberedFlow.
#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

bool may_be_remembered(const Flow& flow) {
  const bool handed_over = flow.state == FlowState::kFinal && flow.verdict == FlowVerdict::kAllow && flow.key.transport == Transport::kTcp;
  const bool by_itself = flow.key.tunnel == 0 && flow.guard == policy::kNoGuard && flow.expected == kNoRule && flow.reason != Reason::kExpected;
  const bool plain = flow.proxy == nullptr && !flow.asked.known && !flow.session.upgraded && !flow.ssh.host_key_known;
  return handed_over && by_itself && plain && !flow.several_names && !flow.closing;
}

}  // namespace

void Inspector::Impl::remember(std::vector<RememberedFlow>& flows) {
  for (std::size_t slot = 0; slot < table_.slots(); ++slot) {
    const Flow* flow = table_.at(slot);
    if (flow == nullptr || !may_be_remembered(*flow)) continue;
    RememberedFlow& kept = flows.emplace_back();
    kept.key = flow->key;
    kept.uid = flow->uid;
    kept.gid = flow->gid;
    kept.client_link = flow->client_link;
    kept.scopes = flow->scopes;
    kept.rule = flow->rule;
    kept.reason = flow->reason;
    kept.protocol = flow->protocol;
    kept.stage = flow->stage;
    kept.early = flow->early;
    kept.by_address = flow->by_address;
    kept.name_of_address = flow->name_of_address;
    kept.hello_named = flow->hello_named;
    kept.offers_ech = flow->offers_ech;
    if (flow->has_name) kept.name = flow->name;
  }
}

void Inspector::Impl::recall(std::span<const RememberedFlow> flows, const policy::Policy& policy, Timestamp now) {
  begin_call(policy, now);
  for (const RememberedFlow& kept : flows) {
    if (table_.full()) break;
    if (kept.key.transport != Transport::kTcp || kept.key.tunnel != 0 || table_.find(kept.key) != nullptr) continue;
    Flow& flow = table_.open(kept.key);
    flow.number = next_number_++;
    flow.opened = now_;
    flow.uid = kept.uid;
    flow.gid = kept.gid;
    flow.client_link = kept.client_link;
    flow.scopes = kept.scopes;
    flow.state = FlowState::kFinal;
    flow.verdict = FlowVerdict::kAllow;
    flow.reason = kept.reason;
    flow.rule = kept.rule;
    flow.protocol = kept.protocol;
    flow.stage = kept.stage;
    flow.stage_known = kept.stage != Protocol::kUnknown;
    flow.early = kept.early;
    flow.by_address = kept.by_address;
    flow.name_of_address = kept.name_of_address;
    flow.hello_named = kept.hello_named;
    flow.offers_ech = kept.offers_ech;
    flow.final_after = 1;  // Handed over: a SYN on its tuple is another connection's.
    flow.has_name = kept.name.has_value();
    if (kept.name) flow.name = *kept.name;
    increment(counters.flows_opened);
    touch(flow);
  }
  note_gauges();
}

}  // namespace sallyport::engine
