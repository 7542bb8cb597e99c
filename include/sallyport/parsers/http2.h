// HTTP/2 requests of a client's stream (RFC 9113), for connections that begin with the client preface
// ("prior knowledge") or were switched to h2c. Header blocks are decoded with libnghttp2's HPACK inflater.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_http2 compares with the client preface (RFC 9113 §3.4): kYes when all of it is there.
Likeness looks_like_http2(ByteSpan stream);

// Http2RequestReader follows the bytes of one client, as HttpRequestStream does for HTTP/1: it is shown
// the contiguous bytes at the current structural position, and the same steps mean the same.
//
// `body_bytes` need no look, but that is no leave to pass: before the first kRequest nothing of the
// connection is judged. `head` has method, target (:path, or :authority with CONNECT), path, user_agent,
// authority, host and connect; `upgrade_protocol` is :protocol (RFC 8441). Its views point into the reader
// and are valid until the next call.
//
// It refuses for good what the two ends could read differently: frames that do not belong where they
// stand, even, reused or falling stream ids, field names in upper case, fields of HTTP/1 connections,
// missing, repeated, unknown or late pseudo-header fields, :authority that is not Host.
//
// The dynamic table has the default size of 4096 bytes (RFC 9113 §6.5.2): a client that makes use of a
// larger one, which only the server's SETTINGS could allow, is refused.
//
// All memory is taken in the constructor, about 90 kB, the inflater's included: it allocates from a heap
// of fixed size inside the reader, and a client that exhausts that is refused with kTooLong. Make readers
// at start and reset() them for each connection. One thread at a time.
class Http2RequestReader {
 public:
  using Step = HttpRequestStream::Step;

  struct Result {
    Step step = Step::kNeedMore;
    std::size_t consumed = 0;
    std::uint64_t body_bytes = 0;
    std::uint32_t stream_id = 0;  // With kRequest.
    HttpRequestHead head;         // With kRequest; for reports with the refusing steps.
  };

  Http2RequestReader();
  ~Http2RequestReader();
  Http2RequestReader(const Http2RequestReader&) = delete;
  Http2RequestReader& operator=(const Http2RequestReader&) = delete;

  Result next(ByteSpan structural);
  // in_header_block tells that frames of a header block are consumed whose last is still to come: the request that
  // they begin is not known yet.
  bool in_header_block() const;
  // last_request returns the head of the last kRequest; its views are valid until the next call of next().
  const HttpRequestHead& last_request() const;
  // last_stream returns the highest stream id that a client's frame has opened; 0: none.
  std::uint32_t last_stream() const;

  // reset makes the reader ready for the preface of another connection. With `upgraded` the HTTP/1.1
  // request that asked for h2c already took stream 1 (RFC 7540 §3.2). Does not allocate.
  void reset(bool upgraded = false);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::parsers
