#include "namespace_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "sallyport/daemon/removal_note.h"

namespace sallyport::daemon {
namespace {

// In a directory that only root can write to: nobody else may hold the lock. The file stays; a file that is removed could be
// locked by one process while another makes a new one.
constexpr const char* kDirectory = "/run/sallyport-lock";

// lock_path returns the file of this network namespace; empty: it is not known, see errno.
std::string lock_path() {
  struct stat space{};
  if (::stat("/proc/self/ns/net", &space) != 0) return {};
  return std::string(kDirectory) + "/netns-" + std::to_string(space.st_ino);
}

}  // namespace

std::expected<NamespaceLock, std::string> NamespaceLock::take() {
  const std::string path = lock_path();
  if (path.empty()) return std::unexpected(std::string("/proc/self/ns/net: ") + std::strerror(errno));
  if (::mkdir(kDirectory, 0700) != 0 && errno != EEXIST) return std::unexpected(std::string(kDirectory) + ": " + std::strerror(errno));
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return std::unexpected(path + ": " + std::strerror(errno));
  NamespaceLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    (void)!::ftruncate(fd, 0);  // What was removed before is none of this run's business.
    return lock;
  }
  if (errno != EWOULDBLOCK) return std::unexpected(path + ": " + std::strerror(errno));
  return std::unexpected("a sallyport service, or a run of a command, is already in this network namespace; a command can have its own: --netns");
}

void NamespaceLock::note_removal() {
  const std::string path = lock_path();
  const int fd = path.empty() ? -1 : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;  // Nobody ever was here.
  constexpr std::string_view kNote = "rules removed\n";
  (void)!::write(fd, kNote.data(), kNote.size());
  ::close(fd);
}

void NamespaceLock::forget_removal() {
  const int fd = ::open(lock_path().c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  (void)!::ftruncate(fd, 0);
  ::close(fd);
}

bool NamespaceLock::removal_noted() {
  struct stat file{};
  return ::stat(lock_path().c_str(), &file) == 0 && file.st_size != 0;
}

void note_rules_removed() {
  NamespaceLock::note_removal();
}

NamespaceLock::NamespaceLock(NamespaceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

NamespaceLock::~NamespaceLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace sallyport::daemon
