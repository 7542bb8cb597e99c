// The small parts of the worker and the readers of the kernel's tables.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <random>
#include <vector>

#include "held_marks.h"
#include "nft_objects.h"
#include "repeat_guard.h"
#include "sallyport/netfilter/existing_flows.h"
#include "sallyport/netfilter/queue_stats.h"

namespace sallyport::netfilter {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

TEST(RepeatGuardTest, StopsOnlyAPacketThatComesBackManyTimesAtOnce) {
  RepeatGuard guard(1);
  const Bytes packet(60, 7);
  for (std::uint32_t i = 0; i < RepeatGuard::kSightingsMax; ++i) EXPECT_FALSE(guard.stuck(packet, 1s)) << i;
  EXPECT_TRUE(guard.stuck(packet, 1s));
  EXPECT_FALSE(guard.stuck(packet, 1s + RepeatGuard::kWindow + 1ns)) << "a new window begins";
}

TEST(RepeatGuardTest, PacketsThatDifferInOneHeaderByteAreNotTheSame) {
  RepeatGuard guard(2);
  Bytes packet(60, 7);
  for (unsigned i = 0; i < 4096; ++i) {
    packet[4] = static_cast<std::uint8_t>(i >> 8);
    packet[5] = static_cast<std::uint8_t>(i);
    EXPECT_FALSE(guard.stuck(packet, 1s));
  }
}

TEST(RepeatGuardTest, PacketsInATunnelDifferFarBehindTheOuterHeader) {
  RepeatGuard guard(2);
  Bytes packet(1'400, 7);
  constexpr std::size_t kOuterIpv6UdpVxlanEthernetIpv6 = 40 + 8 + 8 + 14 + 40;
  for (unsigned i = 0; i < 4096; ++i) {
    packet[kOuterIpv6UdpVxlanEthernetIpv6 + 6] = static_cast<std::uint8_t>(i >> 8);  // The sequence number.
    packet[kOuterIpv6UdpVxlanEthernetIpv6 + 7] = static_cast<std::uint8_t>(i);
    EXPECT_FALSE(guard.stuck(packet, 1s));
  }
}

TEST(RepeatGuardTest, SlowRepetitionIsNoLoop) {
  RepeatGuard guard(3);
  const Bytes packet(40, 1);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(guard.stuck(packet, i * 5ms));
}

TEST(HeldMarksTest, AgreesWithAMapUnderAnyOrder) {
  HeldMarks marks;
  std::map<std::uint32_t, std::uint32_t> model;
  std::mt19937 source(42);
  const auto random = [&] { return static_cast<std::uint32_t>(source()); };
  for (int step = 0; step < 200'000; ++step) {
    const std::uint32_t id =
        random() % 3 == 0 ? random() % 64 * (2 * kHeldPacketsPerWorker) : random() % 9000;
    if (random() % 2 == 0 && !model.contains(id) && model.size() < kHeldPacketsPerWorker) {
      const std::uint32_t mark = 1 + random() % 1000;
      marks.put(id, mark);
      model[id] = mark;
    } else {
      const std::uint32_t expected = model.contains(id) ? model[id] : 0;
      ASSERT_EQ(marks.take(id), expected);
      model.erase(id);
    }
    ASSERT_EQ(marks.size(), model.size());
  }
}

TEST(HeldMarksTest, PacketsWithoutForeignBitsTakeNoPlace) {
  HeldMarks marks;
  marks.put(1, 0);
  EXPECT_EQ(marks.size(), 0U);
  EXPECT_EQ(marks.take(1), 0U);
}

TEST(QueueStatsTest, ReadsTheKernelsColumns) {
  const auto stats = parse_queue_stats(
      "    0   1234     5 2 65535     6     7     8  1\n    1 3221225472 0 2 65535 0 0 0  1\n");
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0].port_id, 1234U);
  EXPECT_EQ(stats[0].waiting, 5U);
  EXPECT_EQ(stats[0].queue_dropped, 6U);
  EXPECT_EQ(stats[0].user_dropped, 7U);
  EXPECT_EQ(stats[0].last_id, 8U);
  EXPECT_EQ(stats[1].queue, 1);
  EXPECT_EQ(stats[1].port_id, 3221225472U);
}

