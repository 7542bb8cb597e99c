// VerdictChains writes the chains that several hooks enter, each into the table that it is given; rule_text.cc has the hooks.
#pragma once

#include <string>
#include <string_view>

#include "rule_matches.h"

namespace sallyport::netfilter {

class VerdictChains : public RuleMatches {
 public:
  using RuleMatches::RuleMatches;

 protected:
  // add_verdict: what happens to a packet that comes back from the queue. Its verdict is saved to the ct
  // mark and taken off the packet, so that later rules and routing see the packet as it was.
  void add_verdict(TableText& t, std::string_view deny_chain) const;
  // add_again: a further packet of a flow that was denied, by this policy or by an earlier one.
  void add_again(TableText& t, const std::string& when_denied) const;
  // add_eval: the original direction of a TCP or UDP flow. TCP flows that are allowed do not come here.
  void add_eval(TableText& t, const std::string& when_denied) const;
  // add_replies: the server's direction of flows that are watched or denied. In FORWARD the packet's mark tells the
  // worker that it is so; in INPUT the hook does.
  void add_replies(TableText& t, bool tell_direction) const;
  // add_sources: a frame may carry any source address. One whose source is not behind the inside interface that it came
  // in by is dropped before it means anything: it could be taken for a resolver's answer, or begin a flow that seems to
  // come from outside, whose other direction nobody inspects. Packets of allowed flows can do neither, but for a SYN.
  void add_sources(TableText& t) const;
  // add_reject answers for a packet of a denied flow; anything that reaches its end is dropped. A client that has been told
  // in words closes, and would wait for the server's end of it: its FIN gets a reset.
  void add_reject(TableText& t, const std::string& chain) const;
  // add_icmp: of ICMP only requests that some rule lists go to the queue. Errors that a process or a workload makes could
  // carry anything to anyone, RELATED or not. In the mangle table nothing can be rejected: an echo request that is refused
  // gets a mark there, and filter FORWARD answers.
  void add_icmp(TableText& t, bool forwarded) const;
  // add_own_icmp: what the kernel itself makes, errors and path MTU discovery among it, passes. Neighbour discovery and
  // multicast listener reports may also come from a process (a network manager), but only to this link.
  void add_own_icmp(TableText& t, const std::string& chain) const;
  // add_other: what this host sends of protocols that no rule allows. Group reports of the kernel pass (RFC 3376).
  void add_other(TableText& t) const;
  // add_loopback_sources: any process may send from an outside address (IPV6_FREEBIND), to this host, over the loopback. To
  // connection tracking that is a flow that others opened, whose other direction leaves without inspection. Only a reset of
  // ours in the name of a server that was refused has such a source.
  void add_loopback_sources(TableText& t, const std::string& loopback) const;
};

}  // namespace sallyport::netfilter
