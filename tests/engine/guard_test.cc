// Guards: requests to local HTTP ports, judged by Host and Origin, each of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/client_hello_builder.h"
#include "support/http2_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

constexpr const char* kPolicy = R"(
version = 1
[[guards]]
name = "gateway"
listen = ["127.0.0.1:8080", "[::1]:8080", "*:9000"]
hosts = ["localhost", "127.0.0.1", "::1"]
origins = ["localhost", "https://app.example"]
[[guards]]
listen = "*:9001"
hosts = "localhost"
interfaces = ["lo", "wg0"]
sources = ["127.0.0.0/8", "10.0.0.0/8"]
[[rules]]
to = ["allowed.example"]
protocols = ["http"]
)";

constexpr const char* kSwitch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

class GuardTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};
  std::uint16_t port_ = 40'000;
  TcpConversation tcp_ = connect();

  TcpConversation connect(const char* client = "127.0.0.1", const char* server = "127.0.0.1", std::uint16_t port = 8080) {
    TcpConversation tcp(endpoint(client, ++port_), endpoint(server, port));
    syn_ = fw_.inbound(tcp.syn()).decision;
    (void)tcp.syn_ack();
    return tcp;
  }
  Decision send(std::string_view text) { return fw_.inbound(tcp_.client_data(text)).decision; }
  std::string reason(const Decision& decision) {
    return decision.verdict == Verdict::kAccept ? "" : std::string(to_string(decision.reason));
  }
  static std::string request(const std::string& host, const std::string& more = "", const std::string& line = "GET /") {
    return line + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
  }
  // raw sends bytes on a connection of their own; "" when they may pass, else the reason.
  std::string raw(const std::string& text) {
    tcp_ = connect();
    return reason(send(text));
  }
  std::string one(const std::string& host, const std::string& more = "", const std::string& line = "GET /") { return raw(request(host, more, line)); }
  std::string h2(const H2Fields& fields) { return raw_bytes(h2_open() + h2_headers(1, fields)); }
  std::string raw_bytes(const std::string& bytes) { return raw(bytes); }

  Decision syn_;
};

TEST_F(GuardTest, HostMustBeListed) {
  for (const char* host : {"localhost", "localhost:8080", "LOCALHOST", "localhost.", "127.0.0.1:8080", "[::1]", "[::1]:8080", "localhost:1"}) {
    EXPECT_EQ(one(host), "") << host;
  }
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.2", "[::2]", "2130706433", "allowed.example"}) {
    EXPECT_EQ(one(host), "guard_host") << host;
  }
}

TEST_F(GuardTest, AHostThatReadersReadDifferentlyIsRefused) {
  EXPECT_EQ(one("user@localhost"), "ambiguous");
  EXPECT_EQ(one("localhost, evil.example"), "ambiguous");
  EXPECT_EQ(one("localhost", "Host: localhost\r\n"), "ambiguous");
  EXPECT_EQ(one(""), "malformed");
  EXPECT_EQ(one("::1"), "malformed");
  EXPECT_EQ(one("local%68ost"), "malformed");
  EXPECT_EQ(raw("GET / HTTP/1.1\r\n\r\n"), "malformed");
  EXPECT_EQ(raw("GET / HTTP/1.0\r\n\r\n"), "guard_host") << "it names nothing";
  EXPECT_EQ(raw("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"), "");
}

TEST_F(GuardTest, TheAbsoluteFormMustAgreeWithHost) {
  EXPECT_EQ(one("localhost:8080", "", "GET http://localhost:8080/"), "");
  EXPECT_EQ(one("localhost", "", "GET http://evil.example/"), "ambiguous");
  EXPECT_EQ(one("evil.example", "", "GET http://localhost/"), "ambiguous");
  EXPECT_EQ(one("evil.example", "", "GET http://evil.example/"), "guard_host");
  EXPECT_EQ(one("localhost", "", "OPTIONS *"), "");
  EXPECT_EQ(one("localhost:80", "", "CONNECT localhost:80"), "guard_not_http");
}

