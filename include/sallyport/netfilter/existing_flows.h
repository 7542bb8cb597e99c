// ExistingFlows is a snapshot of the TCP connections that others had opened to this host when inspection
// began: their local port is one that a socket listens on, and connection tracking has not seen this host
// open them. Where connection tracking only starts now, the next packet of such a connection may be one that
// we send; it would then look like the beginning of an outgoing flow in its middle and be denied: the
// administrator's own SSH session among them. The worker lets these flows pass. A connection attempt that is
// under way (SYN-SENT) never counts, and a SYN on such a tuple ends its admission: a new connection is judged.
// With defaults.existing, connections that this host or a workload opened are allowed or cut as well: these
// are in sets of their own, which later snapshots share.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/netfilter/conntrack.h"

namespace sallyport::netfilter {

// TcpSocket is a line of the kernel's socket list. IPv4-mapped addresses are unmapped.
struct TcpSocket {
  Endpoint local;
  Endpoint remote;
  bool listening = false;
};

// list_tcp_sockets asks sock_diag for listening and connected sockets, IPv4 and IPv6, of this network
// namespace; sockets in SYN-SENT and SYN-RECV are left out.
std::expected<std::vector<TcpSocket>, std::string> list_tcp_sockets();

// ConnectionSet is a set of TCP connections, from which a SYN takes the one that it begins anew. Its members never change
// otherwise; any thread may call.
class ConnectionSet {
 public:
  ConnectionSet() = default;
  explicit ConnectionSet(std::span<const FlowKey> keys);
  // has tells whether a packet from the client, or with `reply` one from the server, belongs to one of them. Never allocates.
  bool has(ByteSpan packet, bool reply = false) const;
  std::size_t size() const { return flows_.size(); }
  // contains tells whether this very connection is among them.
  bool contains(const FlowKey& key) const;
  // keys returns those that no SYN has taken.
  std::vector<FlowKey> keys() const;

 private:
  struct Flow {
    Endpoint client;
    Endpoint server;
    friend auto operator<=>(const Flow&, const Flow&) = default;
  };
  std::vector<Flow> flows_;                     // Sorted, none twice.
  std::unique_ptr<std::atomic<bool>[]> ended_;  // By the index of the flow.
};

// opened_connections returns those whose opener connection tracking has seen.
ConnectionSet opened_connections(std::span<const ConntrackEntry> entries);

// outgoing_connections returns, of all sockets, the connections that this host opened to others, whose end is not on this host: those in
// `opened`, and others if nothing listens on their local port. A process may listen on the port of a connection that it opened itself.
std::vector<FlowKey> outgoing_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& opened);

// incoming_connections returns the others, this host's end as the client.
std::vector<FlowKey> incoming_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& opened);

class ExistingFlows {
 public:
  using Shared = std::shared_ptr<const ConnectionSet>;
  ExistingFlows() = default;
  // `opened` as above. Either set may be null.
  ExistingFlows(const std::vector<TcpSocket>& sockets, const ConnectionSet& opened, Shared allowed = nullptr, Shared cut = nullptr);

  // admit tells whether a packet that this host sends belongs to such a connection. Never allocates;
  // any thread may call.
  bool admit(ByteSpan packet) const;
  // cuts tells whether a packet from a client, or with `reply` from a server, is of a connection that is to be ended. As admit.
  bool cuts(ByteSpan packet, bool reply) const { return cut_ != nullptr && cut_->has(packet, reply); }
  std::size_t size() const { return incoming_.size(); }

 private:
  ConnectionSet incoming_;
  Shared allowed_;
  Shared cut_;
};

}  // namespace sallyport::netfilter
