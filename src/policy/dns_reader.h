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

// read_duration reads a number with its unit, "500ms", "90s", "15m" or "1h", from `least` to `most`.
void read_duration(const Reader& reader, const Value& value, const std::string& path, Duration least, Duration most,
                   std::string_view expected, Duration& out);

}  // namespace sallyport::policy
