// Reads [metrics].
#pragma once

#include "reader.h"
#include "sallyport/policy/policy.h"

namespace sallyport::policy {

void read_metrics(const Reader& reader, const Value& table, Metrics& out);

}  // namespace sallyport::policy
