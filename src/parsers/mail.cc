#include "sallyport/parsers/mail.h"

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

// Greeting is a server's first reply, of one line or several, and what it says of itself. What follows it
// may be anything, TLS after an upgrade included.
struct Greeting {
  Likeness is_known = Likeness::kNo;  // Begins with one of the codes asked for.
  bool whole = false;
  bool says_smtp = false;
  bool says_ftp = false;
};

Greeting read_greeting(ByteSpan server, std::initializer_list<std::string_view> codes) {
  Greeting greeting;
  std::string_view known;
  for (const std::string_view code : codes) {
    const Likeness begins = begins_with(server, code);
    greeting.is_known = std::max(greeting.is_known, begins);
    if (begins == Likeness::kYes) known = code;
  }
  if (greeting.is_known != Likeness::kYes) return greeting;
  constexpr int kLinesMax = 64;
  for (int i = 0; i < kLinesMax && !greeting.whole && !server.empty(); ++i) {
    bool line_whole = false;
    const std::string_view line = first_line(server, line_whole);
    if (!line_whole && line.size() <= 3) {
      if (i == 0) greeting.is_known = Likeness::kMaybe;
      return greeting;
    }
    // Lines behind the first may be shorter.
    const bool separated = line.size() <= 3 || line[3] == ' ' || line[3] == '-' || line[3] == '\r';
    if ((i == 0 && !separated) || !is_printable_text(line)) return {};
    greeting.says_smtp = greeting.says_smtp || contains_ignoring_case(line, "SMTP") || contains_ignoring_case(line, "LMTP");
    greeting.says_ftp = greeting.says_ftp || contains_ignoring_case(line, "FTP");
    if (!line_whole) return greeting;
    greeting.whole = line.starts_with(known) && (line.size() == known.size() || line[known.size()] == ' ');
    server = server.subspan(as_text(server).find('\n') + 1);
  }
  return greeting;
}

// A server that is busy or does not want the client says so in place of the greeting (RFC 5321 §3.1, RFC 7504,
// RFC 959 §5.4).
Greeting read_smtp_greeting(ByteSpan server) { return read_greeting(server, {"220", "421", "521", "554"}); }
Greeting read_ftp_greeting(ByteSpan server) { return read_greeting(server, {"220", "120", "421"}); }

// asks_for_tls tells whether one command line asks for TLS.
bool asks_for_tls(Protocol protocol, std::string_view line) {
  const auto is = [](std::string_view text, std::string_view command) {
    return equals_ignoring_case(text, command);
  };
  while (line.ends_with(' ')) line.remove_suffix(1);
  switch (protocol) {
    case Protocol::kSmtp:
      return is(line, "STARTTLS");
    case Protocol::kPop3:
      return is(line, "STLS");
    case Protocol::kImap: {
      const std::size_t space = line.find(' ');
      return space != std::string_view::npos && space != 0 && is(line.substr(space + 1), "STARTTLS");
    }
    case Protocol::kFtp:
      return is(line, "AUTH TLS") || is(line, "AUTH SSL") || is(line, "AUTH TLS-C") || is(line, "AUTH TLS-P");
    default:
      return false;
  }
}

}  // namespace

TlsRequest find_tls_request(Protocol protocol, ByteSpan client) {
  TlsRequest request;
  while (!request.asked) {
    bool whole = false;
    const ByteSpan rest = client.subspan(request.read);
    const std::string_view line = first_line(rest, whole);
    if (!whole) break;
    request.asked = asks_for_tls(protocol, line);
    request.read += as_text(rest).find('\n') + 1;
  }
  return request;
}

Likeness looks_like_smtp(ByteSpan client, ByteSpan server) {
  const Greeting greeting = read_smtp_greeting(server);
  if (greeting.is_known == Likeness::kNo) return Likeness::kNo;
  const Likeness hello = first_word_is(client, {"EHLO", "HELO", "LHLO"});
  if (hello == Likeness::kYes) {
    bool whole = false;
    const std::string_view line = first_line(client, whole);
    if (!is_printable_text(line)) return Likeness::kNo;
    return whole ? Likeness::kYes : Likeness::kMaybe;
  }
  const bool says_so = greeting.whole && greeting.says_smtp && !greeting.says_ftp;
  if (client.empty()) return says_so ? Likeness::kYes : Likeness::kMaybe;
  if (hello == Likeness::kMaybe) return Likeness::kMaybe;
  if (!says_so) return Likeness::kNo;
  return first_word_is(client,
                       {"NOOP", "QUIT", "MAIL", "HELP", "RSET", "STARTTLS", "VRFY", "AUTH", "XCLIENT"});
}

Likeness looks_like_ftp(ByteSpan client, ByteSpan server) {
  const Greeting greeting = read_ftp_greeting(server);
  if (greeting.is_known == Likeness::kNo) return Likeness::kNo;
  const bool says_so = greeting.whole && greeting.says_ftp && !greeting.says_smtp;
  const bool says_otherwise = greeting.says_smtp && !greeting.says_ftp;
  if (client.empty()) return says_so ? Likeness::kYes : Likeness::kMaybe;
  const Likeness command = first_word_is(
      client, {"USER", "AUTH", "FEAT", "SYST", "OPTS", "HOST", "CLNT", "PORT", "EPRT", "PASV", "EPSV"});
  if (command != Likeness::kNo && !says_otherwise) {
    return greeting.is_known == Likeness::kYes ? command : Likeness::kMaybe;
  }
  if (!says_so) return Likeness::kNo;
  return first_word_is(client, {"PASS", "QUIT", "NOOP", "HELP", "ACCT", "PBSZ", "PWD", "TYPE", "CWD"});
}

Likeness looks_like_imap(ByteSpan client, ByteSpan server) {
  Likeness greets = Likeness::kNo;
  for (const std::string_view text : {"* OK ", "* PREAUTH ", "* BYE "}) {
    greets = std::max(greets, begins_with(server, text));
  }
  bool line_whole = false;
  if (greets == Likeness::kNo || !is_printable_text(first_line(server, line_whole))) return Likeness::kNo;
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
                                  "ENABLE", "SELECT", "EXAMINE", "LIST", "STATUS", "COMPRESS", "NAMESPACE", "LSUB",
                                  "XLIST", "CREATE", "APPEND", "IDLE", "UNSELECT", "CLOSE", "LANGUAGE"});
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
  // A server that is full says "-ERR" in place of its greeting. So do others: the client must have spoken POP3.
  const Likeness refuses = begins_with(server, "-ERR");
  if (client.empty() && refuses != Likeness::kNo) return Likeness::kMaybe;
  greets = std::max(greets, refuses);
  if (greets == Likeness::kNo || client.empty()) return greets;
  const Likeness command =
      first_word_is(client, {"USER", "CAPA", "STLS", "AUTH", "APOP", "QUIT", "UTF8", "LANG", "STAT", "NOOP",
                             "LIST", "UIDL", "RETR", "DELE", "TOP", "PASS"});
  return std::min(greets, command);
}

}  // namespace sallyport::parsers
