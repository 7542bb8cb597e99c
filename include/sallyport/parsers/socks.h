// SOCKS 4, 4a and 5 as a client and its proxy speak it before the tunnel begins (RFC 1928, RFC 1929; SOCKS 4 and 4a have
// no RFC). Pure functions over what is there of a stream; any thread may call them; no allocation. Views in results
// point into the input and are valid as long as it is. kNeedMore until a message is whole; `length` is that of the message,
// behind which others may stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/parse_error.h"

namespace sallyport::parsers {

inline constexpr std::uint8_t kSocks4 = 4, kSocks5 = 5;
// Authentication methods (RFC 1928 §3).
inline constexpr std::uint8_t kSocksNoAuthentication = 0, kSocksUserPassword = 2, kSocksNoMethod = 0xff;

enum class SocksCommand : std::uint8_t { kConnect = 1, kBind = 2, kUdpAssociate = 3 };

// SocksMessage is a message of which nothing but its end, and one answer of the proxy's, matters.
struct SocksMessage {
  Framing framing = Framing::kNeedMore;
  std::size_t length = 0;
  std::uint8_t answer = 0;  // Of the proxy's messages: the method, the status, or the reply code.
};

SocksMessage read_socks5_greeting(ByteSpan client);       // RFC 1928 §3: version, methods.
SocksMessage read_socks5_method(ByteSpan proxy);          // Its answer.
SocksMessage read_socks5_authentication(ByteSpan client);  // RFC 1929 §2: user name and password.
SocksMessage read_socks5_status(ByteSpan proxy);          // Its answer; 0: accepted.
SocksMessage read_socks_reply(ByteSpan proxy, std::uint8_t version);  // `answer` 0: the tunnel begins behind it.

// SocksRequest says what the proxy is to connect to.
struct SocksRequest {
  Framing framing = Framing::kNeedMore;
  std::size_t length = 0;
  SocksCommand command = SocksCommand::kConnect;
  std::string_view name;             // As sent; empty: `address`.
  std::optional<IpAddress> address;  // Also of a name that is an IP literal.
  std::uint16_t port = 0;
};

SocksRequest read_socks_request(ByteSpan client, std::uint8_t version);

}  // namespace sallyport::parsers
