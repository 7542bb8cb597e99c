#include "sallyport/policy/base64.h"

#include <absl/strings/escaping.h>

namespace sallyport::policy {

std::optional<std::vector<std::uint8_t>> decode_base64(std::string_view text, bool padded) {
  std::string bytes;
  if (!absl::Base64Unescape({text.data(), text.size()}, &bytes)) return std::nullopt;
  // The library also takes white space and bits that say nothing, which would make two texts of one key.
  std::vector<std::uint8_t> octets(bytes.begin(), bytes.end());
  if ((padded ? absl::Base64Escape(bytes) : encode_base64(octets)) != text) return std::nullopt;
  return octets;
}

std::string encode_base64(std::span<const std::uint8_t> bytes) {
  std::string text = absl::Base64Escape({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

}  // namespace sallyport::policy
