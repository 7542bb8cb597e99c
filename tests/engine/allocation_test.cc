// The packet path takes no memory: operator new is counted over thousands of packets.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/inspector_harness.h"
#include "support/tunnel_builder.h"
#include "support/quic_builder.h"

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


constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns"]
bind = "strict"
[inspect]
tunnels = ["vxlan", "gre"]
[[rules]]
to = ["203.0.113.1"]
protocols = ["vxlan", "gre"]
)";

struct Step {
  Bytes bytes;
  Origin origin;
};

// traffic makes one allowed and one denied flow of each kind, on the given client port.
std::vector<Step> traffic(std::uint16_t port) {
  std::vector<Step> steps;
  const auto client = endpoint("10.0.0.1", port);
  for (const char* name : {"good.example", "evil.example"}) {
    const bool good = name[0] == 'g';
    const Bytes query = DnsMessageBuilder(7).question(name, 1).build();
    steps.push_back({PacketBuilder::udp(client, endpoint("192.0.2.53", 53)).payload(ByteSpan(query)).build(), Origin::kOriginal});
    const Bytes answer = DnsMessageBuilder(7).response().question(name, 1).cname(name, "cdn.example").a("cdn.example", "192.0.2.1").a("cdn.example", "192.0.2.3").build();
    steps.push_back({PacketBuilder::udp(endpoint("192.0.2.53", 53), client).payload(ByteSpan(answer)).build(), Origin::kReply});
    TcpConversation tls(client, endpoint(good ? "192.0.2.1" : "192.0.2.2", 443));
    steps.push_back({tls.syn(), Origin::kOriginal});
    (void)tls.syn_ack();
    for (const auto& segment : tls.client_segments(ClientHelloBuilder::post_quantum(name).record(), 700)) {
      steps.push_back({segment, Origin::kOriginal});
    }
    steps.push_back({tls.server_data(server_hello(false)), Origin::kReply});
    TcpConversation http(client, endpoint(good ? "192.0.2.1" : "192.0.2.2", 80));
    steps.push_back({http.syn(), Origin::kOriginal});
    (void)http.syn_ack();
    for (int i = 0; i < 3; ++i) {
      steps.push_back({http.client_data(std::string("GET / HTTP/1.1\r\nHost: ") + name + "\r\n\r\n"), Origin::kOriginal});
    }
    for (const Bytes& datagram : quic_hello_datagrams(ClientHelloBuilder::post_quantum(name).message())) {
      steps.push_back({PacketBuilder::udp(client, endpoint(good ? "192.0.2.1" : "192.0.2.2", 443)).payload(ByteSpan(datagram)).build(),
                       Origin::kOriginal});
    }
    TcpConversation inner(client, endpoint(good ? "192.0.2.3" : "192.0.2.4", 443));
    for (const Bytes& packet : {inner.syn(), inner.client_data(ClientHelloBuilder::typical(name).record())}) {
      steps.push_back({PacketBuilder::udp(client, endpoint("203.0.113.1", 4789)).payload(testing::vxlan(testing::frame_of(packet))).build(),
                       Origin::kOriginal});
      steps.push_back({PacketBuilder::ip(client.address, endpoint("203.0.113.1", 0).address, 47).payload(testing::gre(packet)).build(),
                       Origin::kOriginal});
    }
  }
  return steps;
}

TEST(AllocationTest, TenThousandPacketsTakeNoMemory) {
  InspectorHarness harness(kPolicy);
  engine::Inspector& inspector = harness.inspector();
  Timestamp now = harness.now();
  std::vector<Step> steps;
  for (std::uint16_t port = 1'000; port < 1'450; ++port) {
    const auto more = traffic(port);
    steps.insert(steps.end(), more.begin(), more.end());
  }
  ASSERT_GT(steps.size(), 10'000U);
  // The first round warms up what is lazy by design (buffers of the crypto library).
  for (int round = 0; round < 2; ++round) {
    const std::uint64_t before = allocations.load();
    for (const Step& step : steps) {
      Packet packet;
      packet.id = 1;
      packet.bytes = step.bytes;
      packet.wire_size = static_cast<std::uint32_t>(step.bytes.size());
      packet.origin = step.origin;
      now += std::chrono::microseconds(100);
      (void)inspector.inspect(packet, harness.policy(), now);
    }
    inspector.expire(harness.policy(), now);
    if (round == 1) {
      EXPECT_EQ(allocations.load() - before, 0U);
    }
  }
  EXPECT_GT(inspector.counters().flows_by_verdict[1].load(), 100U);
  EXPECT_GT(inspector.counters().flows_by_verdict[2].load(), 100U);
}

}  // namespace
}  // namespace sallyport::testing
