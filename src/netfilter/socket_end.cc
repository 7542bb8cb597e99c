#include "sallyport/netfilter/socket_end.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "sock_diag.h"

namespace sallyport::netfilter {
namespace {

constexpr std::chrono::milliseconds kStep{100};
constexpr int kRoundsMax = 8;  // A list may change while it is read.
// Neither has payload: TIME-WAIT, and CLOSE.
constexpr std::uint32_t kStates = ~(std::uint32_t{1} << TCP_TIME_WAIT | std::uint32_t{1} << TCP_CLOSE);
using Cookie = std::array<std::uint32_t, 2>;
using Outcome = std::expected<void, std::string>;

std::unexpected<std::string> failed(const char* what) {
  return std::unexpected(std::string(what) + ": " + std::strerror(errno));
}

// Ender lists the sockets and ends them, one by one.
class Ender {
 public:
  Ender(DiagSocket socket, const std::vector<std::uint64_t>& cgroups) : socket_(std::move(socket)), cgroups_(cgroups) {}

  // round ends what it finds. left_ is then what the kernel did not let it end.
  Outcome round() {
    found_.clear();
    left_ = 0;
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      if (const Outcome listed = list(family); !listed) return listed;
    }
    any_new_ = false;
    for (const inet_diag_msg& each : found_) {
      const Cookie cookie{each.id.idiag_cookie[0], each.id.idiag_cookie[1]};
      if (std::ranges::find(ended_, cookie) != ended_.end()) continue;  // Older kernels list an ended orphan, which sends nothing.
      if (end(each)) {
        any_new_ = true;
        ended_.push_back(cookie);
      } else {
        ++left_;
      }
    }
    return {};
  }
  bool any_new() const { return any_new_; }
  std::size_t left() const { return left_; }

 private:
  static int read_socket(const nlmsghdr* message, void* data) {
    auto& self = *static_cast<Ender*>(data);
    if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return MNL_CB_OK;
    if (std::ranges::find(self.cgroups_, diag_cgroup(message)) == self.cgroups_.end()) return MNL_CB_OK;
    inet_diag_msg socket;
    std::memcpy(&socket, mnl_nlmsg_get_payload(message), sizeof socket);
    self.found_.push_back(socket);
    return MNL_CB_OK;
  }

  Outcome list(std::uint8_t family) {
    if (!ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, {})) return failed("sock_diag");
    for (;;) {
      const int more = receive(read_socket);
      if (more == MNL_CB_STOP) return {};
      if (more < 0 && errno == ENOENT) return {};  // The kernel has no such family.
      if (more < 0) return failed("sock_diag");
    }
  }

  bool end(const inet_diag_msg& socket) {
    if (!ask(SOCK_DESTROY, NLM_F_ACK, socket.idiag_family, socket.id)) return false;
    return receive(nullptr) >= 0 || errno == ENOENT;  // Gone by itself.
  }

  bool ask(std::uint16_t type, int flags, std::uint8_t family, const inet_diag_sockid& id) {
    const DiagRequest request(type, flags, ++sequence_, family, IPPROTO_TCP, kStates);
    request.body->id = id;
    return request.send(socket_.get());
  }

  int receive(mnl_cb_t read) {
    ssize_t got = 0;
    do {
      got = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return -1;
    return mnl_cb_run(buffer_.data(), static_cast<std::size_t>(got), sequence_, mnl_socket_get_portid(socket_.get()), read, this);
  }

  DiagSocket socket_;
  const std::vector<std::uint64_t>& cgroups_;
  std::vector<char> buffer_ = std::vector<char>(65'536);
  std::uint32_t sequence_ = 0;
  std::vector<inet_diag_msg> found_;
  std::vector<Cookie> ended_;
  std::size_t left_ = 0;
  bool any_new_ = false;
};

}  // namespace

std::vector<std::uint64_t> cgroup_ids(const Cgroup& cgroup) {
  std::vector<std::uint64_t> ids;
  // The number of a cgroup's inode is its id, where inodes have 64 bits.
  const auto add = [&](const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) ids.push_back(status.st_ino);
  };
  add(cgroup.directory);
  std::error_code error;
  std::filesystem::recursive_directory_iterator entries(cgroup.directory, error);
  for (; !error && entries != std::filesystem::recursive_directory_iterator(); entries.increment(error)) {
    if (entries->is_directory(error)) add(entries->path().string());
  }
  return ids;
}