TEST_F(GuardTest, OriginIsAbsentOrListed) {
  EXPECT_EQ(one("localhost", "Origin: http://localhost:3000\r\n"), "");
  EXPECT_EQ(one("localhost", "origin:https://app.example\r\n"), "");
  for (const char* origin : {"null", "", "file://", "http://evil.example", "https://app.example:8443", "http://app.example", "http://localhost.evil.example",
                             "http://localhost/", "localhost", "http://localhost http://localhost"}) {
    EXPECT_EQ(one("localhost", "Origin: " + std::string(origin) + "\r\n"), "guard_origin") << origin;
  }
  EXPECT_EQ(one("localhost", "Origin: http://localhost\r\nOrigin: http://localhost\r\n"), "guard_origin") << "twice";
  EXPECT_EQ(one("evil.example", "Origin: null\r\n"), "guard_host") << "the host is told first";
}

TEST_F(GuardTest, FramingThatReadersReadDifferentlyIsRefused) {
  const std::string hidden = request("evil.example");
  EXPECT_EQ(one("localhost", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "POST /") , "ambiguous");
  EXPECT_EQ(one("localhost", "Transfer-Encoding: xchunked\r\n", "POST /"), "ambiguous");
  EXPECT_EQ(one("localhost", "Transfer-Encoding : chunked\r\n", "POST /"), "ambiguous");
  EXPECT_EQ(one("localhost", "Content-Length: 1\r\nContent-Length: 2\r\n", "POST /"), "ambiguous");
  EXPECT_EQ(one("localhost", "X: a\r\n Host: evil.example\r\n"), "ambiguous") << "obs-fold";
  EXPECT_EQ(raw("GET / HTTP/1.1\nHost: localhost\n\n"), "ambiguous") << "bare LF";
  EXPECT_EQ(raw(request("localhost", "Content-Length: 3\r\n", "POST /") + "abc" + hidden), "guard_host") << "behind a body";
  EXPECT_EQ(raw(request("localhost", "Transfer-Encoding: chunked\r\n", "POST /") + "3\r\nabc\r\n0\r\n\r\n" + hidden), "guard_host");
  EXPECT_EQ(raw(request("localhost", "Content-Length: " + std::to_string(hidden.size()) + "\r\n", "POST /") + hidden), "") << "it is a body";
}

TEST_F(GuardTest, EachRequestOfAConnectionIsJudged) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(reason(send(request("localhost"))), "");
  EXPECT_EQ(reason(send(request("evil.example"))), "guard_host");
  EXPECT_EQ(reason(send(request("localhost"))), "flow_denied");
  ASSERT_EQ(fw_.verdicts().size(), 2u);
  EXPECT_EQ(fw_.verdicts()[0].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(fw_.verdicts()[1].verdict, FlowVerdict::kDeny);
  EXPECT_EQ(fw_.verdicts()[1].name, "evil.example");
  EXPECT_EQ(raw(request("localhost") + request("evil.example")), "guard_host") << "pipelined";
}

TEST_F(GuardTest, NoPartOfARefusedRequestLeaves) {
  const std::string text = request("evil.example", "X: y\r\n");
  for (std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    tcp_ = connect();
    for (const auto& segment : tcp_.client_segments(as_bytes_of(text), size)) {
      EXPECT_NE(fw_.inbound(segment).decision.verdict, Verdict::kAccept);
    }
  }
  EXPECT_EQ(fw_.accepted(), 4u) << "the SYNs";
}

