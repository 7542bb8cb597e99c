#include <algorithm>
#include <array>

#include "http_text.h"
#include "sallyport/parsers/http1.h"

namespace sallyport::parsers {
namespace {

// Methods of RFC 9110 §9.3 and RFC 5789, and those of WebDAV that are used without a browser.
constexpr std::array<std::string_view, 17> kKnownMethods = {
    "GET",      "HEAD",      "POST",  "PUT",  "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE",   "LOCK",    "UNLOCK",  "REPORT"};

// A method that is not known must show its version within this; text of other protocols has line ends.
constexpr std::size_t kUnknownTargetMax = 2'048;
constexpr std::size_t kSpacesMax = 64;  // Between method and target.

// matches answers kMaybe while `text` is a proper prefix of `expected`, kYes when it begins with it.
Likeness matches(std::string_view text, std::string_view expected) {
  const std::size_t length = std::min(text.size(), expected.size());
  if (text.substr(0, length) != expected.substr(0, length)) return Likeness::kNo;
  return length == expected.size() ? Likeness::kYes : Likeness::kMaybe;
}

// known_target answers kYes when a target can only be HTTP's. SIP, RTSP and ICAP share some methods, so
// other schemes have to show the version.
Likeness known_target(std::string_view rest) {
  if (rest.empty()) return Likeness::kMaybe;
  return std::max({matches(rest, "/"), matches(rest, "http://"), matches(rest, "https://")});
}

// versioned_target reads "target SP HTTP/1.".
Likeness versioned_target(std::string_view rest) {
  std::size_t length = 0;
  while (length < rest.size() && is_visible(rest[length])) {
    if (++length > kUnknownTargetMax) return Likeness::kNo;
  }
  if (length == rest.size()) return Likeness::kMaybe;
  return length == 0 ? Likeness::kNo : matches(rest.substr(length), " HTTP/1.");
}

}  // namespace

Likeness looks_like_http1(ByteSpan stream) {
  std::string_view text = as_text(stream);
  // RFC 9112 §2.2: empty lines may stand before the request line.
  for (std::size_t i = 0; i < kHttpEmptyLinesMax && text.starts_with('\r'); ++i) {
    if (text.size() == 1) return Likeness::kMaybe;
    if (text[1] != '\n') return Likeness::kNo;
    text.remove_prefix(2);
  }
  std::size_t length = 0;
  while (length < text.size() && text[length] != ' ') {
    const char c = text[length];
    const bool allowed = is_upper(c) || (length > 0 && (is_digit(c) || c == '-' || c == '_'));
    if (!allowed || ++length > kHttpMethodMax) return Likeness::kNo;
  }
  if (length == text.size()) return Likeness::kMaybe;
  if (length == 0) return Likeness::kNo;
  const std::string_view method = text.substr(0, length);
  std::string_view rest = text.substr(length + 1);
  // More than one space is refused later, under HTTP's name.
  rest.remove_prefix(std::min({rest.find_first_not_of(' '), rest.size(), kSpacesMax}));
  const Likeness versioned = versioned_target(rest);
  if (std::find(kKnownMethods.begin(), kKnownMethods.end(), method) == kKnownMethods.end()) return versioned;
  return std::max(versioned, known_target(rest));
}

Likeness looks_like_http1_response(ByteSpan stream) {
  const std::string_view text = as_text(stream);
  const Likeness version = matches(text, "HTTP/1.");
  if (version != Likeness::kYes || text.size() == 7) return std::min(version, Likeness::kMaybe);
  if (!is_digit(text[7])) return Likeness::kNo;
  if (text.size() == 8) return Likeness::kMaybe;
  return text[8] == ' ' ? Likeness::kYes : Likeness::kNo;
}

}  // namespace sallyport::parsers
