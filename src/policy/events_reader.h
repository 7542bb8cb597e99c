// Reads [events].
#pragma once

#include "reader.h"
#include "sallyport/policy/events.h"

namespace sallyport::policy {

void read_events(const Reader& reader, const Value& table, Events& out);

}  // namespace sallyport::policy
