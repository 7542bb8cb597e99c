// Rules about HTTP requests (methods, paths, websocket) and about proxies.
#include <gmock/gmock.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Timestamp kNow(std::chrono::seconds(1'800'000'000));

PolicyMatch request(const Policy& policy, std::string_view name, HttpRequestFacts facts, std::uint16_t port = 80) {
  const auto parsed = DomainName::parse(name).value();
  FlowQuery query;
  query.protocol = Protocol::kHttp;
  query.destination = IpAddress::parse("198.51.100.7").value();
  query.port = port;
  query.name = &parsed;
  query.now = kNow;
  query.bound = query.claimed = true;
  query.http = &facts;
  return policy.match(query);
}

bool allowed(const Policy& policy, std::string_view method, std::string_view path) {
  return request(policy, "a.example", {.method = method, .path = path}).action == Action::kAllow;
}

std::string problem(std::string_view lines) {
  const auto found = problems("version = 1\n[[rules]]\nto = [\"a.example\"]\n" + std::string(lines));
  return found.empty() ? "" : found.front();
}

TEST(PolicyHttpTest, ARuleHasItsMethodsAndPathsOnly) {
  const auto policy = load(R"(
[[rules]]
to = ["a.example"]
protocols = ["http"]
methods = ["GET", "HEAD"]
paths = ["/api/", "/status", "re:/v[0-9]+/items/[0-9]+"]
)");
  EXPECT_TRUE(policy->reads_paths());
  EXPECT_TRUE(allowed(*policy, "GET", "/api/x"));
  EXPECT_TRUE(allowed(*policy, "HEAD", "/status"));
  EXPECT_TRUE(allowed(*policy, "GET", "/status/now"));
  EXPECT_TRUE(allowed(*policy, "GET", "/v12/items/7"));
  EXPECT_FALSE(allowed(*policy, "GET", "/v12/items/7/delete")) << "an expression has the whole path";
  EXPECT_FALSE(allowed(*policy, "GET", "/x/v12/items/7"));
  EXPECT_FALSE(allowed(*policy, "GET", "/statuses"));
  EXPECT_FALSE(allowed(*policy, "GET", "")) << "CONNECT and OPTIONS * have no path";
  EXPECT_FALSE(allowed(*policy, "POST", "/api/x"));
  EXPECT_FALSE(allowed(*policy, "get", "/api/x")) << "methods are compared as they are";
}

TEST(PolicyHttpTest, ADenialSaysWhatTheNearestRuleLacks) {
  const auto policy = load(R"(
[[rules]]
to = ["a.example"]
protocols = ["http"]
methods = ["GET"]
paths = ["/api"]
[[rules]]
to = ["a.example"]
protocols = ["http"]
methods = ["POST"]
paths = ["/form"]
websocket = "deny"
)");
  auto match = request(*policy, "a.example", {.method = "PUT", .path = "/api"});
  EXPECT_EQ(match.other_request, 0U);
  EXPECT_EQ(match.request_fit, RequestFit::kMethod);
  match = request(*policy, "a.example", {.method = "POST", .path = "/other"});
  EXPECT_EQ(match.other_request, 1U);
  EXPECT_EQ(match.request_fit, RequestFit::kPath);
  match = request(*policy, "a.example", {.method = "GET", .path_ambiguous = true});
  EXPECT_EQ(match.other_request, 0U);
  EXPECT_EQ(match.request_fit, RequestFit::kAmbiguousPath);
  match = request(*policy, "a.example", {.method = "POST", .path = "/form", .websocket = true});
  EXPECT_EQ(match.other_request, 1U);
  EXPECT_EQ(match.request_fit, RequestFit::kUpgrade);
  EXPECT_EQ(request(*policy, "b.example", {.method = "GET", .path = "/api"}).other_request, kNoRule);
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .path = "/api", .websocket = true}).action, Action::kAllow);
}

TEST(PolicyHttpTest, ADenyRuleWithPathsDeniesThoseAndWhatMayBeOne) {
  const auto policy = load(R"(
[[rules]]
to = ["a.example"]
protocols = ["http"]
[[rules]]
to = ["a.example"]
protocols = ["http"]
action = "deny"
paths = ["/admin"]
[[rules]]
to = ["a.example"]
protocols = ["http"]
action = "deny"
methods = ["DELETE"]
)");
  EXPECT_TRUE(allowed(*policy, "GET", "/"));
  EXPECT_TRUE(allowed(*policy, "GET", "")) << "a request without a path is none of those";
  EXPECT_FALSE(allowed(*policy, "GET", "/admin/x"));
  EXPECT_FALSE(allowed(*policy, "DELETE", "/"));
  EXPECT_FALSE(allowed(*policy, "delete", "/")) << "a server may not mind the case";
  const auto match = request(*policy, "a.example", {.method = "GET", .path_ambiguous = true});
  EXPECT_EQ(match.rule, 1U);
  EXPECT_EQ(match.action, Action::kDeny);
  EXPECT_EQ(match.request_fit, RequestFit::kAmbiguousPath);
}

