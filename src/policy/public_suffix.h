// What the Public Suffix List says of a name.
#pragma once

#include <cstdint>

#include "sallyport/core/domain_name.h"

namespace sallyport::policy {

enum class PublicSuffix : std::uint8_t {
  kNo,
  kRegistry,  // Anyone may register below it at a registry ("com", "co.uk").
  kPrivate,   // Anyone may become a customer below it ("github.io").
};

// public_suffix_of judges by the list's own rules only: a top-level name that the list does not know
// ("internal", "lan") is kNo.
PublicSuffix public_suffix_of(const DomainName& name);

}  // namespace sallyport::policy
