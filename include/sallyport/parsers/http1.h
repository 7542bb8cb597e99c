// HTTP/1.x heads (RFC 9112, RFC 9110), read so strictly that no two servers can disagree on what they
// say: whatever has two readings is refused. Pure functions; any thread may call them; no allocation.
// Views in results point into the input (or at static text) and are valid as long as the input is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_http1 tells whether a client's first bytes are an HTTP/1.x request line: known methods by
// their first bytes, other upper-case methods only when the line goes on to " HTTP/1.". HTTP/0.9
// ("GET /x" and a line end) counts as HTTP, so that it is refused by name. kNo is final: no
// continuation of the bytes changes it.
Likeness looks_like_http1(ByteSpan stream);

// looks_like_http1_response tells whether a server's first bytes are a status line (RFC 9112 §4).
Likeness looks_like_http1_response(ByteSpan stream);

// HttpAuthority is host[:port] of RFC 3986 §3.2, without userinfo.
struct HttpAuthority {
  std::string_view host;  // As sent: case is kept; an IPv6 address stands without its brackets.
  std::optional<std::uint16_t> port;
  bool is_ip_literal = false;  // IPv6 in brackets, or four decimal numbers.
};

enum class HttpEmptyHost : std::uint8_t { kRefuse, kAllow };

// parse_http_authority gives nullopt for userinfo, an empty or over-long host, percent signs, commas,
// bytes outside printable ASCII, IPvFuture and zones, and for a port that is empty, 0, has a leading
// zero or exceeds 65535. The host need not be a valid DomainName.
std::optional<HttpAuthority> parse_http_authority(std::string_view text,
                                                  HttpEmptyHost empty_host = HttpEmptyHost::kRefuse);

enum class HttpBody : std::uint8_t { kNone, kLength, kChunked };

enum class HttpTargetForm : std::uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };  // RFC 9112 §3.2

// HttpRequestHead is the request line and fields of one request. Only framing == kComplete makes it
// fit for a decision. With kMalformed or kTooLong whatever could be read (method, target, first Host)
// is filled for reports and must not be trusted.
struct HttpRequestHead {
  Framing framing = Framing::kNeedMore;
  bool ambiguous = false;            // With kMalformed: two readers could read it differently.
  bool unsupported_version = false;  // With kMalformed: HTTP/0.9, or another version than 1.0 and 1.1.
  std::size_t head_length = 0;       // With kComplete: bytes through the blank line, a leading one included.
  std::string_view method;
  std::string_view target;  // As sent.
  std::string_view path;    // Absolute path without query; "/" if the absolute form has none; else empty.
  std::string_view user_agent;
  std::string_view origin;    // The first Origin field's value as sent (RFC 6454 §7.1).
  unsigned origin_fields = 0;  // How many there are.
  HttpTargetForm target_form = HttpTargetForm::kOrigin;
  unsigned minor_version = 1;
  std::optional<HttpAuthority> host;       // The Host field. Absent only in HTTP/1.0.
  std::optional<HttpAuthority> authority;  // Of the absolute form or of CONNECT; agrees with `host`.
  HttpBody body = HttpBody::kNone;
  std::uint64_t content_length = 0;   // With kLength.
  bool upgrade = false;               // An Upgrade field: the server may switch, whatever Connection says.
  std::string_view upgrade_protocol;  // The field as sent ("websocket"); two of them are ambiguous.
  bool connect = false;
  // The client may wait for 100 before it sends the body. The body is due whatever the server answers,
  // unless the connection ends (RFC 9110 §10.1.1).
  bool expect_continue = false;

  // name_authority returns what the request is for: the target's authority if it has one, else Host
  // (RFC 9112 §3.3). Null when an HTTP/1.0 request names nothing.
  const HttpAuthority* name_authority() const {
    if (authority) return &*authority;
    return host ? &*host : nullptr;
  }
};

