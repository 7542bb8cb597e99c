// What a rule may say of one HTTP request beside its name.
#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport::policy {

// HttpRequestFacts is one request. Views are borrowed for the call.
struct HttpRequestFacts {
  std::string_view method = {};  // As sent.
  std::string_view path = {};    // Canonical (core/http_path.h), without query; empty: it has none (CONNECT, "OPTIONS *").
  bool path_ambiguous = false;   // Two servers could take different paths from it; `path` says nothing then.
  bool websocket = false;        // It asks to go on as a WebSocket (RFC 6455, RFC 8441).
};

// RequestFit says why a rule that has all else of a flow does not have this request; the nearer to having it, the later.
enum class RequestFit : std::uint8_t {
  kMethod,
  kPath,
  kAmbiguousPath,
  kUpgrade,
  kFits,
};

}  // namespace sallyport::policy
