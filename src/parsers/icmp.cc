#include "sallyport/parsers/icmp.h"

namespace sallyport::parsers {
namespace {

constexpr std::size_t kHeader = 8;
constexpr std::size_t kAnySize = SIZE_MAX;

struct Exchange {
  std::uint8_t request;
  std::uint8_t reply;
  std::size_t payload;  // Octets behind the header, or kAnySize.
};
constexpr Exchange kExchanges[] = {{8, 0, kAnySize}, {13, 14, 12}, {15, 16, 0}, {17, 18, 4}};  // RFC 792, RFC 950 app. I
constexpr Exchange kExchangesV6[] = {{128, 129, kAnySize}, {139, 140, kAnySize}};              // RFC 4443 §4, RFC 4620 §4

// is_of_network tells errors, and what is for routers and neighbours alone.
bool is_of_network(IcmpFamily family, std::uint8_t type) {
  if (family == IcmpFamily::kIcmpv6) return type < 128 || (type >= 130 && type <= 137) || (type >= 141 && type <= 143);
  return type == 3 || type == 4 || type == 5 || type == 9 || type == 10 || type == 11 || type == 12;
}

const Exchange* exchange_of(IcmpFamily family, std::uint8_t type) {
  const auto find = [type](const auto& exchanges) -> const Exchange* {
    for (const Exchange& exchange : exchanges) {
      if (exchange.request == type || exchange.reply == type) return &exchange;
    }
    return nullptr;
  };
  return family == IcmpFamily::kIcmp ? find(kExchanges) : find(kExchangesV6);
}

}  // namespace

std::expected<IcmpMessage, ParseError> parse_icmp(IcmpFamily family, ByteSpan bytes, std::size_t size) {
  IcmpMessage message;
  ByteReader in(bytes);
  std::uint16_t checksum = 0;
  if (!in.read_u8(message.type) || !in.read_u8(message.code) || !in.read_u16(checksum) || !in.read_u16(message.identifier) ||
      !in.read_u16(message.sequence)) {
    return std::unexpected(ParseError::kMalformed);
  }
  message.payload_size = size - kHeader;
  const Exchange* exchange = exchange_of(family, message.type);
  if (exchange == nullptr) {
    message.kind = is_of_network(family, message.type) ? IcmpKind::kError : IcmpKind::kOther;
    return message;
  }
  message.kind = message.type == exchange->request ? IcmpKind::kRequest : IcmpKind::kReply;
  // Node information has codes of its own (RFC 4620 §4); the others have none.
  const bool has_codes = family == IcmpFamily::kIcmpv6 && exchange->request == 139;
  if (message.code > (has_codes ? 2 : 0)) return std::unexpected(ParseError::kMalformed);
  if (exchange->payload != kAnySize && message.payload_size != exchange->payload) return std::unexpected(ParseError::kMalformed);
  return message;
}

std::uint8_t reply_type_of(IcmpFamily family, std::uint8_t type) {
  const Exchange* exchange = exchange_of(family, type);
  return exchange == nullptr ? type : exchange->reply;
}

}  // namespace sallyport::parsers