// parse_http_request_head reads one head from the front of `stream`: kNeedMore until its blank line.
// `scan_from` saves work: the length of a prefix for which an earlier call answered kNeedMore.
// However the bytes are cut, framing and `ambiguous` come out the same.
HttpRequestHead parse_http_request_head(ByteSpan stream, std::size_t scan_from = 0);

// read_refused_http_head reads what a head that parse_http_request_head refuses says of itself, with any kind
// of line end: for reports, never for a decision. kComplete: its blank line is there; kTooLong: it will not
// come. `host` is the first Host field, as sent if it is no authority.
HttpRequestHead read_refused_http_head(ByteSpan stream);

// HttpChunkHead is a chunk's size line (RFC 9112 §7.1). `size` bytes and CRLF follow; after size 0 the
// trailers follow at once.
struct HttpChunkHead {
  Framing framing = Framing::kNeedMore;
  std::size_t head_length = 0;
  std::uint64_t size = 0;
};
HttpChunkHead parse_http_chunk_head(ByteSpan stream);

// HttpTrailers is the trailer section through its blank line (RFC 9112 §7.1.2). Fields that frame or
// route a message are malformed there.
struct HttpTrailers {
  Framing framing = Framing::kNeedMore;
  std::size_t length = 0;
};
HttpTrailers parse_http_trailers(ByteSpan stream, std::size_t scan_from = 0);

// HttpResponseHead is the status line and fields of one response; `head_length` goes through the blank
// line. Interim responses (1xx) are heads of their own.
struct HttpResponseHead {
  Framing framing = Framing::kNeedMore;
  unsigned status = 0;  // 100..599
  std::size_t head_length = 0;
};
HttpResponseHead parse_http_response_head(ByteSpan stream);

// HttpRequestStream follows the request bytes of one connection. Its owner shows it the contiguous
// bytes at the current structural position and does what the result says:
//   kNeedMore   nothing was consumed; show the same bytes again, with more behind them.
//   kRequest    `head` is one request; advance by `consumed` (== head.head_length).
//   kBodyBytes  advance by `consumed`, then by `body_bytes` stream bytes that nobody need look at;
//               they may not have arrived yet. Either number may be 0, but not both.
//   otherwise   the stream is refused for good; every further call answers the same step.
// After a request with upgrade or CONNECT (and behind its body) it stands still with kNeedMore until
// the server's answer is known: see awaiting_switch.
class HttpRequestStream {
 public:
  enum class Step : std::uint8_t { kNeedMore, kRequest, kBodyBytes, kMalformed, kTooLong, kAmbiguous };

  struct Result {
    Step step = Step::kNeedMore;
    std::size_t consumed = 0;      // Structural bytes that are done with.
    std::uint64_t body_bytes = 0;  // Free bytes behind them.
    HttpRequestHead head;          // With kRequest; for reports with the refusing steps.
  };

  Result next(ByteSpan structural);

  // awaiting_switch tells that what follows is either another protocol or more HTTP, which only the
  // server's answer decides (101, or 2xx to CONNECT).
  bool awaiting_switch() const { return state_ == State::kAwaitingSwitch; }
  // resume_http goes on with requests: the server refused the switch.
  void resume_http();

 private:
  enum class State : std::uint8_t {
    kHead,
    kLengthBody,
    kChunkHead,
    kChunkEnd,
    kTrailers,
    kAwaitingSwitch,
    kFailed,
  };

  Result next_head(ByteSpan structural);
  Result next_chunk_head(ByteSpan structural);
  Result next_chunk_end(ByteSpan structural);
  Result next_trailers(ByteSpan structural);
  Result refuse(Step step);
  void finish_message();

  State state_ = State::kHead;
  Step failure_ = Step::kMalformed;  // With kFailed.
  bool switch_after_body_ = false;
  std::uint32_t scanned_ = 0;    // Length of the structural prefix that was seen and is incomplete.
  std::uint64_t body_left_ = 0;  // With kLengthBody.
};

}  // namespace sallyport::parsers
