// Proxies: what they are asked for is judged like a connection to that, and what the tunnel carries, too.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "sallyport/parsers/ssh.h"
#include "support/client_hello_builder.h"
#include "support/inspector_harness.h"
#include "support/ssh_session.h"

namespace sallyport::testing {
namespace {

using engine::Detail;
using engine::FlowVerdict;
using namespace std::string_literals;

constexpr const char* kPolicy = R"(
version = 1
[defaults]
bind = "strict"
[dns]
private = "any"
[[rules]]
to = ["192.0.2.80", "proxy.example", "2001:db8::80"]
protocols = ["http", "socks"]
ports = [1080, 3128]
proxy = true
[[rules]]
to = ["good.example", "also.example"]
protocols = ["tls", "http"]
[[rules]]
to = ["git.example"]
protocols = ["ssh"]
[[rules]]
to = ["db.example"]
protocols = ["tcp"]
ports = [5432]
[[rules]]
to = ["198.51.100.0/24", "2001:db8:1::/48"]
protocols = ["tls", "http"]
[[rules]]
to = ["api.example"]
protocols = ["http"]
paths = ["/v1"]
[[rules]]
to = ["mail.example"]
protocols = ["ftp"]
[[rules]]
to = ["evil.good.example"]
protocols = ["tls", "http"]
action = "deny"
)";

const std::string kYes = "HTTP/1.1 200 Connection established\r\n\r\n";

std::string connect_line(const std::string& target) {
  return "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n";
}

std::string hello(const std::string& name) {
  const auto record = ClientHelloBuilder::typical(name).record();
  return {record.begin(), record.end()};
}

// Request is how a client asks its proxy for a target, and the proxy's answers.
struct Dialogue {
  const char* name;
  std::vector<std::string> client;  // Each behind the proxy's answer to the one before.
  std::vector<std::string> proxy;
};

std::string port_octets(std::uint16_t port) { return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)}; }

std::vector<Dialogue> ways_to(const std::string& host, std::uint16_t port) {
  const std::string socks_name = "\x03"s + static_cast<char>(host.size()) + host + port_octets(port);
  const std::string granted5 = "\x05\x00\x00\x01\0\0\0\0\0\0"s;
  return {{"CONNECT", {connect_line(host + ":" + std::to_string(port))}, {kYes}},
          {"SOCKS 4a", {"\x04\x01"s + port_octets(port) + "\0\0\0\x01me\0"s + host + "\0"s}, {"\x00\x5a\0\0\0\0\0\0"s}},
          {"SOCKS 5", {"\x05\x01\x00"s, "\x05\x01\x00"s + socks_name}, {"\x05\x00"s, granted5}},
          {"SOCKS 5 with a password",
           {"\x05\x02\x00\x02"s, "\x01\x02me\x06secret"s, "\x05\x01\x00"s + socks_name},
           {"\x05\x02"s, "\x01\x00"s, granted5}}};
}

class ProxyTest : public ::testing::Test {
 protected:
  std::shared_ptr<engine::NameBindings> bindings_ = std::make_shared<engine::NameBindings>(256);
  InspectorHarness fw_{kPolicy, options()};
  std::uint16_t port_ = 40'000;
  TcpConversation tcp_ = open();

  engine::InspectorOptions options() {
    auto options = InspectorHarness::small_options();
    options.bindings = bindings_;
    return options;
  }
  void bind(const char* name, const char* address) {
    bindings_->bind({*IpAddress::parse(address), *DomainName::parse(name), fw_.now() + std::chrono::hours(1), engine::BindingSource::kLookup, 0},
                    fw_.now());
  }
  TcpConversation open(const char* address = "192.0.2.80", std::uint16_t port = 3128) {
    const bool is_v6 = std::string_view(address).find(':') != std::string_view::npos;
    TcpConversation tcp(endpoint(is_v6 ? "2001:db8::1" : "10.0.0.1", ++port_), endpoint(address, port));
    EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw_.server(tcp.syn_ack()).decision.verdict, Verdict::kAccept);
    return tcp;
  }
  Decision client(std::string_view text) { return fw_.client(tcp_.client_data(text)).decision; }
  Outcome server(std::string_view text) { return fw_.server(tcp_.server_data(text)); }
  // denied_by asks for a target on a connection of its own: "" if that may leave, else the reason.
  std::string denied_by(const std::string& request) {
    tcp_ = open();
    const Decision decision = client(request);
    return decision.verdict == Verdict::kAccept ? "" : std::string(to_string(decision.reason));
  }
  // walk goes through a dialogue; false when a message of the client may not leave.
  bool walk(const Dialogue& dialogue) {
    tcp_ = open();
    for (std::size_t i = 0; i < dialogue.client.size(); ++i) {
      if (client(dialogue.client[i]).verdict != Verdict::kAccept) return false;
      EXPECT_EQ(server(dialogue.proxy[i]).decision.verdict, Verdict::kAccept);
    }
    return true;
  }
  const SeenVerdict& last() const { return fw_.verdicts().back(); }
};

