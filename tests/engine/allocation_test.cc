// The packet path takes no memory: operator new is counted over thousands of packets, of each kind that has buffers or tables
// of its own.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "sallyport/parsers/ssh.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/dtls_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"
#include "support/ssh_session.h"
#include "support/stun_builder.h"
#include "support/tunnel_builder.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
// The form that does not throw too: a sanitizer would see it matched with a foreign delete.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace sallyport::testing {
namespace {

using engine::BindingSource;
using engine::FlowVerdict;
using BindOutcome = engine::NameBindings::Outcome;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint16_t kA = 1, kAaaa = 28, kHttps = 65;
constexpr std::uint16_t kFirstPort = 1'000, kPorts = 150;
constexpr std::size_t kBindingsOfTest = 640;  // The second round fills it, and is told more.

// The budget is used up in the middle of the second round: it has new names that pass and some that do not.
std::string policy_text() {
  return R"(
version = 1
[dns]
resolvers = ["192.0.2.53", "2001:db8::53"]
wildcard_budget = 450
[inspect]
tunnels = ["vxlan", "gre"]
[[rules]]
to = ["good.example", "late.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns"]
bind = "strict"
[[rules]]
to = ["203.0.113.1"]
protocols = ["vxlan", "gre"]
[[rules]]
to = ["time.example"]
protocols = ["udp"]
ports = [123]
[[rules]]
to = ["192.0.2.80"]
protocols = ["http", "socks"]
ports = [1080, 3128, 8080]
proxy = true
[[rules]]
to = ["api.example"]
protocols = ["http"]
methods = ["GET"]
paths = ["/api/", "re:/items/[0-9]+(/x)*"]
[[rules]]
to = ["192.0.2.21"]
protocols = ["ftp"]
[[rules]]
to = ["192.0.2.78"]
protocols = ["stun"]
ice = "allow"
[[guards]]
listen = "*:8080"
hosts = ["localhost", "198.51.100.80", "gateway.example"]
origins = ["localhost", "https://app.example"]
interfaces = ["lo"]
sources = ["10.0.0.0/8"]
[[rules]]
to = ["192.0.2.22"]
protocols = ["ssh"]
host_keys = [")" + std::string(parsers::ssh_fingerprint(ssh_ed25519_blob(7)).text()) + "\"]\n";
}

// Step is a packet, or an own look-up that binds, or time that passes and an expire().
struct Step {
  enum class Kind : std::uint8_t { kPacket, kBind, kExpire };
  Kind kind = Kind::kPacket;
  Bytes bytes{};
  Origin origin = Origin::kOriginal;
  engine::Binding binding{};
  Duration passes = microseconds(100);
  bool inbound = false;
};

// Script is one round of traffic. Clients, addresses and names below the wildcard are the round's own.
class Script {
 public:
  explicit Script(unsigned round) : round_(round), client_("10.0.0." + std::to_string(round + 1)), client6_("2001:db8::" + std::to_string(round + 1)) {
    for (std::uint16_t port = kFirstPort; port < kFirstPort + kPorts; ++port) {
      for (const char* name : {"good.example", "evil.example"}) by_name(static_cast<std::uint16_t>(port + (name[0] == 'g' ? 0 : 10'000)), name);
      lookups(port);
      keys(port);
      ipv6(port);
      for (const std::uint8_t key : {std::uint8_t{7}, std::uint8_t{8}}) ssh(static_cast<std::uint16_t>(port + 1'000U * key), key);
      waits(port);
      proxies(port);
      announced(port);
      guarded(port);
    }
  }
  const std::vector<Step>& steps() const { return steps_; }

 private:
  void from_client(Bytes bytes) { steps_.push_back({.bytes = std::move(bytes)}); }
  void from_server(Bytes bytes) { steps_.push_back({.bytes = std::move(bytes), .origin = Origin::kReply}); }
  void bind(const char* name, const IpAddress& address) {
    steps_.push_back({.kind = Step::Kind::kBind, .binding = {.address = address, .name = *DomainName::parse(name), .expires = {}, .source = BindingSource::kLookup}});
  }
  void expire(Duration passes) { steps_.push_back({.kind = Step::Kind::kExpire, .passes = passes}); }
  void handshake(TcpConversation& tcp) {
    from_client(tcp.syn());
    from_server(tcp.syn_ack());
    from_client(tcp.handshake_ack());
  }
  void datagrams(const Endpoint& client, const Endpoint& server, const char* name) {
    for (const Bytes& each : quic_hello_datagrams(ClientHelloBuilder::post_quantum(name).message())) {
      from_client(PacketBuilder::udp(client, server).payload(ByteSpan(each)).build());
    }
  }
  void question(const Endpoint& client, const Endpoint& server, const DnsMessageBuilder& asked, const DnsMessageBuilder& told) {
    from_client(PacketBuilder::udp(client, server).payload(ByteSpan(asked.build())).build());
    from_server(PacketBuilder::udp(server, client).payload(ByteSpan(told.build())).build());
  }
  static DnsMessageBuilder asks(const std::string& name, std::uint16_t type) { return DnsMessageBuilder(7).question(name, type); }
  static DnsMessageBuilder tells(const std::string& name, std::uint16_t type) { return asks(name, type).response(); }
  IpAddress fresh_address() { return IpAddress::v4(0x08000000U + (round_ << 16) + ++addresses_); }

  // by_name makes one flow of each kind for a name, bare and in tunnels.
  void by_name(std::uint16_t port, const char* name) {
    const auto client = endpoint(client_, port);
    question(client, endpoint("192.0.2.53", 53), asks(name, kA),
             tells(name, kA).cname(name, "cdn.example").a("cdn.example", "192.0.2.1").a("cdn.example", "192.0.2.3"));
    const char* server = "192.0.2.1";  // Bound to the good name: a bad one is seen in the bytes.
    TcpConversation tls(client, endpoint(server, 443));
    from_client(tls.syn());
    (void)tls.syn_ack();
    for (auto& segment : tls.client_segments(ClientHelloBuilder::post_quantum(name).record(), 700)) from_client(std::move(segment));
    from_server(tls.server_data(server_hello(false)));
    TcpConversation http(client, endpoint(server, 80));
    from_client(http.syn());
    (void)http.syn_ack();
    for (int i = 0; i < 3; ++i) from_client(http.client_data(std::string("GET / HTTP/1.1\r\nHost: ") + name + "\r\n\r\n"));
    datagrams(client, endpoint(server, 443), name);
    TcpConversation inner(client, endpoint("192.0.2.3", 443));
    for (const Bytes& packet : {inner.syn(), inner.client_data(ClientHelloBuilder::typical(name).record())}) {
      from_client(PacketBuilder::udp(client, endpoint("203.0.113.1", 4789)).payload(testing::vxlan(testing::frame_of(packet))).build());
      from_client(PacketBuilder::ip(client.address, endpoint("203.0.113.1", 0).address, 47).payload(testing::gre(packet)).build());
    }
  }

  // lookups asks for new names below the wildcard, and for one whose address is another each time.
  void lookups(std::uint16_t port) {
    const std::string unique = std::to_string(round_) + "-" + std::to_string(port) + ".wild.example";
    std::uint16_t source = port;
    for (const std::string& name : {"a" + unique, "b" + unique, std::string("spin.wild.example")}) {
      source = static_cast<std::uint16_t>(source + 1'000);
      question(endpoint(client_, source), endpoint("192.0.2.53", 53), asks(name, kA), tells(name, kA).a(name, fresh_address().to_string()));
    }
  }

  // keys asks for HTTPS records, which lose their ECH keys: over UDP, and over TCP in two segments, of which the first waits.
  void keys(std::uint16_t port) {
    const auto told = tells("good.example", kHttps)
                          .service_binding("good.example", kHttps, 1, ".", {{1, {2, 'h', '2'}}, {5, Bytes(40, 0xec)}, {6, Bytes(16, 1)}});
    const auto client = endpoint(client_, static_cast<std::uint16_t>(port + 4'000));
    question(client, endpoint("192.0.2.53", 53), asks("good.example", kHttps), told);
    TcpConversation tcp(client, endpoint("192.0.2.53", 53));
    handshake(tcp);
    from_client(tcp.client_data(ByteSpan(asks("good.example", kHttps).build_tcp())));
    const Bytes answer = told.build_tcp();
    const Bytes rest = tcp.server_at(60).payload(ByteSpan(answer).subspan(60)).build();
    const Bytes first = tcp.server_at(0).payload(ByteSpan(answer).first(60)).build();
    for (const Bytes& segment : {first, rest, rest}) from_server(segment);
    from_client(tcp.client_data(ByteSpan(asks("evil.example", kA).build_tcp())));
  }

  void ipv6(std::uint16_t port) {
    const auto client = endpoint(client6_, port), server = endpoint("2606:4700::1", 443);
    question(client, endpoint("2001:db8::53", 53), asks("good.example", kAaaa), tells("good.example", kAaaa).aaaa("good.example", "2606:4700::1"));
    for (const char* name : {"good.example", "evil.example"}) {
      const auto from = endpoint(client6_, static_cast<std::uint16_t>(port + (name[0] == 'g' ? 1'000 : 2'000)));
      TcpConversation tls(from, server);
      handshake(tls);
      for (auto& segment : tls.client_segments(ClientHelloBuilder::post_quantum(name).record(), 700)) from_client(std::move(segment));
      from_server(tls.server_data(server_hello(false)));
      datagrams(from, server, name);
    }
  }

  void ssh(std::uint16_t port, std::uint8_t key) {
    SshSession session;
    session.key_fill = key;
    TcpConversation tcp(endpoint(client_, port), endpoint("192.0.2.22", 22));
    handshake(tcp);
    from_server(tcp.server_data(session.server_identification()));
    from_client(tcp.client_data(session.client_identification()));
    from_client(tcp.client_data(session.kex_init()));
    from_server(tcp.server_data(session.kex_init()));
    from_client(tcp.client_data(session.init()));
    from_client(tcp.client_data(session.new_keys()));  // Ahead of the reply: held.
    from_server(tcp.server_data(session.reply()));
    from_client(tcp.client_data(session.encrypted()));
  }

  // waits has flows whose address is bound while they wait, one of each kind of wait; then some for which nothing comes.
  void waits(std::uint16_t port) {
    const auto client = endpoint(client_, static_cast<std::uint16_t>(port + 5'000));
    const IpAddress at_syn = fresh_address(), at_hello = fresh_address(), at_initial = fresh_address(), at_datagram = fresh_address();
    TcpConversation syn(client, {at_syn, 443});
    from_client(syn.syn());
    bind(round_ == 0 ? "zero.wild.example" : "one.wild.example", at_hello);
    TcpConversation hello(client, {at_hello, 443});
    from_client(hello.syn());
    (void)hello.syn_ack();
    for (auto& segment : hello.client_segments(ClientHelloBuilder::post_quantum("late.example").record(), 700)) from_client(std::move(segment));
    datagrams(client, {at_initial, 443}, "late.example");
    from_client(PacketBuilder::udp(client, {at_datagram, 123}).payload(std::string_view("what time is it?")).build());
    expire(milliseconds(10));  // Nothing has come yet.
    for (const IpAddress& address : {at_syn, at_hello, at_initial}) bind("late.example", address);
    bind("time.example", at_datagram);
    expire(milliseconds(10));
    (void)syn.syn_ack();
    from_client(syn.client_data(ClientHelloBuilder::typical("late.example").record()));

    TcpConversation never(client, {fresh_address(), 443});
    from_client(never.syn());
    datagrams(client, {fresh_address(), 443}, "late.example");
    TcpConversation part(client, endpoint("192.0.2.1", 443));
    from_client(part.syn());
    (void)part.syn_ack();
    from_client(part.client_segments(ClientHelloBuilder::typical("good.example").record(), 100)[0]);
    expire(seconds(6));
  }

  // proxies asks for tunnels, and shows another name inside; then for two requests of one connection, by path.
  void proxies(std::uint16_t port) {
    using namespace std::string_view_literals;
    const auto client = endpoint(client_, static_cast<std::uint16_t>(port + 6'000));
    TcpConversation tunnel(client, endpoint("192.0.2.80", 3128));
    handshake(tunnel);
    from_client(tunnel.client_data("CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n"sv));
    from_server(tunnel.server_data("HTTP/1.1 200 OK\r\n\r\n"sv));
    from_client(tunnel.client_data(ClientHelloBuilder::typical("late.example").record()));
    TcpConversation socks(client, endpoint("192.0.2.80", 1080));
    handshake(socks);
    from_client(socks.client_data("\x05\x01\x00"sv));
    from_server(socks.server_data("\x05\x00"sv));
    from_client(socks.client_data("\x05\x01\x00\x03\x0cgood.example\x01\xbb"sv));
    from_server(socks.server_data("\x05\x00\x00\x01\0\0\0\0\0\0"sv));
    from_client(socks.client_data(ClientHelloBuilder::typical("late.example").record()));
    TcpConversation web(client, endpoint("192.0.2.80", 8080));
    handshake(web);
    for (const auto path : {"/items/17/x"sv, "/%61pi/./x"sv, "/items/x"sv}) {
      from_client(web.client_data("GET http://api.example" + std::string(path) + " HTTP/1.1\r\nHost: api.example\r\n\r\n"));
    }
  }

  // announced has an FTP server announce a data port, and a STUN server open a socket for a peer, with DTLS.
  void announced(std::uint16_t port) {
    using namespace std::string_view_literals;
    TcpConversation ftp(endpoint(client_, static_cast<std::uint16_t>(port + 9'000)), endpoint("192.0.2.21", 21));
    handshake(ftp);
    from_server(ftp.server_data("220 ready\r\n"sv));
    from_client(ftp.client_data("PASV\r\n"sv));
    from_server(ftp.server_data("227 Entering Passive Mode (192,0,2,21,156,64)\r\n"sv));
    TcpConversation data(endpoint(client_, static_cast<std::uint16_t>(port + 12'000)), endpoint("192.0.2.21", 40'000));
    from_client(data.syn());
    from_client(ftp.client_data("AUTH TLS\r\n"sv));
    from_server(ftp.server_data("234 go on\r\n"sv));
    from_client(ftp.client_data(ByteSpan(ClientHelloBuilder::typical("late.example").record())));
    from_server(ftp.server_data(ByteSpan(server_hello(false))));

    const auto client = endpoint(client_, static_cast<std::uint16_t>(port + 13'000));
    const auto stun = endpoint("192.0.2.78", 3'478), peer = endpoint("198.51.100.5", 50'000);
    const auto send = [&](const Endpoint& to, const Bytes& bytes) { from_client(PacketBuilder::udp(client, to).payload(ByteSpan(bytes)).build()); };
    const auto answer = [&](const Endpoint& from, const Bytes& bytes) { from_server(PacketBuilder::udp(from, client).payload(ByteSpan(bytes)).build()); };
    send(stun, StunBuilder(0x0001, "ask").build());
    answer(stun, StunBuilder::success("ask").build());
    send(peer, StunBuilder::check("check").signed_and_built());
    send(peer, rtp_packet(96, 1, 2));  // Too early.
    answer(peer, StunBuilder::success("check").signed_and_built());
    const Bytes hello = dtls_hello_body(ClientHelloBuilder::post_quantum("late.example").build(), {}, 0xfefd);
    send(peer, dtls_fragment(1, hello, 1'200, hello.size() - 1'200));
    send(peer, dtls_fragment(1, hello, 0, 1'200));
    answer(peer, dtls_message(2, joined(hex("fefd"), Bytes(36, 0x33))));
  }

  // guarded asks a local port: a WebSocket, and a good request with a bad one behind it on the same connection.
  void guarded(std::uint16_t port) {
    const auto come_in = [&](Bytes bytes) { steps_.push_back({.bytes = std::move(bytes), .inbound = true}); };
    std::uint16_t from = static_cast<std::uint16_t>(port + 14'000);
    for (const std::string bad : {"Host: evil.example\r\n", "Host: localhost\r\nOrigin: https://evil.example\r\n", "Host: [::2]:1\r\n"}) {
      TcpConversation web(endpoint(client_, from = static_cast<std::uint16_t>(from + kPorts)), endpoint("198.51.100.80", 8080));
      come_in(web.syn());
      (void)web.syn_ack();
      come_in(web.client_data("GET / HTTP/1.1\r\nHost: gateway.example:8080\r\nOrigin: https://app.example:443\r\n\r\n" + std::string("GET / HTTP/1.1\r\n") + bad + "\r\n"));
    }
    TcpConversation socket(endpoint(client_, static_cast<std::uint16_t>(port + 15'000)), endpoint("198.51.100.80", 8080));
    come_in(socket.syn());
    (void)socket.syn_ack();
    come_in(socket.client_data(std::string_view("GET / HTTP/1.1\r\nHost: 198.51.100.80\r\nUpgrade: websocket\r\n\r\n")));
    from_server(socket.server_data(std::string_view("HTTP/1.1 101 Switching Protocols\r\n\r\n")));
    come_in(TcpConversation(endpoint("203.0.113.7", port), endpoint("198.51.100.80", 8080)).syn());
  }

  unsigned round_;
  std::string client_, client6_;
  std::uint32_t addresses_ = 0;
  std::vector<Step> steps_;
};

// Seen is what happened in a round. It takes no memory: it is counted with.
struct Seen {
  // By protocol, verdict, and whether over IPv6; and what was allowed of DNS over TCP.
  std::array<std::array<std::array<std::uint64_t, 2>, 3>, kProtocolCount> flows{};
  std::uint64_t dns_over_tcp = 0, dns_over_tcp_denied = 0;
  std::uint64_t replaced = 0, replaced_tcp = 0, let_go = 0, refused = 0;
  std::array<std::uint64_t, kReasonCount> reasons{};
  std::array<std::uint64_t, engine::NameBindings::kOutcomes> binds{};
  std::uint64_t allocations = 0;

  std::uint64_t allowed(Protocol protocol, bool v6 = false) const { return flows[static_cast<std::size_t>(protocol)][1][v6 ? 1 : 0]; }
  std::uint64_t denied(Protocol protocol, bool v6 = false) const { return flows[static_cast<std::size_t>(protocol)][2][v6 ? 1 : 0]; }
  std::uint64_t reason(Reason which) const { return reasons[static_cast<std::size_t>(which)]; }
  std::uint64_t bind(BindOutcome which) const { return binds[static_cast<std::size_t>(which)]; }
};

class AllocationTest : public ::testing::Test {
 protected:
  explicit AllocationTest(std::size_t flows = 8'192) : harness_(policy_text(), with(flows, bindings_, misses_)) {}

  static engine::InspectorOptions with(std::size_t flows, std::shared_ptr<engine::NameBindings> bindings, std::uint64_t& misses) {
    auto options = InspectorHarness::small_options();
    options.flows = flows;
    options.stream_windows = 2'048;
    options.bindings = std::move(bindings);
    options.on_miss = [&misses](const engine::BindingMiss&) { ++misses; };
    return options;
  }

  Seen run(const Script& script) {
    Seen seen;
    count(seen, -1);
    const std::uint64_t before = allocations.load();
    for (const Step& step : script.steps()) run(step, seen);
    seen.allocations = allocations.load() - before;
    count(seen, 1);
    return seen;
  }

  void run(const Step& step, Seen& seen) {
    engine::Inspector& inspector = harness_.inspector();
    now_ += step.passes;
    if (step.kind == Step::Kind::kBind) {
      engine::Binding binding = step.binding;
      binding.expires = now_ + hours(1);
      (void)bindings_->bind(binding, now_);
      return;
    }
    if (step.kind == Step::Kind::kExpire) {
      inspector.expire(harness_.policy(), now_);
    } else {
      Packet packet;
      packet.id = 1;
      packet.bytes = step.bytes;
      packet.wire_size = static_cast<std::uint32_t>(step.bytes.size());
      packet.origin = step.origin;
      packet.inbound = step.inbound;
      if (step.inbound) packet.in_interface = "lo";
      (void)inspector.inspect(packet, harness_.policy(), now_);
      if (!inspector.replacement().empty()) {
        ++seen.replaced;
        seen.replaced_tcp += step.bytes[9] == 6 && step.bytes[20] == 0 && step.bytes[21] == 53 ? 1U : 0U;
      }
    }
    for (const auto& release : inspector.releases()) ++(release.decision.verdict == Verdict::kAccept ? seen.let_go : seen.refused);
    for (const auto& event : inspector.events()) {
      if (event.kind != engine::FlowEvent::Kind::kVerdict) continue;
      const bool v6 = !event.key.server.address.is_v4();
      ++seen.flows[static_cast<std::size_t>(event.protocol)][static_cast<std::size_t>(event.verdict)][v6 ? 1 : 0];
      if (event.protocol != Protocol::kDns || event.key.transport != Transport::kTcp) continue;
      ++(event.verdict == FlowVerdict::kAllow ? seen.dns_over_tcp : seen.dns_over_tcp_denied);
    }
  }

  // count adds the counters' difference up: once with -1 before a round, and with 1 after it.
  void count(Seen& seen, int sign) {
    const auto add = [sign](std::uint64_t& sum, std::uint64_t figure) { sum = sign < 0 ? sum - figure : sum + figure; };
    const engine::Counters& counters = harness_.inspector().counters();
    for (std::size_t i = 0; i < kReasonCount; ++i) add(seen.reasons[i], counters.packets_by_reason[i].load());
    for (std::size_t i = 0; i < seen.binds.size(); ++i) add(seen.binds[i], bindings_->outcome_count(static_cast<BindOutcome>(i)));
  }

  // expect_it_all_ran: what did not happen has taken no memory either.
  static void expect_it_all_ran(const Seen& seen) {
    for (const Protocol each : {Protocol::kTls, Protocol::kQuic, Protocol::kHttp, Protocol::kDns, Protocol::kSsh}) {
      EXPECT_GE(seen.allowed(each), kPorts) << to_string(each);
      EXPECT_GE(seen.denied(each), kPorts) << to_string(each);
    }
    for (const Protocol each : {Protocol::kTls, Protocol::kQuic}) {
      EXPECT_GE(seen.allowed(each, true), kPorts) << to_string(each);
      EXPECT_GE(seen.denied(each, true), kPorts) << to_string(each);
    }
    EXPECT_GE(seen.allowed(Protocol::kDns, true), kPorts);
    EXPECT_GE(seen.allowed(Protocol::kVxlan), kPorts);
    EXPECT_GE(seen.allowed(Protocol::kGre), 1U) << "one flow of each client";
    EXPECT_GE(seen.dns_over_tcp, kPorts);
    EXPECT_GE(seen.dns_over_tcp_denied, kPorts);
    EXPECT_GE(seen.replaced_tcp, 2U * kPorts) << "ECH keys in a stream, and sent again";
    EXPECT_GE(seen.replaced - seen.replaced_tcp, kPorts) << "ECH keys in a datagram";
    EXPECT_GE(seen.let_go, 5U * kPorts) << "four waits for a binding, and for a host key";
    EXPECT_GE(seen.refused, 3U * kPorts);
    EXPECT_GE(seen.reason(Reason::kAwaitingBinding), 6U * kPorts);
    EXPECT_GE(seen.reason(Reason::kAddressNotBound), 2U * kPorts);
    EXPECT_GE(seen.reason(Reason::kHoldTimeout), kPorts);
    EXPECT_GE(seen.reason(Reason::kHostKeyNotAllowed), kPorts);
    EXPECT_GE(seen.reason(Reason::kNameDiffers), 2U * kPorts) << "inside CONNECT and SOCKS 5";
    EXPECT_GE(seen.reason(Reason::kPathNotAllowed), kPorts);
    EXPECT_GE(seen.allowed(Protocol::kFtp), kPorts);
    EXPECT_GE(seen.allowed(Protocol::kStun), 2U * kPorts) << "to the server and to the peer";
    EXPECT_GE(seen.reason(Reason::kExpected), 4U * kPorts) << "a data connection; a check and two fragments of a hello";
    EXPECT_GE(seen.reason(Reason::kIcePeerNotConfirmed), kPorts);
    EXPECT_EQ(seen.reason(Reason::kStreamLimit), 0U) << "windows come back";
  }

  std::uint64_t misses_ = 0;
  std::shared_ptr<engine::NameBindings> bindings_ = std::make_shared<engine::NameBindings>(kBindingsOfTest);
  InspectorHarness harness_;
  Timestamp now_ = harness_.now();
};

TEST_F(AllocationTest, TenThousandPacketsTakeNoMemory) {
  const Script warm_up(0), counted(1);
  ASSERT_GT(counted.steps().size(), 10'000U);
  (void)run(warm_up);  // Some is lazy by design (buffers of the crypto library).
  misses_ = 0;
  const Seen seen = run(counted);
  EXPECT_EQ(seen.allocations, 0U);
  expect_it_all_ran(seen);
  EXPECT_GE(misses_, 6U * kPorts);
  EXPECT_GE(seen.reason(Reason::kLookupBudget), 100U);
  EXPECT_GE(seen.reason(Reason::kGuardHost), 2U * kPorts);
  EXPECT_GE(seen.reason(Reason::kGuardOrigin), kPorts);
  EXPECT_GE(seen.reason(Reason::kGuardSource), kPorts);
  for (const BindOutcome each : {BindOutcome::kNew, BindOutcome::kReplaced, BindOutcome::kMadeRoom, BindOutcome::kRefreshed}) {
    EXPECT_GE(seen.bind(each), 50U) << engine::NameBindings::to_string(each);
  }
}

// In a table that is full all the time, flows are evicted, those that wait among them.
class FullTableAllocationTest : public AllocationTest {
 protected:
  FullTableAllocationTest() : AllocationTest(kFlows) {}
  static constexpr std::size_t kFlows = 256;
};

TEST_F(FullTableAllocationTest, EvictionTakesNoMemory) {
  const Script warm_up(0), counted(1);
  (void)run(warm_up);
  const std::uint64_t opened = harness_.inspector().counters().flows_opened.load();
  const Seen seen = run(counted);
  EXPECT_EQ(seen.allocations, 0U);
  EXPECT_GE(harness_.inspector().counters().flows_opened.load() - opened, 10 * kFlows);
  EXPECT_GE(seen.reason(Reason::kMidstream), 100U) << "flows that speak again";
}

}  // namespace
}  // namespace sallyport::testing
