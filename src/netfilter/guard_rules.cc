#include "guard_rules.h"

#include "packet_filters.h"
#include "table_text.h"

namespace sallyport::netfilter {
namespace {

constexpr std::string_view kBypass = " --queue-bypass";

std::string gate_of(std::size_t guard) { return "SALLYPORT-GATE-" + std::to_string(guard); }

// listener_match returns what matches packets to (or from) a listener; empty: it has none of this family.
std::string listener_match(const policy::GuardListener& listener, Family family, bool from) {
  if (!listener.has_family(family == Family::kIpv6)) return {};
  std::string match;
  if (listener.address) match = (from ? " -s " : " -d ") + listener.address->to_string();
  return match + " -p tcp -m tcp " + (from ? "--sport " : "--dport ") + std::to_string(listener.port);
}

bool has_family(const IpPrefix& prefix, Family family) { return prefix.address().is_v6() == (family == Family::kIpv6); }

// handed_over matches flows that the kernel may pass alone: WebSockets that the server took.
std::string handed_over(const RulePlan& plan) {
  return " -m connmark --mark " + hex(plan.mark.encode(FlowMark::kAllow, plan.generation)) + '/' + hex(plan.mark.mask()) + " -j RETURN";
}

// add_listed: who is listed by address is judged like everybody, but let through where nobody is there to judge.
void add_listed(GuardRules& out, const RulePlan& plan, Family family, std::string_view queue) {
  const std::string chain = "SALLYPORT-LISTED";
  const std::string bit = hex(plan.mark.deny_bit());
  out.chains.push_back(chain);
  out.rules.push_back(chain + " -m connmark --mark " + bit + '/' + bit + " -g SALLYPORT-AGAIN");
  out.rules.push_back(chain + " -m conntrack --ctstate INVALID,UNTRACKED -j DROP");
  out.rules.push_back(chain + " -p tcp -m conntrack --ctstate ESTABLISHED -m bpf --bytecode \"" + pure_ack_filter(family) + "\" -j RETURN");
  out.rules.push_back(chain + ' ' + std::string(queue) + std::string(kBypass));
}

// add_gate sorts who asks one guarded port that lists addresses.
void add_gate(GuardRules& out, const RulePlan& plan, const GuardPlan& guard, const std::string& gate, Family family) {
  const std::string sources = gate + "-SRC";
  out.chains.push_back(gate);
  out.rules.push_back(gate + handed_over(plan));
  out.rules.push_back(gate + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
  if (!guard.interfaces.empty()) {
    out.chains.push_back(sources);
    for (const std::string& name : guard.interfaces) out.rules.push_back(gate + " -i " + name + " -g " + sources);
    out.rules.push_back(gate + " -g SALLYPORT-EVAL");
  }
  const std::string& last = guard.interfaces.empty() ? gate : sources;
  for (const IpPrefix& prefix : guard.sources) {
    if (has_family(prefix, family)) out.rules.push_back(last + " -s " + prefix.to_string() + " -g SALLYPORT-LISTED");
  }
  out.rules.push_back(last + " -g SALLYPORT-EVAL");
}

}  // namespace

GuardRules guard_request_rules(const RulePlan& plan, Family family, std::string_view queue) {
  GuardRules out;
  if (plan.guards.empty() || !plan.cgroup.empty()) return out;
  const bool enforce = plan.mode == policy::Mode::kEnforce;
  const std::string any = "SALLYPORT-GATE";
  bool listed = false;
  GuardRules gates;
  out.chains.push_back(any);
  // The reset that ends the service's side of a denied flow; what comes from outside bears no mark of ours by now.
  if (enforce) {
    out.rules.push_back("SALLYPORT-IN -i lo -p tcp -m mark --mark " + hex(plan.mark.injected(Injected::kTracked)) + '/' +
                        hex(plan.mark.injected_mask()) + " -j RETURN");
  }
  for (std::size_t i = 0; i < plan.guards.size(); ++i) {
    const GuardPlan& guard = plan.guards[i];
    const bool by_address = enforce && !guard.sources.empty();  // An observer lets everything through where it is not there.
    const std::string gate = by_address ? gate_of(i) : any;
    bool used = false;
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, family, false);
      if (match.empty()) continue;
      used = true;
      out.rules.push_back("SALLYPORT-IN" + match + " -g " + gate);
    }
    if (!used || !by_address) continue;
    listed = true;
    add_gate(gates, plan, guard, gate, family);
  }
  out.rules.push_back(any + handed_over(plan));
  // An untracked packet is no reply, and EVAL drops it.
  out.rules.push_back(any + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
  out.rules.push_back(any + " -g SALLYPORT-EVAL");
  if (listed) add_listed(gates, plan, family, queue);
  out.chains.insert(out.chains.end(), gates.chains.begin(), gates.chains.end());
  out.rules.insert(out.rules.end(), gates.rules.begin(), gates.rules.end());
  return out;
}

std::vector<std::string> guard_refusals(const RulePlan& plan, Family family) {
  std::vector<std::string> matches;
  if (!plan.cgroup.empty()) return matches;
  for (const GuardPlan& guard : plan.guards) {
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, family, true);
      if (!match.empty()) matches.push_back(match + " -m conntrack --ctstate ESTABLISHED --ctdir REPLY");
    }
  }
  return matches;
}

GuardRules guard_answer_rules(const RulePlan& plan, Family family, std::string_view queue) {
  GuardRules out;
  if (plan.guards.empty() || !plan.cgroup.empty()) return out;
  const std::string chain = "SALLYPORT-GATED";
  out.chains.push_back(chain);
  for (const GuardPlan& guard : plan.guards) {
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, family, true);
      if (!match.empty()) out.rules.push_back("SALLYPORT-OUT" + match + " -m conntrack --ctdir REPLY -j " + chain);
    }
  }
  // A reset ends a connection of which the client need not say another word; its port may soon begin a new one. In a flow
  // that is denied it is a refusal of ours.
  const std::string reset = chain + " -p tcp -m tcp --tcp-flags RST RST -m connmark --mark ";
  const std::string bypass = plan.mode == policy::Mode::kEnforce ? std::string(kBypass) : std::string();
  const std::string denied = hex(plan.mark.deny_bit());
  out.rules.push_back(reset + denied + '/' + denied + " -j RETURN");
  out.rules.push_back(reset + "0x0/" + hex(plan.mark.mask()) + ' ' + std::string(queue) + bypass);
  out.rules.push_back(chain + " -g SALLYPORT-REPLY");
  return out;
}

}  // namespace sallyport::netfilter
