#include "sallyport/netfilter/socket_end.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "file_descriptor.h"

namespace sallyport::netfilter {
namespace {

IpAddress ip(const std::string& text) { return IpAddress::parse(text).value(); }

// Name is an address of a socket: of IPv6 with IPv4 mapped where `family` says so.
struct Name {
  explicit Name(int family, const Endpoint& at = {}) {
    const auto bytes = at.address.bytes();
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(at.port);
      std::memcpy(&v4.sin_addr, bytes.data(), sizeof v4.sin_addr);
      size = sizeof v4;
      return;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(at.port);
    if (at.address.is_v6()) {
      std::memcpy(&v6.sin6_addr, bytes.data(), sizeof v6.sin6_addr);
    } else if (at.address != IpAddress()) {
      v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
      std::memcpy(&v6.sin6_addr.s6_addr[12], bytes.data(), 4);
    }
    size = sizeof v6;
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  std::uint16_t port() const {
    return ntohs(storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(storage).sin_port
                                              : reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
  }
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::uint16_t port_of(const FileDescriptor& socket) {
  Name name(AF_INET6);
  name.size = sizeof name.storage;
  return ::getsockname(socket.get(), name.get(), &name.size) == 0 ? name.port() : std::uint16_t{0};
}

// A Case is a listener, on any address of its family, and the address by which it is met.
struct Case {
  const char* name;
  int listener;
  int client;
  std::string loopback;
  std::string elsewhere;
};

const Case kCases[] = {{"IPv4", AF_INET, AF_INET, "127.0.0.1", "192.0.2.7"},
                       {"IPv6", AF_INET6, AF_INET6, "::1", "2001:db8::7"},
                       {"IPv4 at sockets of IPv6", AF_INET6, AF_INET6, "127.0.0.1", "192.0.2.7"}};

FileDescriptor listener_of(const Case& each) {
  FileDescriptor socket(::socket(each.listener, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int no = 0;
  if (each.listener == AF_INET6) (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  Name name(each.listener);
  if (::bind(socket.get(), name.get(), name.size) != 0 || ::listen(socket.get(), 4) != 0) socket.reset();
  return socket;
}

FileDescriptor connected(const Case& each, std::uint16_t port) {
  FileDescriptor socket(::socket(each.client, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Name name(each.client, {ip(each.loopback), port});
  if (::connect(socket.get(), name.get(), name.size) != 0) socket.reset();
  return socket;
}

bool is_alive(const FileDescriptor& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

#define SKIP_WITHOUT_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root; nothing was tested"

TEST(SocketEndHostTest, AConnectionThatIsNotHereEndsNoListener) {
  SKIP_WITHOUT_ROOT();
  const auto sockets = TcpSockets::open();
  ASSERT_TRUE(sockets) << sockets.error();
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    const FileDescriptor listener = listener_of(each);
    if (!listener.valid()) GTEST_SKIP() << "SKIPPED: no " << each.name << " here; nothing was tested of it";
    const std::uint16_t port = port_of(listener);
    const Endpoint other{ip(each.elsewhere), 9};
    // The port is the client's, the server's here, and that of a server elsewhere.
    EXPECT_EQ((*sockets)->end({Transport::kTcp, IPPROTO_TCP, {ip(each.loopback), port}, other, 0}), SocketEnd::kNotHere);
    EXPECT_EQ((*sockets)->end({Transport::kTcp, IPPROTO_TCP, other, {ip(each.loopback), port}, 0}), SocketEnd::kNotHere);
    EXPECT_EQ((*sockets)->end({Transport::kTcp, IPPROTO_TCP, {ip(each.loopback), 9}, {ip(each.elsewhere), port}, 0}), SocketEnd::kNotHere);
    EXPECT_TRUE(connected(each, port).valid()) << "it listens no more";
  }
}

TEST(SocketEndHostTest, AConnectionThatIsHereEndsAndItsListenerStays) {
  SKIP_WITHOUT_ROOT();
  const auto sockets = TcpSockets::open();
  ASSERT_TRUE(sockets) << sockets.error();
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    const FileDescriptor listener = listener_of(each);
    if (!listener.valid()) GTEST_SKIP() << "SKIPPED: no " << each.name << " here; nothing was tested of it";
    const std::uint16_t port = port_of(listener);
    const FileDescriptor client = connected(each, port);
    const FileDescriptor neighbour = connected(each, port);
    if (!client.valid() || !neighbour.valid()) GTEST_SKIP() << "SKIPPED: no " << each.name << " here; nothing was tested of it";
    const FileDescriptor server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(is_alive(client) && is_alive(server));
    const FlowKey key{Transport::kTcp, IPPROTO_TCP, {ip(each.loopback), port_of(client)}, {ip(each.loopback), port}, 0};
    const SocketEnd end = (*sockets)->end(key);
    ASSERT_NE(end, SocketEnd::kNotHere);
    if (end == SocketEnd::kRefused) {
      EXPECT_TRUE(is_alive(client)) << "it says that it ended nothing";
      GTEST_SKIP() << "SKIPPED: this kernel ends no sockets; nothing was tested";
    }
    EXPECT_FALSE(is_alive(client));
    EXPECT_FALSE(is_alive(server));
    EXPECT_EQ((*sockets)->end(key), SocketEnd::kNotHere) << "it is gone";
    EXPECT_TRUE(is_alive(neighbour));
    EXPECT_TRUE(connected(each, port).valid()) << "it listens no more";
  }
}

// Of a connection to another host the socket here may be the server's.
TEST(SocketEndHostTest, TheEndOfTheServerIsFoundToo) {
  SKIP_WITHOUT_ROOT();
  const auto sockets = TcpSockets::open();
  ASSERT_TRUE(sockets) << sockets.error();
  const Case& each = kCases[0];
  const FileDescriptor listener = listener_of(each);
  ASSERT_TRUE(listener.valid());
  const FileDescriptor client = connected(each, port_of(listener));
  const FileDescriptor server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(is_alive(client) && is_alive(server));
  const Endpoint here{ip(each.loopback), port_of(listener)}, there{ip(each.loopback), port_of(client)};
  const SocketEnd end = (*sockets)->end({Transport::kTcp, IPPROTO_TCP, here, there, 0});
  ASSERT_NE(end, SocketEnd::kNotHere);
  if (end == SocketEnd::kRefused) GTEST_SKIP() << "SKIPPED: this kernel ends no sockets; nothing was tested";
  EXPECT_FALSE(is_alive(server));
}

}  // namespace
}  // namespace sallyport::netfilter
