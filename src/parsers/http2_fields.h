// Http2Fields gathers the decoded fields of one header block and judges them (RFC 9113 §8). It keeps
// copies of the few that matter, in memory of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"

namespace sallyport::parsers {

enum class Http2Fault : std::uint8_t { kNone, kMalformed, kAmbiguous, kTooLong };

class Http2Fields {
 public:
  void begin(bool trailers);
  // add takes the next field in order. Its views are borrowed for the call.
  Http2Fault add(std::string_view name, std::string_view value);
  // finish judges the whole request and fills `head`, whose views are valid until begin. Not for trailers.
  Http2Fault finish(HttpRequestHead& head) const;
  // report fills what is known of a refused block.
  void report(HttpRequestHead& head) const;

 private:
  enum Kept : std::uint8_t { kMethod, kScheme, kAuthority, kPath, kProtocol, kHost, kUserAgent, kOrigin, kKeptCount };

  Http2Fault add_pseudo(std::string_view name, std::string_view value);
  Http2Fault add_regular(std::string_view name, std::string_view value);
  Http2Fault keep(Kept which, std::string_view value);
  bool has(Kept which) const { return values_[which].data() != nullptr; }
  Http2Fault finish_connect(HttpRequestHead& head) const;
  Http2Fault finish_request(HttpRequestHead& head) const;
  bool same_authority(const HttpAuthority& authority, const HttpAuthority& host) const;

  bool trailers_ = false;
  bool regular_seen_ = false;
  unsigned origins_ = 0;
  std::size_t count_ = 0;
  std::size_t list_size_ = 0;
  std::size_t used_ = 0;
  std::array<std::string_view, kKeptCount> values_{};  // Null data: not there.
  // The kept values cannot exceed the bound of the whole list.
  std::array<char, kHttp2FieldListMax> bytes_;
};

}  // namespace sallyport::parsers
