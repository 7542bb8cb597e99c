// Http2Frames follows the frames of an HTTP/2 server (RFC 9113 §4.1), for one question alone: whether the client has whole frames,
// so that one of ours may stand behind them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sallyport/core/bytes.h"

namespace sallyport::engine {

class Http2Frames {
 public:
  // take reads the next bytes of the server's stream, all of them in order.
  void take(ByteSpan bytes) {
    while (!bytes.empty()) {
      if (left_ != 0) {
        const std::size_t size = std::min<std::size_t>(left_, bytes.size());
        left_ -= static_cast<std::uint32_t>(size);
        bytes = bytes.subspan(size);
        continue;
      }
      if (header_size_ < kLengthSize) length_ = length_ << 8 | bytes[0];
      bytes = bytes.subspan(1);
      if (++header_size_ < kHeaderSize) continue;
      left_ = length_;
      length_ = 0;
      header_size_ = 0;
    }
  }
  // lose: bytes are missing, or the beginning was not seen.
  void lose() { lost_ = true; }
  bool begun() const { return begun_; }
  void begin() { begun_ = true; }
  // whole tells that the last frame ended with the last byte.
  bool whole() const { return !lost_ && left_ == 0 && header_size_ == 0; }

 private:
  static constexpr std::uint8_t kLengthSize = 3;
  static constexpr std::uint8_t kHeaderSize = 9;
  bool begun_ = false;
  bool lost_ = false;
  std::uint8_t header_size_ = 0;
  std::uint32_t length_ = 0;
  std::uint32_t left_ = 0;
};

}  // namespace sallyport::engine
