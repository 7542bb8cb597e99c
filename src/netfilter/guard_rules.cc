#include "guard_rules.h"

#include <string_view>

#include "packet_filters.h"
#include "table_text.h"

namespace sallyport::netfilter {
namespace {

constexpr std::string_view kBypass = " --queue-bypass";
constexpr std::string_view kAnyGate = "SALLYPORT-GATE";

std::string gate_of(std::size_t guard) { return "SALLYPORT-GATE-" + std::to_string(guard); }

// listener_match returns what matches packets to (or from) a listener; empty: it has none of this family.
std::string listener_match(const policy::GuardListener& listener, Family family, bool from) {
  if (!listener.has_family(family == Family::kIpv6)) return {};
  std::string match;
  if (listener.address) match = (from ? " -s " : " -d ") + listener.address->to_string();
  return match + " -p tcp -m tcp " + (from ? "--sport " : "--dport ") + std::to_string(listener.port);
}

bool has_family(const IpPrefix& prefix, Family family) { return prefix.address().is_v6() == (family == Family::kIpv6); }

// handed_over matches flows that the kernel may pass alone: WebSockets that the server took. The next connection of the port is none.
std::string handed_over(const RulePlan& plan) {
  return ' ' + std::string(kNoSyn) + " -m connmark --mark " + hex(plan.mark.encode(FlowMark::kAllow, plan.generation)) + '/' + hex(plan.mark.mask()) + " -j RETURN";
}

// denied_reset matches resets of denied flows, ours that ends the service's side among them: it comes in by the loopback,
// where marks are taken off. Nothing but headers, so that nothing that was refused comes with it.
std::string denied_reset(const GuardWriter& writer) {
  const std::string bit = hex(writer.plan.mark.deny_bit());
  return std::string(" -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH RST -m length --length ") + (writer.family == Family::kIpv6 ? "60" : "40") +
         " -m connmark --mark " + bit + '/' + bit + " -j RETURN";
}

struct Texts {
  std::vector<std::string>& chains;
  std::vector<std::string>& rules;
};

// add_listed: who is listed by address is judged like everybody, but let through where nobody is there to judge.
void add_listed(const GuardWriter& writer, Texts out) {
  const std::string chain = "SALLYPORT-LISTED";
  const std::string bit = hex(writer.plan.mark.deny_bit());
  out.chains.push_back(chain);
  out.rules.push_back(chain + ' ' + forget_former(writer.plan.mark, writer.plan.generation));
  out.rules.push_back(chain + " -m connmark --mark " + bit + '/' + bit + " -g SALLYPORT-AGAIN");
  out.rules.push_back(chain + " -m conntrack --ctstate INVALID,UNTRACKED -j DROP");
  out.rules.push_back(chain + " -p tcp -m conntrack --ctstate ESTABLISHED -m bpf --bytecode \"" + pure_ack_filter(writer.family) + "\" -j RETURN");
  out.rules.push_back(chain + ' ' + writer.queue + std::string(kBypass));
}

// add_gate sorts who asks one guarded port that lists addresses.
void add_gate(const GuardWriter& writer, const GuardPlan& guard, const std::string& gate, Texts out) {
  const std::string sources = gate + "-SRC";
  out.chains.push_back(gate);
  out.rules.push_back(gate + handed_over(writer.plan));
  out.rules.push_back(gate + denied_reset(writer));
  out.rules.push_back(gate + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
  if (!guard.interfaces.empty()) {
    out.chains.push_back(sources);
    for (const std::string& name : guard.interfaces) out.rules.push_back(gate + " -i " + name + " -g " + sources);
    out.rules.push_back(gate + " -g SALLYPORT-EVAL");
  }
  const std::string& last = guard.interfaces.empty() ? gate : sources;
  for (const IpPrefix& prefix : guard.sources) {
    if (has_family(prefix, writer.family)) out.rules.push_back(last + " -s " + prefix.to_string() + " -g SALLYPORT-LISTED");
  }
  out.rules.push_back(last + " -g SALLYPORT-EVAL");
}

// add_any_gate is for everybody else's ports. An untracked packet is no reply, and EVAL drops it.
void add_any_gate(const GuardWriter& writer, Texts out) {
  const std::string any(kAnyGate);
  out.chains.push_back(any);
  out.rules.push_back(any + handed_over(writer.plan));
  if (writer.plan.mode == policy::Mode::kEnforce) out.rules.push_back(any + denied_reset(writer));
  out.rules.push_back(any + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
  out.rules.push_back(any + " -g SALLYPORT-EVAL");
}

bool has_guards(const RulePlan& plan) { return !plan.guards.empty() && plan.cgroup.empty(); }

}  // namespace

std::vector<GuardPlan> plan_guards(const policy::Policy& policy) {
  std::vector<GuardPlan> guards;
  for (const policy::Guard& guard : policy.guards()) {
    if (!guard.listen.empty()) guards.push_back({guard.listen, guard.interfaces, guard.sources});
  }
  return guards;
}

void add_guard_requests(const GuardWriter& writer, std::vector<std::string>& chains, std::vector<std::string>& rules) {
  if (!has_guards(writer.plan)) return;
  const bool enforce = writer.plan.mode == policy::Mode::kEnforce;
  bool any = false, listed = false;
  for (std::size_t i = 0; i < writer.plan.guards.size(); ++i) {
    const GuardPlan& guard = writer.plan.guards[i];
    const bool by_address = enforce && !guard.sources.empty();  // An observer lets everything through where it is not there.
    const std::string gate = by_address ? gate_of(i) : std::string(kAnyGate);
    bool used = false;
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, writer.family, false);
      if (match.empty()) continue;
      used = true;
      rules.push_back("SALLYPORT-IN" + match + " -g " + gate);
    }
    if (used && by_address) add_gate(writer, guard, gate, {chains, rules});
    any |= used && !by_address;
    listed |= used && by_address;
  }
  if (any) add_any_gate(writer, {chains, rules});
  if (listed) add_listed(writer, {chains, rules});
}

std::vector<std::string> guard_refusals(const RulePlan& plan, Family family) {
  std::vector<std::string> matches;
  if (!has_guards(plan)) return matches;
  for (const GuardPlan& guard : plan.guards) {
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, family, true);
      if (!match.empty()) matches.push_back(match + " -m conntrack --ctstate ESTABLISHED --ctdir REPLY");
    }
  }
  return matches;
}

