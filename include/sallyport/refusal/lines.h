// Replies of protocols that talk in lines: FTP, SMTP, IMAP, POP3, Redis.
#pragma once

#include "sallyport/core/protocol.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

struct LineRefusal {
  Protocol protocol = Protocol::kUnknown;  // kFtp, kSmtp, kImap, kPop3 or kRedis; nothing is written for others.
  // The server's greeting was not delivered: the reply takes its place (SMTP 554, IMAP "* BYE", POP3 "-ERR").
  bool greeting = false;
  // IMAP: the tag of the command that is refused, as sent; empty, not a tag or with `greeting`: untagged BYE alone.
  std::string_view tag = {};
  // SMTP: EHLO is refused. Clients try HELO next (RFC 5321 §3.2) and show what that is told, so its answer comes along.
  bool ehlo = false;
};

// line_refusal writes one reply that ends the session: FTP 530, SMTP 554 as greeting and 550 5.7.1 later (RFC 5321 §3.1, RFC 3463),
// IMAP "* BYE" and, with a tag, "TAG NO [NOPERM]" (RFC 5530 §3) behind it, POP3 "-ERR" (RFC 1939), Redis "-NOPERM".
// As a greeting RFC 959 §5.4 would have FTP 421, but that is a passing failure: curl tells of a time-out, others come again.
std::size_t line_refusal(Buffer out, const Notice& notice, const LineRefusal& refusal);

}  // namespace sallyport::refusal
