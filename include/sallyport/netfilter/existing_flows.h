// ExistingFlows is a snapshot of the TCP connections that others had opened to this host when inspection
// began: their local port is one that a socket listens on. Where connection tracking only starts now, the
// next packet of such a connection may be one that we send; it would then look like the beginning of an
// outgoing flow in its middle and be denied: the administrator's own SSH session among them. The worker lets
// these flows pass. A connection attempt that is under way (SYN-SENT) never counts, and a SYN on such a tuple
// ends its admission: a new connection is judged.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/core/flow_key.h"

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

class ExistingFlows {
 public:
  ExistingFlows() = default;
  explicit ExistingFlows(const std::vector<TcpSocket>& sockets);

  // admit tells whether a packet that this host sends belongs to such a connection. Never allocates;
  // any thread may call.
  bool admit(ByteSpan packet) const;
  bool empty() const { return flows_.empty(); }
  std::size_t size() const { return flows_.size(); }

 private:
  struct Flow {
    Endpoint local;
    Endpoint remote;
    friend auto operator<=>(const Flow&, const Flow&) = default;
  };
  std::vector<Flow> flows_;                     // Sorted.
  std::unique_ptr<std::atomic<bool>[]> ended_;  // By the index of the flow.
};

}  // namespace sallyport::netfilter
