// What a policy may deny that the one before it allowed: for connections of which only the addresses are known, since no worker
// remembers them (docs/netfilter.md, "Reload").
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::policy {

// PolicyLoss holds the rules that make the difference. Immutable; copies share.
class PolicyLoss {
 public:
  PolicyLoss() = default;  // Nothing is lost.
  // What `before` allowed at `judged`, and `after` may not allow at `now`. Rules that stand word for word are no loss, wherever they stand.
  PolicyLoss(std::shared_ptr<const Policy> before, Timestamp judged, std::shared_ptr<const Policy> after, Timestamp now);

  bool empty() const { return !everything_ && lost_.rules.empty() && denied_.rules.empty(); }
  // may_lose tells whether a rule that is gone, or a deny rule that has come, could be about a flow to this server. It errs on the side of
  // "could": what the flow's scopes are, and what it said, nobody knows any more. A rule with names could be about any address at its
  // ports: what an address was known as when the flow began may have run out since, though other names of it live.
  bool may_lose(Transport transport, const IpAddress& server, std::uint16_t port) const;

 private:
  // Meant is the rules of one policy that a question is about. Both are sorted.
  struct Meant {
    std::vector<RuleId> rules;
    std::vector<RuleId> named;  // Those with names among their targets.
  };
  static void find_named(const CompiledRules& rules, Meant& meant);
  static bool has(const CompiledRules& rules, const Meant& meant, Transport transport, const IpAddress& server, std::uint16_t port);
  // stands tells whether `after` allows the flow by its address alone, whichever scopes it is in.
  bool stands(Transport transport, const IpAddress& server, std::uint16_t port) const;

  std::shared_ptr<const Policy> before_;
  std::shared_ptr<const Policy> after_;
  Timestamp now_{};
  bool everything_ = false;
  bool more_tunnels_ = false;  // `after` looks into tunnels that `before` passed.
  bool ice_ = false;           // A rule is lost that let sockets go on to peers.
  Meant lost_;                 // Allow rules of before_.
  Meant denied_;               // Deny rules of after_.
  Meant proxies_;              // Allow rules of before_ for proxies, lost or not.
};

}  // namespace sallyport::policy
