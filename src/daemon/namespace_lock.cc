#include "namespace_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::daemon {
namespace {

// In a directory that only root can write to: nobody else may hold the lock. The file stays; a file that is removed could be
// locked by one process while another makes a new one.
constexpr const char* kDirectory = "/run/sallyport-lock";

}  // namespace

std::expected<NamespaceLock, std::string> NamespaceLock::take() {
  struct stat space{};
  if (::stat("/proc/self/ns/net", &space) != 0) return std::unexpected(std::string("/proc/self/ns/net: ") + std::strerror(errno));
  if (::mkdir(kDirectory, 0700) != 0 && errno != EEXIST) return std::unexpected(std::string(kDirectory) + ": " + std::strerror(errno));
  const std::string path = std::string(kDirectory) + "/netns-" + std::to_string(space.st_ino);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return std::unexpected(path + ": " + std::strerror(errno));
  NamespaceLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return std::unexpected(path + ": " + std::strerror(errno));
  return std::unexpected("a sallyport service, or a run of a command, is already in this network namespace; a command can have its own: --netns");
}

NamespaceLock::NamespaceLock(NamespaceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

NamespaceLock::~NamespaceLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace sallyport::daemon
