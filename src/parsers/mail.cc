#include "sallyport/parsers/mail.h"

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

// greets_220 tells whether a server's first reply is "220", with text or a further line behind it.
Likeness greets_220(ByteSpan server) {
  const Likeness begin = begins_with(server, "220");
  if (begin != Likeness::kYes) return begin;
  if (server.size() == 3) return Likeness::kMaybe;
  const bool separated = server[3] == ' ' || server[3] == '-' || server[3] == '\r';
  return yes_if(separated && is_printable_text(as_text(server)));
}

// Greeting is what a 220 greeting says of itself. It may take several lines.
struct Greeting {
  bool whole = false;
  bool says_smtp = false;
  bool says_ftp = false;
};

Greeting read_greeting(ByteSpan server) {
  const std::string_view text = as_text(server);
  return {text.find('\n') != std::string_view::npos, contains_ignoring_case(text, "SMTP"),
          contains_ignoring_case(text, "FTP")};
}

}  // namespace

Likeness looks_like_smtp(ByteSpan client, ByteSpan server) {
  const Likeness greets = greets_220(server);
  if (greets == Likeness::kNo) return Likeness::kNo;
  const Greeting greeting = read_greeting(server);
  const Likeness hello = first_word_is(client, {"EHLO", "HELO", "LHLO"});
  if (hello == Likeness::kYes) {
    bool whole = false;
    const std::string_view line = first_line(client, whole);
    if (!is_printable_text(line)) return Likeness::kNo;
    return whole ? Likeness::kYes : Likeness::kMaybe;
  }
  const bool says_so = greets == Likeness::kYes && greeting.whole && greeting.says_smtp && !greeting.says_ftp;
  if (client.empty()) return says_so ? Likeness::kYes : Likeness::kMaybe;
  if (hello == Likeness::kMaybe) return Likeness::kMaybe;
  if (!says_so) return Likeness::kNo;
  return first_word_is(client,
                       {"NOOP", "QUIT", "MAIL", "HELP", "RSET", "STARTTLS", "VRFY", "AUTH", "XCLIENT"});
}

Likeness looks_like_ftp(ByteSpan client, ByteSpan server) {
  const Likeness greets = greets_220(server);
  if (greets == Likeness::kNo) return Likeness::kNo;
  const Greeting greeting = read_greeting(server);
  const bool says_so = greets == Likeness::kYes && greeting.whole && greeting.says_ftp && !greeting.says_smtp;
  if (client.empty()) return says_so ? Likeness::kYes : Likeness::kMaybe;
  const Likeness command = first_word_is(client, {"USER", "AUTH", "FEAT", "SYST", "OPTS", "HOST", "CLNT"});
  if (command != Likeness::kNo) {
    const bool said_otherwise = greeting.says_smtp && !greeting.says_ftp;
    if (said_otherwise) return Likeness::kNo;
    return greets == Likeness::kYes ? command : Likeness::kMaybe;
  }
  if (!says_so) return Likeness::kNo;
  return first_word_is(client,
                       {"PASS", "QUIT", "NOOP", "HELP", "ACCT", "PBSZ", "PASV", "EPSV", "PWD", "TYPE"});
}

Likeness looks_like_imap(ByteSpan client, ByteSpan server) {
  Likeness greets = Likeness::kNo;
  for (const std::string_view text : {"* OK ", "* PREAUTH ", "* BYE "}) {
    greets = std::max(greets, begins_with(server, text));
  }
  if (greets == Likeness::kNo || !is_printable_text(as_text(server))) return Likeness::kNo;
  if (client.empty()) return greets;
  // RFC 9051 §2.2.1: each command begins with a tag of the client's choice.
  const std::string_view text = as_text(client);
  const std::size_t space = text.find_first_of(" \r\n");
  constexpr std::size_t kTagMax = 32;
  if (space == 0 || (space == std::string_view::npos ? text.size() : space) > kTagMax ||
      !is_printable_text(text.substr(0, space))) {
    return Likeness::kNo;
  }
  if (space == std::string_view::npos) return Likeness::kMaybe;
  const Likeness command = first_word_is(
      client.subspan(space + 1), {"CAPABILITY", "LOGIN", "STARTTLS", "AUTHENTICATE", "ID", "NOOP", "LOGOUT",
                                  "ENABLE", "SELECT", "EXAMINE", "LIST", "STATUS"});
  return std::min(greets, command);
}

Likeness looks_like_pop3(ByteSpan client, ByteSpan server) {
  Likeness greets = begins_with(server, "+OK");
  if (greets == Likeness::kYes) {
    bool whole = false;
    const std::string_view line = first_line(server, whole);
    const bool separated = line.size() == 3 || line[3] == ' ';
    if (!separated || !is_printable_text(line)) return Likeness::kNo;
    if (!whole) greets = Likeness::kMaybe;
  }
  if (greets == Likeness::kNo || client.empty()) return greets;
  const Likeness command =
      first_word_is(client, {"USER", "CAPA", "STLS", "AUTH", "APOP", "QUIT", "UTF8", "LANG", "STAT", "NOOP"});
  return std::min(greets, command);
}

}  // namespace sallyport::parsers
