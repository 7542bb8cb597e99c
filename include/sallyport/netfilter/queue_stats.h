// What the kernel tells of the queues of this network namespace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::netfilter {

// QueueStats is one line of /proc/net/netfilter/nfnetlink_queue.
struct QueueStats {
  std::uint16_t queue = 0;
  std::uint32_t port_id = 0;        // Of the netlink socket that holds the queue.
  std::uint32_t waiting = 0;        // Packets without a verdict.
  unsigned copy_mode = 0;           // NFQNL_COPY_NONE (which drops), _META or _PACKET.
  std::uint64_t queue_dropped = 0;  // The queue was full.
  std::uint64_t user_dropped = 0;   // The socket's buffer was full.
  std::uint32_t last_id = 0;        // Packets queued so far.
};

// parse_queue_stats reads the file's text; lines that it does not understand are left out.
std::vector<QueueStats> parse_queue_stats(std::string_view text);

// read_queue_stats reads the file; empty when there is none.
std::vector<QueueStats> read_queue_stats();

// socket_overruns returns how often a socket's buffer had no room for a message: for a netlink socket each is an ENOBUFS, told or not.
// It asks the socket itself (0 where the kernel does not tell), and not /proc/net/netlink: the time to read that grows with the
// square of the sockets in it, and everybody may open some.
std::uint32_t socket_overruns(int fd);

// queue_holder names the process that holds a queue, as "sallyport (pid 1234)", or says that it is in
// another pid namespace; empty when nobody holds it.
std::string queue_holder(std::uint16_t queue);

}  // namespace sallyport::netfilter
