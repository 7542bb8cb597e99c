#include "sallyport/netfilter/rule_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "guard_rules.h"
#include "heard_ports.h"
#include "injection_rules.h"
#include "packet_filters.h"
#include "table_text.h"

namespace sallyport::netfilter {
namespace {

constexpr std::array kDenyMarks = {FlowMark::kReset, FlowMark::kSilent, FlowMark::kIcmp};

// RuleWriter writes the rules of one family; its functions append to the table that they are given.
class RuleWriter {
 public:
  RuleWriter(const RulePlan& plan, Family family) : plan_(plan), family_(family) {}

  std::vector<TableText> tables() const {
    if (!enforce()) return {mangle(), filter()};
    return {raw_table(plan_, scoped() ? of_scope() : std::string()), mangle(), filter()};
  }

 private:
  bool enforce() const { return plan_.mode == policy::Mode::kEnforce; }
  bool v6() const { return family_ == Family::kIpv6; }

  // flow_verdict matches flows that this policy, and no earlier one, gave this verdict.
  std::string flow_verdict(FlowMark verdict) const {
    return "-m connmark --mark " + hex(plan_.mark.encode(verdict, plan_.generation)) + '/' +
           hex(plan_.mark.mask());
  }
  // maybe_denied is one cheap test instead of one for each way to deny: whatever it lets on is compared exactly.
  std::string maybe_denied() const {
    const std::string bit = hex(plan_.mark.deny_bit());
    return "-m connmark --mark " + bit + '/' + bit;
  }
  // let_go matches what the kernel may pass alone: packets of flows that this policy allowed. A SYN begins another connection, also
  // where connection tracking ignores it and keeps the entry of the one before, which its server reset or forgot: its own is judged.
  std::string let_go() const { return std::string(kNoSyn) + ' ' + flow_verdict(FlowMark::kAllow) + " -j RETURN"; }
  // let_go_other does it for all but TCP.
  std::string let_go_other() const { return "! -p tcp " + flow_verdict(FlowMark::kAllow) + " -j RETURN"; }
  std::string marked(std::uint32_t mask) const { return "-m mark ! --mark 0x0/" + hex(mask); }
  // judged matches a packet that comes back from the queue. One with a ct mark of ours that others copied to it is not one.
  std::string judged() const {
    return marked(plan_.mark.verdict_mask()) + " -m mark --mark " + hex(plan_.mark.fresh(FlowMark::kUndecided, plan_.generation)) + '/' +
           hex(plan_.mark.generation_mask());
  }
  std::string clear_mark() const { return "-j MARK --set-xmark 0x0/" + hex(plan_.mark.mask()); }

  std::string queue() const {
    std::string target = "-j NFQUEUE ";
    const std::string first = std::to_string(plan_.first_queue);
    target += plan_.queues == 1 ? "--queue-num " + first
                                : "--queue-balance " + first + ':' + std::to_string(plan_.first_queue + plan_.queues - 1);
    if (!enforce()) target += " --queue-bypass";
    return target;
  }

  bool scoped() const { return !plan_.cgroup.empty(); }
  // of_scope matches what sockets of the plan's cgroup send. What has no socket (forwarded, made by the kernel) is not
  // matched, nor would it be by a negation: so the plan's cgroup is always asked for, and never its absence.
  std::string of_scope() const {
    std::string quoted;
    for (const char c : plan_.cgroup) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return "-m cgroup --path \"" + quoted + '"';
  }

  // raw_protocols returns what goes to the queue beside TCP, UDP and ICMP.
  std::vector<std::uint8_t> raw_protocols() const {
    std::vector<std::uint8_t> list;
    for (const std::uint8_t number : plan_.ip_protocols) {
      if (number != 1 && number != 58) list.push_back(number);
    }
    return list;
  }
  // transports returns the protocols that go to the queue, ICMP aside.
  std::vector<std::string> transports() const {
    std::vector<std::string> list = {"tcp", "udp"};
    for (const std::uint8_t number : raw_protocols()) list.push_back(std::to_string(number));
    return list;
  }

  std::string icmp() const { return v6() ? "-p ipv6-icmp" : "-p icmp"; }
  std::string icmp_type(unsigned type) const {
    return icmp() + (v6() ? " -m icmp6 --icmpv6-type " : " -m icmp --icmp-type ") + std::to_string(type);
  }
  // icmp_requests returns the types of this family that go to the queue.
  std::vector<std::uint8_t> icmp_requests() const {
    std::vector<std::uint8_t> list;
    for (const std::uint8_t type : plan_.icmp_types) {
      if ((type >= 128) == v6()) list.push_back(type);
    }
    return list;
  }
  std::string admin_prohibited() const { return v6() ? "icmp6-adm-prohibited" : "icmp-admin-prohibited"; }

