// Host names as people write them, turned into the one canonical form.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "sallyport/core/domain_name.h"

namespace sallyport::policy {

// to_domain_name turns UTF-8 U-labels into A-labels (IDNA2008, UTS #46 non-transitional) and canonicalises
// the result. The error says what is wrong, for people.
std::expected<DomainName, std::string> to_domain_name(std::string_view text);

}  // namespace sallyport::policy
