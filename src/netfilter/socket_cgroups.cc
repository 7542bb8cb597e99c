#include "sallyport/netfilter/socket_cgroups.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "file_descriptor.h"
#include "sallyport/core/limits.h"
#include "sallyport/netfilter/cgroup.h"
#include "sock_diag.h"

namespace sallyport::netfilter {
namespace {

constexpr int kFileIdKernfs = 0xfe;  // include/linux/exportfs.h: FILEID_KERNFS, 64 bits.
constexpr std::uint32_t kAllStates = 0xffffffff;
constexpr int kRepliesMax = 64;  // Messages of one dump: some thousand sockets on one port.

// Answer gathers the cgroups of the sockets that could have sent a flow.
struct Answer {
  const FlowKey& key;
  std::optional<std::uint32_t> uid{};  // Of the packet's socket. Unknown: of a UDP socket that is gone, or of the kernel.
  bool any = false;
  bool several = false;
  std::uint64_t id = 0;
  bool several_sockets = false;
  std::uint64_t inode = 0;
  std::uint32_t owner = 0;

  void add(std::uint64_t cgroup, const inet_diag_msg& socket) {
    several |= any && cgroup != id;
    several_sockets |= any && socket.idiag_inode != inode;
    any = true;
    id = cgroup;
    inode = socket.idiag_inode;
    owner = socket.idiag_uid;
  }
  std::optional<std::uint64_t> only() const { return any && !several ? std::optional(id) : std::nullopt; }
};

bool is_any(const std::uint32_t (&words)[4]) {
  return std::ranges::all_of(words, [](std::uint32_t word) { return word == 0; });
}

// is_at tells whether a socket's address is `address`, in either of the forms that an IPv4 address has there.
bool is_at(const std::uint32_t (&words)[4], std::uint8_t family, const IpAddress& address) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, bytes.size());
  const auto found = IpAddress::from_bytes(ByteSpan(bytes).first(family == AF_INET ? 4 : 16));
  return found && found->unmapped() == address.unmapped();
}

// could_send tells whether this socket is one that sends the flow: bound to no other address, connected to no other peer.
bool could_send(const inet_diag_msg& socket, const FlowKey& key) {
  if (ntohs(socket.id.idiag_sport) != key.client.port) return false;
  const bool connected = socket.id.idiag_dport != 0;
  const bool peer = is_at(socket.id.idiag_dst, socket.idiag_family, key.server.address) && ntohs(socket.id.idiag_dport) == key.server.port;
  const bool local = is_at(socket.id.idiag_src, socket.idiag_family, key.client.address);
  if (key.transport == Transport::kTcp) return socket.idiag_state != TCP_LISTEN && peer && local;
  return (local || is_any(socket.id.idiag_src)) && (peer || !connected);
}

int read_answer(const nlmsghdr* message, void* data) {
  Answer& answer = *static_cast<Answer*>(data);
  if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return MNL_CB_OK;
  inet_diag_msg socket;
  std::memcpy(&socket, mnl_nlmsg_get_payload(message), sizeof socket);
  if (!could_send(socket, answer.key)) return MNL_CB_OK;
  // The socket that sent may be gone, and this one be another user's on the same port.
  if (answer.key.transport == Transport::kUdp && answer.uid != socket.idiag_uid) return MNL_CB_OK;
  answer.add(diag_cgroup(message), socket);
  return MNL_CB_OK;
}

void put_address(std::uint32_t (&words)[4], const IpAddress& address) {
  const ByteSpan bytes = address.bytes();
  std::memcpy(words, bytes.data(), bytes.size());
}

// put_port_filter has a dump pass sockets with this local port alone (struct inet_diag_bc_op: each operation and, behind it,
// its operand; `yes` and `no` are how many bytes to go on).
void put_port_filter(nlmsghdr* message, std::uint16_t port) {
  constexpr auto kStep = 2 * sizeof(inet_diag_bc_op);
  std::array<inet_diag_bc_op, 4> code{};
  code[0] = {INET_DIAG_BC_S_GE, static_cast<unsigned char>(kStep), static_cast<unsigned short>(2 * kStep + 4)};
  code[1].no = port;
  code[2] = {INET_DIAG_BC_S_LE, static_cast<unsigned char>(kStep), static_cast<unsigned short>(kStep + 4)};
  code[3].no = port;
  mnl_attr_put(message, INET_DIAG_REQ_BYTECODE, sizeof code, code.data());
}

}  // namespace

