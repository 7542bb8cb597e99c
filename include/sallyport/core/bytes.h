// Spans of bytes and the cursor that every parser reads them with.
//
// A read either succeeds and advances, or fails and moves nothing. Nothing here allocates, throws or
// owns memory: results are views into the input and are valid for as long as the input is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport {

using ByteSpan = std::span<const std::uint8_t>;

// as_text returns the same bytes as characters.
inline std::string_view as_text(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// as_bytes_of returns the same characters as bytes.
inline ByteSpan as_bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// ByteReader is a cursor over a span; integers are big-endian (network order).
class ByteReader {
 public:
  constexpr ByteReader() = default;
  constexpr explicit ByteReader(ByteSpan bytes) : rest_(bytes) {}

  constexpr bool empty() const { return rest_.empty(); }
  constexpr std::size_t size() const { return rest_.size(); }
  // rest returns what is not read yet.
  constexpr ByteSpan rest() const { return rest_; }

  constexpr bool skip(std::size_t length) {
    if (length > rest_.size()) return false;
    rest_ = rest_.subspan(length);
    return true;
  }

  constexpr bool read_u8(std::uint8_t& out) { return read_integer<1>(out); }
  constexpr bool read_u16(std::uint16_t& out) { return read_integer<2>(out); }
  constexpr bool read_u24(std::uint32_t& out) { return read_integer<3>(out); }
  constexpr bool read_u32(std::uint32_t& out) { return read_integer<4>(out); }
  constexpr bool read_u64(std::uint64_t& out) { return read_integer<8>(out); }

  constexpr bool read_bytes(std::size_t length, ByteSpan& out) {
    if (length > rest_.size()) return false;
    out = rest_.first(length);
    rest_ = rest_.subspan(length);
    return true;
  }

  // read_prefixed reads a length of `Width` bytes and then that many bytes into a reader of their own,
  // which cannot leave the field.
  template <std::size_t Width>
  constexpr bool read_prefixed(ByteReader& out) {
    static_assert(Width >= 1 && Width <= 4);
    if (rest_.size() < Width) return false;
    std::size_t length = 0;
    for (std::size_t i = 0; i < Width; ++i) length = length << 8 | rest_[i];
    if (length > rest_.size() - Width) return false;
    out = ByteReader(rest_.subspan(Width, length));
    rest_ = rest_.subspan(Width + length);
    return true;
  }

 private:
  template <std::size_t Width, typename Integer>
  constexpr bool read_integer(Integer& out) {
    static_assert(sizeof(Integer) >= Width);
    if (rest_.size() < Width) return false;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < Width; ++i) value = value << 8 | rest_[i];
    out = static_cast<Integer>(value);
    rest_ = rest_.subspan(Width);
    return true;
  }

  ByteSpan rest_;
};

}  // namespace sallyport
