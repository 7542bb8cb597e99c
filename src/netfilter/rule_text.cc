#include "sallyport/netfilter/rule_text.h"

#include <algorithm>
#include <utility>

#include "guard_rules.h"
#include "heard_ports.h"
#include "injection_rules.h"
#include "table_text.h"
#include "verdict_chains.h"

namespace sallyport::netfilter {
namespace {

// RuleWriter writes the rules of one family; its functions append to the table that they are given.
class RuleWriter : private VerdictChains {
 public:
  using VerdictChains::VerdictChains;

  std::vector<TableText> tables() const {
    if (!enforce()) return {mangle(), filter()};
    return {raw_table(plan_, scoped() ? of_scope() : std::string()), mangle(), filter()};
  }

 private:
  void add_output(TableText& t) const {
    const std::string out = scoped() ? "SALLYPORT-SCOPE" : "SALLYPORT-OUT";
    const std::string loopback = "SALLYPORT-LO";
    t.chains.insert(t.chains.end(), {out, loopback});
    if (scoped()) {
      t.chains.emplace_back("SALLYPORT-OUT");
      t.rules.push_back("SALLYPORT-OUT " + of_scope() + " -g " + out);
    }
    t.rules.push_back(out + ' ' + judged() + " -g SALLYPORT-VERDICT");
    if (enforce() && !scoped()) t.rules.push_back(out + ' ' + of_injector(plan_) + " -g SALLYPORT-INJECTED");
    t.rules.push_back(out + ' ' + let_go());
    add_guard_answers({plan_, family_, queue()}, t.chains, t.rules);
    t.rules.push_back(out + " -o lo -g " + loopback);
    add_own_answers(t);
    // Before the replies: an error may be RELATED to a flow that others opened.
    const bool judges_icmp = enforce() || !icmp_requests().empty();
    if (enforce()) t.rules.push_back(out + ' ' + icmp() + " -g SALLYPORT-ICMP");
    t.rules.push_back(out + " -m conntrack --ctdir REPLY -j RETURN");
    if (judges_icmp && !enforce()) t.rules.push_back(out + ' ' + icmp() + " -g SALLYPORT-ICMP");
    if (judges_icmp) add_icmp(t, false);
    for (const std::string& transport : transports()) {
      t.rules.push_back(out + " -p " + transport + " -g " + undecided(transport));
    }
    if (enforce()) t.rules.push_back(out + " -g SALLYPORT-OTHER");
    if (enforce()) add_loopback_sources(t, loopback);
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(loopback + " -p " + transport + " -m " + transport +
                        " --dport 53 -m conntrack --ctdir ORIGINAL -g " + undecided(transport));
    }
    t.jumps.emplace_back("OUTPUT -j SALLYPORT-OUT");
  }

  void add_input(TableText& t) const {
    const std::string in = "SALLYPORT-IN";
    const std::string loopback = "SALLYPORT-INLO";
    t.chains.insert(t.chains.end(), {in, loopback});
    // Only flows of the scope have a ct mark of ours.
    if (scoped()) t.rules.push_back(in + " -m connmark --mark 0x0/" + hex(plan_.mark.mask()) + " -j RETURN");
    t.rules.push_back(in + ' ' + judged() + " -g SALLYPORT-VERDICT");
    add_own_questions(t);
    t.rules.push_back(in + ' ' + let_go());
    t.rules.push_back(in + ' ' + let_go_other());
    add_guard_requests({plan_, family_, queue()}, t.chains, t.rules);
    t.rules.push_back(in + " -i lo -g " + loopback);
    t.rules.push_back(in + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
    add_replies(t, false);
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(loopback + " -p " + transport + " -m " + transport +
                        " --sport 53 -m conntrack --ctdir REPLY " + flow_verdict(FlowMark::kWatch) + ' ' +
                        queue());
    }
    t.jumps.push_back("INPUT -j " + in);
  }

  // add_own_questions and add_own_answers: workloads that ask a resolver on this host itself. Of what they say to this
  // host port 53 alone is judged, as if it were forwarded.
  void add_own_questions(TableText& t) const {
    if (!plan_.forward) return;
    const std::string ask = "SALLYPORT-ASK";
    t.chains.push_back(ask);
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(std::string("SALLYPORT-IN -p ") + transport + " -m " + transport + " --dport 53 -g " + ask);
    }
    t.rules.push_back(ask + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
    t.rules.push_back(ask + ' ' + let_go());
    for (const std::string& name : plan_.inside) {
      for (const char* transport : {"udp", "tcp"}) {
        t.rules.push_back(ask + " -i " + name + " -p " + transport + " -g " + undecided(transport));
      }
    }
  }
  void add_own_answers(TableText& t) const {
    if (!plan_.forward) return;
    const std::string answer = "SALLYPORT-ANSWER";
    t.chains.push_back(answer);
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(std::string("SALLYPORT-OUT -p ") + transport + " -m " + transport +
                        " --sport 53 -m conntrack --ctdir REPLY -g " + answer);
    }
    // A refusal of ours is a reset in the reply direction of the denied flow.
    t.rules.push_back(answer + " -p tcp -m tcp --tcp-flags RST RST -j RETURN");
    for (const std::string& name : plan_.inside) {
      t.rules.push_back(answer + " -o " + name + " -g SALLYPORT-REPLY");
    }
  }