  // undecided returns the chain for the original direction of flows that no rule let go yet.
  static std::string undecided(std::string_view transport) {
    return transport == "udp" ? "SALLYPORT-UDP" : "SALLYPORT-EVAL";
  }

  // add_verdict: what happens to a packet that comes back from the queue. Its verdict is saved to the ct
  // mark and taken off the packet, so that later rules and routing see the packet as it was.
  void add_verdict(TableText& t, std::string_view deny_chain) const {
    const std::string save = hex(plan_.mark.mask());
    t.chains.emplace_back("SALLYPORT-VERDICT");
    t.rules.push_back("SALLYPORT-VERDICT -j MARK --set-xmark " + hex(plan_.mark.encode(FlowMark::kUndecided, plan_.generation)) + '/' +
                      hex(plan_.mark.generation_mask()));
    t.rules.push_back("SALLYPORT-VERDICT -m mark ! --mark " + hex(plan_.mark.encode(FlowMark::kPass, 0)) +
                      '/' + hex(plan_.mark.verdict_mask()) + " -j CONNMARK --save-mark --nfmask " + save +
                      " --ctmask " + save);
    // A refusal in words is on its way to the client: no reset for this packet's sake, not even if it is the last.
    if (enforce()) {
      t.rules.push_back("SALLYPORT-VERDICT -m mark --mark " + hex(plan_.mark.encode(FlowMark::kSilent, 0)) + '/' +
                        hex(plan_.mark.verdict_mask()) + " -j DROP");
    }
    if (!deny_chain.empty()) {
      const std::string deny = hex(plan_.mark.deny_bit());
      t.rules.push_back("SALLYPORT-VERDICT -m mark --mark " + deny + '/' + deny + " -g SALLYPORT-DENIED");
      t.chains.emplace_back("SALLYPORT-DENIED");
      t.rules.push_back("SALLYPORT-DENIED " + clear_mark());
      t.rules.push_back("SALLYPORT-DENIED -g " + std::string(deny_chain));
    }
    t.rules.push_back("SALLYPORT-VERDICT " + clear_mark());
  }

  // add_again: a further packet of a flow that was denied, by this policy or by an earlier one.
  void add_again(TableText& t, const std::string& when_denied) const {
    const std::string chain = "SALLYPORT-AGAIN";
    t.chains.push_back(chain);
    // A refusal is about one connection. Connection tracking does not see the RST that the client got, so it
    // takes the next connection from the same port for the denied one: its SYN is judged for itself.
    t.rules.push_back(chain + ' ' + std::string(kSyn) + " -j CONNMARK --set-xmark 0x0/" + hex(plan_.mark.mask()));
    for (const FlowMark verdict : kDenyMarks) {
      t.rules.push_back(chain + ' ' + flow_verdict(verdict) + ' ' + when_denied);
    }
    t.rules.push_back(chain + " -m conntrack --ctstate INVALID,UNTRACKED -j DROP");
    t.rules.push_back(chain + ' ' + queue());
  }

  // add_eval: the original direction of a TCP or UDP flow. TCP flows that are allowed do not come here.
  void add_eval(TableText& t, const std::string& when_denied) const {
    t.chains.emplace_back("SALLYPORT-EVAL");
    t.rules.push_back("SALLYPORT-EVAL " + forget_former(plan_.mark, plan_.generation));
    for (const std::uint8_t number : raw_protocols()) {
      t.rules.push_back("SALLYPORT-EVAL -p " + std::to_string(number) + ' ' + flow_verdict(FlowMark::kAllow) +
                        " -j RETURN");
    }
    if (enforce()) {
      t.rules.push_back("SALLYPORT-EVAL " + maybe_denied() + " -g SALLYPORT-AGAIN");
      add_again(t, when_denied);
    }
    t.rules.push_back(std::string("SALLYPORT-EVAL -m conntrack --ctstate INVALID,UNTRACKED -j ") +
                      (enforce() ? "DROP" : "RETURN"));
    t.rules.push_back("SALLYPORT-EVAL -p tcp -m conntrack --ctstate ESTABLISHED -m bpf --bytecode \"" +
                      pure_ack_filter(family_) + "\" -j RETURN");
    t.rules.push_back("SALLYPORT-EVAL " + queue());
    // An allowed UDP flow: DNS is judged message by message, and a new QUIC connection may open on an old
    // tuple.
    t.chains.emplace_back("SALLYPORT-UDP");
    t.rules.push_back("SALLYPORT-UDP -m connmark ! --mark " + hex(plan_.mark.encode(FlowMark::kAllow, plan_.generation)) + '/' +
                      hex(plan_.mark.mask()) + " -g SALLYPORT-EVAL");
    t.rules.push_back("SALLYPORT-UDP -p udp -m udp --dport 53 " + queue());
    t.rules.push_back("SALLYPORT-UDP -p udp -m bpf --bytecode \"" + long_header_filter(family_) + "\" " +
                      queue());
    // An aggregate (UDP_SEGMENT) may hide an Initial of 1200 bytes behind a first datagram as long.
    t.rules.push_back("SALLYPORT-UDP -p udp -m length --length " + std::string(v6() ? "2448" : "2428") + ":65535 " +
                      queue());
  }