std::expected<void, std::string> end_tcp_sockets(const std::vector<std::uint64_t>& cgroups, std::chrono::milliseconds patience) {
  DiagSocket socket = open_diag_socket();
  if (!socket) return failed("sock_diag");
  Ender ender(std::move(socket), cgroups);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (int rounds = 0;;) {
    const Outcome done = ender.round();
    if (done && ender.left() == 0 && (!ender.any_new() || ++rounds == kRoundsMax)) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      if (!done) return done;
      return std::unexpected("the kernel does not end " + std::to_string(ender.left()) +
                             " TCP connections of the command (CONFIG_INET_DIAG_DESTROY)");
    }
    if (!done || ender.left() != 0) std::this_thread::sleep_for(kStep);
  }
}

class TcpSockets::Impl {
 public:
  explicit Impl(DiagSocket socket) : socket_(std::move(socket)) {}

  // end asks for the socket first: for a connection that is not here the kernel finds whoever listens on the port, and would close
  // that. Then it names the one that it was shown, by its cookie.
  SocketEnd end(const Endpoint& local, const Endpoint& remote) {
    inet_diag_msg found{};
    if (!ask(SOCK_DIAG_BY_FAMILY, 0, local, remote, {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}, &found)) {
      return errno == ENOENT ? SocketEnd::kNotHere : SocketEnd::kRefused;
    }
    if (found.idiag_state == 0 || found.idiag_state == TCP_LISTEN) return SocketEnd::kNotHere;
    if (!is_at(found.idiag_family, found.id.idiag_src, found.id.idiag_sport, local)) return SocketEnd::kNotHere;
    if (!is_at(found.idiag_family, found.id.idiag_dst, found.id.idiag_dport, remote)) return SocketEnd::kNotHere;
    const Cookie cookie{found.id.idiag_cookie[0], found.id.idiag_cookie[1]};
    const bool ended = ask(SOCK_DESTROY, NLM_F_ACK, local, remote, cookie, nullptr) || errno == ENOENT;  // Gone by itself.
    return ended ? SocketEnd::kEnded : SocketEnd::kRefused;
  }

 private:
  // is_at tells whether an end of a socket that the kernel showed is `wanted`. Sockets of IPv6 have IPv4 mapped.
  static bool is_at(std::uint8_t family, const std::uint32_t (&words)[4], std::uint16_t port, const Endpoint& wanted) {
    std::array<std::uint8_t, sizeof words> bytes;
    std::memcpy(bytes.data(), words, sizeof words);
    const auto address = IpAddress::from_bytes(ByteSpan(bytes).first(family == AF_INET ? 4 : 16));
    return address && address->unmapped() == wanted.address.unmapped() && ntohs(port) == wanted.port;
  }

  static int read_socket(const nlmsghdr* message, void* data) {
    if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return MNL_CB_ERROR;
    std::memcpy(data, mnl_nlmsg_get_payload(message), sizeof(inet_diag_msg));
    return MNL_CB_OK;
  }

  // ask sends one question and reads its answer: into `found`, or where that is null, an acknowledgement. False: see errno.
  bool ask(std::uint16_t type, int flags, const Endpoint& local, const Endpoint& remote, const Cookie& cookie, inet_diag_msg* found) {
    const DiagRequest request(type, flags, ++sequence_, local.address.is_v6() ? AF_INET6 : AF_INET, IPPROTO_TCP, kStates);
    inet_diag_sockid& id = request.body->id;
    id.idiag_cookie[0] = cookie[0];
    id.idiag_cookie[1] = cookie[1];
    id.idiag_sport = htons(local.port);
    id.idiag_dport = htons(remote.port);
    std::memcpy(id.idiag_src, local.address.bytes().data(), local.address.bytes().size());
    std::memcpy(id.idiag_dst, remote.address.bytes().data(), remote.address.bytes().size());
    if (!request.send(socket_.get())) return false;
    std::array<char, 4'096> buffer;
    ssize_t got = 0;
    do {
      got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    } while (got < 0 && errno == EINTR);
    return got >= 0 && mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), sequence_, mnl_socket_get_portid(socket_.get()),
                                  found != nullptr ? read_socket : nullptr, found) >= 0;
  }

  DiagSocket socket_;
  std::uint32_t sequence_ = 0;
};

std::expected<std::unique_ptr<TcpSockets>, std::string> TcpSockets::open() {
  DiagSocket socket = open_diag_socket();
  if (!socket) return failed("sock_diag");
  return std::unique_ptr<TcpSockets>(new TcpSockets(std::make_unique<Impl>(std::move(socket))));
}

TcpSockets::TcpSockets(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TcpSockets::~TcpSockets() = default;

SocketEnd TcpSockets::end(const FlowKey& key) {
  const SocketEnd of_client = impl_->end(key.client, key.server);
  if (of_client == SocketEnd::kEnded) return of_client;
  const SocketEnd of_server = impl_->end(key.server, key.client);
  return of_server == SocketEnd::kNotHere ? of_client : of_server;
}

}  // namespace sallyport::netfilter
