#include "sallyport/parsers/socks.h"

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kAddressIpv4 = 1, kAddressName = 3, kAddressIpv6 = 4;  // RFC 1928 §5
constexpr std::uint8_t kAuthenticationVersion = 1;                          // RFC 1929 §2
constexpr std::size_t kSocks4UserMax = 255;  // No bound is written down; identification names are short.
constexpr std::size_t kSocks4NameMax = 255;
constexpr std::uint8_t kSocks4Granted = 90;

// Reading is the end of one attempt: how the bytes were framed, and how many the message has.
enum class Reading : std::uint8_t { kWhole, kNeedMore, kMalformed };

SocksMessage message(Reading reading, ByteSpan stream, const ByteReader& in, std::uint8_t answer = 0) {
  if (reading == Reading::kNeedMore) return {};
  if (reading == Reading::kMalformed) return {Framing::kMalformed, 0, 0};
  return {Framing::kComplete, stream.size() - in.size(), answer};
}

// starts_otherwise tells that the first byte is there and is not `version`.
bool starts_otherwise(ByteSpan stream, std::uint8_t version) { return !stream.empty() && stream[0] != version; }

// take_text gives the bytes up to the NUL that ends them.
Reading take_text(ByteReader& in, std::size_t at_most, std::string_view& text) {
  const ByteSpan rest = in.rest();
  const ByteSpan scanned = rest.first(std::min(rest.size(), at_most + 1));
  const auto end = std::find(scanned.begin(), scanned.end(), std::uint8_t{0});
  if (end == scanned.end()) return scanned.size() > at_most ? Reading::kMalformed : Reading::kNeedMore;
  const auto length = static_cast<std::size_t>(end - scanned.begin());
  text = as_text(scanned.first(length));
  return in.skip(length + 1) ? Reading::kWhole : Reading::kNeedMore;
}

// take_address reads the address or name and the port of SOCKS 5 (RFC 1928 §5).
Reading take_address(ByteReader& in, SocksRequest& out) {
  std::uint8_t type = 0;
  if (!in.read_u8(type)) return Reading::kNeedMore;
  ByteSpan bytes;
  switch (type) {
    case kAddressIpv4:
      if (!in.read_bytes(4, bytes)) return Reading::kNeedMore;
      out.address = IpAddress::from_bytes(bytes);
      break;
    case kAddressIpv6:
      if (!in.read_bytes(16, bytes)) return Reading::kNeedMore;
      out.address = IpAddress::from_bytes(bytes);
      break;
    case kAddressName: {
      std::uint8_t length = 0;
      if (!in.read_u8(length)) return Reading::kNeedMore;
      if (length == 0) return Reading::kMalformed;
      if (!in.read_bytes(length, bytes)) return Reading::kNeedMore;
      out.name = as_text(bytes);
      break;
    }
    default:
      return Reading::kMalformed;
  }
  return in.read_u16(out.port) ? Reading::kWhole : Reading::kNeedMore;
}

Reading take_socks5(ByteReader& in, SocksRequest& out, std::uint8_t& command) {
  std::uint8_t version = 0, reserved = 0;
  if (!in.read_u8(version) || !in.read_u8(command)) return Reading::kNeedMore;
  if (!in.read_u8(reserved)) return Reading::kNeedMore;
  if (reserved != 0) return Reading::kMalformed;
  return take_address(in, out);
}

Reading take_socks4(ByteReader& in, SocksRequest& out, std::uint8_t& command) {
  std::uint8_t version = 0;
  ByteSpan address;
  std::string_view user;
  if (!in.read_u8(version) || !in.read_u8(command) || !in.read_u16(out.port) || !in.read_bytes(4, address)) {
    return Reading::kNeedMore;
  }
  if (const Reading reading = take_text(in, kSocks4UserMax, user); reading != Reading::kWhole) return reading;
  // SOCKS 4a: 0.0.0.x with x not 0 says that a name follows.
  const bool has_name = address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] != 0;
  if (!has_name) {
    out.address = IpAddress::from_bytes(address);
    return Reading::kWhole;
  }
  const Reading reading = take_text(in, kSocks4NameMax, out.name);
  return reading == Reading::kWhole && out.name.empty() ? Reading::kMalformed : reading;
}

}  // namespace

