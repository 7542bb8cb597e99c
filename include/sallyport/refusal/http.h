// 403 Forbidden for HTTP/1.x (RFC 9110 §15.5.4, problem details of RFC 9457) and HTTP/2 (RFC 9113).
#pragma once

#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

// HttpRefusal is what of the request decides the form of the answer.
struct HttpRefusal {
  // The Accept field's value as sent, empty if there is none. text/html where it is named with a weight above zero and
  // application/json, application/problem+json are not named before it: a browser gets a page. Else problem details.
  std::string_view accept = {};
  bool head = false;  // A response to HEAD has no content, RFC 9110 §9.3.2. Content-Length says what GET would get.
  unsigned status = 403;  // 400 to 599, else nothing is written.
};

// Both kinds of content say what the notice says (problem details: members detail, name, scope, rule, reason; empty ones are left
// out, and those that are longer than the text may be). Proxy-Status (RFC 9209) has its text too: error=http_request_denied.
// There is no Date: no clock is read.

// http1_forbidden writes a whole response with Connection: close. `refusal.status` is 403 unless the caller has a reason.
std::size_t http1_forbidden(Buffer out, const Notice& notice, const HttpRefusal& refusal);

// http2_forbidden writes the frames that answer one stream: an empty SETTINGS frame first where the server's preface was not
// sent yet (`with_preface`), HEADERS without indexing (so the compression context of the connection stays as it is), DATA with
// END_STREAM. The other streams are left alone. 0 where `stream_id` is none that a client opens.
std::size_t http2_forbidden(Buffer out, const Notice& notice, const HttpRefusal& refusal, std::uint32_t stream_id,
                            bool with_preface);

// http2_goaway writes GOAWAY with NO_ERROR, last stream id `last_stream_id` (streams above it were not processed, RFC 9113
// §6.8) and the notice's text as debug data.
std::size_t http2_goaway(Buffer out, const Notice& notice, std::uint32_t last_stream_id, bool with_preface);

}  // namespace sallyport::refusal
