// The control connection of FTP (RFC 959, RFC 4217). AUTH may come at any time (RFC 2228 §3), so a session in plaintext
// is followed to its end.
#include "recogniser_text.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kTelnetIac = 0xff;  // RFC 854: some servers take what follows it out of the line.
constexpr unsigned kPassive = 227, kExtendedPassive = 229;  // RFC 959 §5.4, RFC 2428 §3: announcements have one line.
constexpr unsigned kSecurityAgreed = 234, kSecurityContinues = 334;  // RFC 2228 §3; old servers answer AUTH TLS by 334.

}  // namespace

Step read_ftp_client(UpgradeSession& session, ByteSpan bytes) {
  const UpgradeLine line = read_client_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  if (line.text.find(static_cast<char>(kTelnetIac)) != std::string_view::npos) return failed(Kind::kAmbiguous);
  std::string_view arguments;
  const std::string_view verb = first_word(line.text, arguments);
  if (is_one_of(verb, {"AUTH"})) {
    std::string_view rest;
    const std::string_view mechanism = first_word(arguments, rest);
    if (is_one_of(mechanism, {"TLS", "SSL", "TLS-C", "TLS-P"})) return ask_for_tls(session, line.consumed, rest.empty());
  }
  if (!expect_answer(session)) return {};
  return read_bytes(line.consumed, !is_harmless(line, verb, arguments, {"FEAT", "HELP", "NOOP", "QUIT", "SYST"}, {"OPTS", "CLNT", "LANG", "HOST"}));
}

Step read_ftp_server(UpgradeSession& session, ByteSpan bytes) {
  // A port that is announced in a line which some clients do not see as one is another for them.
  const ReplyLine reply = read_reply_line(session, bytes, true);
  if (reply.kind != Kind::kRead) return failed(reply.kind);
  if (session.reply_code == kPassive || session.reply_code == kExtendedPassive) return failed(Kind::kAmbiguous);
  if (reply.code < 200) return read_bytes(reply.consumed);  // Preliminary (RFC 959 §4.2), or not the last line.
  bool marked = false;
  const bool was_due = take_answer(session, marked);
  session.greeting = false;
  if (!was_due) session.uncertain = true;
  const bool decides = was_due && session.unanswered == 0 && session.next == UpgradeSession::Next::kAnswerDecides;
  if (!decides) return reply.code == kSecurityAgreed ? failed(Kind::kAmbiguous) : read_bytes(reply.consumed);
  session.next = UpgradeSession::Next::kCommand;
  const bool agrees = reply.code == kSecurityAgreed || reply.code == kSecurityContinues;
  return agrees ? Step{Kind::kAgrees, false, reply.consumed, 0} : read_bytes(reply.consumed);
}

}  // namespace sallyport::parsers
