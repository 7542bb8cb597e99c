#include "sallyport/core/http_path.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace sallyport {
namespace {

constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> table{};
  // unreserved / sub-delims without ";" / ":" / "@" (RFC 3986 §2.2, §2.3, §3.3)
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// is_doubtful tells octets that some servers take for a separator, an end, or an error.
constexpr bool is_doubtful(std::uint8_t octet) {
  return octet < 0x20 || octet == 0x7f || octet == '/' || octet == '\\' || octet == ';';
}

// Utf8 takes what RFC 3629 §4 has, and no overlong form: "/" hides in C0 AF, "." in E0 80 AE.
class Utf8 {
 public:
  // next is false for an octet that may not come here.
  bool next(std::uint8_t octet) {
    if (missing_ > 0) {
      const bool fits = octet >= low_ && octet <= high_;
      --missing_;
      low_ = 0x80;
      high_ = 0xbf;
      return fits;
    }
    if (octet < 0x80) return true;
    if (octet < 0xc2 || octet > 0xf4) return false;
    missing_ = octet < 0xe0 ? 1 : octet < 0xf0 ? 2 : 3;
    if (octet == 0xe0) low_ = 0xa0;
    if (octet == 0xed) high_ = 0x9f;  // Surrogates lie above.
    if (octet == 0xf0) low_ = 0x90;
    if (octet == 0xf4) high_ = 0x8f;
    return true;
  }
  bool complete() const { return missing_ == 0; }

 private:
  int missing_ = 0;
  std::uint8_t low_ = 0x80, high_ = 0xbf;  // Of the next octet.
};

// Writer puts segments into the storage.
class Writer {
 public:
  explicit Writer(std::span<char> storage) : storage_(storage) {}

  bool put(char c) {
    if (size_ == storage_.size()) return false;
    storage_[size_++] = c;
    return true;
  }
  bool put_octet(std::uint8_t octet) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    if (kPlain[octet]) return put(static_cast<char>(octet));
    return put('%') && put(kDigits[octet >> 4]) && put(kDigits[octet & 15]);
  }
  std::string_view text() const { return {storage_.data(), size_}; }
  void cut(std::size_t size) { size_ = size; }

 private:
  std::span<char> storage_;
  std::size_t size_ = 0;
};

// put_segment writes one segment. False: it has two readings, or does not fit. `encoded_dot` is set when one was decoded.
bool put_segment(std::string_view segment, Writer& out, bool& encoded_dot) {
  constexpr int kNoPercent = 3;
  int digits = kNoPercent;  // Seen behind a percent sign.
  Utf8 utf8;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    auto octet = static_cast<std::uint8_t>(segment[i]);
    if (segment[i] == '%') {
      if (segment.size() - i < 3) return false;
      const int high = hex_value(segment[i + 1]);
      const int low = hex_value(segment[i + 2]);
      if (high < 0 || low < 0) return false;
      octet = static_cast<std::uint8_t>(high * 16 + low);
      i += 2;
      encoded_dot |= octet == '.';
    }
    // Two hex digits behind a percent sign, whichever of the three were encoded: some servers decode that again.
    const bool is_digit = hex_value(static_cast<char>(octet)) >= 0;
    digits = octet == '%' ? 0 : is_digit ? std::min(digits + 1, kNoPercent) : kNoPercent;
    if (digits == 2) return false;
    if (is_doubtful(octet) || !utf8.next(octet) || !out.put_octet(octet)) return false;
  }
  return utf8.complete();
}

}  // namespace

std::optional<std::string_view> canonical_http_path(std::string_view path, std::span<char> storage) {
  if (!path.starts_with('/')) return std::nullopt;
  Writer out(storage);
  while (true) {  // `path` begins with the slash before its next segment.
    const std::size_t end = path.find('/', 1);
    const bool last = end == std::string_view::npos;
    const std::string_view segment = path.substr(1, last ? end : end - 1);
    if (segment.empty() && !last) return std::nullopt;
    const std::size_t begin = out.text().size();
    bool encoded_dot = false;
    if (!out.put('/') || !put_segment(segment, out, encoded_dot)) return std::nullopt;
    const std::string_view written = out.text().substr(begin + 1);
    if (written == "." || written == "..") {
      if (encoded_dot) return std::nullopt;
      if (written == "..") {
        if (begin == 0) return std::nullopt;
        out.cut(out.text().substr(0, begin).rfind('/'));
      } else {
        out.cut(begin);
      }
      if (last && !out.put('/')) return std::nullopt;
    }
    if (last) return out.text();
    path.remove_prefix(end);
  }
}

}  // namespace sallyport
