// Helpers for unix sockets that the control server, its client and sd_notify share.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::daemon {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// unix_address makes the address of a path; a leading @ stands for the abstract namespace. Gives nullopt for
// a path that does not fit (107 bytes).
inline std::optional<UnixAddress> unix_address(std::string_view path) {
  UnixAddress result;
  if (path.empty() || path.size() >= sizeof result.address.sun_path) return std::nullopt;
  result.address.sun_family = AF_UNIX;
  std::memcpy(result.address.sun_path, path.data(), path.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  if (path.front() == '@') {
    result.address.sun_path[0] = '\0';
    --result.size;
  }
  return result;
}

inline void set_timeouts(int fd, int seconds) {
  const timeval limit{seconds, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

// read_line reads up to a newline, at most `limit` bytes; the newline is left out. nullopt on error, timeout (errno is EAGAIN)
// or a line that is too long.
inline std::optional<std::string> read_line(int fd, std::size_t limit) {
  std::string line;
  char block[4096];
  while (line.size() < limit) {
    errno = 0;
    const ssize_t got = ::recv(fd, block, sizeof block, 0);
    if (got <= 0) return std::nullopt;
    line.append(block, static_cast<std::size_t>(got));
    if (const std::size_t end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      return line;
    }
  }
  return std::nullopt;
}

inline bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace sallyport::daemon