class SocketCgroups::Impl {
 public:
  Impl(DiagSocket socket, FileDescriptor root, std::string prefix)
      : socket_(std::move(socket)), root_(std::move(root)), prefix_(std::move(prefix)), buffer_(32'768) {}

  LocalSocket socket_of(const FlowKey& key, std::uint32_t out_link, std::optional<std::uint32_t> uid) {
    Answer answer{key, uid};
    if (key.transport == Transport::kTcp) {
      // One connection has these addresses and ports, so it is the one.
      ask(key, out_link, family_of(key), false, answer);
    } else if (key.transport == Transport::kUdp) {
      // Several sockets may share a port, and a look-up would choose one: all must be of one cgroup. A socket of IPv6 may send
      // IPv4 as well.
      if (!family_of_v6(key)) ask(key, 0, AF_INET, true, answer);
      ask(key, 0, AF_INET6, true, answer);
    }
    LocalSocket socket;
    if (const auto id = answer.only(); id && *id != 0) socket.cgroup = path_of(*id);
    if (answer.any && !answer.several && !answer.several_sockets) {
      socket.inode = answer.inode;
      socket.uid = answer.owner;
    }
    return socket;
  }

  // works asks for a socket that is not there: the kernel must say so.
  bool works() {
    FlowKey key;
    key.transport = Transport::kTcp;
    key.client.port = key.server.port = 1;
    Answer answer{key};
    return ask(key, 0, AF_INET, false, answer);
  }
  // finds_paths asks for the root's, which is 1 only where no cgroup namespace has another. An inode of cgroup2 has its cgroup's id.
  bool finds_paths() {
    struct stat root{};
    if (::fstat(root_.get(), &root) != 0) return false;
    root_id_ = root.st_ino;
    return !path_of(root_id_).empty();
  }

 private:
  static bool family_of_v6(const FlowKey& key) { return key.server.address.is_v6(); }
  static std::uint8_t family_of(const FlowKey& key) { return family_of_v6(key) ? AF_INET6 : AF_INET; }

  bool ask(const FlowKey& key, std::uint32_t out_link, std::uint8_t family, bool dump, Answer& answer) {
    const DiagRequest request(SOCK_DIAG_BY_FAMILY, dump ? NLM_F_DUMP : 0, ++sequence_, family,
                              key.transport == Transport::kTcp ? IPPROTO_TCP : IPPROTO_UDP, kAllStates);
    inet_diag_req_v2* body = request.body;
    body->id.idiag_cookie[0] = body->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (dump) {
      put_port_filter(request.message, key.client.port);
    } else {
      body->id.idiag_sport = htons(key.client.port);
      body->id.idiag_dport = htons(key.server.port);
      body->id.idiag_if = out_link;
      put_address(body->id.idiag_src, key.client.address);
      put_address(body->id.idiag_dst, key.server.address);
    }
    if (!socket_ || !request.send(socket_.get())) {
      answer.several = true;
      socket_ = open_diag_socket();
      return false;
    }
    return receive(dump, answer);
  }

  // receive never waits: the kernel answers while it is asked. An unfinished list decides nothing.
  bool receive(bool dump, Answer& answer) {
    for (int i = 0; i < kRepliesMax; ++i) {
      const ssize_t got = ::recv(mnl_socket_get_fd(socket_.get()), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) break;
      const int more = mnl_cb_run(buffer_.data(), static_cast<std::size_t>(got), sequence_, mnl_socket_get_portid(socket_.get()),
                                  read_answer, &answer);
      if (more < 0 && errno == ENOENT) return true;  // No such socket.
      if (more < 0) break;                           // A list that changed meanwhile (EINTR) decides nothing either.
      if (more == MNL_CB_STOP || !dump) return true;
    }
    answer.several = true;
    socket_ = open_diag_socket();  // What the old one has still to say is of no use.
    return false;
  }

  std::string_view path_of(std::uint64_t id) {
    for (const Known& known : known_) {
      if (known.id == id) return known.path;
    }
    struct Handle {
      unsigned int size = sizeof(std::uint64_t);
      int type = kFileIdKernfs;
      std::uint64_t id = 0;
    } handle;
    static_assert(sizeof(file_handle) == offsetof(Handle, id));
    handle.id = id;
    const FileDescriptor opened(::open_by_handle_at(root_.get(), reinterpret_cast<file_handle*>(&handle), O_PATH | O_CLOEXEC));
    if (!opened.valid()) return {};
    std::array<char, 4'096> text;
    const std::string link = "/proc/self/fd/" + std::to_string(opened.get());
    const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
    if (size <= 0 || size == static_cast<ssize_t>(text.size())) return {};
    std::string_view path(text.data(), static_cast<std::size_t>(size));
    if (!path.starts_with(prefix_) || path.ends_with(" (deleted)")) return {};
    path.remove_prefix(prefix_.size());
    // Of what is not below the root the kernel says "/", too.
    if ((path.empty() || path == "/") && id != root_id_) return {};
    // An id is never given to another cgroup, and a cgroup of version 2 is never renamed.
    if (known_.size() < kCgroupsKept) {
      known_.push_back({id, std::string(path.empty() ? "/" : path)});
      return known_.back().path;
    }
    known_[next_] = {id, std::string(path.empty() ? "/" : path)};
    const std::string_view kept = known_[next_].path;
    next_ = (next_ + 1) % kCgroupsKept;
    return kept;
  }

  struct Known {
    std::uint64_t id = 0;
    std::string path;
  };
  DiagSocket socket_;
  FileDescriptor root_;
  std::string prefix_;
  std::uint64_t root_id_ = 0;
  std::vector<char> buffer_;
  std::uint32_t sequence_ = 0;
  std::vector<Known> known_;
  std::size_t next_ = 0;
};

std::expected<std::unique_ptr<SocketCgroups>, std::string> SocketCgroups::open() {
  const std::string root = cgroup_root();
  if (root.empty()) return std::unexpected("cgroups cannot be told: no cgroup2 file system is mounted");
  FileDescriptor directory(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DiagSocket socket = open_diag_socket();
  if (!directory.valid() || !socket) return std::unexpected(std::string("cgroups cannot be told: ") + std::strerror(errno));
  const bool attached = !root.starts_with("/proc/");  // A path in a mount that nobody sees begins there.
  auto impl = std::make_unique<Impl>(std::move(socket), std::move(directory), attached ? root : std::string());
  if (!impl->works()) return std::unexpected("cgroups cannot be told: the kernel does not answer for sockets (sock_diag)");
  if (!impl->finds_paths()) return std::unexpected(std::string("cgroups cannot be told: open_by_handle_at: ") + std::strerror(errno));
  return std::unique_ptr<SocketCgroups>(new SocketCgroups(std::move(impl)));
}

std::expected<std::unique_ptr<SocketCgroups>, std::string> SocketCgroups::open_for_sockets() {
  if (auto whole = open()) return whole;
  auto impl = std::make_unique<Impl>(open_diag_socket(), FileDescriptor(), std::string());
  if (!impl->works()) return std::unexpected("processes cannot be told: the kernel does not answer for sockets (sock_diag)");
  return std::unique_ptr<SocketCgroups>(new SocketCgroups(std::move(impl)));
}

SocketCgroups::SocketCgroups(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SocketCgroups::~SocketCgroups() = default;

std::string_view SocketCgroups::cgroup_of(const FlowKey& key, std::uint32_t out_link, std::optional<std::uint32_t> uid) {
  return impl_->socket_of(key, out_link, uid).cgroup;
}

LocalSocket SocketCgroups::socket_of(const FlowKey& key, std::uint32_t out_link, std::optional<std::uint32_t> uid) {
  return impl_->socket_of(key, out_link, uid);
}

}  // namespace sallyport::netfilter
