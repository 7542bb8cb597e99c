// WaitShares bounds what flows that wait for a binding use, and what of it one client may: a client that knocks at
// thousands of unbound addresses must not use up the held packets that others' hellos need (R17).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "keyed_hash.h"
#include "sallyport/core/flow_key.h"

namespace sallyport::engine {

class WaitShares {
 public:
  // Place is where a client is counted. Clients whose hashes meet share one, and so have a smaller share each.
  using Place = std::uint16_t;

  // At most `bound` flows and `bound` packets in all, and `client_bound` of each for one client.
  WaitShares(std::size_t bound, std::size_t client_bound, const HashKey& key)
      : bound_(bound), client_bound_(client_bound), key_(key), clients_(kPlaces) {}

  // place_of: a client is an address and, on this host, a user. In a tunnel anyone may write any address: there it is
  // the tunnel.
  Place place_of(const FlowKey& flow, std::uint32_t uid) const {
    std::array<std::uint64_t, 3> text{};
    if (flow.tunnel != 0) {
      text[0] = flow.tunnel;
    } else {
      const ByteSpan address = flow.client.address.bytes();
      std::memcpy(text.data(), address.data(), std::min<std::size_t>(address.size(), 16));
      text[2] = uid;
    }
    return static_cast<Place>(keyed_hash(key_, reinterpret_cast<const std::uint8_t*>(text.data()), sizeof text) % kPlaces);
  }

  // enter begins the wait of a flow that holds `packets` already; false: there is no room.
  bool enter(Place place, std::size_t packets) {
    Share& client = clients_[place];
    if (all_.flows >= bound_ || all_.packets + packets > bound_) return false;
    if (client.flows >= client_bound_ || client.packets + packets > client_bound_) return false;
    ++all_.flows, ++client.flows;
    all_.packets += packets, client.packets += packets;
    return true;
  }
  void leave(Place place, std::size_t packets) {
    --all_.flows, --clients_[place].flows;
    give_back(place, packets);
  }

  // take is for one more packet of a flow that waits; false: there is no room.
  bool take(Place place) {
    Share& client = clients_[place];
    if (all_.packets >= bound_ || client.packets >= client_bound_) return false;
    ++all_.packets, ++client.packets;
    return true;
  }
  void give_back(Place place, std::size_t packets) {
    all_.packets -= packets;
    clients_[place].packets -= packets;
  }

  std::size_t flows() const { return all_.flows; }
  std::size_t packets() const { return all_.packets; }

 private:
  static constexpr std::size_t kPlaces = 4'096;
  struct Share {
    std::size_t flows = 0;
    std::size_t packets = 0;
  };

  std::size_t bound_;
  std::size_t client_bound_;
  HashKey key_;
  Share all_;
  std::vector<Share> clients_;
};

}  // namespace sallyport::engine
