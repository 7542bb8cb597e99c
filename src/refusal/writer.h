// Writer fills a buffer from its beginning. A write that does not fit writes nothing and spoils the Writer: finish() then says
// 0, so that an answer is whole or there is none. Integers are big-endian (network order). It borrows the buffer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

class Writer {
 public:
  constexpr explicit Writer(Buffer out) : out_(out) {}

  // size is how many bytes stand, room how many more fit. A spoiled Writer has no room.
  constexpr std::size_t size() const { return size_; }
  constexpr std::size_t room() const { return ok_ ? out_.size() - size_ : 0; }
  constexpr bool ok() const { return ok_; }

  constexpr void u8(std::uint8_t value) { integer<1>(value); }
  constexpr void u16(std::uint16_t value) { integer<2>(value); }
  constexpr void u24(std::uint32_t value) { integer<3>(value); }
  constexpr void u32(std::uint32_t value) { integer<4>(value); }
  constexpr void u64(std::uint64_t value) { integer<8>(value); }

  constexpr void bytes(ByteSpan bytes) {
    if (!reserve(bytes.size())) return;
    std::ranges::copy(bytes, out_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += bytes.size();
  }
  void text(std::string_view text) { bytes(as_bytes_of(text)); }
  constexpr void fill(std::size_t count, std::uint8_t value) {
    if (!reserve(count)) return;
    std::ranges::fill(out_.subspan(size_, count), value);
    size_ += count;
  }

  // placeholder leaves `Width` zero bytes for a value that is known later and returns where they are; patch puts it there,
  // where `at` is within what stands. Both spoil the Writer where that cannot be, and where the value needs more bytes.
  template <std::size_t Width>
  constexpr std::size_t placeholder() {
    const std::size_t at = size_;
    fill(Width, 0);
    return at;
  }
  template <std::size_t Width>
  constexpr void patch(std::size_t at, std::uint64_t value) {
    static_assert(Width >= 1 && Width <= 8);
    if (at > size_ || Width > size_ - at) ok_ = false;
    if constexpr (Width < 8) {
      if (value >> (8 * Width) != 0) ok_ = false;
    }
    if (!ok_) return;
    for (std::size_t i = 0; i < Width; ++i) out_[at + i] = static_cast<std::uint8_t>(value >> (8 * (Width - 1 - i)));
  }

  // cut takes back what stands behind `size`.
  constexpr void cut(std::size_t size) { size_ = std::min(size, size_); }
  // spoil says that what should be written cannot be.
  constexpr void spoil() { ok_ = false; }

  // written returns what stands, from `from` on: for checksums. Empty where the Writer is spoiled.
  constexpr Buffer written(std::size_t from = 0) const {
    return ok_ && from <= size_ ? out_.subspan(from, size_ - from) : Buffer();
  }

  // finish returns the number of bytes that stand, or 0 where something did not fit.
  constexpr std::size_t finish() const { return ok_ ? size_ : 0; }

 private:
  constexpr bool reserve(std::size_t count) {
    if (count > room()) ok_ = false;
    return ok_;
  }

  template <std::size_t Width>
  constexpr void integer(std::uint64_t value) {
    const std::size_t at = placeholder<Width>();
    patch<Width>(at, value);
  }

  Buffer out_;
  std::size_t size_ = 0;
  bool ok_ = true;
};

}  // namespace sallyport::refusal
