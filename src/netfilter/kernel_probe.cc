#include "sallyport/netfilter/kernel_probe.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <libnetfilter_queue/libnetfilter_queue.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <vector>

#include "file_descriptor.h"
#include "queue_socket.h"
#include "sallyport/netfilter/command.h"
#include "sallyport/netfilter/conntrack.h"
#include "sallyport/netfilter/queue_stats.h"
#include "sock_diag.h"

namespace sallyport::netfilter {
namespace {

using Outcome = std::expected<void, std::string>;

std::string because(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

// acknowledged sends a configuration message and returns the kernel's answer: 0 or an errno.
int acknowledged(mnl_socket* socket, nlmsghdr* message) {
  message->nlmsg_flags |= NLM_F_ACK;
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return errno;
  std::array<char, 8192> answer;
  const ssize_t got = mnl_socket_recvfrom(socket, answer.data(), answer.size());
  if (got < 0) return errno;
  int left = static_cast<int>(got);
  const auto* h = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (!mnl_nlmsg_ok(h, left) || h->nlmsg_type != NLMSG_ERROR) return EPROTO;
  return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(h))->error;
}

Outcome loopback_up() {
  const FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!fd.valid() || ::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return std::unexpected(because("the loopback"));
  return {};
}

// send_one sends a datagram to port 53 of the loopback, which the rules queue, and returns the socket that waits for it.
std::expected<FileDescriptor, std::string> send_one() {
  FileDescriptor listener(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const FileDescriptor sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{2, 0};
  if (!listener.valid() || ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(because("a socket on the loopback"));
  }
  if (::sendto(sender.get(), "probe", 5, 0, reinterpret_cast<sockaddr*>(&address), sizeof address) != 5) return std::unexpected(because("sending a packet"));
  return listener;
}

// round_trip: one packet through rules and queue.
Outcome round_trip(const RulePlan& plan) {
  auto queue = QueueSocket::open(static_cast<std::uint16_t>(plan.first_queue), false);
  if (!queue) return std::unexpected(queue.error());
  queue->set_receive_timeout(std::chrono::milliseconds(999));
  auto listener = send_one();
  if (!listener) return std::unexpected(listener.error());
  const int got = queue->receive();
  if (got <= 0) return std::unexpected("the rules are in place, but no packet came to the queue");
  const auto bytes = queue->message(0);
  const auto packet = decode_packet(*reinterpret_cast<const nlmsghdr*>(bytes.data()));
  if (!packet) return std::unexpected("the queue's message could not be read");
  const std::uint32_t mark = plan.mark.replace(packet->mark, FlowMark::kAllow, plan.generation);
  queue->add_verdict(packet->id, {NF_REPEAT, mark});
  if (!queue->flush()) return std::unexpected(because("the verdict"));
  char text[16];
  if (::recv(listener->get(), text, sizeof text, 0) != 5) return std::unexpected("the packet that was let go did not arrive");
  return {};
}

Outcome inside_namespace(Backend backend, const RulePlan& plan) {
  if (::unshare(CLONE_NEWNET) != 0) return std::unexpected(because("a network namespace to try the rules in"));
  if (const Outcome up = loopback_up(); !up) return up;
  if (const Outcome applied = RuleInstaller::of(backend).apply(plan); !applied) return applied;
  return round_trip(plan);
}

}  // namespace

QueueProbe probe_queue() {
  QueueProbe probe;
  const std::vector<QueueStats> taken = read_queue_stats();
  probe.queue = 65'535;
  while (std::ranges::find(taken, probe.queue, &QueueStats::queue) != taken.end() && probe.queue > 1) --probe.queue;
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC), mnl_socket_close);
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    probe.error = because("netlink");
    return probe;
  }
  std::array<char, 512> buffer;
  nlmsghdr* message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, probe.queue);
  nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  if (const int error = acknowledged(socket.get(), message); error != 0) {
    probe.error = std::strerror(error);
    return probe;
  }
  const auto flag = [&](std::uint32_t bit) {
    nlmsghdr* m = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, probe.queue);
    mnl_attr_put_u32(m, NFQA_CFG_FLAGS, htonl(bit));
    mnl_attr_put_u32(m, NFQA_CFG_MASK, htonl(bit));
    return acknowledged(socket.get(), m) == 0;
  };
  probe.gso = flag(NFQA_CFG_F_GSO);
  probe.uid_gid = flag(NFQA_CFG_F_UID_GID);
  probe.fail_open = flag(NFQA_CFG_F_FAIL_OPEN);
  probe.conntrack = flag(NFQA_CFG_F_CONNTRACK);
  return probe;  // Closing the socket gives the queue back.
}

Outcome probe_rules(Backend backend, RulePlan plan) {
  plan.queues = 1;
  plan.first_queue = 0;
  plan.cgroup.clear();  // Of this host's tree.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(because("a pipe"));
  FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return std::unexpected(because("a child process"));
  if (child == 0) {
    const Outcome outcome = inside_namespace(backend, plan);
    const std::string text = outcome ? "" : outcome.error();
    (void)!::write(writer.get(), text.data(), std::min<std::size_t>(text.size(), 4'000));
    ::_exit(outcome ? 0 : 1);
  }
  writer.reset();
  std::string error;
  char block[4'096];
  for (ssize_t got = 0; (got = ::read(reader.get(), block, sizeof block)) > 0 || (got < 0 && errno == EINTR);) {
    if (got > 0) error.append(block, static_cast<std::size_t>(got));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return std::unexpected(error.empty() ? "the child process ended early" : error);
}

std::optional<bool> probe_socket_destroy() {
  const DiagSocket socket = open_diag_socket();
  if (!socket) return std::nullopt;
  const DiagRequest request(SOCK_DESTROY, NLM_F_ACK, 1, AF_INET, IPPROTO_TCP, ~std::uint32_t{0});
  request.body->id.idiag_sport = htons(1);
  request.body->id.idiag_dport = htons(1);
  request.body->id.idiag_src[0] = htonl(0x7fffffff);
  request.body->id.idiag_dst[0] = htonl(0x7ffffffe);
  request.body->id.idiag_cookie[0] = request.body->id.idiag_cookie[1] = 1;
  const int error = acknowledged(socket.get(), request.message);
  if (error == ENOENT || error == ESTALE) return true;
  if (error == EOPNOTSUPP) return false;
  return std::nullopt;
}

Outcome probe_ctnetlink() {
  auto conntrack = Conntrack::open(MarkField());
  if (!conntrack) return std::unexpected(conntrack.error());
  if (const auto listed = (*conntrack)->list(UINT32_MAX, UINT32_MAX); !listed) return std::unexpected(listed.error());
  return {};
}

BackendState read_backend(Backend backend) {
  BackendState state;
  const std::string suffix = backend == Backend::kNft ? "-nft-save" : "-legacy-save";
  state.installed = !find_program("iptables" + suffix).empty();
  state.in_use = state.installed && (backend == Backend::kNft || legacy_tables());
  if (!state.in_use) return state;
  for (const char* program : {"iptables", "ip6tables"}) {
    const auto saved = run_command({program + suffix});
    if (saved && saved->exit_code == 0) {
      (program[2] == '6' ? state.saved6 : state.saved4) = saved->output;
    } else if (state.error.empty()) {
      state.error = program + suffix + ": " + (saved ? saved->errors.substr(0, saved->errors.find('\n')) : saved.error());
    }
  }
  return state;
}

}  // namespace sallyport::netfilter
