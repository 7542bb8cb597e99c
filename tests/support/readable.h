// Readable says what a receiver could make of the bytes of a stream that reached it: where they were sent
// twice with different content, it may take either.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "sallyport/core/bytes.h"

namespace sallyport::testing {

// Text is what a receiver might read from the beginning of a stream. A byte that is absent may be anything.
using Text = std::vector<std::optional<std::uint8_t>>;

inline void append(Text& text, ByteSpan bytes) {
  text.insert(text.end(), bytes.begin(), bytes.end());
}
inline Text text_of(ByteSpan bytes) {
  Text text;
  append(text, bytes);
  return text;
}

class Readable {
 public:
  static constexpr std::size_t kSize = 8'192;  // Bytes behind are of no interest.

  void arrived(std::size_t offset, ByteSpan bytes) {
    for (std::size_t i = 0; i < bytes.size() && offset + i < kSize; ++i) {
      if (offset + i < taken_) continue;  // The receiver has its value already.
      if (values_.size() <= offset + i) values_.resize(offset + i + 1);
      values_[offset + i].set(bytes[i]);
    }
  }

  // contiguous returns how many bytes from the beginning have arrived.
  std::size_t contiguous() const {
    std::size_t count = 0;
    while (count < values_.size() && values_[count].any()) ++count;
    return count;
  }

  // take says that the receiver has the first `count` bytes, which have arrived, and keeps to what it has.
  void take(std::size_t count) { taken_ = count; }
  std::size_t taken() const { return taken_; }

  bool as(const Text& text) const {
    if (text.size() > values_.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] ? !values_[i].test(*text[i]) : values_[i].none()) return false;
    }
    return true;
  }

 private:
  std::vector<std::bitset<256>> values_;
  std::size_t taken_ = 0;
};

}  // namespace sallyport::testing
