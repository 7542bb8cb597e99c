// Over HTTP/1.
#include "sallyport/refusal/http.h"

#include <map>
#include <nlohmann/json.hpp>

#include "refusal_support.h"
#include "sallyport/parsers/http1.h"

namespace sallyport::refusal {
namespace {

using namespace sallyport::testing;

constexpr std::string_view kBrowser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

std::string respond(const HttpRefusal& refusal, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return http1_forbidden(out, notice, refusal); });
}

struct Response {
  std::map<std::string, std::string> fields;  // By name as sent.
  std::string line, content;
};

// read_response takes a whole response apart; nullopt where it is none, or its Content-Length is not that of its content.
std::optional<Response> read_response(const std::string& bytes, bool head = false) {
  const auto parsed = parsers::parse_http_response_head(as_bytes_of(bytes));
  if (parsed.framing != Framing::kComplete) return std::nullopt;
  Response response;
  response.content = bytes.substr(parsed.head_length);
  std::string_view rest = std::string_view(bytes).substr(0, parsed.head_length - 2);
  for (bool first = true; !rest.empty(); first = false) {
    const std::size_t end = rest.find("\r\n");
    const std::string_view text = rest.substr(0, end);
    const std::size_t colon = text.find(": ");
    if (first) response.line = text;
    if (!first && (colon == text.npos || !response.fields.emplace(text.substr(0, colon), text.substr(colon + 2)).second)) return std::nullopt;
    rest.remove_prefix(end + 2);
  }
  if (head ? !response.content.empty() : response.fields["Content-Length"] != std::to_string(response.content.size())) return std::nullopt;
  return response;
}

// is_text tells that only line ends are not printable.
bool is_text(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return (c >= ' ' && c <= '~') || c == '\r' || c == '\n'; });
}

TEST(Http1RefusalTest, IsAProblem) {  // RFC 9112 §4, RFC 9457 §3
  EXPECT_EQ(respond({}),
            "HTTP/1.1 403 Forbidden\r\n"
            "Content-Type: application/problem+json\r\n"
            "Content-Length: 223\r\n"
            "Connection: close\r\n"
            "Cache-Control: no-store\r\n"
            "Proxy-Status: sallyport; error=http_request_denied; "  // RFC 9209 §2.3.14
            "details=\"sallyport: evil.example is not allowed for agent (policy.toml:21)\"\r\n"
            "\r\n"
            R"({"type":"about:blank","status":403,"title":"Forbidden",)"
            R"json("detail":"sallyport: evil.example is not allowed for agent (policy.toml:21)",)json"
            R"("name":"evil.example","scope":"agent","rule":"policy.toml:21","reason":"name_not_allowed"})"
            "\n");
}

TEST(Http1RefusalTest, IsAPageForABrowser) {
  EXPECT_EQ(respond({.accept = kBrowser}),
            "HTTP/1.1 403 Forbidden\r\n"
            "Content-Type: text/html; charset=utf-8\r\n"
            "Content-Length: 306\r\n"
            "Connection: close\r\n"
            "Cache-Control: no-store\r\n"
            "Content-Security-Policy: default-src 'none'\r\n"
            "Proxy-Status: sallyport; error=http_request_denied; "
            "details=\"sallyport: evil.example is not allowed for agent (policy.toml:21)\"\r\n"
            "\r\n"
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>403 Forbidden</title><h1>Refused by policy</h1>"
            "<p>sallyport: evil.example is not allowed for agent (policy.toml:21)</p>"
            "<ul><li>name: evil.example</li><li>scope: agent</li><li>rule: policy.toml:21</li><li>reason: name_not_allowed</li></ul></html>\n");
}

TEST(Http1RefusalTest, AcceptChoosesTheForm) {
  const auto is_page = [](std::string_view accept) { return read_response(respond({.accept = accept}))->fields["Content-Type"].starts_with("text/html"); };
  for (const auto* accept : {"text/html", "TEXT/HTML", " text/html ;q=0.1", "text/html;level=1;q=1", "text/html,application/json",
                             "image/png, text/html", "application/json;q=0, text/html", ",, text/html"}) {
    EXPECT_TRUE(is_page(accept)) << accept;
  }
  for (const auto* accept : {"", "*/*", "text/*", "text/htmlx", "xtext/html", "application/json, text/html", "application/problem+json,text/html",
                             "text/html;q=0", "text/html; Q=0.000", "text/html;level=1;q=0", "application/xml", ";", ",", "text / html"}) {
    EXPECT_FALSE(is_page(accept)) << accept;
  }
  EXPECT_TRUE(is_page("text/html;q=0.001"));
}

TEST(Http1RefusalTest, AnAnswerToHeadHasTheFieldsOfGetAlone) {
  for (const std::string_view accept : {std::string_view(), kBrowser}) {
    const std::string get = respond({.accept = accept});
    const std::string head = respond({.accept = accept, .head = true});
    EXPECT_EQ(head, get.substr(0, get.find("\r\n\r\n") + 4));
  }
  // Also where the text had to be cut.
  const std::string quotes(400, '"');
  const Notice notice{.text = quotes};
  const std::string get = respond({.accept = kBrowser}, notice);
  EXPECT_EQ(respond({.accept = kBrowser, .head = true}, notice), get.substr(0, get.find("\r\n\r\n") + 4));
}

