// XMPP (RFC 6120): <starttls/> before the client has authenticated, and the server's <proceed/> (§5.4). Read are whole
// elements below the stream's opening tag. Of XML there is only what RFC 6120 §11.1 lets be: no comments, no processing
// instructions, no CDATA (which it does allow, and nobody needs here).
#include "recogniser_text.h"
#include "sallyport/core/limits.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Next = UpgradeSession::Next;

struct Tag {
  Kind kind = Kind::kNeedMore;  // kRead: it is whole.
  std::string_view name = {};   // Without a prefix: "<t:starttls xmlns:t=...>" is one, too.
  bool opens = false;
  bool closes = false;          // Both: "<a/>".
  std::size_t size = 0;
};

// read_tag reads from "<" to ">".
Tag read_tag(std::string_view text) {
  if (text.size() < 2) return {};
  if (text[1] == '!' || text[1] == '?') return {.kind = Kind::kAmbiguous};
  char quote = '\0';
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<') return {.kind = Kind::kMalformed};
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '>') {
      Tag tag{.kind = Kind::kRead, .size = i + 1};
      tag.closes = text[1] == '/' || text[i - 1] == '/';
      tag.opens = text[1] != '/';
      const std::size_t begin = text[1] == '/' ? 2 : 1;
      tag.name = text.substr(begin, text.find_first_of(" \t\r\n/>", begin) - begin);
      tag.name.remove_prefix(std::min(tag.name.find(':') + 1, tag.name.size()));  // npos + 1 is 0.
      return tag.name.empty() ? Tag{.kind = Kind::kMalformed} : tag;
    }
  }
  return {};
}

// Item is the next thing below the stream, or the stream's own tags.
struct Item {
  Kind kind = Kind::kNeedMore;  // kRead: it is whole.
  std::string_view name = {};   // Empty: blanks, or the XML declaration.
  bool closes_stream = false;
  std::size_t size = 0;
};

Item read_declaration(std::string_view text) {
  constexpr std::size_t kDeclarationMax = 256;
  const std::size_t end = text.substr(0, kDeclarationMax).find("?>");
  if (end != std::string_view::npos) return {.kind = Kind::kRead, .size = end + 2};
  return {.kind = text.size() < kDeclarationMax ? Kind::kNeedMore : Kind::kTooLong};
}

Item find_item(ByteSpan bytes, bool open) {
  const std::string_view text = as_text(bytes).substr(0, kUpgradeElementMax);
  const Kind unfinished = bytes.size() < kUpgradeElementMax ? Kind::kNeedMore : Kind::kTooLong;
  const std::size_t blanks = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (blanks != 0) return {.kind = Kind::kRead, .size = blanks};
  if (text[0] != '<') return {.kind = Kind::kMalformed};
  if (!open && text.starts_with("<?")) return read_declaration(text);
  const Tag first = read_tag(text);
  if (first.kind != Kind::kRead) return {.kind = first.kind == Kind::kNeedMore ? unfinished : first.kind};
  Item item{.kind = Kind::kRead, .name = first.name, .closes_stream = !first.opens, .size = first.size};
  if (!open || first.closes) return item;
  for (std::size_t depth = 1; depth != 0;) {
    const std::size_t next = text.find('<', item.size);
    if (next == std::string_view::npos) return {.kind = unfinished};
    const Tag tag = read_tag(text.substr(next));
    if (tag.kind != Kind::kRead) return {.kind = tag.kind == Kind::kNeedMore ? unfinished : tag.kind};
    depth += tag.opens ? 1U : 0U;
    depth -= tag.closes ? 1U : 0U;
    item.size = next + tag.size;
  }
  return item;
}

Item read_item(ByteSpan bytes, bool open) {
  const Item item = find_item(bytes, open);
  const std::string_view text = as_text(item.kind == Kind::kRead ? bytes.first(item.size) : bytes);
  return is_printable_text(text) ? item : Item{.kind = Kind::kMalformed};
}

// open_stream takes the stream's opening tag.
Kind open_stream(bool& open, const Item& item) {
  if (item.name.empty() || open) return Kind::kRead;
  open = item.name == "stream" && !item.closes_stream;
  return open ? Kind::kRead : Kind::kMalformed;
}

}  // namespace

Step read_xmpp_client(UpgradeSession& session, ByteSpan bytes) {
  const bool was_open = session.client_open;
  const Item item = read_item(bytes, was_open);
  if (item.kind != Kind::kRead) return failed(item.kind);
  if (const Kind kind = open_stream(session.client_open, item); kind != Kind::kRead) return failed(kind);
  if (!was_open || item.name.empty() || item.closes_stream) return read_bytes(item.size, item.size > kUpgradePlainMax);
  if (item.name == "stream") return failed(Kind::kAmbiguous);
  return item.name == "starttls" ? ask_for_tls(session, item.size) : read_bytes(item.size, true);
}

Step read_xmpp_server(UpgradeSession& session, ByteSpan bytes) {
  const bool was_open = session.server_open;
  const Item item = read_item(bytes, was_open);
  if (item.kind != Kind::kRead) return failed(item.kind);
  if (const Kind kind = open_stream(session.server_open, item); kind != Kind::kRead) return failed(kind);
  if (!was_open || item.name.empty() || item.closes_stream) return read_bytes(item.size);
  const bool asked = session.next == Next::kAnswerDecides;
  if (item.name == "proceed" && !asked) return failed(Kind::kAmbiguous);
  // Who is logged in cannot ask for TLS any more (§5.3.3).
  if (item.name == "success" && !asked) return {Kind::kEnds, false, item.size, 0};
  if (!asked || (item.name != "proceed" && item.name != "failure")) return read_bytes(item.size);
  bool marked = false;
  (void)take_answer(session, marked);
  session.next = Next::kCommand;
  return item.name == "proceed" ? Step{Kind::kAgrees, false, item.size, 0} : read_bytes(item.size);
}

}  // namespace sallyport::parsers
