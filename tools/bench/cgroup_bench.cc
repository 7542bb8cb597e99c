// What it costs to ask the kernel for the cgroup of a flow's socket (netfilter/socket_cgroups.h), on the packet's path: of a TCP connection
// and of a UDP socket, among as many others as are told. It makes a network namespace of its own. Needs root.
// Usage: cgroup_bench [SOCKETS]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/netfilter/socket_cgroups.h"

namespace sallyport {
namespace {

constexpr int kQuestions = 5'000;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Endpoint local_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return {*IpAddress::parse("127.0.0.1"), ntohs(address.sin_port)};
}

// connected returns a socket that is connected to `port` of the loopback, or -1.
int connected(int type, std::uint16_t port) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  return fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? fd : -1;
}

// median_us asks for the socket again and again.
double median_us(netfilter::SocketCgroups& cgroups, const FlowKey& key) {
  std::vector<double> times;
  for (int i = 0; i < kQuestions; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    const bool known = !cgroups.cgroup_of(key, 0, ::geteuid()).empty();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begun;
    if (!known) return -1;
    times.push_back(took.count());
  }
  std::ranges::nth_element(times, times.begin() + kQuestions / 2);
  return times[kQuestions / 2];
}

int measure(int others) {
  const rlimit files{static_cast<rlim_t>(3 * others + 64), static_cast<rlim_t>(3 * others + 64)};
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  if (::unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0) {
    std::puts("SKIPPED: a network namespace is needed, and so root");
    return 0;
  }
  auto cgroups = netfilter::SocketCgroups::open();
  if (!cgroups) {
    std::printf("SKIPPED: %s\n", cgroups.error().c_str());
    return 0;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in any = loopback(0);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 || ::listen(listener, 4'096) != 0) return 1;
  const Endpoint server = local_of(listener);
  int last[2] = {-1, -1};  // TCP, UDP.
  for (int i = 0; i < others; ++i) {
    last[0] = connected(SOCK_STREAM, server.port);
    last[1] = connected(SOCK_DGRAM, 9);
    if (last[0] < 0 || last[1] < 0 || ::accept(listener, nullptr, nullptr) < 0) break;
  }
  if (last[0] < 0 || last[1] < 0) {
    std::perror("sockets");
    return 1;
  }
  const double tcp = median_us(**cgroups, {Transport::kTcp, IPPROTO_TCP, local_of(last[0]), server, 0});
  const double udp = median_us(**cgroups, {Transport::kUdp, IPPROTO_UDP, local_of(last[1]), {*IpAddress::parse("127.0.0.1"), 9}, 0});
  if (tcp < 0 || udp < 0) {
    std::puts("a socket's cgroup is not known");
    return 1;
  }
  std::printf("among %d sockets of each kind, medians of %d questions: TCP %.1f us, UDP %.1f us\n", others, kQuestions, tcp, udp);
  return 0;
}

}  // namespace
}  // namespace sallyport

int main(int argc, char** argv) {
  const std::string_view text = argc > 1 ? argv[1] : "100";
  int others = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), others);
  if (argc > 2 || error != std::errc() || end != text.data() + text.size() || others < 1 || others > 10'000) {
    std::fputs("usage: cgroup_bench [SOCKETS], from 1 to 10000 of each kind\n", stderr);
    return 2;
  }
  return sallyport::measure(others);
}
