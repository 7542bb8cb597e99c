// IMAP (RFC 9051, RFC 3501). STARTTLS is for the not authenticated state: who is logged in cannot ask for it.
#include <charconv>

#include "recogniser_text.h"
#include "sallyport/core/limits.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Due = UpgradeSession::Due;
using Next = UpgradeSession::Next;

// Literal is "{octets}" at the end of a line (RFC 9051 §4.3).
struct Literal {
  bool there = false;
  bool sound = false;
  bool waits = false;  // The server must ask for it; not so "{octets+}" (RFC 7888).
  std::uint32_t octets = 0;
};

Literal literal_of(std::string_view line) {
  if (!line.ends_with('}')) return {};
  const std::size_t open = line.rfind('{');
  if (open == std::string_view::npos) return {};
  std::string_view size = line.substr(open + 1, line.size() - open - 2);
  Literal literal{.there = true, .waits = true};
  if (size.ends_with('+') || size.ends_with('-')) {
    literal.waits = false;
    size.remove_suffix(1);
  }
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), literal.octets);
  literal.sound = error == std::errc{} && end == size.data() + size.size();
  return literal;
}

// tag_of returns the tag of a command (RFC 9051 §9); empty: it has none that every server takes for one. The answer to such
// a line has no tag: it could not be told from what the server says unasked.
std::string_view tag_of(std::string_view line) {
  const std::string_view tag = line.substr(0, line.find(' '));
  const bool sound = std::all_of(tag.begin(), tag.end(), [](char c) {
    return c > ' ' && c < '\x7f' && std::string_view("(){%*\"\\+").find(c) == std::string_view::npos;
  });
  return sound && tag.size() <= kImapTagMax ? tag : std::string_view();
}

// remember_tag keeps the tag that alone answers the command; it comes alone, so that no other can have the same.
void remember_tag(UpgradeSession& session, std::string_view tag) {
  session.tag_size = static_cast<std::uint8_t>(tag.size());
  std::copy(tag.begin(), tag.end(), session.tag.begin());
}

// read_literal is the step of a line of a command that a literal may follow. One that the server does not ask for is
// commands to a server that refuses it.
Step read_literal(UpgradeSession& session, const UpgradeLine& line, bool plaintext) {
  const Literal literal = literal_of(line.text);
  session.next = Next::kCommand;
  if (!literal.there) return read_bytes(line.consumed, plaintext);
  if (!literal.sound || !literal.waits) return failed(Kind::kAmbiguous);
  session.literal = literal.octets;
  wait_for(session, Due::kLiteral);
  return read_bytes(line.consumed, plaintext);
}

// continue_command is what the server's "+" means.
Step continue_command(UpgradeSession& session, std::size_t consumed) {
  const bool asked = session.unanswered == 1 && session.next == Next::kAnswerDecides;
  if (asked && session.due == Due::kLiteral) {
    session.next = Next::kRestOfLine;
  } else if (asked && session.due == Due::kSecret) {
    session.next = Next::kSecret;
  } else {
    session.uncertain = true;
  }
  return read_bytes(consumed);
}

}  // namespace

Step read_imap_client(UpgradeSession& session, ByteSpan bytes) {
  if (session.literal != 0 && session.next == Next::kRestOfLine) {
    const std::uint32_t octets = session.literal;
    session.literal = 0;
    return {Kind::kRead, true, 0, octets};
  }
  const UpgradeLine line = read_client_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  if (session.next == Next::kRestOfLine) return read_literal(session, line, true);
  if (session.next == Next::kSecret) {
    wait_for(session, Due::kSecret);  // The answer to AUTHENTICATE is still due.
    return read_bytes(line.consumed, true);
  }
  const std::string_view tag = tag_of(line.text);
  if (tag.empty()) return failed(Kind::kAmbiguous);
  std::string_view arguments;
  const std::string_view verb = first_word(line.text.substr(tag.size()), arguments);
  const bool asks = is_one_of(verb, {"STARTTLS"});
  const bool logs_in = is_one_of(verb, {"LOGIN", "AUTHENTICATE"});
  // A login comes alone, and what follows it waits for its answer; so does a command that the server has to ask for more of.
  if (session.login_in != 0 && !asks) return {};
  const bool alone = logs_in || literal_of(line.text).there;
  if (alone && session.unanswered != 0) return {};
  if (asks || alone) remember_tag(session, tag);
  if (asks) return ask_for_tls(session, line.consumed, arguments.empty());
  if (!expect_answer(session)) return {};
  session.login_in = logs_in ? 1 : 0;
  const bool plaintext = !is_harmless(line, verb, arguments, {"CAPABILITY", "NOOP", "LOGOUT"}, {"ID"});
  if (!is_one_of(verb, {"AUTHENTICATE"})) return read_literal(session, line, plaintext);
  wait_for(session, Due::kSecret);
  return read_bytes(line.consumed, true);
}

Step read_imap_server(UpgradeSession& session, ByteSpan bytes) {
  const UpgradeLine line = read_server_line(bytes);
  if (line.kind != Kind::kRead) return failed(line.kind);
  const Literal literal = literal_of(line.text);
  const bool inside = session.rest_of_line;
  session.rest_of_line = literal.there && literal.sound;
  const Step read{Kind::kRead, false, line.consumed, session.rest_of_line ? literal.octets : 0};
  if (inside) return read;
  const bool greets = session.greeting;
  session.greeting = false;
  std::string_view status, text;
  const std::string_view tag = first_word(line.text, status);
  status = first_word(status, text);
  if (tag == "*") return greets && is_one_of(status, {"PREAUTH"}) ? Step{Kind::kEnds, false, line.consumed, 0} : read;
  if (tag == "+") return continue_command(session, line.consumed);
  const bool good = is_one_of(status, {"OK"});
  if (!good && !is_one_of(status, {"NO", "BAD"})) return failed(Kind::kMalformed);
  const bool waits = session.login_in != 0 || session.next != Next::kCommand;
  if (waits && tag != std::string_view(session.tag.data(), session.tag_size)) {
    session.uncertain = true;
    return read;
  }
  bool marked = false;
  const bool was_due = take_answer(session, marked);
  if (!was_due) session.uncertain = true;
  if (session.login_in != 0 && --session.login_in == 0 && good) return {Kind::kEnds, false, line.consumed, 0};
  if (!was_due || session.unanswered != 0 || session.next != Next::kAnswerDecides) return read;
  session.next = Next::kCommand;
  return session.due == Due::kTls && good ? Step{Kind::kAgrees, false, line.consumed, 0} : read;
}

}  // namespace sallyport::parsers
