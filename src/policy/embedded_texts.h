// Texts that are part of the program: cmake/embed_policies.cmake makes the .cc from src/policy/*.toml and
// src/policy/presets/*.toml.
#pragma once

#include <span>
#include <string_view>

#include "sallyport/policy/policy_file.h"

namespace sallyport::policy {

extern const std::string_view kEmbeddedPolicy;
extern const std::span<const Preset> kPresets;  // Sorted by name.

}  // namespace sallyport::policy