SocksMessage read_socks5_greeting(ByteSpan client) {
  ByteReader in(client), methods;
  std::uint8_t version = 0;
  if (starts_otherwise(client, kSocks5)) return message(Reading::kMalformed, client, in);
  if (!in.read_u8(version) || !in.read_prefixed<1>(methods)) return {};
  return message(methods.empty() ? Reading::kMalformed : Reading::kWhole, client, in);
}

SocksMessage read_socks5_method(ByteSpan proxy) {
  ByteReader in(proxy);
  std::uint8_t version = 0, method = 0;
  if (starts_otherwise(proxy, kSocks5)) return message(Reading::kMalformed, proxy, in);
  if (!in.read_u8(version) || !in.read_u8(method)) return {};
  return message(Reading::kWhole, proxy, in, method);
}

SocksMessage read_socks5_authentication(ByteSpan client) {
  ByteReader in(client), user, password;
  std::uint8_t version = 0;
  if (starts_otherwise(client, kAuthenticationVersion)) return message(Reading::kMalformed, client, in);
  if (!in.read_u8(version) || !in.read_prefixed<1>(user) || !in.read_prefixed<1>(password)) return {};
  return message(Reading::kWhole, client, in);
}

SocksMessage read_socks5_status(ByteSpan proxy) {
  ByteReader in(proxy);
  std::uint8_t version = 0, status = 0;
  if (starts_otherwise(proxy, kAuthenticationVersion)) return message(Reading::kMalformed, proxy, in);
  if (!in.read_u8(version) || !in.read_u8(status)) return {};
  return message(Reading::kWhole, proxy, in, status);
}

SocksMessage read_socks_reply(ByteSpan proxy, std::uint8_t version) {
  ByteReader in(proxy);
  std::uint8_t first = 0, answer = 0;
  const bool is_4 = version == kSocks4;
  if (starts_otherwise(proxy, is_4 ? 0 : kSocks5)) return message(Reading::kMalformed, proxy, in);
  if (!in.read_u8(first) || !in.read_u8(answer)) return {};
  if (is_4) {
    constexpr std::size_t kPortAndAddress = 6;
    if (!in.skip(kPortAndAddress)) return {};
    return message(Reading::kWhole, proxy, in, answer == kSocks4Granted ? 0 : answer == 0 ? 1 : answer);
  }
  std::uint8_t reserved = 0;
  SocksRequest bound;
  if (!in.read_u8(reserved)) return {};
  return message(take_address(in, bound), proxy, in, answer);
}

SocksRequest read_socks_request(ByteSpan client, std::uint8_t version) {
  SocksRequest request;
  ByteReader in(client);
  std::uint8_t command = 0;
  Reading reading = Reading::kMalformed;
  if (!starts_otherwise(client, version)) {
    reading = version == kSocks5 ? take_socks5(in, request, command) : take_socks4(in, request, command);
  }
  const bool is_command = command >= 1 && command <= (version == kSocks5 ? 3 : 2);
  if (reading == Reading::kWhole && !is_command) reading = Reading::kMalformed;
  if (reading != Reading::kWhole) {
    SocksRequest none;
    none.framing = reading == Reading::kNeedMore ? Framing::kNeedMore : Framing::kMalformed;
    return none;
  }
  request.framing = Framing::kComplete;
  request.length = client.size() - in.size();
  request.command = static_cast<SocksCommand>(command);
  if (!request.name.empty()) request.address = IpAddress::parse(request.name);
  return request;
}

}  // namespace sallyport::parsers
