// systemd's readiness protocol (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "unix_socket.h"

namespace sallyport::daemon {

// notify_service_manager sends "READY=1" or the like; does nothing when no manager asked for it.
inline void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  const std::optional<UnixAddress> address = unix_address(path);
  if (!address) return;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)!::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, address->get(), address->size);
  ::close(fd);
}

}  // namespace sallyport::daemon