TEST(QueueStatsTest, ASocketTellsWhatItsBufferHadNoRoomFor) {
  const int receiver = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int size = 1;  // The kernel makes it its least.
  ASSERT_EQ(::setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(receiver, reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::getsockname(receiver, reinterpret_cast<sockaddr*>(&address), &length), 0);
  EXPECT_EQ(socket_overruns(receiver), 0U);
  const std::array<char, 1000> datagram{};
  for (int i = 0; i < 100; ++i)
    (void)::sendto(receiver, datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&address), length);
  EXPECT_GT(socket_overruns(receiver), 50U);
  EXPECT_LT(socket_overruns(receiver), 100U);
  ::close(receiver);
  EXPECT_EQ(socket_overruns(-1), 0U);
}

TEST(QueueStatsTest, LeavesOutWhatItDoesNotUnderstand) {
  EXPECT_TRUE(parse_queue_stats("").empty());
  EXPECT_TRUE(parse_queue_stats("no figures here\n1 2 3\n").empty());
}

TEST(NftObjectsTest, ListsTablesAndChainsOfOneFamily) {
  const NftObjects objects = read_nft_objects(
      R"({"nftables": [{"metainfo": {"version": "1.0.6"}},
          {"table": {"family": "ip", "name": "filter", "handle": 1}},
          {"table": {"family": "ip6", "name": "mangle", "handle": 2}},
          {"chain": {"family": "ip", "table": "nat", "name": "OUTPUT", "handle": 2, "policy": "accept"}}]})",
      Family::kIpv4);
  EXPECT_EQ(objects.tables, (std::set<std::string>{"filter", "nat"}));
  EXPECT_EQ(objects.chains, (std::set<std::pair<std::string, std::string>>{{"nat", "OUTPUT"}}));
}

TEST(NftObjectsTest, TextThatIsNoJsonListsNothing) {
  EXPECT_TRUE(read_nft_objects("", Family::kIpv4).tables.empty());
  EXPECT_TRUE(read_nft_objects("{\"nftables\": 3}", Family::kIpv4).tables.empty());
}

Endpoint endpoint(const char* address, std::uint16_t port) {
  return {IpAddress::parse(address).value(), port};
}

// tcp_packet makes a header-only packet from `from` to `to`.
Bytes tcp_packet(const Endpoint& from, const Endpoint& to, std::uint8_t flags) {
  const bool v4 = from.address.is_v4();
  const std::size_t ip = v4 ? 20 : 40;
  Bytes packet(ip + 20, 0);
  packet[0] = v4 ? 0x45 : 0x60;
  packet[v4 ? 9 : 6] = 6;
  std::ranges::copy(from.address.bytes(), packet.begin() + (v4 ? 12 : 8));
  std::ranges::copy(to.address.bytes(), packet.begin() + (v4 ? 16 : 24));
  packet[ip] = static_cast<std::uint8_t>(from.port >> 8);
  packet[ip + 1] = static_cast<std::uint8_t>(from.port);
  packet[ip + 2] = static_cast<std::uint8_t>(to.port >> 8);
  packet[ip + 3] = static_cast<std::uint8_t>(to.port);
  packet[ip + 12] = 0x50;
  packet[ip + 13] = flags;
  return packet;
}

constexpr std::uint8_t kAck = 0x10;
constexpr std::uint8_t kSyn = 0x02;

struct FlowCase {
  const char* any;
  const char* local;
  const char* remote;
};
class ExistingFlowsTest : public testing::TestWithParam<FlowCase> {};

ExistingFlows incoming_of(const std::vector<TcpSocket>& sockets) {
  return ExistingFlows(std::make_shared<const ConnectionSet>(incoming_connections(sockets, {})));
}

