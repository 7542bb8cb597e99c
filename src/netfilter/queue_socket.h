// QueueSocket is the netlink socket of one NFQUEUE queue: binding, batches of packets in, batches of
// verdicts out. One thread uses it. Memory is taken in open.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "queue_message.h"

struct mnl_socket;
struct nlmsghdr;

namespace sallyport::netfilter {

class QueueSocket {
 public:
  // open binds the queue in this network namespace. fail_open: packets that find the queue full pass.
  // Fails with a message that names the holder when another socket has the queue.
  static std::expected<QueueSocket, std::string> open(std::uint16_t queue, bool fail_open);

  int fd() const;
  // has_conntrack tells whether the kernel adds conntrack facts to each packet (NETFILTER_NETLINK_GLUE_CT).
  bool has_conntrack() const { return has_conntrack_; }

  // receive waits for a message, at most for the time set, and reads what is there, up to a batch. Gives the
  // number of messages, 0 when there are none, or a negative errno.
  int receive();
  void set_receive_timeout(std::chrono::milliseconds timeout);
  // message returns the bytes of message `index` of the last receive.
  std::span<const std::uint8_t> message(int index) const;

  // add_verdict appends to the batch that flush sends, in order; sends by itself when the batch is full.
  // Both return false when the kernel refused the batch. `replacement`, if there is one, goes instead of the packet; one
  // that no verdict can carry turns the verdict into a drop.
  bool add_verdict(std::uint32_t id, const KernelVerdict& verdict, ByteSpan replacement = {});
  bool flush();

 private:
  struct Closer {
    void operator()(mnl_socket* socket) const;
  };
  QueueSocket() = default;
  std::expected<void, std::string> configure(bool fail_open);

  std::unique_ptr<mnl_socket, Closer> socket_;
  std::uint16_t queue_ = 0;
  bool has_conntrack_ = false;
  std::vector<std::uint8_t> receive_buffer_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> headers_;
  std::vector<std::uint8_t> verdicts_;
  std::size_t verdicts_size_ = 0;
};

}  // namespace sallyport::netfilter