TEST_F(ProxyTest, ANameIsAllowedThroughAProxyWhereItIsDirectly) {
  for (const Dialogue& way : ways_to("good.example", 443)) {
    EXPECT_TRUE(walk(way)) << way.name;
    EXPECT_EQ(client(hello("good.example")).verdict, Verdict::kAccept) << way.name;
    EXPECT_EQ(last().verdict, FlowVerdict::kAllow) << way.name;
    EXPECT_EQ(last().name, "good.example") << way.name;
    EXPECT_EQ(fw_.detail(Detail::kProxyTarget), "good.example:443");
  }
}

TEST_F(ProxyTest, WhatIsNotAllowedIsNotAskedFor) {
  for (const auto& [host, port] : {std::pair{"bad.example", 443}, {"good.example", 22}, {"proxy.example", 3128}, {"git.example", 443},
                                   {"evil.good.example", 443}}) {
    for (const Dialogue& way : ways_to(host, static_cast<std::uint16_t>(port))) {
      EXPECT_FALSE(walk(way)) << way.name << " " << host;
      EXPECT_EQ(last().verdict, FlowVerdict::kDeny);
      EXPECT_EQ(last().name, host) << "the event has the name that was asked for";
      EXPECT_EQ(to_string(last().reason), "name_not_allowed") << way.name << " " << host;
    }
  }
}

