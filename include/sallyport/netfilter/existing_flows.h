// ExistingFlows is the TCP connections that are older than inspection, as the workers need them. Those that others had opened to this host:
// where connection tracking only starts now, the next packet of such a connection may be one that we send; it would then look like the
// beginning of an outgoing flow in its middle and be denied: the administrator's own SSH session among them. The worker lets these flows
// pass. Which they are is found out once, before anything is judged, and kept from then on (daemon/incoming.h). A connection attempt that is
// under way (SYN-SENT) never counts, and a SYN on such a tuple ends its admission: a new connection is judged. With defaults.existing,
// connections that this host or a workload opened are allowed or cut as well: these are in sets of their own.
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
  std::uint64_t cookie = 0;  // The kernel's number of this very socket, until the next boot.
};

// key_of returns a connected socket's connection, this host's end as the client.
FlowKey key_of(const TcpSocket& socket);

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
  // contains tells whether this very connection is among them, and no SYN has taken it.
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

// came_in_by_tracking returns, of the connections that have a socket here, those that connection tracking has seen others open, this
// host's end as the client.
std::vector<FlowKey> came_in_by_tracking(const std::vector<TcpSocket>& sockets, std::span<const ConntrackEntry> entries);

// incoming_connections returns, of all sockets, those that others may have opened to this host, this host's end as the client: something
// listens on the local port, and it is not in `opened`. It is a guess, and of use only where nobody was watched before: a process may listen on
// the port of a connection that it opened itself, and see to it that connection tracking forgets that.
std::vector<FlowKey> incoming_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& opened);

// outgoing_connections returns the connections that are not in `incoming` and whose other end is not on this host.
std::vector<FlowKey> outgoing_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& incoming);

class ExistingFlows {
 public:
  using Shared = std::shared_ptr<const ConnectionSet>;
  ExistingFlows() = default;
  // Any set may be null. `incoming` has this host's end as the client.
  explicit ExistingFlows(Shared incoming, Shared allowed = nullptr, Shared cut = nullptr);

  // admit tells whether a packet that this host sends belongs to such a connection. Never allocates;
  // any thread may call.
  bool admit(ByteSpan packet) const;
  // cuts tells whether a packet from a client, or with `reply` from a server, is of a connection that is to be ended. As admit.
  bool cuts(ByteSpan packet, bool reply) const { return cut_ != nullptr && cut_->has(packet, reply); }

 private:
  Shared incoming_;
  Shared allowed_;
  Shared cut_;
};

}  // namespace sallyport::netfilter