TEST_F(GuardTest, WhatIsNoHttpIsRefused) {
  const Bytes hello = ClientHelloBuilder().server_name("localhost").record();
  EXPECT_EQ(raw(std::string(hello.begin(), hello.end())), "guard_not_http");
  EXPECT_EQ(raw("SSH-2.0-x\r\n"), "guard_not_http");
  EXPECT_EQ(raw(std::string("\0\1\2\3\4\5\6\7garbage that is nothing at all\r\n\r\n", 43)), "guard_not_http");
  EXPECT_EQ(raw("*1\r\n$4\r\nPING\r\n"), "guard_not_http");
}

TEST_F(GuardTest, BytesThatNeverBecomeARequestAreRefused) {
  EXPECT_EQ(send("GET / HT").verdict, Verdict::kHold);
  (void)fw_.wait(std::chrono::seconds(6));
  EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kDeny);
}

TEST_F(GuardTest, Http2GoesByAuthorityAndOrigin) {
  const auto fields = [](const char* authority) {
    return H2Fields{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", authority}};
  };
  EXPECT_EQ(h2(fields("localhost:8080")), "");
  EXPECT_EQ(h2(fields("evil.example")), "guard_host");
  for (const auto& [origin, expected] : {std::pair{"http://localhost", ""}, {"null", "guard_origin"}, {"http://evil.example", "guard_origin"}}) {
    H2Fields with = fields("localhost");
    with.push_back({"origin", origin});
    EXPECT_EQ(h2(with), expected) << origin;
  }
  H2Fields twice = fields("localhost");
  twice.push_back({"origin", "http://localhost"});
  twice.push_back({"origin", "http://localhost"});
  EXPECT_EQ(h2(twice), "guard_origin");
  H2Fields host = fields("localhost");
  host.push_back({"host", "evil.example"});
  EXPECT_EQ(h2(host), "ambiguous");
  EXPECT_EQ(h2({{":method", "CONNECT"}, {":authority", "localhost:22"}}), "guard_not_http");
  tcp_ = connect();
  EXPECT_EQ(reason(send(h2_open() + h2_headers(1, fields("localhost")))), "");
  EXPECT_EQ(reason(send(h2_headers(3, fields("evil.example")))), "guard_host") << "a later stream";
}

TEST_F(GuardTest, AWebSocketIsHandedOverBehindTheServersYes) {
  const std::string upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  EXPECT_EQ(one("localhost", upgrade + "Origin: http://evil.example\r\n"), "guard_origin");
  EXPECT_EQ(one("localhost", upgrade + "Origin: http://localhost\r\n"), "");
  EXPECT_EQ(send("frame").verdict, Verdict::kHold) << "the server has not agreed yet";
  const Decision answer = fw_.server(tcp_.server_data(kSwitch)).decision;
  EXPECT_EQ(answer.verdict, Verdict::kAccept);
  EXPECT_EQ(answer.mark, FlowMark::kAllow);
  EXPECT_EQ(send("more").mark, FlowMark::kAllow);
}

TEST_F(GuardTest, NothingElseIsEverHandedOver) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(send(request("localhost")).mark, FlowMark::kAllow);
    EXPECT_NE(fw_.server(tcp_.server_data("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).decision.mark, FlowMark::kAllow);
    EXPECT_NE(fw_.inbound(tcp_.client_ack()).decision.mark, FlowMark::kAllow);
  }
}

TEST_F(GuardTest, TheCutEndOfALongPacketMayBeABodyAndNothingElse) {
  const auto cut = [&](const std::string& more, std::size_t body) {
    tcp_ = connect();
    std::vector<std::uint8_t> bytes = tcp_.client_data(request("localhost", more, "POST /") + std::string(body, 'x'));
    const std::size_t whole = bytes.size();
    bytes.resize(whole - 5);
    return fw_.inbound(bytes, whole).decision;
  };
  EXPECT_EQ(reason(cut("Content-Length: 60000\r\n", 60'000)), "");
  EXPECT_EQ(reason(cut("Content-Length: 90000\r\n", 60'000)), "");
  EXPECT_EQ(reason(cut("Content-Length: 59999\r\n", 60'000)), "truncated") << "a byte of another request is not seen";
  EXPECT_EQ(reason(cut("Transfer-Encoding: chunked\r\n", 0)), "truncated");
}

TEST_F(GuardTest, AnUpgradeToSomethingElseIsJudgedByItsBytes) {
  EXPECT_EQ(one("localhost", "Upgrade: tcp\r\nConnection: Upgrade\r\n", "POST /"), "");
  (void)fw_.server(tcp_.server_data(kSwitch));
  EXPECT_EQ(reason(send("any bytes\r\n")), "guard_not_http");
}

TEST_F(GuardTest, WhereAConnectionComesFromIsJudgedAtItsFirstPacket) {
  fw_.from_interface("lo");
  (void)connect("127.0.0.1", "127.0.0.1", 9001);
  EXPECT_EQ(syn_.verdict, Verdict::kAccept);
  fw_.from_interface("wg0");
  (void)connect("10.1.2.3", "10.0.0.1", 9001);
  EXPECT_EQ(syn_.verdict, Verdict::kAccept);
  (void)connect("11.1.2.3", "10.0.0.1", 9001);
  EXPECT_EQ(reason(syn_), "guard_source");
  EXPECT_EQ(syn_.mark, FlowMark::kReset);
  fw_.from_interface("eth0");
  (void)connect("10.1.2.3", "10.0.0.1", 9001);
  EXPECT_EQ(reason(syn_), "guard_source");
  fw_.from_interface("");
  (void)connect("10.1.2.3", "10.0.0.1", 9001);
  EXPECT_EQ(reason(syn_), "guard_source") << "not known";
}

TEST_F(GuardTest, AConnectionThatIsOlderIsRefused) {
  tcp_ = TcpConversation(endpoint("127.0.0.1", 39'000), endpoint("127.0.0.1", 8080));
  EXPECT_EQ(reason(send(request("localhost"))), "midstream");
}

TEST_F(GuardTest, OnlyWhatComesInIsGuarded) {
  // What this host asks of another's port 9000 is judged by the rules.
  TcpConversation out(endpoint("10.0.0.1", 39'001), endpoint("203.0.113.9", 80));
  fw_.client(out.syn());
  EXPECT_EQ(fw_.client(out.client_data(request("allowed.example"))).decision.verdict, Verdict::kAccept);
  TcpConversation other(endpoint("10.0.0.1", 39'002), endpoint("203.0.113.9", 9000));
  EXPECT_EQ(to_string(fw_.client(other.syn()).decision.reason), "address_not_allowed");
}

TEST_F(GuardTest, EventsNameTheGuardsPlace) {
  EXPECT_EQ(one("evil.example"), "guard_host");
  const Decision decision = send(request("localhost"));
  EXPECT_EQ(fw_.policy().location(decision.rule), "test.toml:3");
  EXPECT_EQ(one("localhost", "Content-Length: x\r\n"), "ambiguous");
  EXPECT_EQ(fw_.policy().location(send("x").rule), "test.toml:3") << "whatever the reason";
}

TEST(GuardReplayTest, ACaptureIsJudgedWhereAListenerHasAnAddress) {
  InspectorHarness fw(kPolicy);
  const auto verdict = [&](const char* server, std::uint16_t port, std::uint16_t from) {
    TcpConversation tcp(endpoint("192.0.2.7", from), endpoint(server, port));
    fw.feed(tcp.syn(), Origin::kUnknown);
    fw.feed(tcp.syn_ack(), Origin::kUnknown);
    return std::string(to_string(fw.feed(tcp.client_data("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), Origin::kUnknown).decision.reason));
  };
  EXPECT_EQ(verdict("127.0.0.1", 8080, 1'000), "guard_host");
  EXPECT_NE(verdict("203.0.113.1", 9000, 1'002), "guard_host");
}

}  // namespace
}  // namespace sallyport::testing
