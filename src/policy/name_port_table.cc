#include "name_port_table.h"

#include <algorithm>

namespace sallyport::policy {

NamePortTable::NamePortTable() : segments_(1) {}

void NamePortTable::build(std::span<const RuleTerms* const> rules) {
  std::vector<std::uint16_t> firsts = {0};
  for (const RuleTerms* rule : rules) {
    port_ranges_of(*rule, [&firsts](PortRange range, RuleProtocols) {
      firsts.push_back(range.first);
      if (range.last != 65'535) firsts.push_back(static_cast<std::uint16_t>(range.last + 1));
    });
  }
  std::sort(firsts.begin(), firsts.end());
  firsts.erase(std::unique(firsts.begin(), firsts.end()), firsts.end());
  segments_.assign(firsts.size(), {});
  for (std::size_t i = 0; i < firsts.size(); ++i) segments_[i].first = firsts[i];
  for (const RuleTerms* rule : rules) {
    port_ranges_of(*rule, [&](PortRange range, RuleProtocols protocols) { add(*rule, range, protocols); });
  }
}

void NamePortTable::add(const RuleTerms& rule, PortRange range, RuleProtocols protocols) {
  const auto begin =
      std::lower_bound(segments_.begin(), segments_.end(), range.first,
                       [](const Segment& segment, std::uint16_t port) { return segment.first < port; });
  const Kind kind = rule.action == Action::kDeny ? Kind::kDeny : rule.bind == Bind::kAny ? Kind::kAllowAny : Kind::kAllowStrict;
  for (auto segment = begin; segment != segments_.end() && segment->first <= range.last; ++segment) {
    for (const Transport transport : {Transport::kTcp, Transport::kUdp, Transport::kOther, Transport::kIcmp}) {
      if ((protocols & protocols_on(transport)) == 0) continue;
      const auto add_to = [&](Slot& slot) {
        slot.scopes |= rule.scopes;
        slot.every_flow |= rule.scopes == 0;
        slot.until = std::max(slot.until, rule.expires);
      };
      add_to(segment->slots[slot_index(kind, transport)]);
      if (kind == Kind::kAllowStrict && !rule.proxy) add_to(segment->slots[slot_index(Kind::kAllowStrictTarget, transport)]);
      if (kind == Kind::kAllowAny && !rule.proxy) add_to(segment->slots[slot_index(Kind::kAllowAnyTarget, transport)]);
      const bool unnamed = (protocols & protocols_on(transport) & ~kNamedProtocols) != 0;
      if (kind == Kind::kDeny && unnamed) add_to(segment->slots[slot_index(Kind::kDenyUnnamed, transport)]);
      const bool datagrams = (protocols & protocols_on(transport) & kDatagramProtocols & ~kNamedProtocols) != 0;
      if (kind == Kind::kDeny && datagrams) add_to(segment->slots[slot_index(Kind::kDenyDatagrams, transport)]);
    }
  }
}

bool NamePortTable::could_match(Kind kind, Transport transport, std::uint16_t port, ScopeSet scopes,
                                Timestamp now) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), port,
                       [](std::uint16_t p, const Segment& segment) { return p < segment.first; });
  const Slot& slot = std::prev(after)->slots[slot_index(kind, transport)];
  return (slot.every_flow || (slot.scopes & (scopes == 0 ? kNoScope : scopes)) != 0) && now < slot.until;
}

}  // namespace sallyport::policy