  // add_own_resolver: where the output hook is not wanted, only that of OUTPUT and INPUT is.
  void add_own_resolver(TableText& t) const {
    for (const std::string chain : {"SALLYPORT-IN", "SALLYPORT-OUT"}) {
      t.chains.push_back(chain);
      t.rules.push_back(chain + ' ' + judged() + " -g SALLYPORT-VERDICT");
    }
    if (enforce()) t.rules.push_back("SALLYPORT-OUT " + of_injector(plan_) + " -g SALLYPORT-INJECTED");
    add_own_questions(t);
    add_own_answers(t);
    add_guard_requests({plan_, family_, queue()}, t.chains, t.rules);
    add_guard_answers({plan_, family_, queue()}, t.chains, t.rules);
    add_replies(t, false);
    t.jumps.insert(t.jumps.end(), {"OUTPUT -j SALLYPORT-OUT", "INPUT -j SALLYPORT-IN"});
  }

  void add_icmp_jumps(TableText& t, const std::string& chain) const {
    for (const std::string& name : plan_.inside) {
      t.rules.push_back(chain + " -i " + name + " ! -o " + name + ' ' + icmp() + " -g SALLYPORT-ICMP");
    }
  }

  void add_forward(TableText& t) const {
    const std::string forward = "SALLYPORT-FWD";
    const std::string inside = "SALLYPORT-INSIDE";
    t.chains.insert(t.chains.end(), {forward, inside});
    t.rules.push_back(forward + ' ' + judged() + " -g SALLYPORT-VERDICT");
    t.rules.push_back(forward + ' ' + let_go());
    const bool judges_icmp = enforce() || !icmp_requests().empty();
    if (enforce()) add_icmp_jumps(t, forward);
    t.rules.push_back(forward + " -m conntrack --ctdir REPLY -g SALLYPORT-REPLY");
    if (judges_icmp && !enforce()) add_icmp_jumps(t, forward);
    if (judges_icmp) add_icmp(t, true);
    add_replies(t, true);
    for (const std::string& name : plan_.inside) {
      t.rules.push_back(forward + " -i " + name + " ! -o " + name + " -g " + inside);
    }
    for (const std::string& transport : transports()) {
      t.rules.push_back(inside + " -p " + transport + " -g " + undecided(transport));
    }
    if (enforce()) t.rules.push_back(inside + " -j DROP");
    t.jumps.push_back("FORWARD -j " + forward);
  }

  // add_scoped_strips: what others mark is theirs, unless it is in a flow of the scope.
  void add_scoped_strips(TableText& t) const {
    t.rules.push_back("SALLYPORT-STRIP " + of_scope() + ' ' + clear_mark());
    t.chains.emplace_back("SALLYPORT-PRE");
    t.rules.push_back("SALLYPORT-PRE -m connmark ! --mark 0x0/" + hex(plan_.mark.mask()) + ' ' + clear_mark());
    t.jumps.push_back("PREROUTING " + marked(plan_.mark.mask()) + " -j SALLYPORT-PRE");
  }

  TableText mangle() const {
    TableText t{"mangle", {"SALLYPORT-STRIP"}, {}, {}};
    if (!scoped()) t.rules.push_back("SALLYPORT-STRIP " + clear_mark());
    if (scoped()) {
      add_scoped_strips(t);
    } else if (plan_.forward && enforce()) {
      add_sources(t);
    } else {
      // Over lo comes what went through OUTPUT, where marks of others are taken off; a reset of ours keeps its own.
      t.jumps.push_back("PREROUTING ! -i lo " + marked(plan_.mark.mask()) + " -j SALLYPORT-STRIP");
    }
    if (enforce()) {
      t.chains.emplace_back("SALLYPORT-OWN");
      if (scoped()) t.rules.push_back("SALLYPORT-OWN " + of_scope() + " -g SALLYPORT-STRIP");
      t.rules.push_back("SALLYPORT-OWN " + of_injector(plan_) + " -g SALLYPORT-INJECTED");
      t.rules.push_back("SALLYPORT-OWN -j SALLYPORT-STRIP");
      add_injected(t, plan_, family_);
    }
    t.jumps.push_back("OUTPUT " + marked(plan_.mark.mask()) + (enforce() ? " -j SALLYPORT-OWN" : " -j SALLYPORT-STRIP"));
    if (plan_.forward) {
      add_forward(t);
      add_eval(t, "-j RETURN");  // filter FORWARD rejects.
      add_verdict(t, {});
    }
    if (enforce()) {
      t.chains.emplace_back("SALLYPORT-GUARD");
      t.rules.push_back("SALLYPORT-GUARD " + of_injector(plan_) + " -j RETURN");
      for (const FlowMark verdict : kDenyMarks) {
        t.rules.push_back("SALLYPORT-GUARD -m conntrack --ctdir ORIGINAL " + flow_verdict(verdict) +
                          " -j DROP");
      }
      t.jumps.push_back("POSTROUTING ! -o lo " + maybe_denied() + " -j SALLYPORT-GUARD");
    }
    return t;
  }

