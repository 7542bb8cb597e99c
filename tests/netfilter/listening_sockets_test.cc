#include "sallyport/netfilter/listening_sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "file_descriptor.h"

namespace sallyport::netfilter {
namespace {

struct Bound {
  FileDescriptor socket;
  std::uint16_t port = 0;
  std::uint64_t inode = 0;
};

// bound makes a socket of IPv6 on a free port of `address`.
Bound bound(int type, const in6_addr& address, bool v6only, bool listening) {
  Bound made{FileDescriptor(::socket(AF_INET6, type | SOCK_CLOEXEC, 0))};
  const int only = v6only ? 1 : 0;
  (void)::setsockopt(made.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = address;
  socklen_t size = sizeof name;
  struct stat status{};
  if (::bind(made.socket.get(), reinterpret_cast<sockaddr*>(&name), size) != 0 || (listening && ::listen(made.socket.get(), 1) != 0) ||
      ::getsockname(made.socket.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0 || ::fstat(made.socket.get(), &status) != 0) {
    return {};
  }
  made.port = ntohs(name.sin6_port);
  made.inode = status.st_ino;
  return made;
}

std::optional<ListeningSocket> find(const Bound& wanted) {
  const auto sockets = list_listening_sockets();
  if (!sockets) {
    ADD_FAILURE() << sockets.error();
    return std::nullopt;
  }
  for (const ListeningSocket& socket : *sockets) {
    if (socket.inode == wanted.inode) return socket;
  }
  return std::nullopt;
}

TEST(ListeningSocketsHostTest, TellsDualStackFromV6Only) {
  for (const bool v6only : {false, true}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      const Bound made = bound(type, in6addr_any, v6only, type == SOCK_STREAM);
      if (made.inode == 0) GTEST_SKIP() << "SKIPPED: no IPv6 here; nothing was tested";
      const auto found = find(made);
      ASSERT_TRUE(found);
      EXPECT_EQ(found->dual, !v6only);
      EXPECT_EQ(found->port, made.port);
      EXPECT_EQ(found->transport, type == SOCK_STREAM ? Transport::kTcp : Transport::kUdp);
      EXPECT_EQ(found->uid, ::geteuid());
      EXPECT_EQ(found->address, IpAddress::parse("::").value());
    }
  }
}

TEST(ListeningSocketsHostTest, AMappedAddressIsOfIpv4) {
  in6_addr mapped{};
  constexpr std::uint8_t kMapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  std::memcpy(&mapped, kMapped, sizeof kMapped);
  const Bound made = bound(SOCK_STREAM, mapped, false, true);
  if (made.inode == 0) GTEST_SKIP() << "SKIPPED: no IPv6 here; nothing was tested";
  const auto found = find(made);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, IpAddress::v4(0x7f000001));
  EXPECT_FALSE(found->dual);
}

TEST(ListeningSocketsHostTest, LeavesOutWhatDoesNotListen) {
  const Bound closed = bound(SOCK_STREAM, in6addr_loopback, true, false);
  const Bound connected = bound(SOCK_DGRAM, in6addr_loopback, true, false);
  if (connected.inode == 0) GTEST_SKIP() << "SKIPPED: no IPv6 here; nothing was tested";
  EXPECT_TRUE(find(connected));
  sockaddr_in6 peer{};
  peer.sin6_family = AF_INET6;
  peer.sin6_addr = in6addr_loopback;
  peer.sin6_port = htons(9);
  ASSERT_EQ(::connect(connected.socket.get(), reinterpret_cast<sockaddr*>(&peer), sizeof peer), 0);
  EXPECT_FALSE(find(connected));
  EXPECT_FALSE(find(closed));
}

TEST(ListeningSocketsHostTest, AnOwnerIsFoundOnceForASocketUnderTwoNumbers) {
  const Bound made = bound(SOCK_STREAM, in6addr_loopback, true, true);
  if (made.inode == 0) GTEST_SKIP() << "SKIPPED: no IPv6 here; nothing was tested";
  const FileDescriptor second(::dup(made.socket.get()));
  const auto owners = find_owners({made.inode});
  ASSERT_EQ(owners.size(), 1U);
  ASSERT_EQ(owners.begin()->second.size(), 1U);
  EXPECT_EQ(owners.begin()->second.front().pid, ::getpid());
  EXPECT_EQ(owners.begin()->second.front().process, "netfilter_test");
  EXPECT_THAT(owners.begin()->second.front().program, testing::EndsWith("/netfilter_test"));
  EXPECT_TRUE(find_owners({}).empty());
}

TEST(ListeningSocketsTest, AUnitIsTheFirstComponentBelowSlices) {
  EXPECT_EQ(unit_of("/system.slice/ssh.service"), "ssh.service");
  EXPECT_EQ(unit_of("/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service"), "user@1000.service");
  EXPECT_EQ(unit_of("/system.slice/docker-0a.scope/x.service"), "docker-0a.scope");
  EXPECT_EQ(unit_of("/docker/0a/ssh.service"), "");
  EXPECT_EQ(unit_of("/"), "");
  EXPECT_EQ(unit_of(""), "");
  EXPECT_EQ(unit_of("/system.slice"), "");
  EXPECT_EQ(unit_of("/.service"), "");
}

TEST(ListeningSocketsTest, TheOwnNamespaceIsNotAmongTheOthers) {
  const auto spaces = other_namespaces();
  ASSERT_TRUE(spaces) << spaces.error();
  struct stat own{};
  ASSERT_EQ(::stat("/proc/self/ns/net", &own), 0);
  for (const NetworkNamespace& space : *spaces) EXPECT_NE(space.inode, own.st_ino);
}

}  // namespace
}  // namespace sallyport::netfilter
