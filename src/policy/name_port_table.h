// NamePortTable answers, before any byte of a flow is seen, whether a rule that goes by name could match
// it at all: by port, transport, scope and time. It errs on the side of "could".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "rule.h"

namespace sallyport::policy {

class NamePortTable {
 public:
  NamePortTable();

  // Action and Bind; kDenyUnnamed are those of kDeny that are about protocols which carry no name, and kDenyDatagrams
  // those of these that are about one which a datagram shows. The last two are those of kAllowStrict and kAllowAny that are not
  // for proxies: what a proxy may be asked for.
  enum class Kind : std::uint8_t { kDeny, kAllowStrict, kAllowAny, kDenyUnnamed, kDenyDatagrams, kAllowStrictTarget, kAllowAnyTarget };

  // build takes the terms of every rule that has a name among its targets.
  void build(std::span<const RuleTerms* const> rules);

  bool could_match(Kind kind, Transport transport, std::uint16_t port, ScopeSet scopes,
                   Timestamp now) const;

 private:
  struct Slot {
    ScopeSet scopes = 0;
    bool every_flow = false;
    Timestamp until = Timestamp::min();  // When the last of its rules expires.
  };
  struct Segment {
    std::uint16_t first = 0;
    std::array<Slot, 28> slots;  // slot_index
  };
  static std::size_t slot_index(Kind kind, Transport transport) {
    const std::size_t column = transport == Transport::kTcp ? 0 : transport == Transport::kUdp ? 1 : transport == Transport::kOther ? 2 : 3;
    return 4 * static_cast<std::size_t>(kind) + column;
  }

  void add(const RuleTerms& rule, PortRange range, RuleProtocols protocols);

  std::vector<Segment> segments_;  // Sorted by `first`; the first begins at port 0.
};

// port_ranges_of calls `visitor(PortRange, RuleProtocols)` for each range of ports with the protocols that
// the rule is about there.
template <typename Visitor>
void port_ranges_of(const RuleTerms& rule, Visitor&& visitor) {
  for (const PortRange& range : rule.ports) visitor(range, rule.protocols);
  if (!rule.ports.empty()) return;
  for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
    const RuleProtocols bit = RuleProtocols{1} << i;
    if ((rule.protocols & bit) == 0) continue;
    if ((bit & kPortlessProtocols) != 0) visitor(PortRange{0, 0}, bit);
    for (const std::uint16_t port : kRuleWords[i].ports) {
      if (port != 0) visitor(PortRange{port, port}, bit);
    }
  }
}

}  // namespace sallyport::policy
