// MissFilter folds the misses of one port into rounds: many flows that wait for the same names are one reason to look
// them up. It reads no clock; one thread owns it.
#pragma once

#include <map>
#include <tuple>

#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/inspector.h"

namespace sallyport::resolver {

class MissFilter {
 public:
  // admit returns false for a miss whose names were asked for less than kResolverMissAgain ago.
  bool admit(const engine::BindingMiss& miss, Timestamp now) {
    const Key key(miss.scopes, miss.transport, miss.port);
    const auto found = last_.find(key);
    if (found != last_.end() && now - found->second < kResolverMissAgain) return false;
    if (found == last_.end() && last_.size() >= kResolverMissPorts) last_.clear();
    last_[key] = now;
    return true;
  }

 private:
  using Key = std::tuple<policy::ScopeSet, Transport, std::uint16_t>;
  std::map<Key, Timestamp> last_;
};

}  // namespace sallyport::resolver
