#include "injector.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sallyport::netfilter {
namespace {

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::uint8_t kTcp = 6;

std::string error_text(const char* what, int error) {
  return std::string("raw socket for refusals: ") + what + ": " + std::strerror(error);
}

// receive_nothing: a raw socket is also handed packets of its protocol number, from anyone.
bool receive_nothing(int fd) {
  sock_filter none{BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program{1, &none};
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

std::expected<FileDescriptor, std::string> raw_socket(bool v6, std::uint32_t mark) {
  FileDescriptor fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (!fd.valid()) {
    if (v6 && errno == EAFNOSUPPORT) return fd;
    return std::unexpected(error_text("cannot open", errno));
  }
  const int on = 1;
  if (::setsockopt(fd.get(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_HDRINCL : IP_HDRINCL, &on, sizeof on) != 0) {
    return std::unexpected(error_text("HDRINCL", errno));
  }
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    return std::unexpected(error_text("SO_MARK", errno));
  }
  if (!receive_nothing(fd.get())) return std::unexpected(error_text("SO_ATTACH_FILTER", errno));
  return fd;
}

bool send_to(int fd, ByteSpan packet, const sockaddr* to, socklen_t size) {
  ssize_t sent = -1;
  do {
    sent = ::sendto(fd, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, size);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(packet.size());
}

bool send_ipv4(int fd, ByteSpan packet) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  std::memcpy(&to.sin_addr, packet.data() + 16, sizeof to.sin_addr);
  return send_to(fd, packet, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

bool send_ipv6(int fd, ByteSpan packet, std::uint32_t link) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  std::memcpy(&to.sin6_addr, packet.data() + 24, sizeof to.sin6_addr);
  if (IN6_IS_ADDR_LINKLOCAL(&to.sin6_addr)) to.sin6_scope_id = link;
  return send_to(fd, packet, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

}  // namespace

std::expected<Injector, std::string> Injector::open(const MarkField& mark) {
  Injector injector;
  for (const bool v6 : {false, true}) {
    for (const Injected code : {Injected::kTracked, Injected::kUntracked}) {
      std::expected<FileDescriptor, std::string> fd = raw_socket(v6, mark.injected(code));
      if (!fd) return std::unexpected(fd.error());
      (code == Injected::kTracked ? injector.tracked_ : injector.untracked_)[v6] = std::move(*fd);
    }
  }
  injector.bytes_ = std::make_unique<std::array<std::uint8_t, kBytesMax>>();
  return injector;
}

bool Injector::put(ByteSpan packet, bool to_client, std::uint32_t link) {
  if (count_ == kPacketsMax || packet.size() > kBytesMax - used_) return false;
  std::ranges::copy(packet, bytes_->begin() + static_cast<std::ptrdiff_t>(used_));
  waiting_[count_++] = {used_, packet.size(), to_client, link};
  used_ += packet.size();
  return true;
}

// send_one: TCP goes through connection tracking, for the sake of flows whose addresses are translated. The rules refuse
// it (EPERM) where it is in the reply direction of no flow, as behind a masquerade: there the client sees the packet's own
// addresses, and it goes untracked. UDP always does: the entry of a refused datagram was never confirmed.
bool Injector::send_one(const Waiting& waiting) const {
  const ByteSpan packet = ByteSpan(*bytes_).subspan(waiting.begin, waiting.size);
  const bool v6 = !packet.empty() && packet[0] >> 4 == 6;
  if (packet.size() < (v6 ? kIpv6Header : kIpv4Header) || (!v6 && packet[0] >> 4 != 4)) return false;
  const auto send_by = [&](const FileDescriptor& fd) {
    if (!fd.valid()) return false;
    return v6 ? send_ipv6(fd.get(), packet, waiting.link) : send_ipv4(fd.get(), packet);
  };
  const bool tcp = packet[v6 ? 6 : 9] == kTcp;
  if (tcp && send_by(tracked_[v6])) return true;
  if (tcp && (!waiting.to_client || errno != EPERM)) return false;
  return send_by(untracked_[v6]);
}

Injector::Sent Injector::send() {
  Sent sent;
  for (std::size_t i = 0; i < count_; ++i) ++(send_one(waiting_[i]) ? sent.packets : sent.failed);
  count_ = 0;
  used_ = 0;
  return sent;
}

}  // namespace sallyport::netfilter
