// What the kernel says of flows that it passes alone: Sighting.
#include <algorithm>

#include "inspector_impl.h"

namespace sallyport::engine {

void Inspector::Impl::heed(std::span<const Sighting> sightings, Timestamp seen, const policy::Policy& policy, Timestamp now) {
  begin_call(policy, now);
  for (const Sighting& sighting : sightings.first(std::min(sightings.size(), kSightingsPerCall))) {
    Flow* flow = table_.find(sighting.key);
    if (flow == nullptr || flow->last_seen >= seen) continue;  // A later packet knows better: the next connection's, perhaps.
    if (flow->state == FlowState::kUndecided || flow->verdict != FlowVerdict::kAllow || flow->revoked != 0) continue;
    // One reset that connection tracking believes, and the other end does not, makes it over, though it goes on: it must stay known for the
    // next policy.
    if (sighting.over && !flow->ended) {
      flow->ended = true;
      report(*flow, FlowEvent::Kind::kEnd, flow->has_name ? flow->name.text() : std::string_view{});
    }
    flow->last_seen = seen;
    table_.touch(*flow, age_class_of(*flow));
  }
}

}  // namespace sallyport::engine
