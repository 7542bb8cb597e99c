#include "existing_start.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sallyport/netfilter/socket_end.h"

namespace sallyport::daemon {
namespace {

using netfilter::ConntrackEntry;
using Entries = std::vector<ConntrackEntry>;
using Sets = std::expected<ExistingSets, std::string>;

using Outcome = std::expected<void, std::string>;

// came_in returns what others opened to this host: what is known of that, and what connection tracking has seen begin.
netfilter::ConnectionSet came_in(const std::vector<netfilter::TcpSocket>& sockets, const Entries& entries,
                                 const std::shared_ptr<const netfilter::ConnectionSet>& known) {
  std::vector<FlowKey> keys = netfilter::came_in_by_tracking(sockets, entries);
  if (known != nullptr) std::ranges::copy(known->keys(), std::back_inserter(keys));
  return netfilter::ConnectionSet(keys);
}

std::shared_ptr<const netfilter::ConnectionSet> set_of(std::span<const FlowKey> keys) {
  return std::make_shared<const netfilter::ConnectionSet>(keys);
}

// forget_marks takes the verdicts off that are not of the generation that is believed: a generation comes round again, and what an earlier policy of
// it allowed is not this one's.
Outcome forget_marks(netfilter::Conntrack& conntrack, std::span<const ConntrackEntry> entries, const netfilter::MarkField& mark, const Start& start) {
  Entries former;
  for (const ConntrackEntry& entry : entries) {
    if ((entry.mark & mark.mask()) == 0 || mark.generation_in(entry.mark) == start.believed) continue;
    former.push_back(entry);
  }
  return conntrack.set_mark(former, FlowMark::kUndecided, start.plan.generation);
}

// Where nothing tracked connections so far, the host's own are known by their sockets alone, and the workers let these pass.
Sets allow(netfilter::Conntrack& conntrack, const Entries& entries, const Start& start) {
  const netfilter::RulePlan& plan = start.plan;
  const Entries kept = keep_existing(entries, plan.mark, start.guarded);
  if (const Outcome forgotten = forget_marks(conntrack, entries, plan.mark, start); !forgotten) return std::unexpected(forgotten.error());
  if (const Outcome set = conntrack.set_mark(kept, FlowMark::kAllow, plan.generation); !set) return std::unexpected(set.error());
  if (start.guarded || !plan.output) return ExistingSets{};
  const auto sockets = netfilter::list_tcp_sockets();
  if (!sockets) return std::unexpected(sockets.error());
  std::vector<FlowKey> keys = netfilter::outgoing_connections(*sockets, came_in(*sockets, entries, start.incoming));
  std::erase_if(keys, [](const FlowKey& key) { return key.server.port == kDnsPort; });
  return ExistingSets{.allowed = set_of(keys), .cut = nullptr, .ended = 0, .watched = 0};
}

// First the sockets: no rule, or the mark of an earlier run, still lets their RST through. Whatever has none here is watched,
// and ended by the worker at its next packet, whichever side sends it.
Sets kill(netfilter::Conntrack& conntrack, const Entries& entries, const Start& start) {
  const netfilter::RulePlan& plan = start.plan;
  std::vector<FlowKey> cut;
  netfilter::ConnectionSet incoming;
  std::size_t ended = 0;
  if (plan.output) {
    const auto listed = netfilter::list_tcp_sockets();
    if (!listed) return std::unexpected(listed.error());
    auto sockets = netfilter::TcpSockets::open();
    if (!sockets) return std::unexpected(sockets.error());
    incoming = came_in(*listed, entries, start.incoming);
    for (const FlowKey& key : netfilter::outgoing_connections(*listed, incoming)) {
      const netfilter::SocketEnd end = (*sockets)->end(key);
      if (end == netfilter::SocketEnd::kEnded) ++ended;
      if (end == netfilter::SocketEnd::kRefused) cut.push_back(key);
    }
  }
  std::vector<ConntrackEntry> watched, marked;
  for (const ConntrackEntry& entry : entries) {
    if ((entry.mark & plan.mark.deny_bit()) != 0 && plan.mark.generation_in(entry.mark) == start.believed) continue;  // It is denied as it is.
    if (entry.key.transport == Transport::kTcp) {
      // Tracking may have begun with a packet of ours: the administrator's session looks like one that we opened.
      if (incoming.contains(entry.key) || incoming.contains(entry.key.reversed())) continue;
      cut.push_back(entry.key);
      watched.push_back(entry);
    } else if ((entry.mark & plan.mark.mask()) != 0) {
      marked.push_back(entry);
    }
  }
  if (const Outcome forgotten = forget_marks(conntrack, entries, plan.mark, start); !forgotten) return std::unexpected(forgotten.error());
  if (const Outcome set = conntrack.set_mark(watched, FlowMark::kWatch, plan.generation); !set) return std::unexpected(set.error());
  if (const Outcome set = conntrack.set_mark(marked, FlowMark::kUndecided, plan.generation); !set) return std::unexpected(set.error());
  const auto set = set_of(cut);
  return ExistingSets{.allowed = nullptr, .cut = set, .ended = ended, .watched = set->size()};
}

}  // namespace

Entries keep_existing(std::span<const ConntrackEntry> entries, const netfilter::MarkField& mark, bool guarded) {
  Entries kept;
  for (const ConntrackEntry& entry : entries) {
    const bool has_ports = entry.key.transport == Transport::kTcp || entry.key.transport == Transport::kUdp;
    if (!has_ports || !entry.confirmed_reply || entry.key.server.port == kDnsPort) continue;
    if ((entry.mark & mark.deny_bit()) != 0) continue;
    const bool unmarked = (entry.mark & mark.mask()) == 0;
    const bool observed = !unmarked && mark.generation_in(entry.mark) == netfilter::kObserveGeneration;
    const bool allowed = mark.verdict_of(entry.mark) == FlowMark::kAllow;
    if (allowed || observed || (unmarked && !guarded)) kept.push_back(entry);
  }
  return kept;
}

Sets settle_existing(policy::Existing existing, const Start& start) {
  auto conntrack = netfilter::Conntrack::open(start.plan.mark);
  if (!conntrack) return std::unexpected(conntrack.error());
  const auto entries = (*conntrack)->list(0, 0);
  if (!entries) return std::unexpected(entries.error());
  switch (existing) {
    case policy::Existing::kAllow: return allow(**conntrack, *entries, start);
    case policy::Existing::kKill: return kill(**conntrack, *entries, start);
    case policy::Existing::kJudge: break;
  }
  if (const Outcome forgotten = forget_marks(**conntrack, *entries, start.plan.mark, start); !forgotten) return std::unexpected(forgotten.error());
  return ExistingSets{};
}

}  // namespace sallyport::daemon
