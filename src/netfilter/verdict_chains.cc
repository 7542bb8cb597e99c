#include "verdict_chains.h"

#include <algorithm>
#include <array>
#include <vector>

#include "heard_ports.h"
#include "packet_filters.h"

namespace sallyport::netfilter {

void VerdictChains::add_verdict(TableText& t, std::string_view deny_chain) const {
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

void VerdictChains::add_again(TableText& t, const std::string& when_denied) const {
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

void VerdictChains::add_eval(TableText& t, const std::string& when_denied) const {
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

void VerdictChains::add_replies(TableText& t, bool tell_direction) const {
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

void VerdictChains::add_sources(TableText& t) const {
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

void VerdictChains::add_reject(TableText& t, const std::string& chain) const {
  t.chains.push_back(chain);
  t.rules.push_back(chain + " -p tcp " + flow_verdict(FlowMark::kReset) +
                    " -j REJECT --reject-with tcp-reset");
  t.rules.push_back(chain + " -p tcp " + flow_verdict(FlowMark::kSilent) +
                    " -m tcp --tcp-flags FIN FIN -j REJECT --reject-with tcp-reset");
  t.rules.push_back(chain + ' ' + flow_verdict(FlowMark::kIcmp) + " -j REJECT --reject-with " + admin_prohibited());
  t.rules.push_back(chain + " -j DROP");
}

void VerdictChains::add_icmp(TableText& t, bool forwarded) const {
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

void VerdictChains::add_own_icmp(TableText& t, const std::string& chain) const {
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

void VerdictChains::add_other(TableText& t) const {
  const std::string chain = "SALLYPORT-OTHER";
  t.chains.push_back(chain);
  if (!v6()) t.rules.push_back(chain + " -d 224.0.0.0/4 -p 2 " + made_by_kernel() + " -j RETURN");
  t.rules.push_back(chain + " -j DROP");
}

void VerdictChains::add_loopback_sources(TableText& t, const std::string& loopback) const {
  t.rules.push_back(loopback + " -p tcp -m tcp --tcp-flags RST RST " + made_by_kernel() + " -j RETURN");
  t.rules.push_back(loopback + " -m addrtype ! --src-type LOCAL -j DROP");
}

}  // namespace sallyport::netfilter
