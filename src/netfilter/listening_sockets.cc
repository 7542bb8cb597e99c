#include "sallyport/netfilter/listening_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "file_descriptor.h"
#include "sallyport/core/limits.h"
#include "sock_diag.h"

namespace sallyport::netfilter {
namespace {

constexpr int kDumpsMax = 4;  // A list that changes while it is read is read again.
using Sockets = std::expected<std::vector<ListeningSocket>, std::string>;

std::string failed(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

IpAddress address_of(std::uint8_t family, const std::uint32_t (&words)[4]) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, bytes.size());
  return IpAddress::from_bytes(ByteSpan(bytes).first(family == AF_INET ? 4 : 16)).value_or(IpAddress());
}

bool is_any(const IpAddress& address) {
  return std::ranges::all_of(address.bytes(), [](std::uint8_t byte) { return byte == 0; });
}

// Dump is one question and what was answered.
struct Dump {
  Transport transport;
  std::vector<ListeningSocket>& sockets;
  bool full = false;
};

int read_v6only(const nlattr* attribute, void* data) {
  if (mnl_attr_get_type(attribute) == INET_DIAG_SKV6ONLY && mnl_attr_get_payload_len(attribute) == 1) {
    *static_cast<bool*>(data) = mnl_attr_get_u8(attribute) != 0;
  }
  return MNL_CB_OK;
}

int read_socket(const nlmsghdr* message, void* data) {
  auto& dump = *static_cast<Dump*>(data);
  if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return MNL_CB_OK;
  if (dump.sockets.size() >= kListeningSocketsMax) {
    dump.full = true;
    return MNL_CB_OK;
  }
  inet_diag_msg entry;
  std::memcpy(&entry, mnl_nlmsg_get_payload(message), sizeof entry);
  ListeningSocket socket;
  socket.transport = dump.transport;
  const IpAddress address = address_of(entry.idiag_family, entry.id.idiag_src);
  socket.address = address.unmapped();
  bool v6only = false;  // Not told: believed to take IPv4, which is the wider reading.
  (void)mnl_attr_parse(message, sizeof(inet_diag_msg), read_v6only, &v6only);
  socket.dual = address.is_v6() && is_any(address) && !v6only;
  socket.port = ntohs(entry.id.idiag_sport);
  std::array<char, IF_NAMESIZE> name{};
  if (entry.id.idiag_if != 0 && ::if_indextoname(entry.id.idiag_if, name.data()) != nullptr) socket.interface = name.data();
  socket.uid = entry.idiag_uid;
  socket.inode = entry.idiag_inode;
  socket.cookie = std::uint64_t{entry.id.idiag_cookie[1]} << 32 | entry.id.idiag_cookie[0];
  if (socket.port != 0) dump.sockets.push_back(socket);
  return MNL_CB_OK;
}

// ask returns false with errno set.
bool ask(const mnl_socket* socket, std::uint8_t family, std::uint32_t sequence, Dump& dump) {
  const bool tcp = dump.transport == Transport::kTcp;
  // An unconnected UDP socket is in the state CLOSE.
  const std::uint32_t states = std::uint32_t{1} << (tcp ? TCP_LISTEN : TCP_CLOSE);
  const DiagRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence, family, tcp ? IPPROTO_TCP : IPPROTO_UDP, states);
  if (!request.send(socket)) return false;
  std::vector<char> buffer(65'536);
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    const int more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), sequence, mnl_socket_get_portid(socket), read_socket, &dump);
    if (more == MNL_CB_STOP) return true;
    if (more < 0) return errno == ENOENT;  // The kernel has no such family.
  }
}

bool list_once(std::vector<ListeningSocket>& sockets, bool& full) {
  const DiagSocket socket = open_diag_socket();
  if (!socket) return false;
  std::uint32_t sequence = 0;
  for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      Dump dump{transport, sockets};
      if (!ask(socket.get(), family, ++sequence, dump)) return false;
      full |= dump.full;
    }
  }
  return true;
}

}  // namespace

Sockets list_listening_sockets() {
  for (int i = 0; i < kDumpsMax; ++i) {
    std::vector<ListeningSocket> sockets;
    bool full = false;
    if (list_once(sockets, full)) {
      if (full) return std::unexpected("more than " + std::to_string(kListeningSocketsMax) + " listening sockets");
      std::ranges::sort(sockets);
      return sockets;
    }
    if (errno != EINTR) break;  // What mnl_cb_run says of a dump that changed under way.
  }
  return std::unexpected(failed("sock_diag"));
}

Sockets list_listening_sockets_in(const NetworkNamespace& space) {
  const FileDescriptor entry(::open(space.path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!entry.valid() || ::fstat(entry.get(), &status) != 0) {
    if (errno == ENOENT || errno == ESRCH) return std::vector<ListeningSocket>();  // Gone by now.
    return std::unexpected(failed(space.path));
  }
  if (status.st_ino != space.inode) return std::vector<ListeningSocket>();  // Another process has the number by now.
  Sockets sockets;
  std::thread([&] {
    if (::setns(entry.get(), CLONE_NEWNET) == 0) {
      sockets = list_listening_sockets();
    } else {
      sockets = std::unexpected(failed(space.path));
    }
  }).join();
  return sockets;
}

}  // namespace sallyport::netfilter
