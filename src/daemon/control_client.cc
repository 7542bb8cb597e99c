#include "sallyport/daemon/control_client.h"

#include <unistd.h>

#include <cerrno>

#include "unix_socket.h"

namespace sallyport::daemon {

std::expected<std::string, ControlFailure> ask_daemon(const std::string& path, std::string_view request) {
  const auto fail = [&](ControlError error, std::string_view what) {
    return std::unexpected(ControlFailure{error, path + ": " + std::string(what)});
  };
  const std::optional<UnixAddress> address = unix_address(path);
  if (!address) return fail(ControlError::kFailed, "the path is too long");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(ControlError::kFailed, std::strerror(errno));
  set_timeouts(fd, 5);
  if (::connect(fd, address->get(), address->size) != 0) {
    const int error = errno;
    ::close(fd);
    const bool absent = error == ENOENT || error == ECONNREFUSED || error == ENOTDIR;
    return fail(absent ? ControlError::kNotRunning : ControlError::kFailed, std::strerror(error));
  }
  constexpr std::size_t kAnswerMax = 1'048'576;
  std::optional<std::string> answer;
  if (send_all(fd, std::string(request) + '\n')) answer = read_line(fd, kAnswerMax);
  ::close(fd);
  if (!answer) return fail(ControlError::kFailed, "no answer");
  return *std::move(answer);
}

}  // namespace sallyport::daemon
