// Reads [[guards]].
#pragma once

#include <vector>

#include "reader.h"
#include "sallyport/policy/guard.h"

namespace sallyport::policy {

// read_guards appends the sound guards of `list` and reports the others.
void read_guards(const Reader& reader, const Value& list, std::vector<Guard>& out);

// hash_of_guards is of everything in them that decides a verdict or a finding. 0: there are none.
std::uint64_t hash_of_guards(const std::vector<Guard>& guards);

}  // namespace sallyport::policy