  // add_replies: the server's direction of flows that are watched or denied. In FORWARD the packet's mark tells the
  // worker that it is so; in INPUT the hook does.
  void add_replies(TableText& t, bool tell_direction) const {
    const std::string chain = "SALLYPORT-REPLY";
    t.chains.push_back(chain);
    if (enforce()) {
      t.rules.push_back(chain + ' ' + maybe_denied() + " -g SALLYPORT-DEAF");
      t.chains.emplace_back("SALLYPORT-DEAF");
      for (const FlowMark verdict : kDenyMarks) {
        t.rules.push_back("SALLYPORT-DEAF " + flow_verdict(verdict) + " -j DROP");
      }
    }
    t.rules.push_back(chain + " -m connmark ! --mark " + hex(plan_.mark.encode(FlowMark::kWatch, plan_.generation)) + '/' +
                      hex(plan_.mark.mask()) + " -j RETURN");
    // What ends a watch is nearly always a segment with data, whose acknowledgement says as much as a bare
    // one. A few bare ones are looked at all the same, for servers that only listen.
    for (const std::string& ports : unheard_ports(plan_.heard_ports)) {
      t.rules.push_back(chain + " -p tcp" + ports + " -m bpf --bytecode \"" + pure_ack_filter(family_) +
                        "\" -m statistic --mode random --probability 0.9 -j RETURN");
    }
    // An error about a watched flow is the network's word, not the server's: path MTU discovery needs it.
    const bool icmp_replies = !icmp_requests().empty();
    if (icmp_replies) t.rules.push_back(chain + ' ' + icmp() + " -m conntrack --ctstate RELATED -j RETURN");
    if (tell_direction) {
      t.rules.push_back(chain + " -j MARK --set-xmark " + hex(plan_.mark.encode(FlowMark::kReply, 0)) + '/' +
                        hex(plan_.mark.mask()));
    }
    for (const std::string& transport : transports()) {
      t.rules.push_back(chain + " -p " + transport + ' ' + queue());
    }
    if (icmp_replies) t.rules.push_back(chain + ' ' + icmp() + ' ' + queue());
    if (tell_direction) t.rules.push_back(chain + ' ' + clear_mark());
  }

  // add_sources: a frame may carry any source address. One whose source is not behind the inside interface that it came
  // in by is dropped before it means anything: it could be taken for a resolver's answer, or begin a flow that seems to
  // come from outside, whose other direction nobody inspects. Packets of allowed flows can do neither, but for a SYN.
  void add_sources(TableText& t) const {
    const std::string chain = "SALLYPORT-PRE";
    t.chains.push_back(chain);
    t.rules.push_back(chain + " ! -i lo " + marked(plan_.mark.mask()) + " -j SALLYPORT-STRIP");
    // Redirects are RELATED to what they are about, so they come before what allowed flows are spared.
    const std::string routers = "SALLYPORT-ROUTER";
    t.chains.push_back(routers);
    t.rules.push_back(chain + ' ' + icmp() + " -j " + routers);
    for (const std::string& name : plan_.inside) {
      for (const unsigned type : v6() ? std::array{134U, 137U} : std::array{5U, 9U}) {  // RFC 4861 §4.2, §4.5; RFC 792, RFC 1256
        t.rules.push_back(routers + " -i " + name + ' ' + icmp_type(type) + " -j DROP");
      }
    }
    t.rules.push_back(chain + ' ' + let_go());
    t.rules.push_back(chain + ' ' + let_go_other());
    for (const std::string& name : plan_.inside) {
      t.rules.push_back(chain + " -i " + name + " -m rpfilter --invert -j DROP");
    }
    t.jumps.push_back("PREROUTING -j " + chain);
  }

