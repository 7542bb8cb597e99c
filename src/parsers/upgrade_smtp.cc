// SMTP (RFC 5321, RFC 3207) and LMTP (RFC 2033). RFC 3207 lets a client ask for TLS at any time, so a session in
// plaintext is followed to its end.
#include <charconv>

#include "recogniser_text.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Body = UpgradeSession::Body;
using Due = UpgradeSession::Due;
using Next = UpgradeSession::Next;

constexpr unsigned kReady = 220, kDone = 250, kStartMail = 354, kContinue = 334;  // RFC 5321 §4.2.2, RFC 4954 §4

// next_body_state tells where the body is behind `byte`. Only CR LF "." CR LF ends a mail; a dot between other ends of
// lines ends it for some servers, and commands would follow there (RFC 5321 §4.1.1.4). kAgrees: it has ended.
Kind next_body_state(Body& body, std::uint8_t byte) {
  const bool cr = byte == '\r', lf = byte == '\n', dot = byte == '.';
  switch (body) {
    case Body::kLineStart:
      body = dot ? Body::kDot : cr ? Body::kCr : lf ? Body::kLooseStart : Body::kText;
      return Kind::kRead;
    case Body::kText:
      body = cr ? Body::kCr : lf ? Body::kLooseStart : Body::kText;
      return Kind::kRead;
    case Body::kCr:
      body = lf ? Body::kLineStart : cr ? Body::kCr : dot ? Body::kLooseDot : Body::kText;
      return Kind::kRead;
    case Body::kLooseStart:
      body = dot ? Body::kLooseDot : cr ? Body::kCr : lf ? Body::kLooseStart : Body::kText;
      return Kind::kRead;
    case Body::kDot:
      if (lf) return Kind::kAmbiguous;
      body = cr ? Body::kDotCr : Body::kText;
      return Kind::kRead;
    case Body::kDotCr:
      return lf ? Kind::kAgrees : Kind::kAmbiguous;
    case Body::kLooseDot:
      if (lf || cr) return Kind::kAmbiguous;
      body = Body::kText;
      return Kind::kRead;
  }
  return Kind::kAmbiguous;
}

// read_body lets a mail go as it comes. Its bytes are remembered: others in their place could end it, and commands that
// nobody judged would follow.
Step read_body(UpgradeSession& session, ByteSpan bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const Kind kind = next_body_state(session.body, bytes[i]);
    if (kind == Kind::kAmbiguous) return failed(kind);
    if (kind != Kind::kAgrees) continue;
    session.next = Next::kCommand;
    // One answer, or one for each recipient (RFC 2033 §4.2).
    const unsigned answers = session.lmtp ? session.recipients : 1U;
    session.recipients = 0;
    for (unsigned answer = 0; answer < answers; ++answer) session.uncertain |= !expect_answer(session);
    return read_bytes(i + 1, true);
  }
  return read_bytes(bytes.size(), true);
}

// read_chunk reads BDAT (RFC 3030). A server that does not know it reads the chunk as commands.
Step read_chunk(UpgradeSession& session, std::string_view arguments, std::size_t consumed) {
  std::string_view rest;
  const std::string_view size = first_word(arguments, rest);
  std::uint32_t octets = 0;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), octets);
  const bool sound = error == std::errc{} && end == size.data() + size.size() && !size.empty();
  if (!session.chunking || session.lmtp || !sound) return failed(Kind::kAmbiguous);
  if (!expect_answer(session)) return {};
  return {Kind::kRead, true, consumed, octets};
}

}  // namespace

Step read_smtp_client(UpgradeSession& session, ByteSpan bytes) {
  if (session.next == Next::kBody) return read_body(session, bytes);
  if (session.next == Next::kSecret) return read_secret(session, bytes);
  const UpgradeLine line = read_client_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  std::string_view arguments;
  const std::string_view verb = first_word(line.text, arguments);
  if (is_one_of(verb, {"STARTTLS"})) return ask_for_tls(session, line.consumed, arguments.empty());
  if (is_one_of(verb, {"BDAT"})) return read_chunk(session, arguments, line.consumed);
  const bool recipient = is_one_of(verb, {"RCPT"});
  if (session.lmtp && session.unanswered >= 64) return {};  // As many recipients as `kinds` tells apart.
  const bool greets = is_one_of(verb, {"EHLO", "HELO", "LHLO"});
  // Marked is the answer that can have extensions; of LMTP, which has no BDAT here, that to a recipient.
  if (!expect_answer(session, session.lmtp ? recipient : is_one_of(verb, {"EHLO"}))) return {};
  if (greets) session.chunking = false;
  if (is_one_of(verb, {"LHLO"})) session.lmtp = true;
  if (is_one_of(verb, {"LHLO", "MAIL", "RSET"})) session.recipients = 0;
  if (is_one_of(verb, {"DATA"})) wait_for(session, Due::kBody);
  if (is_one_of(verb, {"AUTH"})) wait_for(session, Due::kSecret);
  return read_bytes(line.consumed, !is_harmless(line, verb, arguments, {"NOOP", "QUIT", "RSET", "HELP"}, {"EHLO", "HELO", "LHLO"}));
}

Step read_smtp_server(UpgradeSession& session, ByteSpan bytes) {
  const ReplyLine reply = read_reply_line(session, bytes);
  if (reply.kind != Kind::kRead) return failed(reply.kind);
  std::string_view rest;
  const bool extends = !session.lmtp && session.unanswered != 0 && (session.kinds & 1) != 0;
  const bool good = reply.code == kDone || session.reply_code == kDone;
  if (extends && good && is_one_of(first_word(reply.text, rest), {"CHUNKING"})) session.chunking = true;
  if (reply.code == 0) return read_bytes(reply.consumed);
  bool recipient = false;
  const bool was_due = take_answer(session, recipient);
  const bool greets = session.greeting;
  session.greeting = false;
  if (session.lmtp && recipient && reply.code / 100 == 2) ++session.recipients;
  const bool decides = was_due && session.unanswered == 0 && session.next == Next::kAnswerDecides;
  if (!decides) {
    if (!was_due) session.uncertain = true;  // A server that gives up says so unasked (RFC 5321 §3.8).
    // Nothing but a greeting and the agreement to TLS has this code.
    return reply.code == kReady && !greets ? failed(Kind::kAmbiguous) : read_bytes(reply.consumed);
  }
  session.next = Next::kCommand;
  if (session.due == Due::kTls) return reply.code == kReady ? Step{Kind::kAgrees, false, reply.consumed, 0} : read_bytes(reply.consumed);
  if (session.due == Due::kBody && reply.code == kStartMail) {
    session.next = Next::kBody;
    session.body = Body::kLineStart;
  }
  if (session.due == Due::kSecret && reply.code == kContinue) session.next = Next::kSecret;
  return read_bytes(reply.consumed);
}

}  // namespace sallyport::parsers