  TableText filter() const {
    TableText t{"filter", {}, {}, {}};
    if (plan_.output) {
      add_output(t);
      add_input(t);
    } else {
      add_own_resolver(t);
    }
    add_eval(t, "-g SALLYPORT-DENY");
    add_verdict(t, enforce() ? "SALLYPORT-DENY" : "");
    if (enforce()) {
      if (!scoped()) add_injected(t, plan_, family_);
      if (plan_.output) add_other(t);
      add_reject(t, "SALLYPORT-DENY");
    }
    if (plan_.forward && enforce()) {
      t.chains.emplace_back("SALLYPORT-FWDENY");
      for (const FlowMark verdict : kDenyMarks) {
        t.rules.push_back("SALLYPORT-FWDENY -m conntrack --ctdir ORIGINAL " + flow_verdict(verdict) +
                          " -g SALLYPORT-REJECT");
      }
      add_reject(t, "SALLYPORT-REJECT");
      t.jumps.push_back("FORWARD " + maybe_denied() + " -j SALLYPORT-FWDENY");
    }
    return t;
  }
};

// is_interface_name keeps the restore text free of anything that could end a word.
bool is_interface_name(std::string_view name) {
  constexpr std::size_t kLengthMax = 15;  // IFNAMSIZ - 1
  if (name.empty() || name.size() > kLengthMax || name.front() == '-') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:@+").contains(c);
  });
}

}  // namespace

std::expected<RulePlan, std::string> plan_rules(const policy::Policy& policy, policy::Mode mode,
                                                unsigned queues) {
  const policy::Deploy& deploy = policy.deploy();
  const std::optional<MarkField> mark = MarkField::from_mask(deploy.ct_mark_mask);
  if (!mark) return std::unexpected("deploy.ct_mark_mask must be eight contiguous bits");
  if (deploy.hook_forward && deploy.inside.empty()) {
    return std::unexpected("deploy.inside must name the workloads' interfaces when the forward hook is used");
  }
  if (!deploy.hook_forward && !deploy.hook_output) return std::unexpected("deploy.hooks names no hook");
  for (const std::string& name : deploy.inside) {
    if (!is_interface_name(name)) return std::unexpected("deploy.inside: not an interface name: " + name);
  }
  RulePlan plan;
  plan.mode = mode;
  plan.output = deploy.hook_output;
  plan.forward = deploy.hook_forward;
  plan.inside = deploy.inside;
  plan.heard_ports = heard_ports_of(policy);
  plan.ip_protocols.assign(policy.ip_protocols().begin(), policy.ip_protocols().end());
  plan.icmp_types.assign(policy.icmp_types().begin(), policy.icmp_types().end());
  plan.guards = plan_guards(policy);
  plan.answer_refused = policy.defaults().refuse != policy::Refuse::kDrop;
  plan.mark = *mark;
  plan.generation = mode == policy::Mode::kObserve ? kObserveGeneration : generation_of(policy.fingerprint());
  plan.queues = std::max(queues, 1U);
  return plan;
}

std::string restore_text(const RulePlan& plan, Family family, std::span<const TableState> present) {
  const std::vector<TableText> tables = RuleWriter(plan, family).tables();
  std::string text;
  for (const TableText& table : tables) {
    const auto state = std::ranges::find(present, table.table, &TableState::table);
    text += render(table, state == present.end() ? TableState{} : *state);
  }
  for (const TableState& state : present) {
    if (std::ranges::find(tables, state.table, &TableText::table) == tables.end()) {
      text += removal_text({&state, 1});
    }
  }
  return text;
}

std::vector<TableUse> tables_of(const RulePlan& plan) {
  const bool enforce = plan.mode == policy::Mode::kEnforce;
  TableUse mangle{"mangle", {"PREROUTING", "OUTPUT"}};
  if (plan.forward) mangle.base_chains.push_back("FORWARD");
  if (enforce) mangle.base_chains.push_back("POSTROUTING");
  TableUse filter{"filter", {"OUTPUT", "INPUT"}};
  if (plan.forward && enforce) filter.base_chains.push_back("FORWARD");
  if (!enforce) return {mangle, filter};
  return {TableUse{"raw", {"OUTPUT"}}, mangle, filter};
}

}  // namespace sallyport::netfilter
