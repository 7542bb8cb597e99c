// The keys of rules about HTTP requests and proxies: methods, paths, websocket, proxy.
#include <algorithm>
#include <array>

#include "http_terms.h"
#include "path_literals.h"
#include "rule_reader.h"
#include "sallyport/core/http_path.h"
#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 3> kWebsocketWords = {"deny", "allow", "only"};  // Websocket
constexpr std::string_view kPatternMark = "re:";
constexpr RuleProtocols kHttpBit = bit_of_word("http"), kSocksBit = bit_of_word("socks");

// is_method_char tells tchar (RFC 9110 §5.6.2) without lower case: methods are compared exactly, and all known ones are upper case.
bool is_method_char(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kOthers.find(c) != std::string_view::npos;
}

template <typename List>
void sort_unique(List& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace

void RuleReader::read_http_terms(Frame& frame) {
  HttpTerms terms;
  read_methods(frame, terms);
  read_paths(frame, terms);
  const auto* websocket = frame.table.find("websocket");
  if (websocket != nullptr) {
    const auto index = frame.reader.word(websocket->value, frame.path("websocket"), kWebsocketWords);
    frame.failed |= !index;
    if (index) terms.websocket = static_cast<Websocket>(*index);
    const bool denies = frame.draft.terms.action == Action::kDeny;
    if (denies && terms.websocket != Websocket::kOnly) {
      frame.error(websocket->value.position, "websocket",
                  "a deny rule denies WebSockets, too: leave \"websocket\" out, or write \"only\" to deny nothing else");
    } else if (!denies && terms.websocket == Websocket::kOnly) {
      frame.error(websocket->value.position, "websocket", "\"only\" is for deny rules; an allow rule has \"allow\" or \"deny\"");
    } else if ((frame.draft.terms.protocols & kHttpBit) == 0) {
      frame.error(websocket->value.position, "websocket", "only http turns into a WebSocket; leave \"websocket\" out");
    }
  }
  for (const std::string_view key : {"methods", "paths", "websocket"}) {
    const auto* entry = frame.table.find(key);
    if (key == "websocket" && (terms.websocket == Websocket::kAllow || (frame.draft.terms.protocols & kHttpBit) == 0)) continue;  // A wider word would let them pass.
    if (entry != nullptr && frame.draft.terms.protocols != kHttpBit) {
      frame.error(entry->position, key, "only requests of http can be read: give http a rule of its own with protocols = [\"http\"]");
    }
  }
  if (terms.limits()) frame.draft.terms.http = std::make_shared<const HttpTerms>(std::move(terms));
}

void RuleReader::read_methods(Frame& frame, HttpTerms& terms) {
  const auto* entry = frame.table.find("methods");
  if (entry == nullptr) return;
  const auto items = one_or_many(entry->value);
  if (items.empty()) frame.error(entry->value.position, "methods", "an empty list matches no request; leave \"methods\" out for every method");
  if (items.size() > kPolicyMethodsPerRuleMax) {
    return frame.error(entry->value.position, "methods", "a rule has at most " + std::to_string(kPolicyMethodsPerRuleMax) + " methods");
  }
  for (const Value& item : items) {
    const auto text = frame.reader.string(item, frame.path("methods"));
    frame.failed |= !text;
    if (!text) continue;
    std::string upper(*text);
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    const bool is_token = !upper.empty() && upper.size() <= kHttpMethodMax && std::all_of(upper.begin(), upper.end(), is_method_char);
    if (!is_token) {
      frame.error(item.position, "methods", quote(*text) + ": expected a method such as \"GET\", of at most " +
                                                std::to_string(kHttpMethodMax) + " characters");
    } else if (upper != *text) {
      frame.error(item.position, "methods", quote(*text) + ": methods are upper case; did you mean " + quote(upper) + "?");
    } else {
      terms.methods.push_back(std::move(upper));
    }
  }
  sort_unique(terms.methods);
}

void RuleReader::read_paths(Frame& frame, HttpTerms& terms) {
  const auto* entry = frame.table.find("paths");
  if (entry == nullptr) return;
  const auto items = one_or_many(entry->value);
  if (items.empty()) frame.error(entry->value.position, "paths", "an empty list matches no request; leave \"paths\" out for every path");
  if (items.size() > kPolicyPathsPerRuleMax) {
    return frame.error(entry->value.position, "paths", "a rule has at most " + std::to_string(kPolicyPathsPerRuleMax) + " paths");
  }
  for (const Value& item : items) {
    const auto text = frame.reader.string(item, frame.path("paths"));
    frame.failed |= !text;
    if (!text) continue;
    if (text->starts_with(kPatternMark)) {
      read_pattern(frame, item, terms);
    } else {
      read_prefix(frame, item, terms);
    }
  }
  sort_unique(terms.prefixes);
  const auto expression = [](const auto& pattern) { return pattern->expression(); };
  std::ranges::sort(terms.patterns, {}, expression);
  const auto rest = std::ranges::unique(terms.patterns, {}, expression);
  terms.patterns.erase(rest.begin(), rest.end());
}

void RuleReader::read_pattern(Frame& frame, const Value& value, HttpTerms& terms) {
  if (++patterns_ > kPolicyPatternsMax) {
    return frame.error(value.position, "paths",
                       "the rules of a policy have at most " + std::to_string(kPolicyPatternsMax) + " regular expressions");
  }
  const auto pattern = PathPattern::compile(std::string_view(value.text).substr(kPatternMark.size()));
  if (pattern && (programs_ += (*pattern)->program_size()) > kPolicyPatternProgramsMax) {
    frame.error(value.position, "paths",
                "the regular expressions of a policy have at most " + std::to_string(kPolicyPatternProgramsMax) + " instructions together");
  } else if (pattern) {
    terms.patterns.push_back(*pattern);
    const auto dead = find_dead_literal((*pattern)->expression());
    if (!dead) return;
    if (dead->always) return frame.error(value.position, "paths", quote(value.text) + " matches no path: " + dead->message);
    frame.reader.warning(value.position, frame.path("paths"), "a part of " + quote(value.text) + " matches nothing: " + dead->message);
  } else {
    frame.error(value.position, "paths", quote(value.text) + ": " + pattern.error());
  }
}

void RuleReader::read_prefix(Frame& frame, const Value& value, HttpTerms& terms) {
  const std::string_view text = value.text;
  if (!text.starts_with('/')) {
    return frame.error(value.position, "paths",
                       quote(text) + ": expected the beginning of a path, such as \"/api/\", or a regular expression, such as \"re:/v[0-9]+/.*\"");
  }
  if (text.ends_with('*')) {
    return frame.error(value.position, "paths", quote(text) + ": what is below a path is meant anyway; leave the * out, or begin with \"re:\"");
  }
  if (text.find_first_of("?#") != std::string_view::npos) {
    return frame.error(value.position, "paths", quote(text) + ": a path ends before \"?\" and \"#\"; queries are not compared");
  }
  std::string storage(3 * text.size(), '\0');
  const auto path = canonical_http_path(text, storage);
  if (!path) {
    return frame.error(value.position, "paths",
                       quote(text) + ": servers read such a path differently, so no request with it passes (empty segments, \";\", "
                                     "encoded slashes and the like)");
  }
  terms.prefixes.emplace_back(*path);
}

void RuleReader::read_proxy(Frame& frame) {
  const auto* entry = frame.table.find("proxy");
  if (entry == nullptr) return;
  RuleTerms& terms = frame.draft.terms;
  const auto flag = frame.reader.boolean(entry->value, frame.path("proxy"));
  frame.failed |= !flag;
  terms.proxy = flag.value_or(false);
  if (!terms.proxy) return;
  if (terms.action == Action::kDeny) {
    return frame.error(entry->position, "proxy", "what a proxy is asked for is denied by rules for that; leave \"proxy\" out of a deny rule");
  }
  if ((terms.protocols & ~(kHttpBit | kSocksBit)) != 0 || terms.protocols == 0) {
    return frame.error(entry->position, "proxy", "proxies speak http or socks: give them a rule of their own with protocols = [\"http\"], [\"socks\"] or both");
  }
  for (const std::string_view key : {"methods", "paths", "websocket"}) {
    const auto* other = frame.table.find(key);
    if (other != nullptr) frame.error(other->position, key, "say this in rules for what the proxy is asked for; a proxy rule has none");
  }
  if (!frame.draft.names.empty() && terms.bind == Bind::kAny) {
    frame.error(entry->position, "proxy",
                "the proxy's own name is shown nowhere, so nothing but the address can tell; use bind = \"strict\", or an address");
  }
}

}  // namespace sallyport::policy
