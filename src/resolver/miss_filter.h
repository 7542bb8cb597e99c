// MissFilter folds the misses of one port into rounds: many flows that wait for the same names are one reason to look
// them up. It reads no clock; one thread owns it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <tuple>

#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/inspector.h"

namespace sallyport::resolver {

class MissFilter {
 public:
  // admit returns false for a miss whose names were asked for less than kResolverMissAgain ago, and for one of the scopes
  // that have the most ports remembered, when there is no room for another.
  bool admit(const engine::BindingMiss& miss, Timestamp now) {
    const Key key(miss.scopes, miss.transport, miss.port);
    const auto found = last_.find(key);
    if (found != last_.end() && now - found->second < kResolverMissAgain) return false;
    if (found == last_.end() && last_.size() >= kResolverMissPorts && !make_room(miss.scopes, now)) return false;
    last_[key] = now;
    return true;
  }
  std::size_t size() const { return last_.size(); }

 private:
  using Key = std::tuple<policy::ScopeSet, Transport, std::uint16_t>;

  // make_room forgets what says nothing any more, else a port of the scopes that have the most. false: these are `scopes`.
  bool make_room(policy::ScopeSet scopes, Timestamp now) {
    if (std::erase_if(last_, [now](const auto& entry) { return now - entry.second >= kResolverMissAgain; }) != 0) return true;
    auto largest = last_.begin();
    std::ptrdiff_t most = 0;
    for (auto begin = last_.begin(); begin != last_.end();) {
      const auto end = std::find_if(begin, last_.end(), [&](const auto& entry) { return std::get<0>(entry.first) != std::get<0>(begin->first); });
      if (const std::ptrdiff_t count = std::distance(begin, end); count > most) {
        most = count;
        largest = begin;
      }
      begin = end;
    }
    if (std::get<0>(largest->first) == scopes) return false;
    last_.erase(largest);
    return true;
  }

  std::map<Key, Timestamp> last_;  // By scopes first.
};

}  // namespace sallyport::resolver
