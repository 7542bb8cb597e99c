// HttpTerms is what a rule for http says of requests: methods, paths, and whether they may turn into WebSockets.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/http_request.h"

namespace re2 {
class RE2;
}

namespace sallyport::policy {

// PathPattern is an anchored regular expression. Immutable; any thread may match with it.
class PathPattern {
 public:
  // compile gives the library's own words for what is wrong.
  static std::expected<std::shared_ptr<const PathPattern>, std::string> compile(std::string_view expression);
  ~PathPattern();

  bool matches(std::string_view path) const;
  std::string_view expression() const { return expression_; }
  int program_size() const;  // In instructions, of which each may be met for each octet of a path.

 private:
  PathPattern() = default;
  std::string expression_;
  std::unique_ptr<re2::RE2> compiled_;
};

// Websocket says which requests a rule has, as far as WebSockets go: those that ask for none, all, or (a deny rule) only the others.
enum class Websocket : std::uint8_t { kDeny, kAllow, kOnly };

struct HttpTerms {
  std::vector<std::string> methods;   // Sorted; empty: any.
  std::vector<std::string> prefixes;  // Canonical and sorted. With no patterns either: any path.
  std::vector<std::shared_ptr<const PathPattern>> patterns;  // Sorted by expression.
  Websocket websocket = Websocket::kAllow;

  bool has_paths() const { return !prefixes.empty() || !patterns.empty(); }
  // limits tells that it does not have every request.
  bool limits() const { return !methods.empty() || has_paths() || websocket != Websocket::kAllow; }

  // fit tells whether the rule has a request. For a rule that denies, methods are compared without case: a server may.
  RequestFit fit(const HttpRequestFacts& request, bool denies) const;
  std::uint64_t hash() const;
  friend bool operator==(const HttpTerms& a, const HttpTerms& b);
};

}  // namespace sallyport::policy
