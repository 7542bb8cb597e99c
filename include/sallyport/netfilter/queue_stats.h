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
  std::uint64_t overruns = 0;       // NetlinkSocket::drops of its socket.
};

// NetlinkSocket is one line of /proc/net/netlink.
struct NetlinkSocket {
  unsigned protocol = 0;    // NETLINK_NETFILTER, ...
  std::uint32_t port_id = 0;
  std::uint64_t drops = 0;  // Messages for which its buffer had no room: each would be an ENOBUFS to a socket that wants them (QueueSocket does not).
  std::string inode;
};

// parse_netlink_sockets reads the file's text; lines that it does not understand are left out.
std::vector<NetlinkSocket> parse_netlink_sockets(std::string_view text);

// parse_queue_stats reads the file's text; lines that it does not understand are left out.
std::vector<QueueStats> parse_queue_stats(std::string_view text);

// read_queue_stats reads both files; empty when there is no queue.
std::vector<QueueStats> read_queue_stats();

// queue_holder names the process that holds a queue, as "sallyport (pid 1234)", or says that it is in
// another pid namespace; empty when nobody holds it.
std::string queue_holder(std::uint16_t queue);

}  // namespace sallyport::netfilter
