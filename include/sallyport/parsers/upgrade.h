// Sessions that begin in plaintext and may go over to TLS: SMTP and LMTP (RFC 3207), IMAP (RFC 9051 §6.2.1), POP3
// (RFC 2595 §4), FTP (RFC 4217), XMPP (RFC 6120 §5), LDAP (RFC 4511 §4.14), PostgreSQL and MySQL (their own packets).
//
// An UpgradeSession is where both sides of one session are. Its two readers take what is at hand of a side's stream,
// read one line or record from its beginning, and say what it means for TLS; the caller drops what was read and asks
// again. Only what the server agreed to begins TLS. What two readers could take for different commands or answers is
// refused: bare CR or LF, control bytes, a request for TLS while an earlier answer is due, anything behind it before
// the server has answered, and anything of the server's behind its agreement (the caller sees the latter).
//
// Pure and without memory of their own but the session, which is a plain value; nothing allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/protocol.h"

namespace sallyport::parsers {

struct UpgradeSession {
  // Next is what the client's next bytes are.
  enum class Next : std::uint8_t {
    kCommand,
    kAnswerDecides,  // What is due of the server tells; `due` says how.
    kSecret,         // A line of a SASL exchange.
    kBody,           // A mail, up to its final dot.
    kRestOfLine,     // What follows a literal of a command.
  };
  // Due is what the answer to the last command decides.
  enum class Due : std::uint8_t { kTls, kSecret, kBody, kLiteral, kGss };
  // Body is where in a line a mail's body is.
  enum class Body : std::uint8_t { kLineStart, kText, kCr, kLooseStart, kDot, kDotCr, kLooseDot };

  Protocol protocol = Protocol::kUnknown;  // kUnknown: not begun.
  Next next = Next::kCommand;
  Due due = Due::kTls;
  Body body = Body::kLineStart;
  bool greeting = false;    // The server's greeting is due, before any answer.
  bool uncertain = false;   // Answers cannot be told apart any more: no request for TLS is taken.
  bool lmtp = false;        // SMTP: each recipient of a mail gets an answer.
  bool chunking = false;    // SMTP: the server takes BDAT (RFC 3030).
  bool rest_of_line = false;      // IMAP, server: a literal ended inside a line. POP3: inside an answer of many lines.
  bool offers_tls = false;        // MySQL: the server's greeting does.
  bool sasl = false;              // LDAP: the last bind was one by SASL; with `layer`, it succeeded.
  bool layer = false;
  bool client_open = false;       // XMPP: the stream's opening tag was read.
  bool server_open = false;
  std::uint16_t unanswered = 0;   // Commands whose answer is due.
  std::uint16_t reply_code = 0;   // SMTP, FTP: of an answer of several lines that has begun.
  std::uint16_t login_in = 0;     // POP3: the answer to a login is this many answers ahead; 0: none is due. IMAP: 1, one is.
  std::uint16_t recipients = 0;   // LMTP: accepted for the next mail.
  std::uint32_t literal = 0;      // IMAP: octets that the server is asked to take.
  std::uint8_t tag_size = 0;      // IMAP: of the command that the client waits for (a login, STARTTLS, one with a literal).
  std::array<char, kImapTagMax> tag{};
  std::uint64_t kinds = 0;        // POP3: a bit for each answer due that has many lines; LMTP: for each RCPT; SMTP: for EHLO.
};

struct UpgradeStep {
  enum class Kind : std::uint8_t {
    kNeedMore,   // There is nothing to read before more bytes come, of this side or of the other.
    kRead,
    kAsks,       // Client: it asks for TLS.
    kAgrees,     // Behind what was read TLS begins.
    kEnds,       // No TLS can begin any more: what follows need not be read.
    kOtherSecurity,  // It goes over to encryption that is no TLS.
    kMalformed,
    kAmbiguous,  // Two readers could read it differently.
    kTooLong,
  };
  Kind kind = Kind::kNeedMore;
  bool plaintext = false;     // Client: mail, login or data; a rule may want it inside TLS alone.
  std::size_t consumed = 0;   // Bytes read.
  std::uint64_t skipped = 0;  // And as many behind them, of which some may be still to come, that say nothing.
};

// can_upgrade tells the protocols that are followed.
bool can_upgrade(Protocol protocol);

// begin_upgrade_session is the session at the beginning of both streams, or, where `greeting` is false and the
// protocol's server greets, behind the greeting.
UpgradeSession begin_upgrade_session(Protocol protocol, bool greeting);

UpgradeStep read_upgrade_client(UpgradeSession& session, ByteSpan bytes);
UpgradeStep read_upgrade_server(UpgradeSession& session, ByteSpan bytes);

}  // namespace sallyport::parsers
