// Reads [dns].
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "compiled_rules.h"
#include "reader.h"

namespace sallyport::policy {

inline constexpr std::size_t kResolversMax = 16;  // Of [dns], and of each scope.

void read_dns(const Reader& reader, const Value& table, CompiledRules& rules);

// read_resolver reads the address of a DNS server. The error is for people.
std::expected<IpAddress, std::string> read_resolver(std::string_view text);

}  // namespace sallyport::policy