void add_guard_answers(const GuardWriter& writer, std::vector<std::string>& chains, std::vector<std::string>& rules) {
  if (!has_guards(writer.plan)) return;
  const RulePlan& plan = writer.plan;
  const std::string chain = "SALLYPORT-GATED";
  chains.push_back(chain);
  for (const GuardPlan& guard : plan.guards) {
    for (const policy::GuardListener& listener : guard.listen) {
      const std::string match = listener_match(listener, writer.family, true);
      if (match.empty()) continue;
      // Connection tracking takes up a connection that it has forgotten, or never knew, where either side goes on with it, and
      // calls that side the client. What comes in would then be replies, which nobody judges; the client must go on first.
      if (plan.mode == policy::Mode::kEnforce) {
        rules.push_back("SALLYPORT-OUT" + match + " ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP");
      }
      rules.push_back("SALLYPORT-OUT" + match + " -m conntrack --ctdir REPLY -j " + chain);
    }
  }
  // A reset ends a connection of which the client need not say another word; its port may soon begin a new one. In a flow
  // that is denied it is a refusal of ours.
  const std::string reset = chain + " -p tcp -m tcp --tcp-flags RST RST -m connmark --mark ";
  const std::string bypass = plan.mode == policy::Mode::kEnforce ? std::string(kBypass) : std::string();
  const std::string denied = hex(plan.mark.deny_bit());
  rules.push_back(reset + denied + '/' + denied + " -j RETURN");
  rules.push_back(reset + "0x0/" + hex(plan.mark.mask()) + ' ' + writer.queue + bypass);
  rules.push_back(chain + " -g SALLYPORT-REPLY");
}

}  // namespace sallyport::netfilter
