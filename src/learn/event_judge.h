// What can be said of events, which cannot be replayed.
#pragma once

#include <vector>

#include "ladder.h"
#include "sallyport/policy/policy.h"

namespace sallyport::learn {

// judge_question is what a policy says of a look-up at a server that it trusts: its `dns` rules, then the names of all others.
policy::PolicyMatch judge_question(const policy::Policy& policy, policy::ScopeSet scopes, const DomainName* name, Timestamp now);

// judge_event asks a policy for the flow that an event is about. Its address counts as one that belongs to its name, unless the
// event says that it did not; scopes are left out, as nothing here knows who is in them.
policy::PolicyMatch judge_event(const policy::Policy& policy, const Sighting& event);

// event_steps returns what a policy for the event needs: the narrowest rule, by name without a doubt about the address unless
// the event has one.
std::vector<Step> event_steps(const Sighting& event, const Facts& facts);

}  // namespace sallyport::learn