  // add_reject answers for a packet of a denied flow; anything that reaches its end is dropped. A client that has been told
  // in words closes, and would wait for the server's end of it: its FIN gets a reset.
  void add_reject(TableText& t, const std::string& chain) const {
    t.chains.push_back(chain);
    t.rules.push_back(chain + " -p tcp " + flow_verdict(FlowMark::kReset) +
                      " -j REJECT --reject-with tcp-reset");
    t.rules.push_back(chain + " -p tcp " + flow_verdict(FlowMark::kSilent) +
                      " -m tcp --tcp-flags FIN FIN -j REJECT --reject-with tcp-reset");
    t.rules.push_back(chain + ' ' + flow_verdict(FlowMark::kIcmp) + " -j REJECT --reject-with " + admin_prohibited());
    t.rules.push_back(chain + " -j DROP");
  }

  // add_icmp: of ICMP only requests that some rule lists go to the queue. Errors that a process or a workload makes could
  // carry anything to anyone, RELATED or not. In the mangle table nothing can be rejected: an echo request that is refused
  // gets a mark there, and filter FORWARD answers.
  void add_icmp(TableText& t, bool forwarded) const {
    const std::string chain = "SALLYPORT-ICMP";
    t.chains.push_back(chain);
    if (enforce() && !forwarded) add_own_icmp(t, chain);
    if (enforce()) {
      t.rules.push_back(chain + " -m conntrack --ctstate INVALID,RELATED,UNTRACKED -j DROP");
      t.rules.push_back(chain + " -m conntrack --ctdir REPLY " + (forwarded ? "-g SALLYPORT-REPLY" : "-j RETURN"));
    }
    const std::vector<std::uint8_t> requests = icmp_requests();
    for (const std::uint8_t type : requests) t.rules.push_back(chain + ' ' + icmp_type(type) + " -g SALLYPORT-EVAL");
    if (!enforce()) return;
    const std::uint8_t echo = v6() ? 128 : 8;
    if (plan_.answer_refused && std::ranges::find(requests, echo) == requests.end()) {
      if (forwarded) {
        t.rules.push_back(chain + ' ' + icmp_type(echo) + " -j CONNMARK --set-xmark " +
                          hex(plan_.mark.encode(FlowMark::kIcmp, plan_.generation)) + '/' + hex(plan_.mark.mask()));
        t.rules.push_back(chain + ' ' + icmp_type(echo) + ' ' + flow_verdict(FlowMark::kIcmp) + " -j RETURN");
      } else {
        t.rules.push_back(chain + ' ' + icmp_type(echo) + " -j REJECT --reject-with " + admin_prohibited());
      }
    }
    t.rules.push_back(chain + " -j DROP");
  }

  // made_by_kernel matches what this host's kernel itself sends: no process owns the socket, so no uid matches.
  static std::string made_by_kernel() { return "-m owner ! --uid-owner 0-4294967294"; }

  // add_own_icmp: what the kernel itself makes, errors and path MTU discovery among it, passes. Neighbour discovery and
  // multicast listener reports may also come from a process (a network manager), but only to this link.
  void add_own_icmp(TableText& t, const std::string& chain) const {
    t.rules.push_back(chain + ' ' + made_by_kernel() + " -j RETURN");
    if (!v6()) return;
    for (const char* link : {"fe80::/10", "ff02::/16"}) {
      for (const unsigned type : {133U, 134U, 135U, 136U}) {  // RFC 4861 §4.1 to §4.4
        t.rules.push_back(chain + " -d " + link + ' ' + icmp_type(type) + " -j RETURN");
      }
    }
    for (const unsigned type : {131U, 132U, 143U}) {  // RFC 2710 §3, RFC 3810 §5.2
      t.rules.push_back(chain + " -d ff02::/16 " + icmp_type(type) + " -j RETURN");
    }
  }

  // add_other: what this host sends of protocols that no rule allows. Group reports of the kernel pass (RFC 3376).
  void add_other(TableText& t) const {
    const std::string chain = "SALLYPORT-OTHER";
    t.chains.push_back(chain);
    if (!v6()) t.rules.push_back(chain + " -d 224.0.0.0/4 -p 2 " + made_by_kernel() + " -j RETURN");
    t.rules.push_back(chain + " -j DROP");
  }

  // add_loopback_sources: any process may send from an outside address (IPV6_FREEBIND), to this host, over the loopback. To
  // connection tracking that is a flow that others opened, whose other direction leaves without inspection. Only a reset of
  // ours in the name of a server that was refused has such a source.
  void add_loopback_sources(TableText& t, const std::string& loopback) const {
    t.rules.push_back(loopback + " -p tcp -m tcp --tcp-flags RST RST " + made_by_kernel() + " -j RETURN");
    t.rules.push_back(loopback + " -m addrtype ! --src-type LOCAL -j DROP");
  }

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

  const RulePlan& plan_;
  Family family_;
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
