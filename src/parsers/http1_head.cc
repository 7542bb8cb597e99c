#include <algorithm>
#include <limits>

#include "http_head_scan.h"
#include "http_text.h"
#include "sallyport/parsers/http1.h"

namespace sallyport::parsers {
namespace {

enum class Fault : std::uint8_t { kNone, kMalformed, kAmbiguous, kVersion, kTooLong };

// FieldCounts is what must be known of all fields before a message can be framed.
struct FieldCounts {
  unsigned fields = 0;
  unsigned hosts = 0;
  unsigned content_lengths = 0;
  unsigned transfer_encodings = 0;
  unsigned upgrades = 0;
};

// method_may_follow tells whether the bytes still may begin with "token SP". It never tells more of a
// longer prefix than the scan of the head does, so the fault is the same however the bytes are cut.
bool method_may_follow(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && text[length] != ' ') {
    if (!is_token_char(text[length]) || ++length > kHttpMethodMax) return false;
  }
  return length > 0 || text.empty();
}

Fault parse_version(std::string_view text, HttpRequestHead& head) {
  if (text == "HTTP/1.1" || text == "HTTP/1.0") {
    head.minor_version = text.back() == '1' ? 1 : 0;
    return Fault::kNone;
  }
  const bool other_version = text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) &&
                             text[6] == '.' && is_digit(text[7]);
  return other_version ? Fault::kVersion : Fault::kMalformed;
}

