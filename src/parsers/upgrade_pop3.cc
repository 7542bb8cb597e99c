// POP3 (RFC 1939, RFC 2595 §4, RFC 5034). STLS is for the AUTHORIZATION state: who is logged in cannot ask for it.
#include "recogniser_text.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Due = UpgradeSession::Due;
using Next = UpgradeSession::Next;

// read_answer takes note of a status line.
Step read_answer(UpgradeSession& session, bool good, std::size_t consumed) {
  bool many_lines = false;
  const bool was_due = take_answer(session, many_lines);
  session.greeting = false;
  if (!was_due) session.uncertain = true;
  session.rest_of_line = many_lines && good;
  if (session.login_in != 0 && --session.login_in == 0 && good) return {Kind::kEnds, false, consumed, 0};
  if (!was_due || session.unanswered != 0 || session.next != Next::kAnswerDecides) return read_bytes(consumed);
  session.next = Next::kCommand;
  const bool agrees = session.due == Due::kTls && good;
  return agrees ? Step{Kind::kAgrees, false, consumed, 0} : read_bytes(consumed);
}

}  // namespace

Step read_pop3_client(UpgradeSession& session, ByteSpan bytes) {
  if (session.next == Next::kSecret) {
    const UpgradeLine line = read_client_line(bytes);
    if (line.kind != Kind::kRead) return failed(line.kind);
    wait_for(session, Due::kSecret);  // The answer to AUTH is still due.
    return read_bytes(line.consumed, true);
  }
  const UpgradeLine line = read_client_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  std::string_view arguments;
  const std::string_view verb = first_word(line.text, arguments);
  if (is_one_of(verb, {"STLS"})) return ask_for_tls(session, line.consumed, arguments.empty());
  // As many answers as `kinds` tells apart. Of two logins the first must have failed.
  const bool logs_in = is_one_of(verb, {"PASS", "APOP"}) || (is_one_of(verb, {"AUTH"}) && !arguments.empty());
  if (session.unanswered >= 64 || (logs_in && session.login_in != 0)) return {};
  const bool many_lines = is_one_of(verb, {"CAPA"}) || (is_one_of(verb, {"LANG", "AUTH"}) && arguments.empty());
  if (!expect_answer(session, many_lines)) return {};
  if (logs_in) session.login_in = session.unanswered;
  if (logs_in && is_one_of(verb, {"AUTH"})) wait_for(session, Due::kSecret);
  return read_bytes(line.consumed, !is_harmless(line, verb, arguments, {"CAPA", "QUIT", "NOOP", "UTF8"}, {"LANG"}));
}

Step read_pop3_server(UpgradeSession& session, ByteSpan bytes) {
  const UpgradeLine line = read_server_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  if (session.rest_of_line) {
    session.rest_of_line = line.text != ".";
    return read_bytes(line.consumed);
  }
  const bool good = line.text.starts_with("+OK");
  if (good || line.text.starts_with("-ERR")) return read_answer(session, good, line.consumed);
  // RFC 5034 §4: "+" and a challenge.
  if (line.text != "+" && !line.text.starts_with("+ ")) return failed(Kind::kMalformed);
  const bool challenges = session.unanswered == 1 && session.next == Next::kAnswerDecides && session.due == Due::kSecret;
  if (challenges) session.next = Next::kSecret;
  session.uncertain |= !challenges;
  return read_bytes(line.consumed);
}

}  // namespace sallyport::parsers
