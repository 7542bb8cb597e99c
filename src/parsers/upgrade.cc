#include "sallyport/parsers/upgrade.h"

#include "recogniser_text.h"
#include "sallyport/core/limits.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

UpgradeLine read_line(ByteSpan bytes, bool strict) {
  const std::size_t size = std::min(bytes.size(), kUpgradeLineMax);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint8_t byte = bytes[i];
    if (byte == '\n') {
      if (strict) return {Kind::kAmbiguous, {}, 0};
      return {Kind::kRead, as_text(bytes.first(i)), i + 1};
    }
    if (byte == '\r') {
      if (i + 1 == size) break;
      if (bytes[i + 1] != '\n') return {strict ? Kind::kAmbiguous : Kind::kMalformed, {}, 0};
      return {Kind::kRead, as_text(bytes.first(i)), i + 2};
    }
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return {Kind::kMalformed, {}, 0};
  }
  return {bytes.size() >= kUpgradeLineMax ? Kind::kTooLong : Kind::kNeedMore, {}, 0};
}

}  // namespace

UpgradeLine read_client_line(ByteSpan bytes) {
  return read_line(bytes, true);
}
UpgradeLine read_server_line(ByteSpan bytes, bool strict) {
  return read_line(bytes, strict);
}

std::string_view first_word(std::string_view line, std::string_view& rest) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t begin = std::min(line.find_first_not_of(kBlanks), line.size());
  const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
  rest = line.substr(std::min(line.find_first_not_of(kBlanks, end), line.size()));
  return line.substr(begin, end - begin);
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [word](std::string_view one) { return equals_ignoring_case(word, one); });
}

bool is_harmless(const UpgradeLine& line, std::string_view verb, std::string_view arguments, std::initializer_list<std::string_view> bare,
                 std::initializer_list<std::string_view> others) {
  if (line.consumed > kUpgradePlainMax) return false;
  return is_one_of(verb, others) || (arguments.empty() && is_one_of(verb, bare));
}

bool expect_answer(UpgradeSession& session, bool marked) {
  if (session.unanswered == kUpgradeUnansweredMax) return false;
  if (session.unanswered < 64) session.kinds |= std::uint64_t{marked} << session.unanswered;
  ++session.unanswered;
  return true;
}

bool take_answer(UpgradeSession& session, bool& marked) {
  if (session.unanswered == 0) return false;
  marked = (session.kinds & 1) != 0;
  session.kinds >>= 1;
  --session.unanswered;
  return true;
}

Step ask_for_tls(UpgradeSession& session, std::size_t consumed, bool bare) {
  // The answer must be this command's: the only one that is due.
  if (session.unanswered != 0 || session.uncertain) return failed(Kind::kAmbiguous);
  (void)expect_answer(session);
  wait_for(session, UpgradeSession::Due::kTls);
  return {Kind::kAsks, !bare || consumed > kUpgradePlainMax, consumed, 0};
}

void wait_for(UpgradeSession& session, UpgradeSession::Due due) {
  session.next = UpgradeSession::Next::kAnswerDecides;
  session.due = due;
}

Step read_secret(UpgradeSession& session, ByteSpan bytes) {
  const UpgradeLine line = read_client_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  (void)expect_answer(session);
  wait_for(session, UpgradeSession::Due::kSecret);
  return read_bytes(line.consumed, true);
}

ReplyLine read_reply_line(UpgradeSession& session, ByteSpan bytes, bool strict) {
  const UpgradeLine line = read_server_line(bytes, strict);
  if (line.kind != Kind::kRead) return {line.kind, 0, {}, 0};
  ReplyLine reply{Kind::kRead, 0, {}, line.consumed};
  const std::string_view text = line.text;
  const bool has_code = text.size() >= 3 && text[0] >= '1' && text[0] <= '5' && is_digit(text[1]) && is_digit(text[2]);
  const bool ends = has_code && (text.size() == 3 || text[3] == ' ');
  const bool goes_on = has_code && !ends && text[3] == '-';
  // Between the lines of one answer others may stand (FTP).
  if (session.reply_code == 0 && !ends && !goes_on) return {Kind::kMalformed, 0, {}, 0};
  unsigned code = 0;
  for (std::size_t i = 0; has_code && i < 3; ++i) code = code * 10 + static_cast<unsigned>(text[i] - '0');
  if (text.size() > 4) reply.text = text.substr(4);
  if (session.reply_code == 0 && goes_on) session.reply_code = static_cast<std::uint16_t>(code);
  if (ends && (session.reply_code == 0 || session.reply_code == code)) {
    reply.code = code;
    session.reply_code = 0;
  }
  return reply;
}

bool can_upgrade(Protocol protocol) {
  switch (protocol) {
    case Protocol::kSmtp:
    case Protocol::kImap:
    case Protocol::kPop3:
    case Protocol::kFtp:
    case Protocol::kPostgresql:
    case Protocol::kMysql:
    case Protocol::kLdap:
    case Protocol::kXmpp: return true;
    default: return false;
  }
}

UpgradeSession begin_upgrade_session(Protocol protocol, bool greeting) {
  UpgradeSession session;
  session.protocol = protocol;
  session.greeting = greeting;
  const bool answers = protocol == Protocol::kSmtp || protocol == Protocol::kPop3 || protocol == Protocol::kFtp;
  session.unanswered = greeting && answers ? 1 : 0;
  return session;
}

UpgradeStep read_upgrade_client(UpgradeSession& session, ByteSpan bytes) {
  if (bytes.empty()) return {};
  const bool waits = session.next == UpgradeSession::Next::kAnswerDecides;
  if (waits) return session.due == UpgradeSession::Due::kTls ? failed(Kind::kAmbiguous) : Step{};
  switch (session.protocol) {
    case Protocol::kSmtp: return read_smtp_client(session, bytes);
    case Protocol::kFtp: return read_ftp_client(session, bytes);
    case Protocol::kPop3: return read_pop3_client(session, bytes);
    case Protocol::kImap: return read_imap_client(session, bytes);
    case Protocol::kPostgresql: return read_postgresql_client(session, bytes);
    case Protocol::kMysql: return read_mysql_client(session, bytes);
    case Protocol::kLdap: return read_ldap_client(session, bytes);
    case Protocol::kXmpp: return read_xmpp_client(session, bytes);
    default: return failed(Kind::kEnds);
  }
}

UpgradeStep read_upgrade_server(UpgradeSession& session, ByteSpan bytes) {
  if (bytes.empty()) return {};
  switch (session.protocol) {
    case Protocol::kSmtp: return read_smtp_server(session, bytes);
    case Protocol::kFtp: return read_ftp_server(session, bytes);
    case Protocol::kPop3: return read_pop3_server(session, bytes);
    case Protocol::kImap: return read_imap_server(session, bytes);
    case Protocol::kPostgresql: return read_postgresql_server(session, bytes);
    case Protocol::kMysql: return read_mysql_server(session, bytes);
    case Protocol::kLdap: return read_ldap_server(session, bytes);
    case Protocol::kXmpp: return read_xmpp_server(session, bytes);
    default: return failed(Kind::kEnds);
  }
}

}  // namespace sallyport::parsers
