#include "sallyport/daemon/control_client.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "unix_socket.h"

namespace sallyport::daemon {

namespace {

constexpr std::size_t kAnswerMax = 64u << 20;

std::unexpected<ControlFailure> fail(const std::string& path, ControlError error, std::string_view what) {
  return std::unexpected(ControlFailure{error, path + ": " + std::string(what)});
}

// request_at connects and sends the request; the descriptor is the caller's.
std::expected<int, ControlFailure> request_at(const std::string& path, std::string_view request, std::chrono::seconds limit) {
  const std::optional<UnixAddress> address = unix_address(path);
  if (!address) return fail(path, ControlError::kFailed, "the path is too long");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(path, ControlError::kFailed, std::strerror(errno));
  set_timeouts(fd, static_cast<int>(limit.count()));
  if (::connect(fd, address->get(), address->size) != 0) {
    const int error = errno;
    ::close(fd);
    const bool absent = error == ENOENT || error == ECONNREFUSED || error == ENOTDIR;
    return fail(path, absent ? ControlError::kNotRunning : ControlError::kFailed, std::strerror(error));
  }
  // A service that refuses a client has its answer out before the request is read.
  (void)send_all(fd, std::string(request) + '\n');
  return fd;
}

}  // namespace

std::expected<std::string, ControlFailure> ask_daemon(const std::string& path, std::string_view request, std::chrono::seconds limit) {
  const auto fd = request_at(path, request, limit);
  if (!fd) return std::unexpected(fd.error());
  std::optional<std::string> answer = read_line(*fd, kAnswerMax);
  const bool late = !answer && (errno == EAGAIN || errno == EWOULDBLOCK);
  ::close(*fd);
  if (late) return fail(path, ControlError::kFailed, "no answer within " + std::to_string(limit.count()) + " s: the service is busy or hangs");
  if (!answer) return fail(path, ControlError::kFailed, "no answer");
  return *std::move(answer);
}

std::expected<ControlConnection, ControlFailure> ControlConnection::open(const std::string& path, std::string_view request) {
  const auto fd = request_at(path, request, kReadWait);
  if (!fd) return std::unexpected(fd.error());
  return ControlConnection(*fd);
}

ControlConnection::~ControlConnection() {
  if (fd_ >= 0) ::close(fd_);
}

ControlConnection::ControlConnection(ControlConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), begun_(std::move(other.begun_)) {}

ControlConnection& ControlConnection::operator=(ControlConnection&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(begun_, other.begun_);
  return *this;
}

bool ControlConnection::read(std::vector<std::string>& lines) {
  char block[65'536];
  for (;;) {
    const ssize_t got = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (got <= 0 || begun_.size() + static_cast<std::size_t>(got) > kAnswerMax) return false;
    begun_.append(block, static_cast<std::size_t>(got));
    std::size_t start = 0;
    for (std::size_t end; (end = begun_.find('\n', start)) != std::string::npos; start = end + 1) {
      lines.push_back(begun_.substr(start, end - start));
    }
    begun_.erase(0, start);
  }
}

}  // namespace sallyport::daemon
