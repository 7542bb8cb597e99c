// The path of an HTTP request in the one form that rules are compared with. Pure function; any thread may call it; no
// allocation.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace sallyport {

// canonical_http_path writes `path` (an absolute path without query, RFC 3986 §3.3) into `storage` and returns the view of
// it: octets that may stand for themselves in a path do (unreserved, ":", "@" and sub-delims but ";"), every other one is
// percent-encoded in upper case, and dot segments are removed (RFC 3986 §5.2.4, §6.2.2). The result is never longer than
// three times the path.
//
// It gives nullopt for what two servers could read differently: an encoded slash, a backslash, a control character or
// octets that are not UTF-8, overlong forms among them; a percent sign without two hex digits, or one that is encoded before two of them; an
// encoded dot in a dot segment; ".." above the root; an empty segment within the path (servers merge slashes, or do not); ";",
// behind which some cut a segment off; what does not begin with "/"; what does not fit.
std::optional<std::string_view> canonical_http_path(std::string_view path, std::span<char> storage);

// has_path_prefix tells whether `path` is `prefix` or below it: "/api" has "/api" and "/api/x" below it, and not
// "/apis"; "/api/" has itself and "/api/x".
constexpr bool has_path_prefix(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

}  // namespace sallyport
