// The text of one target of a rule.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "rule.h"
#include "sallyport/core/domain_name.h"

namespace sallyport::policy {

// looks_like_address tells whether a target is meant as an address or prefix and not as a name.
bool looks_like_address(std::string_view text);

// parse_prefix reads an address or a prefix. The error says what was expected, for people.
std::expected<IpPrefix, std::string> parse_prefix(std::string_view text);

struct ParsedName {
  DomainName name;
  NameForm form = NameForm::kExact;
};

// parse_name_target reads "a.example", "*.a.example" or ".a.example".
std::expected<ParsedName, std::string> parse_name_target(std::string_view text);

}  // namespace sallyport::policy
