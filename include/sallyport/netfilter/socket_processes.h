// ProcessSearch finds the processes that have sockets open, by their descriptors in /proc: it looks first where it found one
// last, then at the newest processes of the socket's user. One thread owns it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>

#include "sallyport/netfilter/listening_sockets.h"

namespace sallyport::netfilter {

class ProcessSearch {
 public:
  struct Wanted {
    std::uint64_t inode = 0;
    std::uint32_t uid = 0;  // Who made the socket.
  };

  // find returns one process for each socket that some process has open, by inode. Looks at no more than
  // kOwnerDescriptorsMax descriptors. Without root it sees the user's own processes alone.
  std::map<std::uint64_t, SocketOwner> find(std::span<const Wanted> wanted);

 private:
  struct Looking;
  void look_at(pid_t pid, Looking& looking);

  std::deque<pid_t> recent_;  // Where sockets were found, the latest first.
};

}  // namespace sallyport::netfilter
