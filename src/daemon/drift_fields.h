// A finding of the drift audit as an event.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sallyport/daemon/port_drift.h"

namespace sallyport::daemon {

// drift_fields returns the members of the event that a finding begins, or is over.
nlohmann::ordered_json drift_fields(const DriftFinding& finding, bool begins);

}  // namespace sallyport::daemon
