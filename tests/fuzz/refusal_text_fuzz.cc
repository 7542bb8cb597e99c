// Refusals that carry text. The first byte chooses the builder, the second its options and a second, smaller buffer; then come
// text, name, scope, rule and reason of the notice and what the client sent (Accept, a tag, a first message), between "|".
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/refusal/http.h"
#include "sallyport/refusal/lines.h"
#include "sallyport/refusal/services.h"
#include "sallyport/refusal/ssh.h"
#include "sallyport/refusal/tls.h"

namespace {

using namespace sallyport;
using namespace sallyport::refusal;

void expect(bool fact) {
  if (!fact) std::abort();
}

struct Input {
  char kind = 0;
  std::uint8_t options = 0;
  Notice notice;
  std::string_view sent;

  bool option(unsigned bit) const { return (options >> bit & 1) != 0; }
};

std::string_view take_field(std::string_view& rest) {
  const std::size_t end = rest.find('|');
  const std::string_view field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return field;
}

Protocol protocol_of(char kind) {
  switch (kind) {
    case 'f': return Protocol::kFtp;
    case 'm': return Protocol::kSmtp;
    case 'i': return Protocol::kImap;
    case 'p': return Protocol::kPop3;
    case 'r': return Protocol::kRedis;
    default: return Protocol::kUnknown;
  }
}

std::size_t build(Buffer out, const Input& input) {
  const ByteSpan first = as_bytes_of(input.sent);
  const HttpRefusal http{.accept = input.sent, .head = input.option(0), .status = input.option(1) ? 421U : 403U};
  const std::uint32_t stream = input.option(2) ? 0x7fff'ffffU : 1U;
  switch (input.kind) {
    case 't': return tls_alert(out, input.option(0) ? TlsAlert::kUnrecognizedName : TlsAlert::kAccessDenied);
    case '1': return http1_forbidden(out, input.notice, http);
    case '2': return http2_forbidden(out, input.notice, http, stream, input.option(3));
    case 'g': return http2_goaway(out, input.notice, stream, input.option(3));
    case 's': return ssh_disconnect(out, input.notice, input.option(0));
    case 'P': return postgresql_error(out, input.notice, first);
    case 'M': return mysql_error(out, input.notice, input.options);
    case 'Q': return mqtt_refusal(out, input.notice, first);
    case 'A': return amqp_refusal(out, input.notice, first);
    case 'S': return socks_refusal(out, first, input.option(0));
    default: return line_refusal(out, input.notice, {.protocol = protocol_of(input.kind), .greeting = input.option(0), .tag = input.sent});
  }
}

std::string built_in(std::size_t size, const Input& input) {
  std::vector<std::uint8_t> block(size);
  const std::size_t written = build(Buffer(block), input);
  expect(written <= size && written <= kRefusalMax);
  return std::string(as_text(ByteSpan(block).first(written)));
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// check_lines tells that no text has ended a line: there are `count` of them, printable.
void check_lines(std::string_view bytes, int count) {
  for (; count > 0; --count) {
    const std::size_t end = bytes.find("\r\n");
    expect(end != std::string_view::npos && is_printable(bytes.substr(0, end)));
    bytes.remove_prefix(end + 2);
  }
  expect(bytes.empty());
}

void check_http1(std::string_view bytes, bool head) {
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  const std::size_t end = bytes.find("\r\n\r\n");
  expect(end != std::string_view::npos);
  const std::string_view fields = bytes.substr(0, end + 2);
  check_lines(fields, fields.find("\r\nContent-Security-Policy: ") == std::string_view::npos ? 6 : 7);
  const std::string_view content = bytes.substr(end + 4);
  const std::size_t at = fields.find(kLength);
  expect(at != std::string_view::npos);
  if (head) return expect(content.empty());
  expect(std::stoul(std::string(fields.substr(at + kLength.size(), 4))) == content.size());
  expect(content.ends_with('\n') && is_printable(content.substr(0, content.size() - 1)));
}

// check_http2 walks the frames: the last byte ends the last of them.
void check_http2(std::string_view bytes) {
  ByteReader in(as_bytes_of(bytes));
  while (!in.empty()) {
    std::uint32_t length = 0;
    expect(in.read_u24(length) && in.skip(6) && in.skip(length));
  }
}

void check(const std::string& bytes, const Input& input) {
  if (bytes.empty()) return;
  switch (input.kind) {
    case '1': return check_http1(bytes, input.option(0));
    case '2':
    case 'g': return check_http2(bytes);
    case 'i': return check_lines(bytes, bytes.find(" NO [NOPERM] ") != std::string::npos && std::ranges::count(bytes, '\n') == 2 ? 2 : 1);
    case 'f':
    case 'm':
    case 'p':
    case 'r': return check_lines(bytes, 1);
    default: return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Input input{.kind = static_cast<char>(data[0]), .options = data[1], .notice = {}, .sent = {}};
  std::string_view rest = as_text({data + 2, size - 2});
  for (std::string_view* field : {&input.notice.text, &input.notice.name, &input.notice.scope, &input.notice.rule, &input.notice.reason}) {
    *field = take_field(rest);
  }
  input.sent = rest;
  const std::string full = built_in(kRefusalMax, input);
  check(full, input);
  const std::string smaller = built_in(std::size_t{input.options} * 4, input);
  check(smaller, input);
  expect(smaller.size() <= full.size());
  if (!full.empty()) expect(built_in(full.size() - 1, input).size() < full.size());
  // All builders but those that ask for a client's message, and HTTP's of a status it has, have an answer.
  if (std::string_view("t12gsMfmipr").find(input.kind) != std::string_view::npos) expect(!full.empty());
  return 0;
}
