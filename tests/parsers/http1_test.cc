#include "sallyport/parsers/http1.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sallyport::parsers {
namespace {

// Each call reads a heap block of the exact size, so that AddressSanitizer sees a read one byte too far.
// The block outlives the result's views.
class Block {
 public:
  explicit Block(std::string_view text) : bytes_(text.begin(), text.end()) {}
  ByteSpan span() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

struct Parsed {
  explicit Parsed(std::string_view text) : block(text), head(parse_http_request_head(block.span())) {}
  Block block;
  HttpRequestHead head;
};

std::string request(std::string_view fields, std::string_view line = "GET / HTTP/1.1") {
  return std::string(line) + "\r\n" + std::string(fields) + "\r\n";
}

constexpr std::string_view kCurl =
    "GET /search?q=1 HTTP/1.1\r\nHost: www.example.com:8080\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n";

TEST(HttpRequestHeadTest, ReadsAnOrdinaryRequest) {
  const Parsed parsed(std::string(kCurl) + "GET /next");
  const HttpRequestHead& head = parsed.head;
  ASSERT_EQ(head.framing, Framing::kComplete);
  EXPECT_EQ(head.head_length, kCurl.size());
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.target, "/search?q=1");
  EXPECT_EQ(head.path, "/search");
  EXPECT_EQ(head.user_agent, "curl/8.0");
  EXPECT_EQ(head.target_form, HttpTargetForm::kOrigin);
  EXPECT_EQ(head.minor_version, 1U);
  ASSERT_TRUE(head.host);
  EXPECT_EQ(head.host->host, "www.example.com");
  EXPECT_EQ(head.host->port, 8080);
  EXPECT_FALSE(head.authority);
  EXPECT_EQ(head.name_authority(), &*head.host);
  EXPECT_EQ(head.body, HttpBody::kNone);
  EXPECT_FALSE(head.upgrade || head.connect || head.expect_continue || head.ambiguous);
}

TEST(HttpRequestHeadTest, TellsTheFirstOriginAndHowManyThereAre) {
  EXPECT_EQ(Parsed(request("Host: a\r\n")).head.origin_fields, 0U);
  const Parsed one(request("Host: a\r\noRIGIN:  http://a:1 \r\n"));
  EXPECT_EQ(one.head.origin, "http://a:1");
  EXPECT_EQ(one.head.origin_fields, 1U);
  const Parsed empty(request("Host: a\r\nOrigin:\r\n"));
  EXPECT_EQ(empty.head.origin_fields, 1U) << "an empty field is there";
  const Parsed two(request("Origin: null\r\nHost: a\r\nOrigin: http://a\r\nX-Origin: b\r\n"));
  EXPECT_EQ(two.head.framing, Framing::kComplete);
  EXPECT_EQ(two.head.origin, "null");
  EXPECT_EQ(two.head.origin_fields, 2U);
}

TEST(HttpRequestHeadTest, NoProperPrefixIsComplete) {
  for (std::size_t length = 0; length < kCurl.size(); ++length) {
    const Parsed parsed(kCurl.substr(0, length));
    EXPECT_EQ(parsed.head.framing, Framing::kNeedMore) << "prefix of " << length << " bytes";
    EXPECT_FALSE(parsed.head.host) << "prefix of " << length << " bytes";
  }
}

TEST(HttpRequestHeadTest, AnyHintGivesTheSameResult) {
  const Block block(kCurl);
  for (std::size_t hint = 0; hint < kCurl.size(); ++hint) {
    const HttpRequestHead head = parse_http_request_head(block.span(), hint);
    EXPECT_EQ(head.framing, Framing::kComplete) << hint;
    EXPECT_EQ(head.head_length, kCurl.size()) << hint;
  }
}

TEST(HttpRequestHeadTest, CountsAFewEmptyLinesBeforeTheRequest) {
  std::string text(kCurl);
  for (std::size_t lines = 1; lines <= kHttpEmptyLinesMax; ++lines) {
    text = "\r\n" + text;
    const Parsed parsed(text);
    ASSERT_EQ(parsed.head.framing, Framing::kComplete) << lines;
    EXPECT_EQ(parsed.head.head_length, kCurl.size() + 2 * lines);
    EXPECT_EQ(looks_like_http1(as_bytes_of(text)), Likeness::kYes) << lines;
  }
  EXPECT_EQ(Parsed("\r\n" + text).head.framing, Framing::kMalformed);
  EXPECT_EQ(looks_like_http1(as_bytes_of("\r\n" + text)), Likeness::kNo);
  EXPECT_EQ(Parsed("\r").head.framing, Framing::kNeedMore);
  EXPECT_EQ(Parsed("\r\n").head.framing, Framing::kNeedMore);
  EXPECT_EQ(Parsed("\rG").head.framing, Framing::kMalformed);
}

TEST(HttpRequestHeadTest, FieldNamesIgnoreCaseAndValuesAreTrimmed) {
  for (const std::string_view field : {"host:x.example", "HOST: x.example", "hOsT: \t x.example \t "}) {
    const Parsed parsed(request(std::string(field) + "\r\n"));
    ASSERT_EQ(parsed.head.framing, Framing::kComplete) << field;
    EXPECT_EQ(parsed.head.host->host, "x.example") << field;
  }
}

TEST(HttpRequestHeadTest, AbsoluteFormNamesTheAuthority) {
  const Parsed parsed(request("Host: a.example\r\n", "GET http://A.example:80/p/q?x HTTP/1.1"));
  ASSERT_EQ(parsed.head.framing, Framing::kComplete);
  EXPECT_EQ(parsed.head.target_form, HttpTargetForm::kAbsolute);
  EXPECT_EQ(parsed.head.name_authority()->host, "A.example");
  EXPECT_EQ(parsed.head.path, "/p/q");
  EXPECT_EQ(Parsed(request("Host: a\r\n", "GET http://a?x HTTP/1.1")).head.path, "/");
  EXPECT_EQ(Parsed(request("Host: a\r\n", "GET http://a HTTP/1.1")).head.path, "/");
}

TEST(HttpRequestHeadTest, AbsoluteFormMustAgreeWithHost) {
  struct Case {
    std::string_view target, host;
    bool agrees;
  };
  for (const Case& c : std::vector<Case>{{"http://a.example/", "a.example", true},
                                         {"http://a.example/", "A.EXAMPLE:80", true},
                                         {"https://a.example:443/", "a.example", true},
                                         {"http://a.example:8080/", "a.example:8080", true},
                                         {"http://[2001:db8::1]/", "[2001:db8::1]", true},
                                         {"http://a.example/", "b.example", false},
                                         {"http://a.example/", "a.example:81", false},
                                         {"http://a.example:81/", "a.example", false},
                                         {"https://a.example/", "a.example:80", false},
                                         {"http://a.example./", "a.example", false}}) {
    const Parsed parsed(
        request("Host: " + std::string(c.host) + "\r\n", "GET " + std::string(c.target) + " HTTP/1.1"));
    EXPECT_EQ(parsed.head.framing, c.agrees ? Framing::kComplete : Framing::kMalformed) << c.target << c.host;
    EXPECT_EQ(parsed.head.ambiguous, !c.agrees) << c.target << ' ' << c.host;
  }
}

TEST(HttpRequestHeadTest, ConnectNamesItsTarget) {
  const Parsed parsed(request("Host: a.example\r\n", "CONNECT a.example:443 HTTP/1.1"));
  ASSERT_EQ(parsed.head.framing, Framing::kComplete);
  EXPECT_TRUE(parsed.head.connect);
  EXPECT_EQ(parsed.head.target_form, HttpTargetForm::kAuthority);
  EXPECT_EQ(parsed.head.name_authority()->host, "a.example");
  EXPECT_EQ(parsed.head.name_authority()->port, 443);
  EXPECT_TRUE(Parsed(request("Host: b.example\r\n", "CONNECT a.example:443 HTTP/1.1")).head.ambiguous);
  EXPECT_TRUE(Parsed(request("Host: a.example:1\r\n", "CONNECT a.example:443 HTTP/1.1")).head.ambiguous);
  for (const std::string_view line : {"CONNECT a.example HTTP/1.1", "CONNECT / HTTP/1.1",
                                      "CONNECT * HTTP/1.1", "CONNECT http://a.example:443/ HTTP/1.1"}) {
    EXPECT_EQ(Parsed(request("Host: a.example\r\n", line)).head.framing, Framing::kMalformed) << line;
  }
  const Parsed with_body(
      request("Host: a.example\r\nContent-Length: 5\r\n", "CONNECT a.example:443 HTTP/1.1"));
  EXPECT_TRUE(with_body.head.ambiguous);
}

TEST(HttpRequestHeadTest, AsteriskIsForOptionsAlone) {
  const Parsed parsed(request("Host: a\r\n", "OPTIONS * HTTP/1.1"));
  ASSERT_EQ(parsed.head.framing, Framing::kComplete);
  EXPECT_EQ(parsed.head.target_form, HttpTargetForm::kAsterisk);
  EXPECT_EQ(Parsed(request("Host: a\r\n", "GET * HTTP/1.1")).head.framing, Framing::kMalformed);
}

TEST(HttpRequestHeadTest, OnlyHttp10MayLackHost) {
  const Parsed old(request("", "GET / HTTP/1.0"));
  ASSERT_EQ(old.head.framing, Framing::kComplete);
  EXPECT_EQ(old.head.minor_version, 0U);
  EXPECT_EQ(old.head.name_authority(), nullptr);
  EXPECT_EQ(Parsed(request("")).head.framing, Framing::kMalformed);
  EXPECT_EQ(Parsed(request("", "GET http://a.example/ HTTP/1.1")).head.framing, Framing::kMalformed);
}

TEST(HttpRequestHeadTest, ReadsBodyAndSwitchFields) {
  const Parsed length(
      request("Host: a\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n", "POST / HTTP/1.1"));
  ASSERT_EQ(length.head.framing, Framing::kComplete);
  EXPECT_EQ(length.head.body, HttpBody::kLength);
  EXPECT_EQ(length.head.content_length, 12U);
  EXPECT_TRUE(length.head.expect_continue);
  const Parsed chunked(request("Host: a\r\nTransfer-Encoding: chunked\r\n", "POST / HTTP/1.1"));
  ASSERT_EQ(chunked.head.framing, Framing::kComplete);
  EXPECT_EQ(chunked.head.body, HttpBody::kChunked);
  const Parsed socket(request("Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
  ASSERT_EQ(socket.head.framing, Framing::kComplete);
  EXPECT_TRUE(socket.head.upgrade);
  EXPECT_EQ(socket.head.upgrade_protocol, "websocket");
}

TEST(HttpRequestHeadTest, AnUpgradeFieldCountsWithoutItsConnectionOption) {
  // A careless server may switch all the same; waiting for its answer is the safe reading.
  EXPECT_TRUE(Parsed(request("Host: a\r\nUpgrade: websocket\r\n")).head.upgrade);
}

struct Refusal {
  std::string_view what;
  std::string text;
  bool ambiguous;
};

std::vector<Refusal> smuggling_table() {
  const std::string post = "POST / HTTP/1.1\r\nHost: a.example\r\n";
  return {
      {"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n", true},
      {"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n", true},
      {"TE.TE", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", true},
      {"TE.TE with an unknown coding", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
       true},
      {"coding list", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", true},
      {"unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n", true},
      {"coding in upper case", post + "Transfer-Encoding: Chunked\r\n\r\n", true},
      {"empty coding", post + "Transfer-Encoding:\r\n\r\n", true},
      {"identity", post + "Transfer-Encoding: identity\r\n\r\n", true},
      {"space before the colon of TE", post + "Transfer-Encoding : chunked\r\n\r\n", true},
      {"tab before the colon", post + "Content-Length\t: 3\r\n\r\n", true},
      {"vertical tab in TE", post + "Transfer-Encoding: \vchunked\r\n\r\n", false},
      {"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", true},
      {"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", true},
      {"length list", post + "Content-Length: 5, 5\r\n\r\n", true},
      {"plus sign", post + "Content-Length: +5\r\n\r\n", true},
      {"minus sign", post + "Content-Length: -5\r\n\r\n", true},
      {"inner space", post + "Content-Length: 5 6\r\n\r\n", true},
      {"hexadecimal", post + "Content-Length: 0x5\r\n\r\n", true},
      {"leading zero", post + "Content-Length: 010\r\n\r\n", true},
      {"empty length", post + "Content-Length:\r\n\r\n", true},
      {"huge length", post + "Content-Length: 18446744073709551621\r\n\r\n", true},
      {"folded Host", "GET / HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n", false},
      {"folded field", post + "X: a\r\n b\r\n\r\n", true},
      {"field that begins with a tab", post + "\tX: a\r\n\r\n", true},
      {"white space before the first field", "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", true},
      {"bare LF behind a field", post + "X: a\nHost: b.example\r\n\r\n", true},
      {"bare LF lines", "GET / HTTP/1.1\nHost: a.example\n\n", true},
      {"bare CR in a value", post + "X: a\rHost: b.example\r\n\r\n", true},
      {"CR CR LF", post + "X: a\r\r\n\r\n", true},
      {"NUL in Host", std::string("GET / HTTP/1.1\r\nHost: a.example\0.b\r\n\r\n", 39), true},
      {"DEL in a value", post + "X: \x7f\r\n\r\n", false},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", true},
      {"two equal Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example\r\n\r\n", true},
      {"two Upgrades", post + "Upgrade: foo\r\nUpgrade: websocket\r\n\r\n", true},
      {"an empty Upgrade and another", post + "Upgrade:\r\nupgrade: websocket\r\n\r\n", true},
      {"Host with userinfo", "GET / HTTP/1.1\r\nHost: b@a.example\r\n\r\n", true},
      {"Host list", "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", true},
      {"Host with a space", "GET / HTTP/1.1\r\nHost: a.example b\r\n\r\n", true},
      {"Host with a byte outside ASCII", "GET / HTTP/1.1\r\nHost: \xc3\xa4.example\r\n\r\n", false},
      {"Host with a percent sign", "GET / HTTP/1.1\r\nHost: a%2eexample\r\n\r\n", false},
      {"Host with a slash", "GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n", false},
      {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", false},
      {"Host without colon", "GET / HTTP/1.1\r\nHost a.example\r\n\r\n", false},
      {"no field name", post + ": x\r\n\r\n", false},
      {"field name with a bracket", post + "X(: x\r\n\r\n", false},
      {"field name with a byte outside ASCII", post + "\xe9: x\r\n\r\n", false},
      {"userinfo in the target", "GET http://a.example@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", true},
      {"backslash in the authority", "GET http://a.example\\@b/ HTTP/1.1\r\nHost: b\r\n\r\n", true},
      {"fragment", "GET http://a.example#@b/ HTTP/1.1\r\nHost: b\r\n\r\n", false},
      {"no scheme", "GET a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
      {"space at the end", "GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", true},
      {"tab for a space", "GET /\tHTTP/1.1\r\nHost: a.example\r\n\r\n", true},
      {"leading space", " GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
      {"method that is no token", "G@T / HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
      {"method without end", std::string(kHttpMethodMax + 1, 'A') + " / HTTP/1.1\r\n\r\n", false},
      {"lower-case version", "GET / http/1.1\r\nHost: a.example\r\n\r\n", false},
  };
}

TEST(HttpRequestHeadTest, RefusesWhatServersReadInTwoWays) {
  for (const Refusal& refusal : smuggling_table()) {
    const Parsed parsed(refusal.text);
    EXPECT_EQ(parsed.head.framing, Framing::kMalformed) << refusal.what;
    EXPECT_EQ(parsed.head.ambiguous, refusal.ambiguous) << refusal.what;
    EXPECT_FALSE(parsed.head.unsupported_version) << refusal.what;
  }
}

TEST(HttpRequestHeadTest, ARefusalIsTheSameHoweverTheBytesAreCut) {
  for (const Refusal& refusal : smuggling_table()) {
    const Parsed whole(refusal.text);
    std::size_t hint = 0;
    HttpRequestHead head;
    for (std::size_t length = 0; length <= refusal.text.size(); ++length) {
      const Block block(std::string_view(refusal.text).substr(0, length));
      head = parse_http_request_head(block.span(), hint);
      if (head.framing != Framing::kNeedMore) break;
      hint = length;
    }
    EXPECT_EQ(head.framing, whole.head.framing) << refusal.what;
    EXPECT_EQ(head.ambiguous, whole.head.ambiguous) << refusal.what;
    EXPECT_EQ(head.unsupported_version, whole.head.unsupported_version) << refusal.what;
  }
}

TEST(HttpRequestHeadTest, EqualContentLengthsAreOneLength) {
  const Parsed parsed(request("Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "POST / HTTP/1.1"));
  ASSERT_EQ(parsed.head.framing, Framing::kComplete);
  EXPECT_EQ(parsed.head.content_length, 5U);
}

TEST(HttpRequestHeadTest, ARefusedHeadStillNamesItsFirstHost) {
  for (const std::string_view text : {"GET /x HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
                                      "GET /x HTTP/1.1\nHost: a.example\n\n",
                                      "GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: +1\r\n\r\n",
                                      "GET /x HTTP/1.1\r\nX : 1\r\nHost : a.example\r\n\r\n",
                                      "GET /x HTTP/1.1\r\n X: 1\r\nhost: a.example\r\n\r\n"}) {
    const Parsed parsed(text);
    EXPECT_EQ(parsed.head.framing, Framing::kMalformed) << text;
    EXPECT_EQ(parsed.head.method, "GET") << text;
    EXPECT_EQ(parsed.head.target, "/x") << text;
    // A bare line feed is refused where it stands: what is behind it in the same piece is read for the
    // report only.
    ASSERT_TRUE(parsed.head.host) << text;
    EXPECT_EQ(parsed.head.host->host, "a.example") << text;
  }
}

TEST(HttpRequestHeadTest, OtherVersionsAreUnsupported) {
  for (const std::string_view text : {"GET /x\r\n", "GET /x\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
                                      "GET / HTTP/1.2\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    const Parsed parsed(text);
    EXPECT_EQ(parsed.head.framing, Framing::kMalformed) << text;
    EXPECT_TRUE(parsed.head.unsupported_version) << text;
  }
  EXPECT_FALSE(Parsed("GET / HTTP/11\r\n\r\n").head.unsupported_version);
}

TEST(HttpRequestHeadTest, StopsAtItsLimits) {
  const auto with_fields = [](std::size_t count) {
    std::string fields = "Host: a\r\n";
    for (std::size_t i = 1; i < count; ++i) fields += "X: y\r\n";
    return request(fields);
  };
  EXPECT_EQ(Parsed(with_fields(kHttpFieldsMax)).head.framing, Framing::kComplete);
  EXPECT_EQ(Parsed(with_fields(kHttpFieldsMax + 1)).head.framing, Framing::kTooLong);
  const std::string frame = request("Host: a\r\nX: \r\n");
  const auto of_size = [&](std::size_t size) {
    return request("Host: a\r\nX: " + std::string(size - frame.size(), 'y') + "\r\n");
  };
  EXPECT_EQ(of_size(kHttpHeadMax).size(), kHttpHeadMax);
  EXPECT_EQ(Parsed(of_size(kHttpHeadMax)).head.framing, Framing::kComplete);
  EXPECT_EQ(Parsed(of_size(kHttpHeadMax + 1)).head.framing, Framing::kTooLong);
  const std::string endless = "GET /" + std::string(kHttpHeadMax, 'x');
  EXPECT_EQ(Parsed(endless.substr(0, kHttpHeadMax - 1)).head.framing, Framing::kNeedMore);
  EXPECT_EQ(Parsed(endless.substr(0, kHttpHeadMax)).head.framing, Framing::kTooLong);
}

TEST(HttpAuthorityTest, ReadsHostsAndPorts) {
  const auto name = parse_http_authority("a_b.example");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->host, "a_b.example");
  EXPECT_FALSE(name->port || name->is_ip_literal);
  const auto v6 = parse_http_authority("[2001:db8::1]:8443");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "2001:db8::1");
  EXPECT_EQ(v6->port, 8443);
  EXPECT_TRUE(v6->is_ip_literal);
  const auto v4 = parse_http_authority("192.0.2.1");
  ASSERT_TRUE(v4);
  EXPECT_TRUE(v4->is_ip_literal);
  EXPECT_FALSE(parse_http_authority("192.0.2.1.example")->is_ip_literal);
  EXPECT_EQ(parse_http_authority("a:65535")->port, 65535);
}

TEST(HttpAuthorityTest, RefusesWhatIsNoHost) {
  for (const std::string_view text : {"",
                                      ":80",
                                      "a:",
                                      "a:0",
                                      "a:080",
                                      "a:65536",
                                      "a:99999",
                                      "a:100000",
                                      "a:8o",
                                      "a:-1",
                                      "a:80:80",
                                      "u@a",
                                      "a/b",
                                      "a b",
                                      "a\tb",
                                      "a,b",
                                      "a%41",
                                      "a\\b",
                                      "a?b",
                                      "a#b",
                                      "a\"",
                                      "<a>",
                                      "\xc3\xa4",
                                      "[::1",
                                      "::1",
                                      "[::1]x",
                                      "[::1]:",
                                      "[::1%25eth0]",
                                      "[fe80::1%eth0]",
                                      "[v1.a]",
                                      "[192.0.2.1]",
                                      "[]",
                                      "]",
                                      "[a]"}) {
    EXPECT_FALSE(parse_http_authority(text)) << text;
  }
  EXPECT_FALSE(parse_http_authority(std::string_view("a\0b", 3)));
  EXPECT_TRUE(parse_http_authority(std::string(254, 'a')));
  EXPECT_FALSE(parse_http_authority(std::string(255, 'a')));
  EXPECT_TRUE(parse_http_authority("", HttpEmptyHost::kAllow));
  EXPECT_TRUE(parse_http_authority(":80", HttpEmptyHost::kAllow));
}

TEST(HttpLikenessTest, TellsRequestsFromOtherText) {
  struct Case {
    std::string_view text;
    Likeness likeness;
  };
  for (const Case& c : std::vector<Case>{{"", Likeness::kMaybe},
                                         {"G", Likeness::kMaybe},
                                         {"GET", Likeness::kMaybe},
                                         {"GET ", Likeness::kMaybe},
                                         {"GET /", Likeness::kYes},
                                         {"GET /x\r\n", Likeness::kYes},
                                         {"\r\nGET /", Likeness::kYes},
                                         {"\r", Likeness::kMaybe},
                                         {"\n", Likeness::kNo},
                                         {"GET h", Likeness::kMaybe},
                                         {"GET http://", Likeness::kYes},
                                         {"GET key\r\n", Likeness::kNo},
                                         {"get key\r\n", Likeness::kNo},
                                         {"CONNECT a:443", Likeness::kMaybe},
                                         {"CONNECT a:443 HTTP/1.", Likeness::kYes},
                                         {"OPTIONS * HTTP/1.1", Likeness::kYes},
                                         {"OPTIONS sip:a SIP/2.0\r\n", Likeness::kNo},
                                         {"OPTIONS rtsp://a RTSP/1.0\r\n", Likeness::kNo},
                                         {"BREW / HTTP/1.1\r\n", Likeness::kYes},
                                         {"M-SEARCH * HTTP/1.1\r\n", Likeness::kYes},
                                         {"PRI * HTTP/2.0\r\n", Likeness::kNo},
                                         {"PRI * HTTP/", Likeness::kMaybe},
                                         {"EHLO a.example\r\n", Likeness::kNo},
                                         {"USER me HTTP/2", Likeness::kNo},
                                         {"random text", Likeness::kNo},
                                         {"RANDOM TEXT HERE", Likeness::kNo},
                                         {" GET /", Likeness::kNo},
                                         {"SSH-2.0-x\r\n", Likeness::kNo},
                                         {"\x16\x03\x01", Likeness::kNo},
                                         {std::string_view("\0", 1), Likeness::kNo}}) {
    EXPECT_EQ(looks_like_http1(Block(c.text).span()), c.likeness) << c.text;
  }
  EXPECT_EQ(looks_like_http1(as_bytes_of(std::string(25, 'A'))), Likeness::kNo);
  EXPECT_EQ(looks_like_http1(as_bytes_of("BREW " + std::string(2049, 'a'))), Likeness::kNo);
}

TEST(HttpLikenessTest, AnAnswerOtherThanMaybeIsFinal) {
  for (const std::string_view text :
       {"GET http://a/ HTTP/1.1\r\n", "BREW pot HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET key\r\n", "OPTIONS sip:a SIP/2.0\r\n", "\r\nHEAD / HTTP/1.0\r\n\r\n"}) {
    Likeness before = Likeness::kMaybe;
    for (std::size_t length = 0; length <= text.size(); ++length) {
      const Likeness now = looks_like_http1(Block(text.substr(0, length)).span());
      if (before != Likeness::kMaybe) {
        EXPECT_EQ(now, before) << text.substr(0, length);
      }
      before = now;
    }
    EXPECT_NE(before, Likeness::kMaybe) << text;
  }
}

TEST(HttpResponseHeadTest, ReadsStatusAndLength) {
  constexpr std::string_view kText = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
  for (std::size_t length = 0; length < kText.size(); ++length) {
    EXPECT_EQ(parse_http_response_head(Block(kText.substr(0, length)).span()).framing, Framing::kNeedMore);
  }
  const HttpResponseHead head = parse_http_response_head(Block(std::string(kText) + "body").span());
  EXPECT_EQ(head.framing, Framing::kComplete);
  EXPECT_EQ(head.status, 101U);
  EXPECT_EQ(head.head_length, kText.size());
  EXPECT_EQ(parse_http_response_head(as_bytes_of("HTTP/1.0 200\r\n\r\n")).status, 200U);
}

TEST(HttpResponseHeadTest, RefusesWhatIsNoStatusLine) {
  for (const std::string_view text :
       {"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 600 x\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 2x0 OK\r\n\r\n", "SSH-2.0-x\r\n"}) {
    EXPECT_EQ(parse_http_response_head(Block(text).span()).framing, Framing::kMalformed) << text;
  }
  EXPECT_EQ(looks_like_http1_response(as_bytes_of("HTTP/1.1 2")), Likeness::kYes);
  EXPECT_EQ(looks_like_http1_response(as_bytes_of("HTTP/1.1")), Likeness::kMaybe);
  EXPECT_EQ(looks_like_http1_response(as_bytes_of("HTTP/2")), Likeness::kNo);
}

TEST(RefusedHeadTest, TellsTheFirstHostWithAnyLineEnd) {
  const auto host = [](std::string_view text) {
    const Block block(text);
    const HttpRequestHead head = read_refused_http_head(block.span());
    return head.host ? std::string(head.host->host) : std::string("none");
  };
  EXPECT_EQ(host("GET / HTTP/1.1\nHost: a.example\nHost: b.example\n\n"), "a.example");
  EXPECT_EQ(host("\r\n\nGET / HTTP/1.1\r\nHost : a.example:80\r\n\r\n"), "a.example");
  EXPECT_EQ(host("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "a b") << "as sent if it is no authority";
  EXPECT_EQ(host("GET / HTTP/1.1\r\n\r\nHost: a.example\r\n"), "none");
}

TEST(RefusedHeadTest, NeedsItsBlankLine) {
  const std::string text = "GET / HTTP/1.1\nHost: a.example\n\n";
  for (std::size_t length = 0; length < text.size(); ++length) {
    const Block block(text.substr(0, length));
    EXPECT_EQ(read_refused_http_head(block.span()).framing, Framing::kNeedMore) << length;
  }
  EXPECT_EQ(read_refused_http_head(Block(text).span()).framing, Framing::kComplete);
  EXPECT_EQ(read_refused_http_head(Block(std::string(kHttpHeadMax, 'x')).span()).framing, Framing::kTooLong);
}

}  // namespace
}  // namespace sallyport::parsers
