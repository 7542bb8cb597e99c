// Incoming finds out, before anything is judged, which TCP connections others had opened to this host, and keeps them in a file beside the
// control socket, with the numbers of their sockets: where a service has been at work, what has a listener at its port need not have come in. A
// process may listen on the port of a connection that it opened itself, and wait until connection tracking has forgotten that. Main thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/flow_key.h"
#include "sallyport/netfilter/conntrack.h"
#include "sallyport/netfilter/existing_flows.h"

namespace sallyport::daemon {

// incoming_path returns "DIR/NAME.incoming.json" for a control socket "DIR/NAME.sock"; empty for an abstract one.
std::string incoming_path(const std::string& control_path);

class Incoming {
 public:
  using Say = std::function<void(const std::string&)>;
  // An empty path: nothing is kept over a restart.
  explicit Incoming(std::string path) : path_(std::move(path)) {}

  // look takes what listens, and is connected, for what it seems: nobody was watched until now. A second look adds to the first.
  void look(const std::vector<netfilter::TcpSocket>& sockets, const netfilter::ConnectionSet& opened);
  // restore takes what the last run has kept, as far as it has the same sockets still, and `proven`, which connection tracking has seen begin.
  // False: no run has kept anything, so nobody was watched.
  bool restore(const std::vector<netfilter::TcpSocket>& sockets, std::span<const FlowKey> proven, const Say& say);
  // save writes them; at most kIncomingKept.
  void save(const Say& say) const;
  // remove deletes the file: the rules are gone, and whoever looks next looks anew.
  void remove() const;

  // connections is null when there are none. This host's end is the client.
  const std::shared_ptr<const netfilter::ConnectionSet>& connections() const { return set_; }

 private:
  void hold(std::vector<netfilter::TcpSocket> sockets);

  std::string path_;
  std::vector<netfilter::TcpSocket> sockets_;  // This host's ends, none twice.
  std::shared_ptr<const netfilter::ConnectionSet> set_;
};

// incoming_text and incoming_from_text are the file's form. What makes no sense is left out; none of ours: nothing.
std::string incoming_text(std::span<const netfilter::TcpSocket> sockets);
std::vector<netfilter::TcpSocket> incoming_from_text(std::string_view text);

}  // namespace sallyport::daemon
