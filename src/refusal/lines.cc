#include "sallyport/refusal/lines.h"

#include <string_view>

#include "text.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kTagMax = 64;  // Longer ones are legal and not seen; they get the untagged reply alone.

// is_imap_tag tells tag of RFC 9051 §9: ASTRING-CHARs except "+". Others could begin a line of another meaning.
bool is_imap_tag(std::string_view tag) {
  constexpr std::string_view kNone = "(){ %*\"\\+";
  if (tag.empty() || tag.size() > kTagMax) return false;
  for (const char c : tag) {
    if (c <= ' ' || c > '~' || kNone.find(c) != std::string_view::npos) return false;
  }
  return true;
}

std::size_t put_line(Buffer out, std::string_view begin, std::string_view text) {
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    writer.text(begin);
    put_plain(writer, text, text_max);
    writer.text("\r\n");
  });
}

std::size_t put_line_twice(Buffer out, std::string_view begin, std::string_view text) {
  const std::size_t first = put_line(out.first(out.size() / 2), begin, text);
  return first == 0 ? put_line(out, begin, text) : first + put_line(out.subspan(first), begin, text);
}

// BYE comes first, as in the answer to LOGOUT: a client that stops at the answer to its command would not see it.
std::size_t put_imap(Buffer out, std::string_view text, std::string_view tag) {
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    writer.text("* BYE ");
    put_plain(writer, text, text_max);
    writer.text("\r\n");
    if (tag.empty()) return;
    writer.text(tag);
    writer.text(" NO [NOPERM] ");  // RFC 5530 §3
    put_plain(writer, text, text_max);
    writer.text("\r\n");
  });
}

}  // namespace

std::size_t line_refusal(Buffer out, const Notice& notice, const LineRefusal& refusal) {
  // Grammars of replies want at least one character of text (RFC 5321 §4.2, RFC 9051 §9).
  const std::string_view text = notice.text.empty() ? "refused by policy" : notice.text;
  switch (refusal.protocol) {
    case Protocol::kFtp: return put_line(out, "530 ", text);
    // RFC 2034 §4: a greeting has no enhanced status code.
    case Protocol::kSmtp:
      if (refusal.greeting) return put_line(out, "554 ", text);
      return refusal.ehlo ? put_line_twice(out, "550 5.7.1 ", text) : put_line(out, "550 5.7.1 ", text);
    case Protocol::kImap: {
      // Before the greeting no command has an answer.
      const bool tagged = !refusal.greeting && is_imap_tag(refusal.tag);
      return put_imap(out, text, tagged ? refusal.tag : std::string_view());
    }
    case Protocol::kPop3: return put_line(out, "-ERR ", text);
    case Protocol::kRedis: return put_line(out, "-NOPERM ", text);
    default: return 0;  // Of the many protocols only these talk in lines.
  }
}

}  // namespace sallyport::refusal
