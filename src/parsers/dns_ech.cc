#include "sallyport/parsers/dns_ech.h"

#include <algorithm>
#include <array>
#include <optional>

#include "sallyport/parsers/dns.h"

namespace sallyport::parsers {
namespace {

constexpr std::uint16_t kFirstPrivateKey = 65'280;  // RFC 9460 §14.3.2: 65280 to 65534 are for private use.
constexpr std::uint16_t kLastPrivateKey = 65'534;
constexpr std::size_t kParamHeader = 4;
constexpr std::size_t kFlagsOffset = 3;
constexpr std::uint8_t kAuthenticData = 0x20;  // RFC 4035 §3.2.3

// Place is where an `ech` parameter stands in the message, and where the parameters of its record end.
struct Place {
  std::size_t begin = 0;
  std::size_t size = 0;  // With its key and length.
  std::size_t params_end = 0;
  std::uint16_t new_key = 0;
};

// find_ech looks for the parameter in a well-formed binding. False: no private key is left for it.
bool find_ech(const DnsServiceBinding& binding, std::optional<Place>& place) {
  DnsSvcParamReader params(binding);
  std::uint16_t last_key = 0;
  for (DnsSvcParam param; params.next(param); last_key = param.key) {
    if (param.key != kSvcParamEch) continue;
    place.emplace();
    place->begin = param.value_offset - kParamHeader;
    place->size = param.value.size() + kParamHeader;
    place->params_end = binding.params_offset + binding.params.size();
  }
  if (!place) return true;
  if (last_key >= kLastPrivateKey) return false;
  place->new_key = std::max<std::uint16_t>(kFirstPrivateKey, static_cast<std::uint16_t>(last_key + 1));
  return true;
}

void rewrite(std::span<std::uint8_t> message, const Place& place) {
  const auto params = message.subspan(place.begin, place.params_end - place.begin);
  std::rotate(params.begin(), params.begin() + static_cast<std::ptrdiff_t>(place.size), params.end());
  const auto moved = params.last(place.size);
  moved[0] = static_cast<std::uint8_t>(place.new_key >> 8);
  moved[1] = static_cast<std::uint8_t>(place.new_key);
  std::ranges::fill(moved.subspan(kParamHeader), std::uint8_t{0});
}

}  // namespace

EchStrip strip_ech(std::span<std::uint8_t> bytes) {
  const auto message = parse_dns_message(bytes);
  if (!message) return EchStrip::kMalformed;
  // All are found before any is rewritten: a name behind may borrow from bytes that will be others.
  std::array<Place, kDnsRecordsMax> places;
  std::size_t count = 0;
  DnsRecordReader records(*message);
  for (DnsRecord record; records.next(record);) {
    if (record.type != kDnsTypeSvcb && record.type != kDnsTypeHttps) continue;
    const auto binding = parse_service_binding(*message, record);
    std::optional<Place> place;
    if (!binding || !find_ech(*binding, place)) return EchStrip::kMalformed;
    if (place) places[count++] = *place;
  }
  if (count == 0) return EchStrip::kNothing;
  for (const Place& place : std::span(places).first(count)) rewrite(bytes, place);
  bytes[kFlagsOffset] = static_cast<std::uint8_t>(bytes[kFlagsOffset] & ~kAuthenticData);
  return parse_dns_message(bytes) ? EchStrip::kRewritten : EchStrip::kMalformed;
}

}  // namespace sallyport::parsers
