// What a policy may deny that the one before it allowed: for connections of which only the addresses are known, since they are older
// than the service (docs/netfilter.md, "Reload").
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sallyport/core/domain_name.h"
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

  bool empty() const { return !everything_ && lost_.empty() && denied_.empty(); }
  // may_lack tells whether a rule that is gone, may_deny whether a deny rule that has come, could be about a flow to this server, `names`
  // being what its address is known as. They err on the side of "could": scopes and what the flow said are not asked.
  bool may_lack(Transport transport, const IpAddress& server, std::uint16_t port, std::span<const DomainName> names) const;
  bool may_deny(Transport transport, const IpAddress& server, std::uint16_t port, std::span<const DomainName> names) const;

 private:
  static bool has(const CompiledRules& rules, std::span<const RuleId> meant, std::span<const RuleId> by_claim, Transport transport,
                  const IpAddress& server, std::uint16_t port, std::span<const DomainName> names);

  std::shared_ptr<const Policy> before_;
  std::shared_ptr<const Policy> after_;
  bool everything_ = false;
  std::vector<RuleId> lost_;    // Allow rules of before_. Sorted.
  std::vector<RuleId> denied_;  // Deny rules of after_. Sorted.
  std::vector<RuleId> proxies_;  // Allow rules of before_ for proxies, lost or not.
  std::vector<RuleId> lost_by_claim_, denied_by_claim_, proxies_by_claim_;  // Those of them whose names may be at any address.
  bool ice_ = false;             // A rule is lost that let sockets go on to peers.
};

}  // namespace sallyport::policy
