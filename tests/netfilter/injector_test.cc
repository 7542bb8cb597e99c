// What Injector sends, in a network namespace of the test's own; needs root.
#include "injector.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace sallyport::netfilter {
namespace {

constexpr std::uint16_t kPort = 5555;

// udp_packet is a datagram from 203.0.113.7 or 2001:db8::7, which no host has, to this host's loopback address.
std::vector<std::uint8_t> udp_packet(bool v6, const std::string& text) {
  const std::size_t header = v6 ? 40 : 20;
  std::vector<std::uint8_t> packet(header + 8 + text.size());
  const auto length = static_cast<std::uint8_t>(8 + text.size());
  if (v6) {
    packet[0] = 0x60;
    packet[5] = length;
    packet[6] = 17;
    packet[7] = 64;
    (void)inet_pton(AF_INET6, "2001:db8::7", &packet[8]);
    (void)inet_pton(AF_INET6, "::1", &packet[24]);
  } else {
    packet[0] = 0x45;
    packet[3] = static_cast<std::uint8_t>(20 + length);
    packet[8] = 64;
    packet[9] = 17;
    (void)inet_pton(AF_INET, "203.0.113.7", &packet[12]);
    (void)inet_pton(AF_INET, "127.0.0.1", &packet[16]);
  }
  std::uint8_t* udp = &packet[header];
  udp[1] = 53;
  udp[2] = kPort >> 8;
  udp[3] = kPort & 0xff;
  udp[5] = length;
  std::memcpy(udp + 8, text.data(), text.size());
  if (!v6) return packet;  // IPv4: no checksum is a right one.
  std::uint32_t sum = 17U + length;
  for (std::size_t i = 8; i < packet.size(); ++i) sum += std::uint32_t{packet[i]} << (i % 2 == 0 ? 8U : 0U);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  sum = ~sum & 0xffff;
  udp[6] = static_cast<std::uint8_t>(sum >> 8);
  udp[7] = static_cast<std::uint8_t>(sum);
  return packet;
}

bool loopback_up() {
  const FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

FileDescriptor receiver(bool v6) {
  FileDescriptor fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  if (v6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(kPort);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kPort);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  return fd;
}

// received reads what has arrived: over the loopback that is there when sendto returns, or soon after.
std::vector<std::string> received(const FileDescriptor& fd, std::size_t wanted) {
  std::vector<std::string> texts;
  for (int attempt = 0; attempt < 200 && texts.size() < wanted; ++attempt) {
    char text[1'500];
    const ssize_t got = ::recv(fd.get(), text, sizeof text, 0);
    if (got >= 0) {
      texts.emplace_back(text, static_cast<std::size_t>(got));
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  return texts;
}

// InjectorHostTest needs root: each case is a test of ctest by itself, which counts as skipped without.
class InjectorHostTest : public testing::Test {
 protected:
  // in_namespace runs the body on a thread with a network namespace of its own.
  template <typename Body>
  void in_namespace(Body body) {
    bool made = false;
    std::thread([&] {
      made = ::unshare(CLONE_NEWNET) == 0;
      if (made) {
        ASSERT_TRUE(loopback_up());
        body();
      }
    }).join();
    if (!made) GTEST_SKIP() << "SKIPPED: raw sockets and a network namespace need root; nothing was tested";
  }
};

TEST_F(InjectorHostTest, SendsWhatWaitsInItsOrderAndOnlyThen) {
  in_namespace([] {
    auto injector = Injector::open(MarkField());
    ASSERT_TRUE(injector) << injector.error();
    for (const bool v6 : {false, true}) {
      const FileDescriptor client = receiver(v6);
      ASSERT_TRUE(injector->put(udp_packet(v6, "first"), true, 0));
      ASSERT_TRUE(injector->put(udp_packet(v6, "second"), true, 0));
      EXPECT_EQ(injector->waiting(), 2U);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      char byte;
      EXPECT_LT(::recv(client.get(), &byte, 1, 0), 0) << "sent before send()";
      const Injector::Sent sent = injector->send();
      EXPECT_EQ(sent.packets, 2U);
      EXPECT_EQ(sent.failed, 0U);
      EXPECT_EQ(injector->waiting(), 0U);
      EXPECT_EQ(received(client, 2), (std::vector<std::string>{"first", "second"})) << "IPv" << (v6 ? 6 : 4);
    }
  });
}

TEST_F(InjectorHostTest, TakesNoMoreThanItsBoundsAndGoesOnAfterwards) {
  in_namespace([] {
    auto injector = Injector::open(MarkField());
    ASSERT_TRUE(injector) << injector.error();
    const FileDescriptor client = receiver(false);
    const std::vector<std::uint8_t> packet = udp_packet(false, "x");
    for (std::size_t i = 0; i < Injector::kPacketsMax; ++i) ASSERT_TRUE(injector->put(packet, true, 0));
    EXPECT_FALSE(injector->put(packet, true, 0));
    EXPECT_EQ(injector->send().packets, Injector::kPacketsMax);
    EXPECT_EQ(received(client, Injector::kPacketsMax).size(), Injector::kPacketsMax);
    const std::vector<std::uint8_t> large(Injector::kBytesMax);
    EXPECT_TRUE(injector->put(large, true, 0));
    EXPECT_FALSE(injector->put(packet, true, 0));
    EXPECT_EQ(injector->send().failed, 1U);  // Sixty-four kilobytes of zero are no IP packet.
    EXPECT_TRUE(injector->put(packet, true, 0));
    EXPECT_FALSE(injector->put(std::vector<std::uint8_t>(Injector::kBytesMax + 1), true, 0));
  });
}

TEST_F(InjectorHostTest, WhatIsNoIpPacketFailsAndIsCounted) {
  in_namespace([] {
    auto injector = Injector::open(MarkField());
    ASSERT_TRUE(injector) << injector.error();
    const std::vector<std::uint8_t> packet = udp_packet(true, "cut");
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{39}}) {
      const std::vector<std::uint8_t> cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_TRUE(injector->put(cut, true, 0));
    }
    ASSERT_TRUE(injector->put(std::vector<std::uint8_t>(60, 0x55), true, 0));
    const Injector::Sent sent = injector->send();
    EXPECT_EQ(sent.packets, 0U);
    EXPECT_EQ(sent.failed, 4U);
  });
}

TEST_F(InjectorHostTest, AnAddressOfALinkGoesOutByThatLink) {
  in_namespace([] {
    auto injector = Injector::open(MarkField());
    ASSERT_TRUE(injector) << injector.error();
    struct {
      in6_addr address{};
      std::uint32_t prefix = 64;
      int link = 0;
    } own;  // in6_ifreq, whose header does not go together with the C library's.
    (void)inet_pton(AF_INET6, "fe80::1", &own.address);
    own.link = static_cast<int>(::if_nametoindex("lo"));
    const FileDescriptor control(::socket(AF_INET6, SOCK_DGRAM, 0));
    ASSERT_EQ(::ioctl(control.get(), SIOCSIFADDR, &own), 0);
    std::vector<std::uint8_t> packet = udp_packet(true, "x");
    (void)inet_pton(AF_INET6, "fe80::1", &packet[24]);
    ASSERT_TRUE(injector->put(packet, true, 4'711));  // Of a link that is not there.
    EXPECT_EQ(injector->send().failed, 1U);
    ASSERT_TRUE(injector->put(packet, true, ::if_nametoindex("lo")));
    EXPECT_EQ(injector->send().packets, 1U);
  });
}

}  // namespace
}  // namespace sallyport::netfilter
