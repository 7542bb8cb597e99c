// Rules for some requests of HTTP: methods, paths, WebSockets, each request of a connection.
#include <gtest/gtest.h>

#include <string>

#include "support/http2_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["api.example"]
protocols = ["http"]
methods = ["GET", "HEAD"]
paths = ["/v1/", "re:/items/[0-9]+"]
[[rules]]
to = ["api.example"]
protocols = ["http"]
methods = ["POST"]
paths = ["/v1/form"]
[[rules]]
to = ["open.example"]
protocols = ["http"]
websocket = "deny"
[[rules]]
to = ["open.example"]
protocols = ["http"]
action = "deny"
paths = ["/admin"]
[[rules]]
to = ["ws.example"]
protocols = ["http"]
)";

constexpr const char* kSwitch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";

class HttpRulesTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  std::uint16_t port_ = 40'000;
  TcpConversation tcp_ = connect();

  TcpConversation connect() {
    TcpConversation tcp(endpoint("10.0.0.1", ++port_), endpoint("192.0.2.1", 80));
    fw_.client(tcp.syn());
    (void)tcp.syn_ack();
    return tcp;
  }
  Verdict send(std::string_view text) { return fw_.client(tcp_.client_data(text)).decision.verdict; }
  static std::string request(const std::string& line, const std::string& host, const std::string& more = "") {
    return line + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
  }
  // one sends one request on a connection of its own; "" when it may pass, else the reason.
  std::string one(const std::string& line, const std::string& host = "api.example", const std::string& more = "") {
    tcp_ = connect();
    const auto decision = fw_.client(tcp_.client_data(request(line, host, more))).decision;
    return decision.verdict == Verdict::kAccept ? "" : std::string(to_string(decision.reason));
  }
  std::string h2(const H2Fields& fields) {
    tcp_ = connect();
    const auto decision = fw_.client(tcp_.client_data(h2_open() + h2_headers(1, fields))).decision;
    return decision.verdict == Verdict::kAccept ? "" : std::string(to_string(decision.reason));
  }
};

TEST_F(HttpRulesTest, MethodsAndPathsDecide) {
  EXPECT_EQ(one("GET /v1/x"), "");
  EXPECT_EQ(one("GET /v1/x?y=/admin/../.."), "") << "a query is no part of the path";
  EXPECT_EQ(one("HEAD /items/17"), "");
  EXPECT_EQ(one("POST /v1/form"), "");
  EXPECT_EQ(one("GET http://api.example/v1/x"), "") << "absolute form";
  EXPECT_EQ(one("PUT /v1/x"), "method_not_allowed");
  EXPECT_EQ(one("POST /v1/x"), "path_not_allowed");
  EXPECT_EQ(one("GET /items/17/x"), "path_not_allowed");
  EXPECT_EQ(one("GET /v2"), "path_not_allowed");
  EXPECT_EQ(one("GET http://api.example"), "path_not_allowed") << "the path is /";
  EXPECT_EQ(one("OPTIONS *"), "method_not_allowed");
  EXPECT_EQ(one("GET /v1/x", "other.example"), "name_not_allowed");
}

TEST_F(HttpRulesTest, APathIsComparedInOneForm) {
  EXPECT_EQ(one("GET /%76%31/x"), "");
  EXPECT_EQ(one("GET /a/../v1/x"), "");
  EXPECT_EQ(one("GET /v1/../v2/x"), "path_not_allowed");
  EXPECT_EQ(one("GET /v1/%2e%2e/v2/x"), "ambiguous");
  EXPECT_EQ(one("GET /v1/..%2fv2"), "ambiguous");
  EXPECT_EQ(one("GET /v1/..%252fv2"), "ambiguous");
  EXPECT_EQ(one("GET /v1/..\\v2"), "ambiguous");
  EXPECT_EQ(one("GET /v1/..;/v2"), "ambiguous");
  EXPECT_EQ(one("GET //v1/x"), "ambiguous");
  EXPECT_EQ(one("GET /v1/x%00"), "ambiguous");
}

TEST_F(HttpRulesTest, DenyRulesHaveTheirPathsAloneAndWhatMayBeThem) {
  EXPECT_EQ(one("GET /", "open.example"), "");
  EXPECT_EQ(one("GET /admin", "open.example"), "rule_denies");
  EXPECT_EQ(one("GET /x/../%61dmin/y", "open.example"), "rule_denies");
  EXPECT_EQ(one("GET //admin", "open.example"), "ambiguous");
  EXPECT_EQ(one("GET //admin", "ws.example"), "") << "no rule for this host has paths";
}

TEST_F(HttpRulesTest, EachRequestOfAConnectionIsJudged) {
  EXPECT_EQ(send(request("GET /v1/a", "api.example")), Verdict::kAccept);
  EXPECT_EQ(send(request("GET /v1/b", "api.example") + request("POST /v1/form", "api.example", "Content-Length: 3\r\n") + "abc"), Verdict::kAccept);
  EXPECT_EQ(send(request("DELETE /v1/b", "api.example")), Verdict::kDrop);
  ASSERT_EQ(fw_.verdicts().size(), 2U);
  EXPECT_EQ(fw_.verdicts()[1].reason, Reason::kMethodNotAllowed);
  EXPECT_EQ(fw_.verdicts()[1].name, "api.example");
}

TEST_F(HttpRulesTest, APipelinedRequestTakesTheSegmentWithIt) {
  EXPECT_EQ(send(request("GET /v1/a", "api.example") + request("GET /secret", "api.example")), Verdict::kDrop);
}

