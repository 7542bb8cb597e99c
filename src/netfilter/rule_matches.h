// RuleMatches is what the rules of a plan say again and again: matches and targets as iptables spells them. docs/netfilter.md has the reasons.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/netfilter/rule_text.h"
#include "table_text.h"

namespace sallyport::netfilter {

inline constexpr std::array kDenyMarks = {FlowMark::kReset, FlowMark::kSilent, FlowMark::kIcmp};

// RuleMatches lives no longer than the plan that it is given.
class RuleMatches {
 public:
  RuleMatches(const RulePlan& plan, Family family) : plan_(plan), family_(family) {}

 protected:
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

  // made_by_kernel matches what this host's kernel itself sends: no process owns the socket, so no uid matches.
  static std::string made_by_kernel() { return "-m owner ! --uid-owner 0-4294967294"; }

  const RulePlan& plan_;
  Family family_;
};

}  // namespace sallyport::netfilter