TEST_P(ExistingFlowsTest, AdmitsOnlyConnectionsToAListeningPort) {
  const Endpoint sshd = endpoint(GetParam().local, 22);
  const Endpoint admin = endpoint(GetParam().remote, 50'000);
  const Endpoint outgoing = endpoint(GetParam().local, 40'000);
  const Endpoint server = endpoint(GetParam().remote, 443);
  const ExistingFlows flows = incoming_of({{endpoint(GetParam().any, 22), {}, true}, {sshd, admin, false}, {outgoing, server, false}});
  EXPECT_TRUE(flows.admit(tcp_packet(sshd, admin, kAck)));
  EXPECT_FALSE(flows.admit(tcp_packet(outgoing, server, kAck)));
  EXPECT_FALSE(flows.admit(tcp_packet(sshd, server, kAck)));
  EXPECT_FALSE(flows.admit(tcp_packet(admin, sshd, kAck)));
}

TEST_P(ExistingFlowsTest, ASynEndsTheAdmission) {
  const Endpoint sshd = endpoint(GetParam().local, 22);
  const Endpoint admin = endpoint(GetParam().remote, 50'000);
  const ExistingFlows flows = incoming_of({{endpoint(GetParam().any, 22), {}, true}, {sshd, admin, false}});
  EXPECT_FALSE(flows.admit(tcp_packet(sshd, admin, kSyn)));
  EXPECT_FALSE(flows.admit(tcp_packet(sshd, admin, kAck)));
}

TEST_P(ExistingFlowsTest, AnAllowedSetIsAdmittedUntilItsSynInLaterSnapshotsToo) {
  const Endpoint client = endpoint(GetParam().local, 40'000);
  const Endpoint server = endpoint(GetParam().remote, 443);
  const std::vector<TcpSocket> sockets = {{client, server, false}};
  const auto allowed = std::make_shared<const ConnectionSet>(outgoing_connections(sockets, {}));
  ASSERT_EQ(allowed->size(), 1U);
  const ExistingFlows before(nullptr, allowed);
  EXPECT_TRUE(before.admit(tcp_packet(client, server, kAck)));
  EXPECT_FALSE(before.admit(tcp_packet(server, client, kAck)));
  EXPECT_FALSE(before.cuts(tcp_packet(client, server, kAck), false));
  const ExistingFlows later(nullptr, allowed);
  EXPECT_TRUE(later.admit(tcp_packet(client, server, kAck)));
  EXPECT_FALSE(before.admit(tcp_packet(client, server, kSyn)));
  EXPECT_FALSE(later.admit(tcp_packet(client, server, kAck)));
}

TEST_P(ExistingFlowsTest, ACutSetIsKnownFromBothSidesUntilTheClientBeginsAnew) {
  const Endpoint client = endpoint(GetParam().local, 40'000);
  const Endpoint server = endpoint(GetParam().remote, 443);
  const std::vector<FlowKey> keys(2, FlowKey{Transport::kTcp, 6, client, server, 0});
  const auto cut = std::make_shared<const ConnectionSet>(keys);
  EXPECT_EQ(cut->size(), 1U);
  const ExistingFlows flows(nullptr, nullptr, cut);
  EXPECT_FALSE(flows.admit(tcp_packet(client, server, kAck)));
  EXPECT_TRUE(flows.cuts(tcp_packet(client, server, kAck), false));
  EXPECT_TRUE(flows.cuts(tcp_packet(server, client, kAck), true));
  EXPECT_FALSE(flows.cuts(tcp_packet(server, client, kAck), false));
  EXPECT_TRUE(flows.cuts(tcp_packet(server, client, kSyn | kAck), true));
  EXPECT_FALSE(flows.cuts(tcp_packet(client, server, kSyn), false));
  EXPECT_FALSE(flows.cuts(tcp_packet(server, client, kAck), true));
}

TEST_P(ExistingFlowsTest, OutgoingIsWhatNoListenerTookAndThatLeavesTheHost) {
  const Endpoint sshd = endpoint(GetParam().local, 22);
  const Endpoint admin = endpoint(GetParam().remote, 50'000);
  const Endpoint client = endpoint(GetParam().local, 40'000);
  const Endpoint server = endpoint(GetParam().remote, 443);
  const std::vector<TcpSocket> sockets = {{endpoint(GetParam().any, 22), {}, true},
                                          {sshd, admin, false},
                                          {client, server, false},
                                          {endpoint(GetParam().local, 40'001), sshd, false}};
  const std::vector<FlowKey> incoming = incoming_connections(sockets, {});
  ASSERT_EQ(incoming.size(), 1U);
  EXPECT_EQ(incoming.front().client, sshd);
  const std::vector<FlowKey> keys = outgoing_connections(sockets, ConnectionSet(incoming));
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys.front().client, client);
  EXPECT_EQ(keys.front().server, server);
}

TEST_P(ExistingFlowsTest, WhoListensOnThePortOfItsOwnConnectionDoesNotMakeItAnothers) {
  const Endpoint client = endpoint(GetParam().local, 40'000);
  const Endpoint server = endpoint(GetParam().remote, 443);
  const std::vector<TcpSocket> sockets = {{endpoint(GetParam().any, 40'000), {}, true}, {client, server, false}};
  ConntrackEntry entry;
  entry.key = {Transport::kTcp, 6, client, server, 0};
  const auto expect_incoming = [&](bool incoming) {
    const ConnectionSet opened = opened_connections(std::span(&entry, 1));
    const std::vector<FlowKey> came_in = incoming_connections(sockets, opened);
    EXPECT_EQ(came_in.size(), incoming ? 1U : 0U);
    EXPECT_EQ(outgoing_connections(sockets, ConnectionSet(came_in)).size(), incoming ? 0U : 1U);
    EXPECT_EQ(ExistingFlows(std::make_shared<const ConnectionSet>(came_in)).admit(tcp_packet(client, server, kAck)), incoming);
  };
  expect_incoming(true);  // It was picked up in its middle: an administrator's session looks the same.
  entry.syn_seen = true;
  expect_incoming(false);
  entry.key = entry.key.reversed();
  expect_incoming(true);
}

TEST_P(ExistingFlowsTest, OnlyAPeersSynThatTrackingSawMakesAConnectionCameIn) {
  const Endpoint here = endpoint(GetParam().local, 8080);
  const Endpoint peer = endpoint(GetParam().remote, 50'000);
  const std::vector<TcpSocket> sockets = {{here, peer, false}};
  ConntrackEntry entry;
  entry.key = {Transport::kTcp, 6, peer, here, 0};
  const auto count = [&](std::span<const ConntrackEntry> entries) { return came_in_by_tracking(sockets, entries).size(); };
  EXPECT_EQ(count({}), 0U);
  EXPECT_EQ(count({&entry, 1}), 0U) << "picked up in its middle: either may have opened it";
  entry.syn_seen = true;
  ASSERT_EQ(count({&entry, 1}), 1U);
  EXPECT_EQ(came_in_by_tracking(sockets, {&entry, 1}).front().client, here);
  entry.key = entry.key.reversed();
  EXPECT_EQ(count({&entry, 1}), 0U);
}

TEST_P(ExistingFlowsTest, ASetTellsItsMembersButForThoseThatBeganAnew) {
  const FlowKey one{Transport::kTcp, 6, endpoint(GetParam().local, 40'000), endpoint(GetParam().remote, 443), 0};
  const FlowKey other{Transport::kTcp, 6, endpoint(GetParam().local, 40'001), endpoint(GetParam().remote, 443), 0};
  const ConnectionSet set(std::vector{one, other});
  EXPECT_TRUE(set.contains(one));
  EXPECT_FALSE(set.contains(one.reversed()));
  EXPECT_EQ(set.keys().size(), 2U);
  EXPECT_FALSE(set.has(tcp_packet(one.client, one.server, kSyn)));
  ASSERT_EQ(set.keys().size(), 1U);
  EXPECT_EQ(set.keys().front(), other);
  EXPECT_FALSE(set.contains(one));
  EXPECT_TRUE(set.contains(other));
}

TEST_P(ExistingFlowsTest, NoPrefixOfThePacketIsAdmitted) {
  const Endpoint sshd = endpoint(GetParam().local, 22);
  const Endpoint admin = endpoint(GetParam().remote, 50'000);
  const ExistingFlows flows = incoming_of({{endpoint(GetParam().any, 22), {}, true}, {sshd, admin, false}});
  const Bytes whole = tcp_packet(sshd, admin, kAck);
  const std::size_t flags = whole.size() - 20 + 13;
  for (std::size_t size = 0; size <= flags; ++size) {
    const Bytes prefix(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_FALSE(flows.admit(prefix)) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ExistingFlowsTest,
                         testing::Values(FlowCase{"0.0.0.0", "192.0.2.1", "198.51.100.7"},
                                         FlowCase{"::", "2001:db8::1", "2001:db8::7"},
                                         FlowCase{"::", "192.0.2.1", "198.51.100.7"}));

TEST(ExistingFlowsTest, AListenerOnAnotherAddressDoesNotCount) {
  const std::vector<TcpSocket> sockets = {{endpoint("127.0.0.1", 22), {}, true},
                                          {endpoint("192.0.2.1", 22), endpoint("198.51.100.7", 50'000), false}};
  EXPECT_TRUE(incoming_connections(sockets, {}).empty());
}

}  // namespace
}  // namespace sallyport::netfilter