TEST_F(HttpRulesTest, HoweverTheBytesAreCutTheJudgementIsTheSame) {
  for (const bool good : {true, false}) {
    const std::string text = request("GET /v1/a", "api.example") + request(good ? "GET /items/9" : "GET /items/x", "api.example");
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      tcp_ = connect();
      (void)send(text.substr(0, cut));
      const std::size_t before = fw_.verdicts().size();
      const Verdict last = send(text.substr(cut));
      EXPECT_EQ(last == Verdict::kAccept, good) << cut;
      EXPECT_TRUE(good || fw_.verdicts().back().reason == Reason::kPathNotAllowed) << cut << " " << before;
    }
  }
}

TEST_F(HttpRulesTest, Http2RequestsAreJudgedByMethodAndPathToo) {
  EXPECT_EQ(h2(h2_get("api.example", "/v1/x")), "");
  EXPECT_EQ(h2(h2_get("api.example", "/v2/x")), "path_not_allowed");
  EXPECT_EQ(h2(h2_get("api.example", "/v1/%2e%2e/x")), "ambiguous");
  H2Fields put = h2_get("api.example", "/v1/x");
  put[0].second = "PUT";
  EXPECT_EQ(h2(put), "method_not_allowed");
  EXPECT_EQ(h2(h2_get("open.example", "/admin/x")), "rule_denies");
  EXPECT_EQ(h2(h2_get("open.example", "/x")), "");
  EXPECT_EQ(fw_.client(tcp_.client_data(h2_headers(3, h2_get("open.example", "/admin")))).decision.verdict, Verdict::kDrop) << "a later stream";
}

TEST_F(HttpRulesTest, AWebsocketNeedsARuleThatAllowsIt) {
  const std::string ws = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  EXPECT_EQ(one("GET /chat", "ws.example", ws), "");
  EXPECT_EQ(fw_.server(tcp_.server_data(kSwitch)).decision.mark, FlowMark::kAllow) << "the frames are the kernel's";
  EXPECT_EQ(one("GET /chat", "open.example", ws), "upgrade_not_allowed");
  EXPECT_EQ(fw_.verdicts().back().name, "open.example");
  EXPECT_EQ(one("GET /chat", "open.example", "Connection: Upgrade\r\nUpgrade: foo, WebSocket/13\r\n"), "upgrade_not_allowed");
  EXPECT_EQ(one("GET /chat", "open.example", "Connection: Upgrade\r\nUpgrade: websockets\r\n"), "") << "another protocol";
}

TEST_F(HttpRulesTest, AnUpgradeToAnUnknownProtocolIsJudgedAsANewConnection) {
  EXPECT_EQ(one("GET /x", "open.example", "Connection: Upgrade\r\nUpgrade: foo\r\n"), "");
  fw_.server(tcp_.server_data(kSwitch));
  const auto unknown = fw_.client(tcp_.client_data("\x82\x85\x01\x02\x03\x04\x05\x06\x07\x08\x09 whatever foo is")).decision;
  EXPECT_EQ(unknown.verdict, Verdict::kDrop);
  EXPECT_EQ(unknown.reason, Reason::kUnknownProtocol);
}

TEST_F(HttpRulesTest, AWebsocketOfAnHttp2StreamIsJudgedByItsHost) {
  const auto extended = [](std::string host, std::string protocol) {
    return H2Fields{{":method", "CONNECT"}, {":protocol", std::move(protocol)}, {":scheme", "http"}, {":authority", std::move(host)}, {":path", "/chat"}};
  };
  EXPECT_EQ(h2(extended("ws.example", "websocket")), "");
  EXPECT_EQ(h2(extended("open.example", "websocket")), "upgrade_not_allowed");
  EXPECT_EQ(h2(extended("other.example", "websocket")), "name_not_allowed");
  EXPECT_EQ(h2(extended("ws.example", "connect-udp")), "protocol_not_allowed") << "a tunnel in a stream is not followed";
  EXPECT_EQ(h2(extended("api.example", "websocket")), "method_not_allowed") << "over HTTP/2 the method is CONNECT";
  EXPECT_EQ(h2({{":method", "CONNECT"}, {":authority", "ws.example:443"}}), "protocol_not_allowed");
}

TEST_F(HttpRulesTest, ARequestThatWaitsForItsBindingIsJudgedWhole) {
  auto options = InspectorHarness::small_options();
  options.on_miss = [](const engine::BindingMiss&) {};
  const std::string strict = "[defaults]\nbind = \"strict\"\n[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"ssh\"]\nports = [80]\n" + std::string(kPolicy).substr(13);
  for (const bool good : {true, false}) {
    options.bindings = std::make_shared<engine::NameBindings>(64);
    InspectorHarness fw("version = 1\n" + strict, options);
    TcpConversation tcp(endpoint("10.0.0.1", 41'000), endpoint("192.0.2.1", 80));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    const auto held = fw.client(tcp.client_data(h2_open() + h2_headers(1, h2_get("api.example", good ? "/v1/x" : "/v2/x"))));
    ASSERT_EQ(held.decision.verdict, Verdict::kHold);
    options.bindings->bind({*IpAddress::parse("192.0.2.1"), *DomainName::parse("api.example"), fw.now() + std::chrono::minutes(5),
                            engine::BindingSource::kLookup, 0}, fw.now());
    const auto after = fw.wait(std::chrono::milliseconds(10));
    ASSERT_EQ(after.releases.size(), 1U);
    EXPECT_EQ(after.releases[0].decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
    EXPECT_TRUE(good || fw.verdicts().back().reason == Reason::kPathNotAllowed);
  }
}

}  // namespace
}  // namespace sallyport::testing
