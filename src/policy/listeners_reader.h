// Reads [listeners].
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "reader.h"
#include "sallyport/policy/listeners.h"

namespace sallyport::policy {

void read_listeners(const Reader& reader, const Value& table, Listeners& out);

// parse_listener reads one entry, ADDRESS:PORT[-PORT][/tcp|/udp][@NAME][ in NAMESPACE]. The error is for people.
std::expected<Listener, std::string> parse_listener(std::string_view text);

}  // namespace sallyport::policy
