// What a plain query is (R15): a question as resolver libraries send it, with no room for much else.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sallyport/core/decision.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::engine {

// reason_against returns why a message is no plain query, or kNotEvaluated when it is one. `more_options` are EDNS option
// codes that may come beside those that never leave the hop to the resolver.
Reason reason_against(const parsers::DnsMessage& message, std::span<const std::uint16_t> more_options);

// host_of_service returns the part of a service's name that is a host's: "www.example.com" of "_8443._https.www.example.com",
// for types whose records stand at such names. nullopt: the name is none of a service. Labels count only when they are of a
// closed list or a port number, since others could carry data below an exact name; three at most.
std::optional<std::string_view> host_of_service(std::string_view name, std::uint16_t type);

}  // namespace sallyport::engine
