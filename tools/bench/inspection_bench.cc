// What one message costs to read, one flow to judge, and one name to match, without a kernel around it.
#include <benchmark/benchmark.h>

#include <array>
#include <string>

#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/ssh.h"
#include "sallyport/parsers/tls_handshake.h"
#include "sallyport/policy/policy_file.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/packet_builder.h"
#include "support/quic_builder.h"

namespace {

using namespace sallyport;
using testing::Bytes;
using testing::ClientHelloBuilder;

constexpr std::string_view kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns"]
)";

void read_client_hello(benchmark::State& state) {
  const Bytes record = ClientHelloBuilder::post_quantum("good.example").record();
  std::array<std::uint8_t, parsers::kTlsScratchSize> scratch;
  for (auto _ : state) {
    const auto message = parsers::read_tls_handshake_message(record, scratch);
    benchmark::DoNotOptimize(parsers::parse_client_hello(message.body));
  }
}
BENCHMARK(read_client_hello);

void open_quic_initial(benchmark::State& state) {
  const Bytes datagram = testing::quic_hello_datagrams(ClientHelloBuilder::typical("good.example").message())[0];
  parsers::QuicInitialOpener opener;
  for (auto _ : state) {
    const auto header = parsers::parse_quic_long_header(datagram);
    parsers::QuicInitialKeys keys;
    opener.derive(header->version, header->destination_connection_id, keys);
    benchmark::DoNotOptimize(opener.open(keys, true, *header));
  }
}
BENCHMARK(open_quic_initial);

void read_http_head(benchmark::State& state) {
  const std::string head =
      "GET /path/to/something?with=query HTTP/1.1\r\nHost: good.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
      "Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nAccept-Encoding: gzip, br\r\nConnection: keep-alive\r\n\r\n";
  for (auto _ : state) benchmark::DoNotOptimize(parsers::parse_http_request_head(as_bytes_of(head)));
}
BENCHMARK(read_http_head);

void read_dns_query(benchmark::State& state) {
  const Bytes query = testing::DnsMessageBuilder(7).question("www.good.example", 1).edns().build();
  for (auto _ : state) benchmark::DoNotOptimize(parsers::parse_dns_message(query));
}
BENCHMARK(read_dns_query);

void read_ssh_identification(benchmark::State& state) {
  const std::string line = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5\r\n";
  for (auto _ : state) benchmark::DoNotOptimize(parsers::read_ssh_identification(as_bytes_of(line), false));
}
BENCHMARK(read_ssh_identification);

// The number of names must not change the cost of a match.
void match_policy(benchmark::State& state) {
  std::string text = "version = 1\n[[rules]]\nprotocols = [\"tls\"]\nto = [";
  for (int i = 0; i < state.range(0); ++i) text += "\"host" + std::to_string(i) + ".example\",";
  text += "\"*.wild.example\"]\n";
  const auto policy = *policy::load_policy_text(text, "bench.toml");
  const DomainName name = *DomainName::parse("a.b.wild.example");
  policy::FlowQuery query;
  query.protocol = Protocol::kTls;
  query.port = 443;
  query.name = &name;
  for (auto _ : state) benchmark::DoNotOptimize(policy->match(query));
}
BENCHMARK(match_policy)->Arg(1)->Arg(1'000)->Arg(100'000);

// A whole TLS flow: SYN, ClientHello, ServerHello, reset; by the name alone, or by the name and one of the many addresses
// that are bound.
void judge_tls_flow(benchmark::State& state) {
  const bool strict = state.range(0) != 0;
  Timestamp now{std::chrono::seconds(1'800'000'000)};
  engine::InspectorOptions options;
  options.bindings = std::make_shared<engine::NameBindings>();
  const DomainName name = *DomainName::parse("good.example");
  for (int i = 1; strict && i <= 64; ++i) {
    const auto address = *IpAddress::parse("192.0.2." + std::to_string(i));
    (void)options.bindings->bind({address, name, now + std::chrono::hours(24)}, now);
  }
  engine::Inspector inspector(options);
  const std::string bind = strict ? "bind = \"strict\"\n" : "bind = \"any\"\n";
  const auto policy = *policy::load_policy_text(std::string(kPolicy) + bind, "bench.toml");
  const Bytes hello = ClientHelloBuilder::typical("good.example").record();
  testing::TcpConversation tcp(testing::endpoint("10.0.0.1", 40'000), testing::endpoint("192.0.2.1", 443));
  const Bytes syn = tcp.syn();
  (void)tcp.syn_ack();
  const Bytes client = tcp.client_data(hello);
  const Bytes server = tcp.server_data(testing::server_hello(false));
  const Bytes reset = tcp.client_rst();
  const auto feed = [&](const Bytes& bytes, Origin origin) {
    Packet packet;
    packet.bytes = bytes;
    packet.wire_size = static_cast<std::uint32_t>(bytes.size());
    packet.origin = origin;
    now += std::chrono::microseconds(1);
    benchmark::DoNotOptimize(inspector.inspect(packet, *policy, now));
  };
  for (auto _ : state) {
    feed(syn, Origin::kOriginal);
    feed(client, Origin::kOriginal);
    feed(server, Origin::kReply);
    feed(reset, Origin::kOriginal);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(judge_tls_flow)->Arg(0)->Arg(1);

}  // namespace
