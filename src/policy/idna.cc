#include "sallyport/policy/idna.h"

#include <idn2.h>

#include <algorithm>
#include <memory>

namespace sallyport::policy {
namespace {

constexpr std::size_t kUtf8NameMax = 4 * DomainName::kMaxLength;

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

std::expected<DomainName, std::string> to_domain_name(std::string_view text) {
  if (is_ascii(text)) {
    if (const auto name = DomainName::parse(text)) return *name;
    return std::unexpected(
        "not a host name: labels of letters, digits, \"-\" and \"_\", joined by single dots");
  }
  if (text.size() > kUtf8NameMax || text.find('\0') != std::string_view::npos) {
    return std::unexpected("not a host name");
  }
  const std::string input(text);
  std::uint8_t* output = nullptr;
  const int status = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(input.c_str()), &output,
                                    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<std::uint8_t, decltype(&idn2_free)> owner(output, idn2_free);
  if (status != IDN2_OK)
    return std::unexpected("not an internationalised host name: " + std::string(idn2_strerror(status)));
  const auto name = DomainName::parse(reinterpret_cast<const char*>(output));
  if (!name) return std::unexpected("not a host name once it is turned into A-labels");
  return *name;
}

}  // namespace sallyport::policy
