// Grants as people read them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace sallyport::cli {

// grant_line returns "3: allow example.org tls,quic port 443, scope agent, 9m 58s left, by uid 0".
std::string grant_line(const nlohmann::ordered_json& grant);
std::string bypass_line(const nlohmann::ordered_json& bypass);
// print_grants prints "grants" and "bypasses" of an answer; `none`, if not null, when there are none.
void print_grants(const nlohmann::ordered_json& answer, const char* none);

}  // namespace sallyport::cli