TEST(PolicyHttpTest, APathOfTwoReadingsMattersWhereRulesHavePathsOnly) {
  const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\n");
  EXPECT_FALSE(policy->reads_paths());
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .path_ambiguous = true}).action, Action::kAllow);
}

TEST(PolicyHttpTest, ExpressionsAreComparedWithPathsOfBoundedLength) {
  const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\n"
                           "[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\naction = \"deny\"\npaths = [\"/x\", \"re:.*a.{900}c\"]\n");
  const std::string fits = "/" + std::string(2'047, 'a');
  EXPECT_TRUE(allowed(*policy, "GET", fits));
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .path = fits + "a"}).request_fit, RequestFit::kAmbiguousPath);
  EXPECT_FALSE(allowed(*policy, "GET", fits + "a"));
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .path = "/x/" + fits}).request_fit, RequestFit::kFits) << "a beginning is cheap";
}

TEST(PolicyHttpTest, ExpressionsHaveABoundedSizeTogether) {
  std::string paths = "protocols = [\"http\"]\npaths = [";
  for (const char c : {'a', 'b', 'c', 'd'}) paths += "\"re:/" + std::string(1, c) + "{900}x{900}\", ";
  EXPECT_EQ(problem(paths + "]\n"), "");
  EXPECT_THAT(problem(paths + "\"re:/e{900}x{900}\"]\n"), HasSubstr("at most 8000 instructions together"));
}

TEST(PolicyHttpTest, PathsOfRulesAreCanonicalToo) {
  const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\npaths = [\"/%7euser/./x y\"]\n");
  EXPECT_TRUE(allowed(*policy, "GET", "/~user/x%20y"));
}

TEST(PolicyHttpTest, NoMatchWithoutTheRequest) {
  const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\nmethods = [\"GET\"]\n");
  EXPECT_FALSE(allows(*policy, {"a.example", Protocol::kHttp, 80}));
  EXPECT_FALSE(allows(*policy, {"a.example", Protocol::kTls, 80}));
  EXPECT_FALSE(allows(*policy, {"a.example", Protocol::kUnknown, 80}));
}

TEST(PolicyHttpTest, ARuleWithoutWebsocketsIsForHttpAlone) {
  const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\nwebsocket = \"deny\"\n");
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET"}).action, Action::kAllow);
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .websocket = true}).request_fit, RequestFit::kUpgrade);
}

