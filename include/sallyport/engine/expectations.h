// Expectations are the short, exact permissions that one flow opens for another: an FTP server's data port, and the UDP
// socket that a STUN server has answered (ICE). Shared by the workers, as queues hash the addresses and the flow that is
// expected may come to another one. All memory is taken in the constructor.
//
// There are locks here, though this is the packet path: they are taken when something is announced, and at the first packet
// of a flow that no rule allows so far, while anything is expected at all (one relaxed load tells). Each is held for a look
// at one set of kExpectationsPerClient slots.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "sallyport/core/decision.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

class Expectations {
 public:
  // Owner is whose flow announces; the flow that is expected must be of the same.
  struct Owner {
    policy::ScopeSet scopes = 0;
    std::optional<std::uint32_t> uid;
  };

  // What announced is known by its rule's definition (Policy::definition_of), which means the same to the policy of another time.
  using Announcer = std::uint64_t;

  // `hash_key` must be secret: expectations are told apart by 64 bits of a keyed hash, and the clients share `sets` sets.
  explicit Expectations(std::array<std::uint64_t, 2> hash_key = {}, std::size_t sets = kExpectationSets);
  ~Expectations();
  Expectations(const Expectations&) = delete;
  Expectations& operator=(const Expectations&) = delete;

  // All functions: thread-safe, no allocation. What is at a bound is refused; nothing that is expected gives way.

  // expect_connection lets one TCP connection from `client` to `server` begin within kFtpDataTime. Announced again it is
  // still one, and begins anew. False: no room.
  bool expect_connection(const IpAddress& client, const Endpoint& server, const Owner& owner, Announcer rule, Timestamp now);
  // take_connection uses an expectation up and returns the rule of the flow that announced it.
  std::optional<Announcer> take_connection(const FlowKey& key, const Owner& owner, Timestamp now);

  // open_socket lets a client's UDP socket begin flows to peers for kIceSocketTime, or prolongs that. False: no room.
  bool open_socket(const Endpoint& client, const Owner& owner, Announcer rule, Timestamp now);
  // socket_open tells whether a flow from this socket could be expected, without using anything up.
  bool socket_open(const Endpoint& client, const Owner& owner, Timestamp now);

  enum class Peer : std::uint8_t { kNotOpen, kTooMany, kTaken };
  // take_peer counts one more peer of the socket; more than kIcePeersPerSocket within kIceSocketTime are too many.
  Peer take_peer(const Endpoint& client, const Owner& owner, Timestamp now, Announcer& rule);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::engine
