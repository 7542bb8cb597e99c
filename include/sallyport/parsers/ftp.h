// What FTP's lines say of data connections (RFC 959, RFC 2428). Lines and replies are told apart by upgrade.h. Pure
// functions; nothing allocates. What a client and a server could read differently is refused: blanks before a command, two
// addresses in one reply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/parse_error.h"

namespace sallyport::parsers {

enum class FtpVerb : std::uint8_t {
  kOther,
  kPasv,
  kEpsv,
  kPort,     // PORT and EPRT: `address` and `port` are where the server shall connect to.
  kEmpty,    // An empty line: no command.
};

struct FtpCommand {
  FtpVerb verb = FtpVerb::kOther;
  IpAddress address;
  std::uint16_t port = 0;
};

// parse_ftp_command reads one line of a client. kUnsupported: a command that opens a data connection by another way (LPRT,
// LPSV, SPSV, CPSV), or hides further ones (MIC, CONF, ENC of RFC 2228). kMalformed: no plain verb, or no address.
std::expected<FtpCommand, ParseError> parse_ftp_command(std::string_view line);

struct FtpPassive {
  IpAddress address;
  std::uint16_t port = 0;
};

// parse_ftp_227 finds the one address in the text of a 227 reply, in whatever brackets (RFC 1123 §4.1.2.6). kMalformed: none,
// or several.
std::expected<FtpPassive, ParseError> parse_ftp_227(std::string_view text);
// parse_ftp_229 finds the one "(<d><d><d>port<d>)" in the text of a 229 reply (RFC 2428 §3).
std::expected<std::uint16_t, ParseError> parse_ftp_229(std::string_view text);

}  // namespace sallyport::parsers
