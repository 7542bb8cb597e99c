#include "sallyport/refusal/http.h"

#include <array>
#include <string_view>

#include "sallyport/core/text.h"
#include "text.h"

namespace sallyport::refusal {
namespace {

// JSON, HTML and the strings of fields are escaped here by hand: a library would take memory.

// put_quoted writes the inside of a string between quotes, for JSON (RFC 8259 §7) and structured fields (RFC 9651 §3.3.3) alike:
// only the quote and the backslash are left to escape.
void put_quoted(Writer& out, std::string_view text, std::size_t max) {
  for (const char c : text.substr(0, max)) {
    if (c == '"' || c == '\\') out.u8('\\');
    out.u8(plain(c));
  }
}

void put_html(Writer& out, std::string_view text, std::size_t max) {
  for (const char c : text.substr(0, max)) {
    switch (c) {
      case '&': out.text("&amp;"); break;
      case '<': out.text("&lt;"); break;
      case '>': out.text("&gt;"); break;
      case '"': out.text("&quot;"); break;
      case '\'': out.text("&#39;"); break;
      default: out.u8(plain(c));
    }
  }
}

constexpr std::string_view kPage = "text/html; charset=utf-8";
constexpr std::string_view kProblem = "application/problem+json";
constexpr std::size_t kDetailsMax = 160;  // Bytes of text in Proxy-Status; all of it is in the content.

// phrase is the title of problem details too. RFC 9110 §15.5; that of another is left out.
constexpr std::string_view phrase(unsigned status) {
  switch (status) {
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    default: return "";
  }
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

// next_item takes what stands before the separator out of `rest`.
std::string_view next_item(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view item = trim(rest.substr(0, end));
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return item;
}

// is_refused tells a weight of zero among the parameters of a media range, RFC 9110 §12.4.2.
bool is_refused(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = next_item(parameters, ';');
    if (parameter.size() < 3 || !equals_ignoring_case(parameter.substr(0, 2), "q=") || parameter[2] != '0') continue;
    return parameter.substr(2).find_first_of("123456789") == std::string_view::npos;
  }
  return false;
}

// wants_page reads an Accept field. Weights order nothing but zero from the rest: browsers name text/html first, programs do not.
bool wants_page(std::string_view accept) {
  while (!accept.empty()) {
    std::string_view parameters = next_item(accept, ',');
    const std::string_view range = next_item(parameters, ';');
    if (is_refused(parameters)) continue;
    if (equals_ignoring_case(range, "text/html")) return true;
    if (equals_ignoring_case(range, "application/json") || equals_ignoring_case(range, kProblem)) return false;
  }
  return false;
}

// put_problem writes RFC 9457 members; what they say of the request is whole or left out, as a part of a name is another name.
void put_problem(Writer& out, const Notice& notice, unsigned status, std::size_t text_max) {
  out.text(R"({"type":"about:blank","status":)");
  put_decimal(out, status);
  const auto member = [&](std::string_view key, std::string_view value) {
    if (value.empty() || value.size() > text_max) return;
    out.text(",\"");
    out.text(key);
    out.text("\":\"");
    put_quoted(out, value, value.size());
    out.u8('"');
  };
  member("title", phrase(status));
  out.text(R"(,"detail":")");
  put_quoted(out, notice.text, text_max);
  out.u8('"');
  member("name", notice.name);
  member("scope", notice.scope);
  member("rule", notice.rule);
  member("reason", notice.reason);
  out.text("}\n");
}

void put_page(Writer& out, const Notice& notice, unsigned status, std::size_t text_max) {
  out.text("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>");
  put_decimal(out, status);
  out.u8(' ');
  out.text(phrase(status));
  out.text("</title><h1>Refused by policy</h1><p>");
  put_html(out, notice.text, text_max);
  out.text("</p><ul>");
  const auto item = [&](std::string_view key, std::string_view value) {
    if (value.empty() || value.size() > text_max) return;
    out.text("<li>");
    out.text(key);
    out.text(": ");
    put_html(out, value, value.size());
    out.text("</li>");
  };
  item("name", notice.name);
  item("scope", notice.scope);
  item("rule", notice.rule);
  item("reason", notice.reason);
  out.text("</ul></html>\n");
}

// Content is a response's content, made before the fields that tell its length.
struct Content {
  Content(const Notice& notice, const HttpRefusal& refusal, std::size_t text_max) : page(wants_page(refusal.accept)) {
    Writer out{Buffer(bytes)};
    page ? put_page(out, notice, refusal.status, text_max) : put_problem(out, notice, refusal.status, text_max);
    size = out.finish();
  }

