// The text of a notice: who may not have what. Written into a buffer of its owner, without memory of its own.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <span>
#include <string_view>

namespace sallyport::engine {

// NoticeText appends printable ASCII to a fixed buffer; what does not fit is left out, other octets become "?".
class NoticeText {
 public:
  explicit NoticeText(std::span<char> out) : out_(out) {}

  NoticeText& operator<<(std::string_view text) {
    for (const char c : text.substr(0, out_.size() - size_)) out_[size_++] = c >= ' ' && c <= '~' ? c : '?';
    return *this;
  }
  NoticeText& operator<<(unsigned number) {
    std::array<char, 10> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return *this << std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data()));
  }
  std::size_t size() const { return size_; }
  std::string_view from(std::size_t begin) const { return {out_.data() + begin, size_ - begin}; }

 private:
  std::span<char> out_;
  std::size_t size_ = 0;
};

}  // namespace sallyport::engine
