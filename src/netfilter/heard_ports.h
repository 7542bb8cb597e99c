// The ports of servers whose empty acknowledgements the worker wants to see, all of them: those that speak first
// (Policy::greeting_at), as a mail's body goes by its acknowledgements alone. Of others it sees some.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::netfilter {

// Ranges, ascending, with gaps between them.
using HeardPorts = std::vector<std::pair<std::uint16_t, std::uint16_t>>;

HeardPorts heard_ports_of(const policy::Policy& policy);

// unheard_ports returns matches of source ports, one for each range between heard ones: "" where there are none of these, and no
// match at all where they are too many.
std::vector<std::string> unheard_ports(const HeardPorts& heard);

}  // namespace sallyport::netfilter
