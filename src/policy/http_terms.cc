#include "http_terms.h"

#include <re2/re2.h>

#include <algorithm>

#include "sallyport/core/http_path.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/text.h"
#include "stable_hash.h"

namespace sallyport::policy {
namespace {

RE2::Options options() {
  RE2::Options options(RE2::Quiet);
  options.set_encoding(RE2::Options::EncodingLatin1);  // Canonical paths are ASCII.
  options.set_never_capture(true);
  options.set_max_mem(static_cast<std::int64_t>(kPolicyPatternMemory));
  return options;
}

}  // namespace

PathPattern::~PathPattern() = default;

std::expected<std::shared_ptr<const PathPattern>, std::string> PathPattern::compile(std::string_view expression) {
  std::shared_ptr<PathPattern> pattern(new PathPattern);
  pattern->expression_ = expression;
  pattern->compiled_ = std::make_unique<re2::RE2>(re2::StringPiece(expression.data(), expression.size()), options());
  if (!pattern->compiled_->ok()) return std::unexpected(pattern->compiled_->error());
  const int size = pattern->compiled_->ProgramSize();
  if (size > kPolicyPatternProgramMax) {
    return std::unexpected("too large: a program of " + std::to_string(size) + " instructions, of " +
                           std::to_string(kPolicyPatternProgramMax) + " that there may be");
  }
  (void)pattern->matches("/");  // Makes the automaton, so that its first states are there before the first packet.
  return pattern;
}

int PathPattern::program_size() const { return compiled_->ProgramSize(); }

// An automaton in the form of a table, filled in as states are first met, in memory of its own up to the bound: linear in the
// path's length whatever the expression, and without an allocation once the states of the usual paths are known. Where
// the bound is reached RE2 begins the table anew, and falls back to a simulation that is linear too.
bool PathPattern::matches(std::string_view path) const {
  return RE2::FullMatch(re2::StringPiece(path.data(), path.size()), *compiled_);
}

RequestFit HttpTerms::fit(const HttpRequestFacts& request, bool denies) const {
  const auto is_method = [&](const std::string& method) {
    return denies ? equals_ignoring_case(method, request.method) : method == request.method;
  };
  if (!methods.empty() && std::none_of(methods.begin(), methods.end(), is_method)) return RequestFit::kMethod;
  if (websocket == Websocket::kOnly && !request.websocket) return RequestFit::kUpgrade;
  if (has_paths()) {
    if (request.path_ambiguous) return RequestFit::kAmbiguousPath;
    const bool has_prefix = std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& x) { return has_path_prefix(request.path, x); });
    if (request.path.empty()) return RequestFit::kPath;
    // A worker does nothing else meanwhile, so what an expression may cost is bounded.
    if (!has_prefix && !patterns.empty() && request.path.size() > kPolicyPatternPathMax) return RequestFit::kAmbiguousPath;
    const auto matches = [&](const auto& pattern) { return pattern->matches(request.path); };
    if (!has_prefix && std::none_of(patterns.begin(), patterns.end(), matches)) return RequestFit::kPath;
  }
  const bool fits = websocket == Websocket::kAllow || request.websocket == (websocket == Websocket::kOnly);
  return fits ? RequestFit::kFits : RequestFit::kUpgrade;
}

std::uint64_t HttpTerms::hash() const {
  constexpr std::uint64_t kMethodSeed = 1, kPrefixSeed = 2, kPatternSeed = 3;
  std::uint64_t sum = websocket == Websocket::kAllow ? 0 : websocket == Websocket::kDeny ? 1 : 2;
  for (const std::string& method : methods) sum += stable_hash(method, kMethodSeed);
  for (const std::string& prefix : prefixes) sum += stable_hash(prefix, kPrefixSeed);
  for (const auto& pattern : patterns) sum += stable_hash(pattern->expression(), kPatternSeed);
  return mixed(sum);
}

bool operator==(const HttpTerms& a, const HttpTerms& b) {
  const auto same = [](const auto& x, const auto& y) { return x->expression() == y->expression(); };
  return a.methods == b.methods && a.prefixes == b.prefixes && a.websocket == b.websocket &&
         std::equal(a.patterns.begin(), a.patterns.end(), b.patterns.begin(), b.patterns.end(), same);
}

}  // namespace sallyport::policy