TEST(PolicyHttpTest, MistakesAreToldWithTheirPlace) {
  EXPECT_EQ(problem("protocols = [\"http\"]\npaths = [\"re:/a(b\"]\n"),
            "p.toml:5:10: rules[0].paths: \"re:/a(b\": missing ): /a(b");
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"re:(?:(?:a{100}){10}){100}\"]\n"), HasSubstr("p.toml:5:10: rules[0].paths"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"re:a{900}b{900}c{900}\"]\n"), HasSubstr("too large"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"api\"]\n"), HasSubstr("expected the beginning of a path, such as \"/api/\""));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"/api/*\"]\n"), HasSubstr("leave the * out"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"/a?b\"]\n"), HasSubstr("queries are not compared"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [\"/a//b\"]\n"), HasSubstr("read such a path differently"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = []\n"), HasSubstr("matches no request"));
  EXPECT_THAT(problem("protocols = [\"http\"]\npaths = [1]\n"), HasSubstr("rules[0].paths: expected a string"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nmethods = [\"get\"]\n"), HasSubstr("did you mean \"GET\"?"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nmethods = [\"G T\"]\n"), HasSubstr("expected a method such as \"GET\""));
  EXPECT_THAT(problem("protocols = [\"http\"]\nmethods = []\n"), HasSubstr("matches no request"));
  EXPECT_THAT(problem("methods = [\"GET\"]\n"), HasSubstr("p.toml:4:1: rules[0].methods: only requests of http can be read"));
  EXPECT_THAT(problem("protocols = [\"tls\"]\nwebsocket = \"deny\"\n"), HasSubstr("only http turns into a WebSocket"));
  for (const std::string words : {"[\"http\", \"tcp\"]\nports = [80]", "[\"http\", \"tls\"]"}) {
    EXPECT_THAT(problem("protocols = " + words + "\nwebsocket = \"deny\"\n"), HasSubstr("rules[0].websocket: only requests of http can be read")) << words;
  }
  EXPECT_THAT(problem("websocket = \"deny\"\n"), HasSubstr("p.toml:4:1: rules[0].websocket: only requests of http can be read"));
  EXPECT_EQ(problem("protocols = [\"http\", \"tls\"]\nwebsocket = \"allow\"\n"), "");
  EXPECT_THAT(problem("protocols = [\"http\"]\nwebsocket = \"no\"\n"), HasSubstr("rules[0].websocket"));
  EXPECT_THAT(problem("protocols = [\"http\"]\naction = \"deny\"\nwebsocket = \"deny\"\n"), HasSubstr("leave \"websocket\" out"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nwebsocket = \"only\"\n"), HasSubstr("\"only\" is for deny rules"));
  EXPECT_THAT(problem("action = \"deny\"\nwebsocket = \"only\"\n"), HasSubstr("only requests of http can be read"));
}

TEST(PolicyHttpTest, ADenyRuleForWebsocketsAloneHoldsBesideAWiderRule) {
  const auto policy = load(R"(
[[rules]]
to = ["a.example"]
protocols = ["http"]
[[rules]]
to = ["a.example"]
protocols = ["tcp"]
ports = [80]
[[rules]]
to = "any"
protocols = ["http"]
action = "deny"
websocket = "only"
[[rules]]
to = ["b.example"]
protocols = ["http"]
[[rules]]
to = ["b.example"]
protocols = ["http"]
action = "deny"
paths = ["/ws"]
websocket = "only"
)");
  EXPECT_EQ(request(*policy, "a.example", {.method = "GET", .path = "/"}).action, Action::kAllow);
  const PolicyMatch denied = request(*policy, "a.example", {.method = "GET", .path = "/", .websocket = true});
  EXPECT_EQ(denied.action, Action::kDeny);
  EXPECT_EQ(denied.rule, 2U);
  EXPECT_EQ(request(*policy, "b.example", {.method = "GET", .path = "/ws"}).action, Action::kAllow);
  EXPECT_EQ(request(*policy, "b.example", {.method = "GET", .path_ambiguous = true}).action, Action::kAllow) << "no WebSocket";
  EXPECT_EQ(request(*policy, "b.example", {.method = "GET", .path = "/ws", .websocket = true}).action, Action::kDeny);
}

TEST(PolicyHttpTest, ExpressionsThatNoPathCanMatchAreErrors) {
  const auto told = [](const std::string& expression) { return problem("protocols = [\"http\"]\npaths = ['re:" + expression + "']\n"); };
  EXPECT_EQ(told("/a b"), "p.toml:5:10: rules[0].paths: \"re:/a b\" matches no path: \" \" is percent-encoded in the paths that are "
                          "compared: write %20");
  EXPECT_THAT(told("/caf\xc3\xa9"), HasSubstr("beyond ASCII are percent-encoded in the paths that are compared: write %C3"));
  EXPECT_THAT(told("/a//b"), HasSubstr("write one \"/\""));
  EXPECT_THAT(told("/a/\\.\\./b"), HasSubstr("no dot segments"));
  EXPECT_THAT(told("/a%c3%a9"), HasSubstr("\"%c3\" is in upper case in the paths that are compared: write %C3"));
  EXPECT_THAT(told("/%7Euser"), HasSubstr("\"%7E\" stands for itself in the paths that are compared: write \"~\""));
  EXPECT_THAT(told("/a%2Fb"), HasSubstr("no request passes with %2F"));
  EXPECT_EQ(told("/100%"), "") << "what stands behind the sign may be a class";
  EXPECT_THAT(told("/100%/x"), HasSubstr("write %25"));
  for (const std::string raw : {"/a\\?q=1", "/a[?]q", "/a\\x3fq", "/a\\Q?\\E", "/a#x"}) {
    EXPECT_THAT(told(raw), HasSubstr("queries are not compared")) << raw;
  }
  EXPECT_THAT(told("/a;b"), HasSubstr("no request passes with \";\""));
  EXPECT_THAT(told("/\\{id\\}"), HasSubstr("write %7B"));
  EXPECT_THAT(told("/a\\tb"), HasSubstr("control character (%09)"));
}

TEST(PolicyHttpTest, ExpressionsOfWhichAPartMatchesNothingAreWarnedOf) {
  const auto warned = [](const std::string& expression) {
    std::string text;
    const auto policy = load("[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\npaths = ['re:" + expression + "']\n");
    for (const Problem& one : policy->warnings()) text += one.message;
    return text;
  };
  EXPECT_THAT(warned("/a b|/c"), HasSubstr("rules[0].paths: a part of \"re:/a b|/c\" matches nothing: \" \" is percent-encoded"));
  EXPECT_THAT(warned("/a( |%20)b"), HasSubstr("matches nothing"));
  EXPECT_THAT(warned("/a(?:#x)?"), HasSubstr("queries are not compared"));
  for (const std::string good : {"/v[0-9]+/items", "/a ?b", "/a/?", "/a[^?#]*", "/%[0-9A-F]{2}x", "(?i)/a%c3%a9", "/%C3%A9", "/a{2,3}/x*", "/(?P<id>\\d+)/\\.well-known",
                                 "/a\\+b", "/a[ %]b", "/[[:alpha:]]+", "/\\pL+", "/.*", "/x/*y", "/a/{0,1}/b", "/\\Qa.b\\E/c"}) {
    EXPECT_EQ(warned(good), "") << good;
  }
}

TEST(PolicyHttpTest, MistakesOfProxyRulesAreToldToo) {
  EXPECT_THAT(problem("protocols = [\"http\"]\nproxy = 1\n"), HasSubstr("p.toml:5:9: rules[0].proxy: expected true or false, got an integer"));
  EXPECT_THAT(problem("proxy = true\n"), HasSubstr("proxies speak http or socks"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nproxy = true\naction = \"deny\"\n"), HasSubstr("leave \"proxy\" out of a deny rule"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nproxy = true\npaths = [\"/\"]\n"), HasSubstr("a proxy rule has none"));
  EXPECT_THAT(problem("protocols = [\"http\"]\nproxy = true\nbind = \"any\"\n"), HasSubstr("nothing but the address can tell"));
  EXPECT_EQ(problem("protocols = [\"http\", \"socks\"]\nproxy = true\nports = [3128]\n"), "");
  EXPECT_EQ(problem("proxy = false\n"), "");
}

TEST(PolicyHttpTest, RulesWithOtherRequestsAreNoDuplicatesAndDoNotCoverEachOther) {
  const std::string rule = "[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\n";
  EXPECT_TRUE(problems("version = 1\n" + rule + "methods = [\"GET\"]\n" + rule + "methods = [\"POST\"]\n" + rule + "paths = [\"/\"]\n").empty());
  EXPECT_THAT(problems("version = 1\n" + rule + "methods = [\"GET\", \"HEAD\"]\n" + rule + "methods = [\"HEAD\", \"GET\", \"GET\"]\n"),
              ElementsAre(HasSubstr("a duplicate")));
  EXPECT_TRUE(problems("version = 1\n" + rule + rule + "action = \"deny\"\npaths = [\"/admin\"]\n").empty());
  EXPECT_THAT(problems("version = 1\n" + rule + "paths = [\"/admin\"]\n" + rule + "action = \"deny\"\npaths = [\"/admin\"]\n"),
              ElementsAre(HasSubstr("never allows anything")));
  EXPECT_THAT(problems("version = 1\n" + rule + "paths = [\"/admin\"]\n" + rule + "action = \"deny\"\n"),
              ElementsAre(HasSubstr("never allows anything")));
  EXPECT_TRUE(problems("version = 1\n" + rule + rule + "proxy = true\n").empty());
}

TEST(PolicyHttpTest, TheFingerprintHasEachOfTheKeys) {
  const std::string rule = "[[rules]]\nto = [\"a.example\"]\nprotocols = [\"http\"]\n";
  std::set<std::uint64_t> seen;
  const std::vector<std::string> variants = {"", "methods = [\"GET\"]\n", "methods = [\"PUT\"]\n", "paths = [\"/GET\"]\n",
                                             "paths = [\"re:/GET\"]\n", "websocket = \"deny\"\n", "proxy = true\n", "action = \"deny\"\n",
                                             "action = \"deny\"\nwebsocket = \"only\"\n"};
  for (const std::string& more : variants) seen.insert(load(rule + more)->fingerprint());
  EXPECT_EQ(seen.size(), variants.size());
  EXPECT_EQ(load(rule + "methods = [\"GET\", \"PUT\"]\n")->fingerprint(), load(rule + "methods = [\"PUT\", \"GET\"]\n")->fingerprint());
}

TEST(PolicyHttpTest, ADenyRuleForSomeRequestsTakesNoNameFromTheResolver) {
  const auto policy = load(R"(
[[rules]]
to = ["a.example"]
protocols = ["http"]
[[rules]]
to = ["a.example"]
protocols = ["http"]
action = "deny"
paths = ["/admin"]
)");
  const auto name = DomainName::parse("a.example").value();
  EXPECT_EQ(policy->match_question(0, &name, kNow).action, Action::kAllow);
}

// --- Proxies --------------------------------------------------------------------------------------------

constexpr const char* kProxies = R"(
[[rules]]
to = ["192.0.2.80", "proxy.example"]
protocols = ["http", "socks"]
ports = [3128, 1080]
proxy = true
[[rules]]
to = ["a.example"]
protocols = ["tls"]
[[rules]]
to = ["b.example"]
protocols = ["tls", "http"]
[[rules]]
to = ["b.example"]
protocols = ["tls"]
action = "deny"
[[rules]]
to = ["198.51.100.0/24"]
protocols = ["tcp"]
ports = [22]
)";

bool may_be_asked(const Policy& policy, std::string_view address, std::string_view name, std::uint16_t port, Protocol protocol) {
  FlowQuery query;
  const auto parsed = DomainName::parse(name);
  query.protocol = protocol;
  query.destination = IpAddress::parse(address).value();
  query.port = port;
  query.name = parsed ? &*parsed : nullptr;
  query.bound = query.claimed = query.proxy = true;
  query.now = kNow;
  return policy.match(query).action == Action::kAllow;
}

TEST(PolicyProxyTest, AProxyRuleAllowsToBeAskedAndNothingElse) {
  const auto policy = load(kProxies);
  EXPECT_TRUE(policy->has_proxies());
  EXPECT_TRUE(may_be_asked(*policy, "192.0.2.80", "", 3128, Protocol::kHttp));
  EXPECT_TRUE(may_be_asked(*policy, "203.0.113.1", "proxy.example", 1080, Protocol::kSocks));
  EXPECT_FALSE(may_be_asked(*policy, "203.0.113.1", "a.example", 443, Protocol::kHttp)) << "no rule says that it is a proxy";
  EXPECT_FALSE(may_be_asked(*policy, "192.0.2.80", "", 80, Protocol::kHttp));
  EXPECT_FALSE(may_be_asked(*policy, "192.0.2.80", "", 3128, Protocol::kTls));
  EXPECT_FALSE(allows(*policy, {"proxy.example", Protocol::kHttp, 3128, "192.0.2.80"})) << "as an ordinary server";
  EXPECT_FALSE(allows(*policy, {"", Protocol::kSocks, 1080, "192.0.2.80"}));
}

TEST(PolicyProxyTest, ADefaultThatAllowsMakesNoProxies) {
  const auto policy = load("[defaults]\naction = \"allow\"\n" + std::string(kProxies));
  EXPECT_FALSE(may_be_asked(*policy, "203.0.113.9", "", 3128, Protocol::kHttp));
}

TEST(PolicyProxyTest, WhatNothingAllowsIsNotAskedFor) {
  const auto policy = load(kProxies);
  const auto early = [&](std::string_view name, std::uint16_t port) {
    return policy->match_named_early(0, DomainName::parse(name).value(), port, kNow);
  };
  EXPECT_EQ(early("a.example", 443).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early("a.example", 80).match, EarlyMatch::kDeny);
  EXPECT_EQ(early("a.example", 22).match, EarlyMatch::kDeny) << "address rules say nothing of what the proxy looks up";
  EXPECT_EQ(early("c.example", 443).match, EarlyMatch::kDeny);
  EXPECT_EQ(early("b.example", 80).match, EarlyMatch::kUndecided);
  EXPECT_EQ(early("b.example", 443).match, EarlyMatch::kDeny) << "all that is allowed there is denied";
  EXPECT_EQ(early("b.example", 443).rule, 3U);
  EXPECT_EQ(early("proxy.example", 3128).match, EarlyMatch::kDeny) << "a proxy behind the proxy";
}

TEST(PolicyProxyTest, AddressRulesDoNotKnowWhereAProxyGoes) {
  const auto policy = load("[[rules]]\nto = [\"0.0.0.0/0\", \"::/0\"]\nports = \"any\"\n[[rules]]\nto = \"any\"\nprotocols = [\"ssh\"]\n");
  const auto name = DomainName::parse("a.example").value();
  FlowQuery query;
  query.protocol = Protocol::kTls;
  query.port = 443;
  query.name = &name;
  query.bound = query.claimed = query.no_address = true;
  query.now = kNow;
  EXPECT_EQ(policy->match(query).action, Action::kDeny);
  query.protocol = Protocol::kSsh;
  query.port = 22;
  EXPECT_EQ(policy->match(query).action, Action::kAllow);
}

}  // namespace
}  // namespace sallyport::policy
