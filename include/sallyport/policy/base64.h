// Base 64 (RFC 4648 §4), as SSH writes keys and fingerprints.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::policy {

// decode_base64 gives nullopt for anything but the one canonical text of some octets. `padded`: whether "=" fills the
// last group, or is left out.
std::optional<std::vector<std::uint8_t>> decode_base64(std::string_view text, bool padded);

// encode_base64 leaves the padding out.
std::string encode_base64(std::span<const std::uint8_t> bytes);

}  // namespace sallyport::policy