TEST_F(ProxyTest, ADenyRuleForTheTargetIsNamed) {
  InspectorHarness fw(std::string(kPolicy) + "[[rules]]\nto = [\"*.good.example\"]\nprotocols = [\"tls\"]\n[[rules]]\nto = [\"*.good.example\"]\n"
                      "ports = [443]\nprotocols = [\"http\"]\naction = \"deny\"\n", options());
  TcpConversation tcp(endpoint("10.0.0.1", 39'000), endpoint("192.0.2.80", 3128));
  fw.client(tcp.syn());
  (void)tcp.syn_ack();
  EXPECT_EQ(fw.client(tcp.client_data(connect_line("evil.good.example:443"))).decision.reason, Reason::kRuleDenies);
}

// ask sends a first message to a server of a policy's own: "" if it may leave, else the reason.
std::string ask(InspectorHarness& fw, const char* server, const std::string& message, std::uint16_t port = 3128) {
  static std::uint16_t source = 20'000;
  TcpConversation tcp(endpoint("10.0.0.1", ++source), endpoint(server, port));
  fw.client(tcp.syn());
  fw.server(tcp.syn_ack());
  const Decision decision = fw.client(tcp.client_data(message)).decision;
  return decision.verdict == Verdict::kAccept ? "" : std::string(to_string(decision.reason));
}

TEST_F(ProxyTest, ADenyRuleForANameOfTheProxyHolds) {
  const std::string rest = "[[rules]]\nto = [\"bad-proxy.test\"]\nprotocols = [\"http\", \"socks\"]\nports = [3128]\naction = \"deny\"\n"
                           "[[rules]]\nto = [\"good.example\"]\n";
  bind("good-proxy.test", "192.0.2.5");
  bind("good-proxy.test", "192.0.2.6");
  bind("bad-proxy.test", "192.0.2.5");
  for (const char* target : {"192.0.2.0/24", "good-proxy.test"}) {
    InspectorHarness fw("version = 1\n[defaults]\nbind = \"strict\"\n[dns]\nprivate = \"any\"\n[[rules]]\nto = [\""s + target + "\"]\nprotocols = [\"http\", \"socks\"]\nports = [3128]\nproxy = true\n" + rest,
                        options());
    for (const std::string& message : {connect_line("good.example:443"), "\x05\x01\x00"s, "GET http://good.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n"s}) {
      EXPECT_EQ(ask(fw, "192.0.2.5", message), "rule_denies") << target;
      EXPECT_EQ(ask(fw, "192.0.2.6", message), "") << target;
    }
    EXPECT_EQ(fw.verdicts().front().name, "good.example") << "the event has the name that was asked for";
  }
}

TEST_F(ProxyTest, DenyRulesForMethodsHoldForConnect) {
  const std::string base = "version = 1\n[defaults]\nbind = \"strict\"\n[dns]\nprivate = \"any\"\n[[rules]]\nto = [\"192.0.2.0/24\"]\nprotocols = [\"http\"]\nports = [3128]\nproxy = true\n"
                           "[[rules]]\nto = [\"good.example\", \"198.51.100.0/24\"]\n[[rules]]\nprotocols = [\"http\"]\naction = \"deny\"\n";
  const std::string get = "GET http://good.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n";
  struct Case {
    const char* rule;
    const char* by_name;
    const char* by_address;
    const char* get;
  };
  bind("named.test", "198.51.100.4");
  for (const Case& one : {Case{"to = [\"192.0.2.5\"]\nports = [3128]\nmethods = [\"CONNECT\"]\n", "rule_denies", "rule_denies", ""},
                          Case{"to = \"any\"\nports = \"any\"\nmethods = [\"CONNECT\"]\n", "rule_denies", "rule_denies", ""},
                          Case{"to = \"any\"\nports = [443]\nmethods = [\"CONNECT\"]\n", "rule_denies", "rule_denies", ""},
                          Case{"to = [\"good.example\"]\nports = [443]\nmethods = [\"CONNECT\"]\n", "rule_denies", "", ""},
                          Case{"to = [\"198.51.100.4\"]\nports = [443]\nmethods = [\"CONNECT\"]\n", "", "rule_denies", ""},
                          Case{"to = [\"named.test\"]\nports = [443]\nmethods = [\"CONNECT\"]\n", "", "rule_denies", ""},
                          Case{"to = [\"192.0.2.5\"]\nports = [3128]\nmethods = [\"GET\"]\n", "", "", "rule_denies"},
                          Case{"to = [\"192.0.2.5\"]\nports = [3128]\npaths = [\"/x\"]\n", "", "", "rule_denies"},
                          Case{"to = [\"good.example\"]\nports = [443]\n", "", "", ""},
                          Case{"to = [\"good.example\"]\nports = [443]\nmethods = [\"POST\"]\n", "", "", ""}}) {
    InspectorHarness fw(base + one.rule, options());
    EXPECT_EQ(ask(fw, "192.0.2.5", connect_line("good.example:443")), one.by_name) << one.rule;
    EXPECT_EQ(ask(fw, "192.0.2.5", connect_line("198.51.100.4:443")), one.by_address) << one.rule;
    EXPECT_EQ(ask(fw, "192.0.2.5", get), one.get) << one.rule;
  }
}

TEST_F(ProxyTest, TheHelloInsideMustBeForTheNameThatWasAskedFor) {
  for (const Dialogue& way : ways_to("good.example", 443)) {
    for (const char* name : {"also.example", "bad.example"}) {
      EXPECT_TRUE(walk(way));
      const Decision decision = client(hello(name));
      EXPECT_EQ(decision.verdict, Verdict::kDrop) << way.name << " " << name;
      EXPECT_EQ(to_string(decision.reason), "name_differs");
      EXPECT_EQ(last().name, name);
    }
  }
}

TEST_F(ProxyTest, TheProtocolInsideIsJudgedAtThePortOfTheTarget) {
  for (const Dialogue& way : ways_to("good.example", 443)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n").verdict, Verdict::kDrop) << "http is allowed on port 80";
    EXPECT_EQ(to_string(last().reason), "protocol_not_allowed");
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("\x01\x02opaque bytes of no known protocol, and many of them").reason, Reason::kUnknownProtocol) << way.name;
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("SSH-2.0-OpenSSH_9.2\r\n").verdict, Verdict::kDrop);
  }
}

TEST_F(ProxyTest, HttpInsideATunnelIsJudgedByEachHostAndPath) {
  for (const Dialogue& way : ways_to("good.example", 80)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n").verdict, Verdict::kAccept) << way.name;
    EXPECT_EQ(client("GET / HTTP/1.1\r\nHost: also.example\r\n\r\n").reason, Reason::kNameDiffers) << way.name;
  }
  for (const Dialogue& way : ways_to("api.example", 80)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("GET /v1/x HTTP/1.1\r\nHost: api.example\r\n\r\n").verdict, Verdict::kAccept) << way.name;
    EXPECT_EQ(client("GET /v2/x HTTP/1.1\r\nHost: api.example\r\n\r\n").reason, Reason::kPathNotAllowed) << way.name;
  }
}

