#include "heard_ports.h"

#include <cstddef>

namespace sallyport::netfilter {
namespace {

constexpr std::uint16_t kPortMax = 65'535;

}  // namespace

// A rule may have any port, and whoever is in no scope may be in one tomorrow.
HeardPorts heard_ports_of(const policy::Policy& policy) {
  HeardPorts ranges;
  for (std::uint32_t port = 1; port <= kPortMax; ++port) {
    if (!policy.greeting_at(~policy::ScopeSet{0}, static_cast<std::uint16_t>(port), Timestamp::min())) continue;
    const auto last = static_cast<std::uint16_t>(port);
    if (!ranges.empty() && ranges.back().second + 1U == port) {
      ranges.back().second = last;
    } else {
      ranges.emplace_back(last, last);
    }
  }
  return ranges;
}

std::vector<std::string> unheard_ports(const HeardPorts& heard) {
  constexpr std::size_t kRangesMax = 32;
  if (heard.empty()) return {""};
  if (heard.size() > kRangesMax) return {};
  std::vector<std::string> matches;
  std::uint32_t first = 0;
  const auto add = [&](std::uint32_t end) {  // One behind the last.
    if (first < end) matches.push_back(" -m tcp --sport " + std::to_string(first) + ':' + std::to_string(end - 1));
  };
  for (const auto& [begin, last] : heard) {
    add(begin);
    first = last + 1U;
  }
  add(kPortMax + 1U);
  return matches;
}

}  // namespace sallyport::netfilter
