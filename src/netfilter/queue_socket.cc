#include "queue_socket.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

#include <libnetfilter_queue/libnetfilter_queue.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "sallyport/core/limits.h"
#include "sallyport/netfilter/queue_stats.h"

namespace sallyport::netfilter {
namespace {

constexpr std::uint32_t kCopyRange = 0xffff;
// The packet and the other attributes; a multiple of a message's alignment, as the buffers lie side by side.
constexpr std::size_t kMessageSize = 0x10000 + 4'096;
static_assert(kMessageSize % 64 == 0 && kMessageSize >= kCopyRange + 4'096);
constexpr std::size_t kBatch = 64;                        // Messages in one recvmmsg.
constexpr std::size_t kVerdictBatch = 16'384;             // Bytes in one send: about 400 verdicts.
constexpr std::size_t kVerdictBuffer = kVerdictBatch + 0x10000 + 2 * kVerdictSize;  // And one with a packet of any length.
constexpr int kReceiveBuffer = 32 * 1024 * 1024;

// acknowledged sends a configuration message and waits for the kernel's answer: 0 or an errno.
int acknowledged(mnl_socket* socket, nlmsghdr* message, std::uint32_t sequence) {
  message->nlmsg_flags |= NLM_F_ACK;
  message->nlmsg_seq = sequence;
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return errno;
  std::vector<char> answer(kMessageSize);
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket, answer.data(), answer.size());
    if (got < 0) {
      if (errno == EINTR || errno == ENOBUFS) continue;
      return errno;
    }
    int left = static_cast<int>(got);
    for (nlmsghdr* h = reinterpret_cast<nlmsghdr*>(answer.data()); mnl_nlmsg_ok(h, left);
         h = mnl_nlmsg_next(h, &left)) {
      if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq != sequence) continue;
      return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(h))->error;
    }
  }
}

// copies_packets tells whether the queue hands packets over.
bool copies_packets(std::uint16_t queue) {
  const std::vector<QueueStats> all = read_queue_stats();
  const auto stats = std::ranges::find(all, queue, &QueueStats::queue);
  return stats != all.end() && stats->copy_mode == NFQNL_COPY_PACKET;
}

std::string queue_error(std::uint16_t queue, const std::string& what, int error) {
  return "queue " + std::to_string(queue) + ": " + what + ": " + std::strerror(error);
}

}  // namespace

void QueueSocket::Closer::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}

int QueueSocket::fd() const {
  return mnl_socket_get_fd(socket_.get());
}

std::expected<void, std::string> QueueSocket::configure(bool fail_open) {
  std::array<char, 512> buffer;
  std::uint32_t sequence = 0;
  nlmsghdr* message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue_);
  nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  if (const int error = acknowledged(socket_.get(), message, ++sequence); error != 0) {
    const std::string holder = queue_holder(queue_);
    if (!holder.empty()) return std::unexpected("queue " + std::to_string(queue_) + " is held by " + holder);
    return std::unexpected(
        queue_error(queue_, "cannot bind (is this root, and is nfnetlink_queue there?)", error));
  }
  // Optional flags first, while no packet can arrive: each kernel has its own set of them.
  const auto flag = [&](std::uint32_t bit) {
    nlmsghdr* m = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue_);
    mnl_attr_put_u32(m, NFQA_CFG_FLAGS, htonl(bit));
    mnl_attr_put_u32(m, NFQA_CFG_MASK, htonl(bit));
    return acknowledged(socket_.get(), m, ++sequence);
  };
  if (const int error = flag(NFQA_CFG_F_GSO); error != 0) {
    return std::unexpected(queue_error(queue_, "F_GSO", error));
  }
  if (const int error = flag(NFQA_CFG_F_UID_GID); error != 0) {
    return std::unexpected(queue_error(queue_, "F_UID_GID", error));
  }
  has_conntrack_ = flag(NFQA_CFG_F_CONNTRACK) == 0;
  if (fail_open) {
    if (const int error = flag(NFQA_CFG_F_FAIL_OPEN); error != 0) {
      return std::unexpected(queue_error(queue_, "F_FAIL_OPEN", error));
    }
  }
  // From the copy mode on packets arrive, where rules are in place already, and may come before an answer:
  // ask for none, and look the result up.
  message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue_);
  nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, kCopyRange);
  nfq_nlmsg_cfg_put_qmaxlen(message, kQueueLengthMax);
  if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0 || !copies_packets(queue_)) {
    return std::unexpected(queue_error(queue_, "cannot set the copy range", errno));
  }
  return {};
}

std::expected<QueueSocket, std::string> QueueSocket::open(std::uint16_t queue, bool fail_open) {
  QueueSocket result;
  result.queue_ = queue;
  result.socket_.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!result.socket_) return std::unexpected(queue_error(queue, "netlink socket", errno));
  if (mnl_socket_bind(result.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return std::unexpected(queue_error(queue, "netlink bind", errno));
  }
  int size = kReceiveBuffer;
  if (::setsockopt(result.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    (void)::setsockopt(result.fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  // A full buffer loses packets with or without the error; the kernel counts them (socket_overruns).
  int on = 1;
  (void)::setsockopt(result.fd(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
  if (const std::expected<void, std::string> configured = result.configure(fail_open); !configured) {
    return std::unexpected(configured.error());
  }

  result.receive_buffer_.resize(kBatch * kMessageSize);
  result.vectors_.resize(kBatch);
  result.headers_.resize(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i) {
    result.vectors_[i] = {result.receive_buffer_.data() + i * kMessageSize, kMessageSize};
    result.headers_[i].msg_hdr = {};
    result.headers_[i].msg_hdr.msg_iov = &result.vectors_[i];
    result.headers_[i].msg_hdr.msg_iovlen = 1;
  }
  result.verdicts_.resize(kVerdictBuffer);
  return result;
}

int QueueSocket::receive() {
  // One system call where poll and a read would be two: under load each of them counts.
  const int got = ::recvmmsg(fd(), headers_.data(), kBatch, MSG_WAITFORONE, nullptr);
  if (got >= 0) return got;
  return errno == EAGAIN ? 0 : -errno;
}

void QueueSocket::set_receive_timeout(std::chrono::milliseconds timeout) {
  const timeval value{0, static_cast<suseconds_t>(timeout.count() * 1'000)};
  (void)::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
}

std::span<const std::uint8_t> QueueSocket::message(int index) const {
  const auto i = static_cast<std::size_t>(index);
  return {receive_buffer_.data() + i * kMessageSize, headers_[i].msg_len};
}

bool QueueSocket::add_verdict(std::uint32_t id, const KernelVerdict& verdict, ByteSpan replacement) {
  if (replacement.size() > kReplacementMax) return add_verdict(id, {NF_DROP, std::nullopt});
  bool sent = true;
  if (verdicts_size_ + kVerdictSize > kVerdictBatch) sent = flush();
  static_assert(kVerdictBuffer - kVerdictBatch >= verdict_size({}) + kReplacementMax + 8);
  verdicts_size_ += encode_verdict(std::span(verdicts_).subspan(verdicts_size_), queue_, id, verdict, replacement);
  return sent;
}

bool QueueSocket::flush() {
  if (verdicts_size_ == 0) return true;
  constexpr int kAttempts = 3;
  bool sent = false;
  for (int attempt = 0; attempt < kAttempts && !sent; ++attempt) {
    sent = mnl_socket_sendto(socket_.get(), verdicts_.data(), verdicts_size_) >= 0;
  }
  verdicts_size_ = 0;
  return sent;
}

}  // namespace sallyport::netfilter