TEST_F(ProxyTest, AWebsocketInsideATunnelIsHandedOverWhenTheServerSwitched) {
  for (const Dialogue& way : ways_to("good.example", 80)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("GET /ws HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").verdict, Verdict::kAccept);
    EXPECT_EQ(server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").decision.mark, FlowMark::kAllow)
        << way.name;
  }
}

TEST_F(ProxyTest, SshInsideIsJudgedByTheNameOfTheTargetAndTheServerGreetsFirst) {
  for (const Dialogue& way : ways_to("git.example", 22)) {
    EXPECT_TRUE(walk(way)) << way.name;
    EXPECT_EQ(server("SSH-2.0-OpenSSH_9.2\r\n").decision.verdict, Verdict::kAccept);
    EXPECT_EQ(client("SSH-2.0-OpenSSH_9.2\r\n").verdict, Verdict::kAccept) << way.name;
    EXPECT_EQ(last().verdict, FlowVerdict::kAllow);
    EXPECT_EQ(last().name, "git.example");
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client(hello("git.example")).verdict, Verdict::kDrop) << "TLS is not what the rule is for";
  }
}

TEST_F(ProxyTest, HostKeysCountInsideATunnel) {
  for (const bool good : {true, false}) {
    const auto fingerprint = parsers::ssh_fingerprint(ssh_ed25519_blob(good ? 7 : 8));
    std::string text = kPolicy;
    const std::string rule = "to = [\"git.example\"]\nprotocols = [\"ssh\"]\n";
    text.replace(text.find(rule), rule.size(), rule + "host_keys = [\"" + std::string(fingerprint.text()) + "\"]\n");
    InspectorHarness fw(text, options());
    TcpConversation tcp(endpoint("10.0.0.1", 39'000), endpoint("192.0.2.80", 3128));
    SshSession ssh;
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    EXPECT_EQ(fw.client(tcp.client_data(connect_line("git.example:22"))).decision.verdict, Verdict::kAccept);
    fw.server(tcp.server_data(kYes));
    fw.server(tcp.server_data(ssh.server_identification()));
    EXPECT_EQ(fw.client(tcp.client_data(ssh.client_identification())).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(fw.client(tcp.client_data(ssh.kex_init())).decision.verdict, Verdict::kAccept);
    fw.server(tcp.server_data(ssh.kex_init()));
    EXPECT_EQ(fw.client(tcp.client_data(ssh.init())).decision.verdict, Verdict::kAccept);
    fw.server(tcp.server_data(ssh.reply()));
    ASSERT_EQ(fw.verdicts().size(), 1U);
    EXPECT_EQ(fw.verdicts()[0].reason, good ? Reason::kRuleAllows : Reason::kHostKeyNotAllowed);
  }
}

TEST_F(ProxyTest, OpaqueBytesGoByTcpRulesForTheTarget) {
  for (const Dialogue& way : ways_to("db.example", 5432)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("\x01\x02opaque bytes of no known protocol, and many of them").verdict, Verdict::kAccept) << way.name;
    EXPECT_EQ(last().name, "db.example");
  }
}

TEST_F(ProxyTest, ProtocolsWhoseServerGreetsAreKnownInsideATunnel) {
  for (const Dialogue& way : ways_to("mail.example", 21)) {
    EXPECT_TRUE(walk(way));
    EXPECT_EQ(client("USER me\r\n").verdict, Verdict::kHold) << "it is not known yet what this is";
    const auto greeting = server("220 FTP server ready\r\n");
    ASSERT_EQ(greeting.releases.size(), 1U) << way.name;
    EXPECT_EQ(greeting.releases[0].decision.verdict, Verdict::kAccept);
    EXPECT_EQ(last().verdict, FlowVerdict::kAllow);
  }
}

TEST_F(ProxyTest, AddressesAreJudgedByAddressRulesAndBindings) {
  EXPECT_EQ(denied_by(connect_line("203.0.113.9:443")), "address_not_bound");
  EXPECT_EQ(fw_.detail(Detail::kProxyTarget), "203.0.113.9:443");
  EXPECT_EQ(denied_by(connect_line("203.0.113.9:25")), "address_not_allowed");
  EXPECT_EQ(denied_by(connect_line("198.51.100.4:443")), "");
  EXPECT_EQ(denied_by(connect_line("[2001:db8:1::4]:443")), "");
  EXPECT_EQ(denied_by(connect_line("[2001:db8:2::4]:443")), "address_not_bound");
  bind("good.example", "203.0.113.9");
  EXPECT_EQ(denied_by(connect_line("203.0.113.9:443")), "");
  server(kYes);
  EXPECT_EQ(client(hello("good.example")).verdict, Verdict::kAccept);
  EXPECT_EQ(last().verdict, FlowVerdict::kAllow);
  EXPECT_EQ(denied_by(connect_line("203.0.113.9:443")), "");
  server(kYes);
  EXPECT_EQ(client(hello("also.example")).reason, Reason::kAddressNotBound) << "the address is another name's";
  tcp_ = open();
  EXPECT_EQ(client("\x04\x01\x01\xbb\xcb\x00\x71\x09me\0"s).verdict, Verdict::kAccept) << "SOCKS 4";
  server("\x00\x5a\0\0\0\0\0\0"s);
  EXPECT_EQ(client(hello("good.example")).verdict, Verdict::kAccept);
  tcp_ = open();
  EXPECT_EQ(client("\x04\x01\x01\xbb\xcb\x00\x71\x0ame\0"s).reason, Reason::kAddressNotBound);
}

TEST_F(ProxyTest, OverIpv6AndByTheNameOfTheProxy) {
  tcp_ = open("2001:db8::80", 3128);
  EXPECT_EQ(client(connect_line("good.example:443")).verdict, Verdict::kAccept);
  tcp_ = open("2001:db8::80", 1080);
  EXPECT_EQ(client(connect_line("bad.example:443")).verdict, Verdict::kDrop);
  bind("proxy.example", "203.0.113.80");
  tcp_ = open("203.0.113.80", 3128);
  EXPECT_EQ(client(connect_line("good.example:443")).verdict, Verdict::kAccept);
  bind("good.example", "203.0.113.81");
  TcpConversation other(endpoint("10.0.0.1", ++port_), endpoint("203.0.113.81", 3128));
  fw_.client(other.syn());
  (void)other.syn_ack();
  EXPECT_EQ(fw_.client(other.client_data(connect_line("good.example:443"))).decision.verdict, Verdict::kDrop) << "no proxy";
}

TEST_F(ProxyTest, RequestsInAbsoluteFormAreJudgedOneByOne) {
  const auto get = [](const std::string& target, const std::string& host) { return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"; };
  EXPECT_EQ(client(get("http://good.example/x", "good.example")).verdict, Verdict::kAccept);
  EXPECT_EQ(client(get("http://also.example/x", "also.example")).verdict, Verdict::kAccept) << "another target on the same connection";
  EXPECT_EQ(client(get("http://bad.example/x", "bad.example")).reason, Reason::kNameNotAllowed);
  EXPECT_EQ(last().name, "bad.example");
  EXPECT_EQ(denied_by(get("http://good.example:8080/x", "good.example:8080")), "protocol_not_allowed");
  EXPECT_EQ(denied_by(get("http://api.example/v1/x", "api.example")), "");
  EXPECT_EQ(denied_by(get("http://api.example/v2/x", "api.example")), "path_not_allowed");
  EXPECT_EQ(denied_by(get("http://198.51.100.4/x", "198.51.100.4")), "");
  EXPECT_EQ(denied_by(get("http://203.0.113.4/x", "203.0.113.4")), "address_not_allowed");
  EXPECT_EQ(denied_by(get("ftp://good.example/x", "good.example")), "protocol_not_allowed");
  EXPECT_EQ(denied_by(get("http://evil.good.example/x", "evil.good.example")), "rule_denies");
}

TEST_F(ProxyTest, BehindAnUpgradeOfARequestInAbsoluteFormOnlyRequestsFollow) {
  const auto upgrade = [this](const std::string& protocol) {
    tcp_ = open();
    EXPECT_EQ(client("GET http://good.example/ HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n").verdict,
              Verdict::kAccept);
  };
  const std::string socks = "\x05\x01\x00"s, preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (const std::string& next : {socks, preface, hello("also.example")}) {
    upgrade("h2c");
    server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    EXPECT_NE(client(next).verdict, Verdict::kAccept);
  }
  upgrade("h2c");
  server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client("GET http://also.example/ HTTP/1.1\r\nHost: also.example\r\n\r\n").verdict, Verdict::kAccept) << "the server did not switch";
  upgrade("websocket");
  EXPECT_EQ(server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(client("\x81\x05hello").verdict, Verdict::kAccept);
}

TEST_F(ProxyTest, ARequestForTheProxyItselfNeedsARuleForThat) {
  EXPECT_EQ(client("GET http://good.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n").verdict, Verdict::kAccept);
  EXPECT_EQ(client("GET /x HTTP/1.1\r\nHost: good.example\r\n\r\n").verdict, Verdict::kDrop) << "that the proxy looked it up says nothing of its own address";
  EXPECT_EQ(denied_by("GET /x HTTP/1.1\r\nHost: proxy.example\r\n\r\n"), "protocol_not_allowed");
}

TEST_F(ProxyTest, WhatIsSentBeforeTheProxysAnswerWaitsForIt) {
  for (const bool good : {true, false}) {
    tcp_ = open();
    EXPECT_EQ(client(connect_line("good.example:443")).verdict, Verdict::kAccept);
    EXPECT_EQ(client(hello(good ? "good.example" : "bad.example")).verdict, Verdict::kHold);
    const auto answer = server(kYes);
    ASSERT_EQ(answer.releases.size(), 1U);
    EXPECT_EQ(answer.releases[0].decision.verdict, good ? Verdict::kAccept : Verdict::kDrop);
  }
  tcp_ = open();
  EXPECT_EQ(client("\x05\x01\x00"s).verdict, Verdict::kAccept);
  EXPECT_EQ(client("\x05\x01\x00\x03\x0cgood.example\x01\xbb"s).verdict, Verdict::kHold) << "a request before the method is chosen";
  EXPECT_EQ(client(hello("bad.example")).verdict, Verdict::kHold);
  EXPECT_EQ(server("\x05\x00"s).releases.size(), 1U);
  EXPECT_EQ(server("\x05\x00\x00\x01\0\0\0\0\0\0"s).releases.back().decision.verdict, Verdict::kDrop);
}

// What has no answer before it leaves, and may leave only behind the answer, need not wait for hold_timeout.
TEST_F(ProxyTest, APacketThatWouldWaitForItsOwnAnswerIsRefusedAtOnce) {
  const std::string request = connect_line("good.example:443");
  for (const std::string& packet : {request + "x", "GET /ws HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET"s}) {
    tcp_ = packet.starts_with("GET") ? open("198.51.100.4", 80) : open();
    EXPECT_EQ(client(packet).reason, Reason::kAmbiguous) << packet;
    EXPECT_EQ(last().verdict, FlowVerdict::kDeny);
  }
  tcp_ = open();
  EXPECT_EQ(client("\x05\x01\x00\x05\x01\x00\x03\x0cgood.example\x01\xbb"s).verdict, Verdict::kDrop) << "no greeting of SOCKS is that long";
  tcp_ = open();
  EXPECT_EQ(client(request.substr(0, 20)).verdict, Verdict::kHold);
  EXPECT_EQ(client(request.substr(20) + hello("good.example")).reason, Reason::kAmbiguous);
  tcp_ = open();  // In another order: what is held has the end of the request and more.
  const auto at = [&](std::size_t offset, const std::string& text) {
    return fw_.client(tcp_.client_at(static_cast<std::uint32_t>(offset)).payload(text).build()).decision;
  };
  EXPECT_EQ(at(20, request.substr(20) + "x").verdict, Verdict::kHold);
  EXPECT_EQ(at(0, request.substr(0, 20)).reason, Reason::kAmbiguous);
}

TEST_F(ProxyTest, ARequestSentAgainTogetherWithWhatWaitsForItsAnswerIsNoneOfThese) {
  const std::string request = connect_line("good.example:443");
  EXPECT_EQ(client(request.substr(0, 20)).verdict, Verdict::kHold);
  EXPECT_EQ(client(request.substr(20)).verdict, Verdict::kAccept);
  EXPECT_EQ(client(hello("good.example")).verdict, Verdict::kHold);
  const Decision again = fw_.client(tcp_.client_at(0).payload(request + hello("good.example")).build()).decision;
  EXPECT_EQ(again.reason, Reason::kNeedMoreData) << "its bytes are remembered, and their packets held";
  const auto answer = server(kYes);
  ASSERT_EQ(answer.releases.size(), 1U);
  EXPECT_EQ(answer.releases[0].decision.verdict, Verdict::kAccept);
  EXPECT_EQ(last().verdict, FlowVerdict::kAllow);
}

TEST_F(ProxyTest, AProxyThatSaysNoOpensNothing) {
  EXPECT_EQ(client(connect_line("good.example:443")).verdict, Verdict::kAccept);
  server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  EXPECT_NE(client(hello("good.example")).verdict, Verdict::kAccept);
  const auto ways = ways_to("good.example", 443);
  for (const auto& [way, refusal] : {std::pair{1, "\x00\x5b\0\0\0\0\0\0"s}, {2, "\x05\x02\x00\x01\0\0\0\0\0\0"s}}) {
    Dialogue refused = ways[static_cast<std::size_t>(way)];
    refused.proxy.back() = refusal;
    EXPECT_TRUE(walk(refused));
    EXPECT_NE(client(hello("good.example")).verdict, Verdict::kAccept);
  }
}

TEST_F(ProxyTest, WhatWouldOpenOtherWaysIsRefused) {
  const auto reason_of = [&](const std::string& request) {
    tcp_ = open();
    EXPECT_EQ(client("\x05\x01\x00"s).verdict, Verdict::kAccept);
    server("\x05\x00"s);
    return client(request).reason;
  };
  const std::string target = "\x03\x0cgood.example\x01\xbb"s;
  EXPECT_EQ(reason_of("\x05\x02\x00"s + target), Reason::kProtocolNotAllowed) << "BIND";
  EXPECT_EQ(reason_of("\x05\x03\x00"s + target), Reason::kProtocolNotAllowed) << "UDP ASSOCIATE";
  EXPECT_EQ(reason_of("\x05\x07\x00"s + target), Reason::kMalformed);
  EXPECT_EQ(reason_of("\x05\x01\x00\x03\x03\x61\x00\x62\x01\xbb"s), Reason::kNameInvalid) << "a NUL in the name";
  EXPECT_EQ(reason_of("\x05\x01\x00\x03\x05"s + "127.1\x00\x50"s), Reason::kNameInvalid) << "an address in a form of its own";
  EXPECT_EQ(reason_of("\x05\x01\x00\x03\x0cgood.example\x00\x00"s), Reason::kMalformed) << "port 0";
  tcp_ = open();
  client("\x05\x02\x00\x01"s);
  EXPECT_EQ(server("\x05\x01"s).decision.verdict, Verdict::kDrop) << "GSSAPI";
  EXPECT_EQ(to_string(last().reason), "protocol_not_allowed");
}

TEST_F(ProxyTest, AConnectionWhoseBeginningWasNotSeenAsksNothing) {
  for (const Dialogue& way : ways_to("good.example", 443)) {
    TcpConversation tcp(endpoint("10.0.0.1", ++port_), endpoint("192.0.2.80", 3128));
    (void)tcp.syn();
    (void)tcp.syn_ack();
    EXPECT_EQ(fw_.client(tcp.client_data(way.client[0])).decision.verdict, Verdict::kDrop) << way.name;
  }
}

TEST_F(ProxyTest, ATunnelToAMetadataAddressNeedsARuleThatNamesIt) {
  InspectorHarness fw(std::string(kPolicy) + "[[rules]]\nto = \"any\"\nprotocols = [\"tls\", \"http\"]\n", options());
  TcpConversation tcp(endpoint("10.0.0.1", 39'000), endpoint("192.0.2.80", 3128));
  fw.client(tcp.syn());
  (void)tcp.syn_ack();
  EXPECT_EQ(fw.client(tcp.client_data(connect_line("169.254.169.254:80"))).decision.reason, Reason::kMetadataAddress);
  TcpConversation v6(endpoint("10.0.0.1", 39'001), endpoint("192.0.2.80", 3128));
  fw.client(v6.syn());
  (void)v6.syn_ack();
  EXPECT_EQ(fw.client(v6.client_data(connect_line("[fd00:ec2::254]:80"))).decision.reason, Reason::kMetadataAddress);
}

TEST_F(ProxyTest, AProxyInsideATunnelIsNotAsked) {
  tcp_ = open();
  EXPECT_EQ(client(connect_line("good.example:80")).verdict, Verdict::kAccept);
  server(kYes);
  EXPECT_EQ(client("CONNECT good.example:80 HTTP/1.1\r\nHost: good.example:80\r\n\r\n").reason, Reason::kTunnelTooDeep);
  tcp_ = open();
  client(connect_line("198.51.100.4:80"));
  server(kYes);
  EXPECT_EQ(client("\x05\x01\x00"s).verdict, Verdict::kDrop);
}

TEST_F(ProxyTest, ARuleForAProxyLetsNoProxyBeAskedForIt) {
  EXPECT_EQ(denied_by(connect_line("192.0.2.80:3128")), "address_not_allowed");
  EXPECT_EQ(denied_by(connect_line("[2001:db8::80]:3128")), "address_not_allowed");
  EXPECT_EQ(denied_by("\x04\x01\x0c\x38\xc0\x00\x02\x50me\0"s), "address_not_allowed") << "SOCKS 4";
  bind("proxy.example", "203.0.113.80");
  EXPECT_EQ(denied_by(connect_line("203.0.113.80:3128")), "address_not_allowed") << "the name of the rule for proxies does not cover it";
  EXPECT_EQ(denied_by(connect_line("proxy.example:3128")), "name_not_allowed");
}

TEST_F(ProxyTest, VerdictsTellWhatTheProxyWasAskedFor) {
  std::vector<std::string> told;
  const auto verdict_of = [&](std::string_view text) {
    client(text);
    told.push_back(last().proxy_target);
  };
  for (const std::string& request : {connect_line("bad.example:443"), connect_line("[2001:db8:9::9]:25"),
                                     "GET http://good.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n"s,
                                     "GET /x HTTP/1.1\r\nHost: bad.example\r\n\r\n"s}) {
    tcp_ = open();
    verdict_of(request);
  }
  tcp_ = open();
  client(connect_line("also.example:443"));
  server(kYes);
  verdict_of(hello("also.example"));
  EXPECT_EQ(told, (std::vector<std::string>{"bad.example:443", "[2001:db8:9::9]:25", "good.example:80", "", "also.example:443"}));
}

TEST_F(ProxyTest, WithoutARuleForProxiesNothingIsAskedOfOne) {
  InspectorHarness fw("version = 1\n[defaults]\nbind = \"strict\"\n[[rules]]\nto = [\"good.example\"]\nports = \"any\"\n"
                      "[[rules]]\nto = [\"192.0.2.80\"]\nprotocols = [\"ssh\"]\nports = \"any\"\n", options());
  for (const Dialogue& way : ways_to("good.example", 443)) {
    TcpConversation tcp(endpoint("10.0.0.1", ++port_), endpoint("192.0.2.80", 3128));
    fw.client(tcp.syn());
    (void)tcp.syn_ack();
    EXPECT_EQ(fw.client(tcp.client_data(way.client[0])).decision.verdict, Verdict::kDrop) << way.name;
  }
}

TEST_F(ProxyTest, HoweverTheBytesAreCutTheJudgementIsTheSame) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    for (const Dialogue& way : ways_to("good.example", 443)) {
      const bool good = random() % 2 == 0;
      if (round % 8 == 0) fw_.end();  // Gives the windows back.
      tcp_ = open();
      const auto say = [&](const std::string& text) {
        std::size_t at = 0;
        while (at < text.size()) {
          const std::size_t size = std::min<std::size_t>(text.size() - at, 1 + random() % 40);
          client(text.substr(at, size));
          at += size;
        }
      };
      for (std::size_t i = 0; i < way.client.size(); ++i) {
        say(way.client[i]);
        const std::string& answer = way.proxy[i];
        const std::size_t cut = random() % answer.size();
        if (cut != 0) server(answer.substr(0, cut));
        server(answer.substr(cut));
      }
      const std::size_t before = fw_.verdicts().size();
      say(hello(good ? "good.example" : "bad.example"));
      ASSERT_GT(fw_.verdicts().size(), before) << way.name << " round " << round;
      EXPECT_EQ(last().verdict, good ? FlowVerdict::kAllow : FlowVerdict::kDeny) << way.name << " round " << round;
    }
  }
}

TEST_F(ProxyTest, ARequestThatIsRewrittenInARetransmissionIsSeen) {
  const std::string request = connect_line("good.example:443");
  EXPECT_EQ(client(request).verdict, Verdict::kAccept);
  std::string other = request;
  other.replace(other.find("good"), 4, "evil");
  EXPECT_EQ(fw_.client(tcp_.client_at(0).payload(other).build()).decision.reason, Reason::kRetransmissionDiffers);
}

TEST_F(ProxyTest, TheTargetsOfAllFlowsHaveABound) {
  for (std::size_t i = 0; i < kProxyTargetsPerWorker + 100; ++i) {  // More than there are: each is given back.
    if (i % 32 == 0) fw_.end();
    tcp_ = open();
    client(connect_line("good.example:443"));
    server(kYes);
    ASSERT_EQ(client(hello(i % 2 == 0 ? "good.example" : "bad.example")).verdict, i % 2 == 0 ? Verdict::kAccept : Verdict::kDrop) << i;
  }
}

}  // namespace
}  // namespace sallyport::testing