  ByteSpan span() const { return ByteSpan(bytes).first(size); }
  std::string_view type() const { return page ? kPage : kProblem; }

  bool page;
  std::size_t size = 0;  // 0: did not fit.
  std::array<std::uint8_t, kRefusalMax> bytes;
};

// put_proxy_status writes a Proxy-Status value, RFC 9209 §2.3.14.
void put_proxy_status(Writer& out, const Notice& notice, std::size_t text_max) {
  out.text("sallyport; error=http_request_denied; details=\"");
  put_quoted(out, notice.text, std::min(text_max, kDetailsMax));
  out.u8('"');
}

constexpr std::string_view kNoStore = "no-store";
// A page stands in the origin of what was refused: it may do nothing there.
constexpr std::string_view kPagePolicy = "default-src 'none'";

constexpr bool is_error(unsigned status) { return status >= 400 && status <= 599; }

// HTTP/2: RFC 9113 §4.1, §6.
constexpr std::uint8_t kData = 0, kHeaders = 1, kSettings = 4, kGoaway = 7;
constexpr std::uint8_t kEndStream = 1, kEndHeaders = 4;
constexpr std::uint32_t kStreamIdMax = 0x7fff'ffff;

std::size_t begin_frame(Writer& out, std::uint8_t type, std::uint8_t flags, std::uint32_t stream_id) {
  const std::size_t length_at = out.placeholder<3>();
  out.u8(type);
  out.u8(flags);
  out.u32(stream_id);
  return length_at;
}

void end_frame(Writer& out, std::size_t length_at) {
  constexpr std::size_t kFrameHeader = 9;
  if (out.ok()) out.patch<3>(length_at, out.size() - length_at - kFrameHeader);
}

void put_settings(Writer& out) { end_frame(out, begin_frame(out, kSettings, 0, 0)); }

// put_hpack_integer writes RFC 7541 §5.1; the bits above the prefix are zero, as all representations here have them.
void put_hpack_integer(Writer& out, std::size_t value, unsigned prefix_bits) {
  const std::size_t prefix_max = (std::size_t{1} << prefix_bits) - 1;
  if (value < prefix_max) return out.u8(static_cast<std::uint8_t>(value));
  out.u8(static_cast<std::uint8_t>(prefix_max));
  for (value -= prefix_max; value >= 128; value /= 128) out.u8(static_cast<std::uint8_t>(value % 128 + 128));
  out.u8(static_cast<std::uint8_t>(value));
}

void put_hpack_string(Writer& out, std::string_view text) {
  put_hpack_integer(out, text.size(), 7);  // No Huffman code, RFC 7541 §5.2.
  out.text(text);
}

// Names in the static table, RFC 7541 Appendix A.
enum class StaticName : std::uint8_t { kStatus = 8, kCacheControl = 24, kContentLength = 28, kContentType = 31 };

// put_field writes a literal field without indexing, RFC 7541 §6.2.2.
void put_field(Writer& out, StaticName name, std::string_view value) {
  put_hpack_integer(out, static_cast<std::size_t>(name), 4);
  put_hpack_string(out, value);
}
void put_field(Writer& out, std::string_view name, std::string_view value) {
  out.u8(0);
  put_hpack_string(out, name);
  put_hpack_string(out, value);
}

// Value is a field's value that is not a constant; its length must be known before it is written.
class Value {
 public:
  Writer& writer() { return writer_; }
  std::string_view text() const { return as_text(writer_.written()); }

