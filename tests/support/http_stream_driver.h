// Drives an HttpRequestStream or an Http2RequestReader as the engine does: bytes arrive in pieces of any
// size, each kNeedMore waits for the next piece, body bytes are skipped unseen. Writes down what came out as
// text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"

namespace sallyport::testing {

template <typename Stream>
class BasicHttpDriver {
 public:
  using Step = typename Stream::Step;

  // feed adds the next piece of the stream and runs as far as it goes.
  void feed(std::string_view piece) {
    pending_.append(piece);
    while (!stopped_) {
      const std::size_t skipped = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, pending_.size()));
      pending_.erase(0, skipped);
      skip_ -= skipped;
      body_seen_ += skipped;
      if (skip_ > 0) return;
      // A heap block of the exact size, so that AddressSanitizer sees a read one byte too far.
      const std::vector<std::uint8_t> block(pending_.begin(), pending_.end());
      if (!take(stream.next(block))) return;
    }
  }

  // log holds a line per request, a line per run of body bytes in front of it, and the refusal.
  std::string log() const { return log_ + body_line(); }
  bool stopped() const { return stopped_; }
  // broken tells that a result broke the contract of the header.
  bool broken() const { return broken_; }

  Stream stream;

 private:
  bool take(const typename Stream::Result& result) {
    if (result.consumed > pending_.size()) broken_ = stopped_ = true;
    switch (result.step) {
      case Step::kNeedMore:
        broken_ |= result.consumed != 0 || result.body_bytes != 0;
        return false;
      case Step::kRequest:
        broken_ |= result.consumed == 0 || result.consumed != result.head.head_length;
        log_ += body_line() + request_line(result.head);
        body_seen_ = 0;
        break;
      case Step::kBodyBytes:
        broken_ |= result.consumed == 0 && result.body_bytes == 0;
        skip_ = result.body_bytes;
        break;
      case Step::kMalformed:
        return stop("malformed");
      case Step::kTooLong:
        return stop("too long");
      case Step::kAmbiguous:
        return stop("ambiguous");
    }
    if (stopped_) return false;
    pending_.erase(0, result.consumed);
    return true;
  }

  static std::string request_line(const parsers::HttpRequestHead& head) {
    const parsers::HttpAuthority* name = head.name_authority();
    return std::string(head.method) + ' ' + std::string(name ? name->host : "-") + ' ' +
           std::string(head.target) + '\n';
  }

  std::string body_line() const {
    return body_seen_ == 0 ? std::string() : "body " + std::to_string(body_seen_) + '\n';
  }

  bool stop(std::string_view why) {
    log_ += body_line() + std::string(why) + '\n';
    body_seen_ = 0;
    stopped_ = true;
    return false;
  }

  std::string pending_;
  std::uint64_t skip_ = 0;
  std::uint64_t body_seen_ = 0;
  std::string log_;
  bool stopped_ = false;
  bool broken_ = false;
};

using HttpStreamDriver = BasicHttpDriver<parsers::HttpRequestStream>;
using Http2Driver = BasicHttpDriver<parsers::Http2RequestReader>;

}  // namespace sallyport::testing
