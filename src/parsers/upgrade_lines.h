// What the readers of upgradable sessions share: lines, commands, and the answers that are due.
#pragma once

#include <string_view>

#include "sallyport/parsers/upgrade.h"

namespace sallyport::parsers {

using Step = UpgradeStep;
using Kind = UpgradeStep::Kind;

constexpr Step failed(Kind kind) { return {kind, false, 0, 0}; }
constexpr Step read_bytes(std::size_t consumed, bool plaintext = false) { return {Kind::kRead, plaintext, consumed, 0}; }

// UpgradeLine is a line, ended by CR LF. Otherwise `kind` says why there is none; kRead: it is whole.
struct UpgradeLine {
  Kind kind = Kind::kNeedMore;
  std::string_view text;
  std::size_t consumed = 0;
};

// read_client_line refuses what some server takes for the end of a line and another does not.
UpgradeLine read_client_line(ByteSpan bytes);
// read_server_line takes a bare LF, unless a line means more than itself to the client that reads it.
UpgradeLine read_server_line(ByteSpan bytes, bool strict = false);

// first_word returns the first word behind leading blanks, and leaves what follows it in `rest`.
std::string_view first_word(std::string_view line, std::string_view& rest);
bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words);

// is_harmless tells the commands that may leave before a TLS that is required: `bare` ones without arguments, `others` with
// what fits in a short line.
bool is_harmless(const UpgradeLine& line, std::string_view verb, std::string_view arguments, std::initializer_list<std::string_view> bare,
                 std::initializer_list<std::string_view> others);

// expect_answer counts a command. False: too many have no answer; it must wait.
bool expect_answer(UpgradeSession& session, bool marked = false);
// take_answer counts an answer and tells in `marked` whether its command was. False: none was due.
bool take_answer(UpgradeSession& session, bool& marked);

// ask_for_tls is the step of a command that asks for TLS; `bare`: and says nothing else.
Step ask_for_tls(UpgradeSession& session, std::size_t consumed, bool bare = true);
// wait_for makes the client's next bytes wait for the answer to the command just counted.
void wait_for(UpgradeSession& session, UpgradeSession::Due due);
// read_secret is the step of a line of a SASL exchange.
Step read_secret(UpgradeSession& session, ByteSpan bytes);

// ReplyLine is a line of SMTP's and FTP's answers (RFC 5321 §4.2, RFC 959 §4.2).
struct ReplyLine {
  Kind kind = Kind::kNeedMore;
  unsigned code = 0;     // Of the whole answer, when this line ends it; else 0.
  std::string_view text;  // Behind the code.
  std::size_t consumed = 0;
};
ReplyLine read_reply_line(UpgradeSession& session, ByteSpan bytes, bool strict = false);

Step read_smtp_client(UpgradeSession& session, ByteSpan bytes);
Step read_smtp_server(UpgradeSession& session, ByteSpan bytes);
Step read_ftp_client(UpgradeSession& session, ByteSpan bytes);
Step read_ftp_server(UpgradeSession& session, ByteSpan bytes);
Step read_pop3_client(UpgradeSession& session, ByteSpan bytes);
Step read_pop3_server(UpgradeSession& session, ByteSpan bytes);
Step read_imap_client(UpgradeSession& session, ByteSpan bytes);
Step read_imap_server(UpgradeSession& session, ByteSpan bytes);
Step read_postgresql_client(UpgradeSession& session, ByteSpan bytes);
Step read_postgresql_server(UpgradeSession& session, ByteSpan bytes);
Step read_mysql_client(UpgradeSession& session, ByteSpan bytes);
Step read_mysql_server(UpgradeSession& session, ByteSpan bytes);
Step read_ldap_client(UpgradeSession& session, ByteSpan bytes);
Step read_ldap_server(UpgradeSession& session, ByteSpan bytes);
Step read_xmpp_client(UpgradeSession& session, ByteSpan bytes);
Step read_xmpp_server(UpgradeSession& session, ByteSpan bytes);

}  // namespace sallyport::parsers