 private:
  std::array<std::uint8_t, 2 * kDetailsMax + 80> bytes_;  // The text with each character escaped, and what stands around it.
  Writer writer_{Buffer(bytes_)};
};

void put_fields(Writer& out, const Notice& notice, const HttpRefusal& refusal, const Content& content, std::size_t text_max) {
  Value status, length, proxy_status;
  put_decimal(status.writer(), refusal.status);
  put_decimal(length.writer(), content.size);
  put_proxy_status(proxy_status.writer(), notice, text_max);
  put_field(out, StaticName::kStatus, status.text());
  put_field(out, StaticName::kContentType, content.type());
  put_field(out, StaticName::kContentLength, length.text());
  put_field(out, StaticName::kCacheControl, kNoStore);
  if (content.page) put_field(out, "content-security-policy", kPagePolicy);
  put_field(out, "proxy-status", proxy_status.text());
}

}  // namespace

std::size_t http1_forbidden(Buffer out, const Notice& notice, const HttpRefusal& refusal) {
  if (!is_error(refusal.status)) return 0;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    const Content content(notice, refusal, text_max);
    if (content.size == 0) return writer.spoil();
    writer.text("HTTP/1.1 ");
    put_decimal(writer, refusal.status);
    writer.u8(' ');
    writer.text(phrase(refusal.status));
    writer.text("\r\nContent-Type: ");
    writer.text(content.type());
    writer.text("\r\nContent-Length: ");
    put_decimal(writer, content.size);
    writer.text("\r\nConnection: close\r\nCache-Control: ");
    writer.text(kNoStore);
    if (content.page) {
      writer.text("\r\nContent-Security-Policy: ");
      writer.text(kPagePolicy);
    }
    writer.text("\r\nProxy-Status: ");
    put_proxy_status(writer, notice, text_max);
    writer.text("\r\n\r\n");
    const std::size_t head_size = writer.size();
    writer.bytes(content.span());  // For HEAD too: Content-Length is what GET gets, so what is cut must be the same.
    if (refusal.head) writer.cut(head_size);
  });
}

std::size_t http2_forbidden(Buffer out, const Notice& notice, const HttpRefusal& refusal, std::uint32_t stream_id,
                            bool with_preface) {
  const bool clients_stream = stream_id % 2 == 1 && stream_id <= kStreamIdMax;  // RFC 9113 §5.1.1
  if (!is_error(refusal.status) || !clients_stream) return 0;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    const Content content(notice, refusal, text_max);
    if (content.size == 0) return writer.spoil();
    if (with_preface) put_settings(writer);
    const std::uint8_t flags = refusal.head ? kEndHeaders | kEndStream : kEndHeaders;
    const std::size_t headers = begin_frame(writer, kHeaders, flags, stream_id);
    put_fields(writer, notice, refusal, content, text_max);
    end_frame(writer, headers);
    const std::size_t head_size = writer.size();
    const std::size_t data = begin_frame(writer, kData, kEndStream, stream_id);
    writer.bytes(content.span());
    end_frame(writer, data);
    if (refusal.head) writer.cut(head_size);
  });
}

std::size_t http2_goaway(Buffer out, const Notice& notice, std::uint32_t last_stream_id, bool with_preface) {
  if (last_stream_id > kStreamIdMax) return 0;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    if (with_preface) put_settings(writer);
    const std::size_t goaway = begin_frame(writer, kGoaway, 0, 0);
    writer.u32(last_stream_id);
    writer.u32(0);  // NO_ERROR
    put_plain(writer, notice.text, text_max);
    end_frame(writer, goaway);
  });
}

}  // namespace sallyport::refusal