// parse_absolute_target reads scheme "://" authority path-abempty ["?" query] (RFC 9112 §3.2.2).
Fault parse_absolute_target(HttpRequestHead& head) {
  head.target_form = HttpTargetForm::kAbsolute;
  const std::size_t colon = head.target.find("://");
  if (colon == std::string_view::npos || colon == 0 || !is_alpha(head.target.front()))
    return Fault::kMalformed;
  for (const char c : head.target.substr(0, colon)) {
    if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return Fault::kMalformed;
  }
  const std::string_view rest = head.target.substr(colon + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = parse_http_authority(rest.substr(0, end));
  if (!head.authority) return Fault::kAmbiguous;  // Userinfo, a backslash: readers find different hosts.
  const std::string_view behind = rest.substr(end);
  head.path = behind.starts_with('/') ? behind.substr(0, behind.find('?')) : std::string_view("/");
  return Fault::kNone;
}

Fault parse_target(HttpRequestHead& head) {
  if (head.target.empty()) return Fault::kMalformed;
  for (const char c : head.target) {
    // RFC 9112 §3.2 has no fragment; some servers cut the target there.
    if (!is_visible(c) || c == '#') return Fault::kMalformed;
  }
  head.connect = head.method == "CONNECT";
  if (head.connect) {  // RFC 9112 §3.2.3: host and port, nothing else.
    head.target_form = HttpTargetForm::kAuthority;
    head.authority = parse_http_authority(head.target);
    return head.authority && head.authority->port ? Fault::kNone : Fault::kMalformed;
  }
  if (head.target == "*") {
    head.target_form = HttpTargetForm::kAsterisk;
    return head.method == "OPTIONS" ? Fault::kNone : Fault::kMalformed;  // RFC 9112 §3.2.4
  }
  if (head.target.front() == '/') {
    head.path = head.target.substr(0, head.target.find('?'));
    return Fault::kNone;
  }
  return parse_absolute_target(head);
}

// parse_request_line reads `line` without its line end.
Fault parse_request_line(std::string_view line, HttpRequestHead& head) {
  const std::size_t first = line.find(' ');
  head.method = line.substr(0, first);
  if (!is_token(head.method) || first == std::string_view::npos) return Fault::kMalformed;
  const std::string_view rest = line.substr(first + 1);
  const std::size_t second = rest.find(' ');
  head.target = rest.substr(0, second);
  // RFC 9112 §3: lenient readers split at any white space, so more of it moves the target.
  if (head.target.empty() || line.find('\t') != std::string_view::npos) return Fault::kAmbiguous;
  if (second == std::string_view::npos) return Fault::kVersion;  // HTTP/0.9
  const std::string_view version = rest.substr(second + 1);
  if (version.find(' ') != std::string_view::npos) return Fault::kAmbiguous;
  const Fault fault = parse_version(version, head);
  return fault == Fault::kNone ? parse_target(head) : fault;
}

Fault parse_host(std::string_view value, FieldCounts& counts, HttpRequestHead& head) {
  if (++counts.hosts > 1) return Fault::kAmbiguous;  // Even equal ones: no honest client sends two.
  head.host = parse_http_authority(value);
  if (head.host) return Fault::kNone;
  return value.find_first_of("@, \t") == std::string_view::npos ? Fault::kMalformed : Fault::kAmbiguous;
}

// parse_content_length takes digits alone. Lists, signs and leading zeros are read differently by
// different servers (RFC 9112 §6.3), equal fields are not.
Fault parse_content_length(std::string_view value, FieldCounts& counts, HttpRequestHead& head) {
  constexpr std::size_t kDigitsMax = std::numeric_limits<std::int64_t>::digits10;  // All of them fit.
  if (value.empty() || value.size() > kDigitsMax || (value.front() == '0' && value.size() > 1)) {
    return Fault::kAmbiguous;
  }
  std::uint64_t length = 0;
  for (const char c : value) {
    if (!is_digit(c)) return Fault::kAmbiguous;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (counts.content_lengths++ > 0 && length != head.content_length) return Fault::kAmbiguous;
  head.content_length = length;
  head.body = HttpBody::kLength;
  return Fault::kNone;
}

Fault parse_known_field(std::string_view name, std::string_view value, FieldCounts& counts,
                        HttpRequestHead& head) {
  switch (name.size()) {
    case 4:
      if (equals_ignoring_case(name, "host")) return parse_host(value, counts, head);
      break;
    case 6:
      if (equals_ignoring_case(name, "expect")) {
        head.expect_continue = equals_ignoring_case(value, "100-continue");
      } else if (equals_ignoring_case(name, "origin") && head.origin_fields++ == 0) {
        head.origin = value;
      }
      break;
    case 7:
      if (equals_ignoring_case(name, "upgrade")) {
        if (++counts.upgrades > 1) return Fault::kAmbiguous;  // Servers take the first, the last, or a list of both.
        head.upgrade_protocol = value;
        head.upgrade = true;
      }
      break;
    case 10:
      if (equals_ignoring_case(name, "user-agent") && head.user_agent.empty()) head.user_agent = value;
      break;
    case 14:
      if (equals_ignoring_case(name, "content-length")) return parse_content_length(value, counts, head);
      break;
    case 17:
      if (equals_ignoring_case(name, "transfer-encoding")) {
        // Exactly this: "Chunked", "x, chunked" and a second field have hidden requests from readers.
        if (++counts.transfer_encodings > 1 || value != "chunked") return Fault::kAmbiguous;
      }
      break;
    default:
      break;
  }
  return Fault::kNone;
}

Fault parse_field(std::string_view line, FieldCounts& counts, HttpRequestHead& head) {
  if (++counts.fields > kHttpFieldsMax) return Fault::kTooLong;
  if (is_blank(line.front())) return Fault::kAmbiguous;  // obs-fold, RFC 9112 §5.2
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return Fault::kMalformed;
  const std::string_view name = line.substr(0, colon);
  if (is_blank(name.back())) return Fault::kAmbiguous;  // RFC 9112 §5.1
  if (!is_token(name)) return Fault::kMalformed;
  return parse_known_field(name, trim_blanks(line.substr(colon + 1)), counts, head);
}

// same_authority compares Host with the target's authority. A missing port is the scheme's default; with
// CONNECT, whose authority always has a port, a Host without one says nothing of it.
bool same_authority(const HttpRequestHead& head) {
  if (!equals_ignoring_case(head.host->host, head.authority->host)) return false;
  if (head.connect) return !head.host->port || head.host->port == head.authority->port;
  const std::string_view scheme = head.target.substr(0, head.target.find(':'));
  std::uint16_t default_port = 0;
  if (equals_ignoring_case(scheme, "http")) default_port = 80;
  if (equals_ignoring_case(scheme, "https")) default_port = 443;
  return head.host->port.value_or(default_port) == head.authority->port.value_or(default_port);
}

// check_message holds the rules that need all fields.
Fault check_message(const FieldCounts& counts, HttpRequestHead& head) {
  if (counts.hosts == 0 && head.minor_version >= 1) return Fault::kMalformed;  // RFC 9112 §3.2
  if (head.host && head.authority && !same_authority(head)) return Fault::kAmbiguous;
  if (counts.transfer_encodings > 0) {
    // RFC 9112 §6.1, §6.3: the marks of request smuggling.
    if (counts.content_lengths > 0 || head.minor_version == 0) return Fault::kAmbiguous;
    head.body = HttpBody::kChunked;
  }
  const bool has_body = head.body == HttpBody::kChunked || head.content_length > 0;
  if (head.connect && has_body) return Fault::kAmbiguous;  // RFC 9110 §9.3.6: nobody knows where it ends.
  return Fault::kNone;
}

Fault parse_fields(std::string_view fields, HttpRequestHead& head) {
  FieldCounts counts;
  while (fields != "\r\n") {  // The scan found the blank line: each line ends in CRLF, the last is empty.
    const std::size_t end = fields.find("\r\n");
    const Fault fault = parse_field(fields.substr(0, end), counts, head);
    if (fault != Fault::kNone) return fault;
    fields.remove_prefix(end + 2);
  }
  return check_message(counts, head);
}

// read_for_report fills what a refused head says of itself: with any kind of line end, the method, the
// target and the first Host. True: it read the blank line behind them.
bool read_for_report(std::string_view text, HttpRequestHead& head) {
  text.remove_prefix(std::min(text.find_first_not_of("\r\n"), text.size()));
  bool first_line = true;
  while (true) {
    const std::size_t end = text.find('\n');
    const bool whole = end != std::string_view::npos;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(whole ? end + 1 : text.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t colon = line.find(':');
    if (first_line) {
      if (head.method.empty()) (void)parse_request_line(line, head);
    } else if (!head.host && colon != std::string_view::npos &&
               equals_ignoring_case(trim_blanks(line.substr(0, colon)), "host")) {
      const std::string_view value = trim_blanks(line.substr(colon + 1));
      head.host = parse_http_authority(value);
      if (!head.host && !value.empty()) head.host = HttpAuthority{value, std::nullopt, false};
    }
    if (!whole) return false;
    if (line.empty() && !first_line) return true;
    first_line = false;
  }
}

void refuse(Fault fault, std::string_view text, HttpRequestHead& head) {
  head.framing = fault == Fault::kTooLong ? Framing::kTooLong : Framing::kMalformed;
  head.ambiguous = fault == Fault::kAmbiguous;
  head.unsupported_version = fault == Fault::kVersion;
  (void)read_for_report(text.substr(0, kHttpHeadMax), head);
}

// leading_lines_end returns the length of the empty lines that stand before a request (RFC 9112 §2.2 wants one to be
// passed over; servers pass over more, or refuse), or nullopt while a lone CR may yet become another.
std::optional<std::size_t> leading_lines_end(std::string_view text) {
  std::size_t length = 0;
  while (length < 2 * kHttpEmptyLinesMax && text.substr(length).starts_with("\r\n")) length += 2;
  if (text.substr(length) == "\r") return std::nullopt;
  return length;
}

}  // namespace

HttpRequestHead parse_http_request_head(ByteSpan stream, std::size_t scan_from) {
  HttpRequestHead head;
  const std::optional<std::size_t> leading = leading_lines_end(as_text(stream));
  if (!leading) return head;
  stream = stream.subspan(*leading);
  scan_from -= std::min(scan_from, *leading);
  const std::string_view text = as_text(stream);
  if (!method_may_follow(text)) {
    refuse(Fault::kMalformed, text, head);
    return head;
  }
  const HttpHeadScan scan = scan_http_head(stream, scan_from);
  // The request line is judged as soon as it is there, so that what is not HTTP waits for no blank line.
  const std::size_t line_end = text.substr(0, scan.length).find('\n');
  const bool new_line = line_end != std::string_view::npos && line_end >= scan_from;
  if (new_line || scan.framing == Framing::kComplete) {
    const Fault fault = parse_request_line(text.substr(0, line_end - 1), head);
    if (fault != Fault::kNone) {
      refuse(fault, text, head);
      return head;
    }
  }
  switch (scan.framing) {
    case Framing::kNeedMore:
      return HttpRequestHead{};
    case Framing::kMalformed:
      refuse(scan.ambiguous ? Fault::kAmbiguous : Fault::kMalformed, text, head);
      break;
    case Framing::kTooLong:
      refuse(Fault::kTooLong, text, head);
      break;
    case Framing::kComplete: {
      const Fault fault = parse_fields(text.substr(line_end + 1, scan.length - line_end - 1), head);
      if (fault == Fault::kNone) {
        head.framing = Framing::kComplete;
        head.head_length = *leading + scan.length;
      } else {
        refuse(fault, text.substr(0, scan.length), head);
      }
      break;
    }
  }
  return head;
}

HttpRequestHead read_refused_http_head(ByteSpan stream) {
  HttpRequestHead head;
  const bool ended = read_for_report(as_text(stream.first(std::min(stream.size(), kHttpHeadMax))), head);
  const bool more = !ended && stream.size() < kHttpHeadMax;
  head.framing = ended ? Framing::kComplete : more ? Framing::kNeedMore : Framing::kTooLong;
  return head;
}

HttpResponseHead parse_http_response_head(ByteSpan stream) {
  HttpResponseHead head;
  const HttpHeadScan scan = scan_http_head(stream, 0);
  head.framing = scan.framing;
  if (looks_like_http1_response(stream) == Likeness::kNo) head.framing = Framing::kMalformed;
  if (head.framing != Framing::kComplete) return head;
  // status-line = HTTP-version SP status-code SP [reason-phrase]; servers omit the last SP as well.
  constexpr std::size_t kStatusAt = 9;
  const std::string_view text = as_text(stream);
  const std::string_view line = text.substr(0, text.find("\r\n"));
  head.framing = Framing::kMalformed;
  if (line.size() < kStatusAt + 3 || (line.size() > kStatusAt + 3 && line[kStatusAt + 3] != ' ')) return head;
  unsigned status = 0;
  for (const char c : line.substr(kStatusAt, 3)) {
    if (!is_digit(c)) return head;
    status = status * 10 + static_cast<unsigned>(c - '0');
  }
  if (status < 100 || status > 599) return head;
  head.status = status;
  head.framing = Framing::kComplete;
  head.head_length = scan.length;
  return head;
}

}  // namespace sallyport::parsers