TEST(Http1RefusalTest, OtherErrorsHaveTheirPhrase) {
  EXPECT_EQ(read_response(respond({.status = 400}))->line, "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(read_response(respond({.status = 599}))->line, "HTTP/1.1 599 ");  // RFC 9112 §4: the phrase may be empty, its space not.
  EXPECT_FALSE(nlohmann::json::parse(read_response(respond({.status = 599}))->content).contains("title"));
  for (const unsigned status : {0U, 99U, 200U, 399U, 600U, 4'030U}) EXPECT_EQ(respond({.status = status}), "") << status;
}

TEST(Http1RefusalTest, EmptyMembersAreLeftOut) {
  const auto problem = nlohmann::json::parse(read_response(respond({}, {.text = "only text"}))->content);
  EXPECT_EQ(problem, (nlohmann::json{{"type", "about:blank"}, {"status", 403}, {"title", "Forbidden"}, {"detail", "only text"}}));
  EXPECT_EQ(respond({.accept = kBrowser}, {.text = "only text"}).find("<li>"), std::string::npos);
}

TEST(Http1RefusalTest, AProblemSaysAHostileTextAsItIs) {
  for_each_hostile_notice([](const Notice& notice) {
    const std::string bytes = respond({}, notice);
    EXPECT_TRUE(is_text(bytes));
    const auto response = read_response(bytes);
    ASSERT_TRUE(response) << bytes;
    EXPECT_EQ(response->fields.size(), 5U) << "no field more";
    const auto problem = nlohmann::json::parse(response->content);
    EXPECT_EQ(problem["status"], 403);
    const auto detail = problem["detail"].get<std::string>();
    EXPECT_TRUE(printable(notice.text).starts_with(detail));
    if (notice.text.size() < 300 && notice.scope.empty()) {
      EXPECT_EQ(detail, printable(notice.text));
    }
    for (const auto& [key, value] : {std::pair("name", notice.name), std::pair("rule", notice.rule)}) {
      if (problem.contains(key)) {
        EXPECT_EQ(problem[key], printable(value)) << "whole or not at all";
      }
    }
  });
}

TEST(Http1RefusalTest, APageHasNoMarkupOfAText) {
  // The tags of the page itself, in their order.
  const auto is_clean = [](std::string text) {
    for (const std::string_view own :
         {"<!doctype html>", "<html lang=\"en\">", "<meta charset=\"utf-8\">", "<title>", "</title>", "<h1>", "</h1>", "<p>", "</p>", "<ul>"}) {
      const std::size_t at = text.find(own);
      if (at == std::string::npos) return false;
      text.erase(at, own.size());
    }
    for (const std::string_view own : {"<li>", "</li>", "</ul></html>\n"}) {
      for (std::size_t at; (at = text.find(own)) != std::string::npos;) text.erase(at, own.size());
    }
    for (const std::string_view own : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
      for (std::size_t at; (at = text.find(own)) != std::string::npos;) text.replace(at, own.size(), "_");
    }
    return text.find_first_of("<>&\"'") == std::string::npos;
  };
  for_each_hostile_notice([&](const Notice& notice) {
    const std::string bytes = respond({.accept = kBrowser}, notice);
    EXPECT_TRUE(is_text(bytes));
    const auto response = read_response(bytes);
    ASSERT_TRUE(response) << bytes;
    EXPECT_EQ(response->fields.size(), 6U);
    EXPECT_TRUE(is_clean(response->content)) << response->content;
  });
}

TEST(Http1RefusalTest, ProxyStatusIsAStructuredField) {  // RFC 9651 §3.3.3: quotes and backslashes are escaped, nothing else is.
  for_each_hostile_notice([](const Notice& notice) {
    std::string value = read_response(respond({}, notice))->fields["Proxy-Status"];
    constexpr std::string_view kBegin = "sallyport; error=http_request_denied; details=\"";
    ASSERT_TRUE(value.starts_with(kBegin) && value.ends_with('"'));
    std::string details;
    std::size_t at = kBegin.size();
    for (; at < value.size() && value[at] != '"'; ++at) {
      if (value[at] == '\\') ++at;
      details += value.at(at);
    }
    EXPECT_EQ(at + 1, value.size()) << "the string ends where the value does";
    EXPECT_TRUE(printable(notice.text).starts_with(details));
  });
}

TEST(Http1RefusalTest, IsWholeOrNothing) {
  const std::string long_name(253, 'n');
  Notice notice = kNotice;
  notice.name = long_name;
  for (const Notice& told : {kNotice, notice}) {
    for (const std::string_view accept : {std::string_view(), kBrowser}) {
      for (const bool head : {false, true}) {
        const auto build = [&](Buffer out) { return http1_forbidden(out, told, {.accept = accept, .head = head}); };
        const std::size_t content_size = head ? read_response(respond({.accept = accept}, told))->content.size() : 0;
        expect_whole_or_nothing(build, [&](const std::string& bytes) {
          const auto response = read_response(bytes, head);
          if (!response) return false;
          if (head) return true;
          return accept.empty() ? nlohmann::json::accept(response->content) : response->content.ends_with("</html>\n");
        }, content_size);
      }
    }
  }
}

}  // namespace
}  // namespace sallyport::refusal
