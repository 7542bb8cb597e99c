#include "event_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kPollMs = 100;
constexpr milliseconds kFullDiskWait{500};
constexpr milliseconds kBackoffFirst{100};
constexpr milliseconds kBackoffLast{5'000};
constexpr milliseconds kFileCheck{1'000};

std::string reason() {
  return std::strerror(errno);
}

// Descriptor closes what it has.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { reset(-1); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void reset(int fd) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class DescriptorSink final : public EventSink {
 public:
  DescriptorSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  Progress write(std::span<const std::string> lines) override {
    Progress progress;
    for (; progress.done < lines.size(); ++progress.done, written_ = 0) {
      const std::string& line = lines[progress.done];
      while (written_ < line.size()) {
        pollfd out{fd_, POLLOUT, 0};
        if (::poll(&out, 1, kPollMs) <= 0) return later(progress, milliseconds(0));
        // A pipe that polls as writable takes PIPE_BUF bytes without blocking.
        const ssize_t written = ::write(fd_, line.data() + written_, std::min<std::size_t>(line.size() - written_, PIPE_BUF));
        if (written > 0) written_ += static_cast<std::size_t>(written);
        if (written >= 0 || errno == EINTR) continue;
        if (errno == EAGAIN) return later(progress, milliseconds(10));
        progress.state = State::kBroken;
        progress.error = name_ + " takes no more events: " + reason();
        return progress;
      }
    }
    return progress;
  }

 private:
  static Progress later(Progress progress, milliseconds wait) {
    progress.state = State::kLater;
    progress.wait = wait;
    return progress;
  }

  int fd_;
  std::string name_;
  std::size_t written_ = 0;  // Of the first line that is not done.
};

class FileSink final : public EventSink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}

  Progress write(std::span<const std::string> lines) override {
    Progress progress;
    if (!ready(progress)) return progress;
    while (progress.done < lines.size()) {
      std::string block = torn_;
      std::size_t count = 0;
      while (progress.done + count < lines.size() && block.size() < kBlock) block += lines[progress.done + count++];
      const ssize_t written = ::write(file_.get(), block.data(), block.size());
      if (written == static_cast<ssize_t>(block.size())) {
        torn_.clear();
        told_.clear();
        progress.done += count;
        continue;
      }
      if (written < 0 && errno == EINTR) continue;
      if (written > 0) settle(static_cast<std::size_t>(written), lines, progress);
      if (written > 0 && torn_.empty()) continue;
      if (written >= 0) errno = ENOSPC;
      return failed(progress, "cannot be written");
    }
    return progress;
  }

  void idle() override {
    Progress progress;
    (void)ready(progress);
  }

 private:
  static constexpr std::size_t kBlock = 65'536;

  // settle counts the lines that a short write took whole; the rest of one that it cut goes first next time.
  void settle(std::size_t written, std::span<const std::string> lines, Progress& progress) {
    if (written < torn_.size()) {
      torn_.erase(0, written);
      return;
    }
    written -= torn_.size();
    torn_.clear();
    while (written != 0) {
      const std::string& line = lines[progress.done++];
      if (written < line.size()) torn_ = line.substr(written);
      written -= std::min(written, line.size());
    }
  }

  // ready opens the file where it is not open, or no longer what the path names.
  bool ready(Progress& progress) {
    if (file_.open() && Clock::now() - checked_ < kFileCheck) return true;
    checked_ = Clock::now();
    if (file_.open()) {
      struct stat by_path{}, ours{};
      const bool same = ::stat(path_.c_str(), &by_path) == 0 && ::fstat(file_.get(), &ours) == 0 && by_path.st_dev == ours.st_dev &&
                        by_path.st_ino == ours.st_ino;
      if (same) return true;
      torn_.clear();  // The rest of a line has no place in another file.
    }
    file_.reset(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
    if (file_.open()) {
      end_last_line();
      return true;
    }
    (void)failed(progress, "cannot be opened");
    return false;
  }

  // end_last_line begins with a newline behind a line that an earlier run could not finish.
  void end_last_line() {
    struct stat status{};
    char last = '\n';
    if (::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      (void)!::pread(file_.get(), &last, 1, status.st_size - 1);
    }
    if (last != '\n') torn_ = "\n";
  }

  Progress& failed(Progress& progress, const char* what) {
    progress.state = State::kLater;
    progress.wait = kFullDiskWait;
    const std::string error = path_ + ' ' + what + ": " + reason();
    if (error != told_) progress.error = told_ = error;
    return progress;
  }

  std::string path_;
  Descriptor file_;
  Clock::time_point checked_{};
  std::string torn_;  // What is missing of the last line in the file.
  std::string told_;
};

// SocketSink is what a unix socket and the journal share.
class SocketSink final : public EventSink {
 public:
  SocketSink(std::string path, bool journal) : path_(std::move(path)), journal_(journal) {}

  Progress write(std::span<const std::string> lines) override {
    Progress progress;
    if (!socket_.open() && !connect(progress)) return progress;
    for (; progress.done < lines.size(); ++progress.done, sent_ = 0) {
      const std::string& line = lines[progress.done];
      while (sent_ < line.size()) {
        const ssize_t sent = ::send(socket_.get(), line.data() + sent_, line.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) sent_ += static_cast<std::size_t>(sent);
        if (sent >= 0 || errno == EINTR) continue;
        if (errno == EMSGSIZE) {
          ++progress.lost;
          break;
        }
        if (errno == EAGAIN || errno == ENOBUFS) return full(progress);
        return ended(progress);
      }
    }
    told_ = false;
    return progress;
  }

  void idle() override {
    char byte = 0;
    // A collector that left is met anew before there is something to tell it.
    if (socket_.open() && stream_ && ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0) socket_.reset(-1);
  }

 private:
  bool connect(Progress& progress) {
    const auto address = unix_address(path_);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      if (journal_ && type == SOCK_STREAM) continue;
      socket_.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!address || !socket_.open()) break;
      if (::connect(socket_.get(), address->get(), address->size) == 0) {
        constexpr int kSendBuffer = 1 << 20;
        (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
        stream_ = type == SOCK_STREAM;
        backoff_ = kBackoffFirst;
        sent_ = 0;  // What a connection before had of a line was not a line.
        return true;
      }
      if (errno != EPROTOTYPE) break;
    }
    (void)ended(progress);
    return false;
  }

  static Progress full(Progress progress) {
    progress.state = State::kLater;
    progress.wait = milliseconds(10);
    return progress;
  }

  Progress& ended(Progress& progress) {
    progress.state = State::kLater;
    progress.wait = backoff_;
    if (!told_) progress.error = path_ + " takes no events: " + reason();
    told_ = true;
    backoff_ = std::min(2 * backoff_, kBackoffLast);
    socket_.reset(-1);
    return progress;
  }

  std::string path_;
  bool journal_;
  bool stream_ = false;
  bool told_ = false;
  Descriptor socket_;
  std::size_t sent_ = 0;  // Of the first line that is not done.
  milliseconds backoff_ = kBackoffFirst;
};

}  // namespace

std::unique_ptr<EventSink> descriptor_sink(int fd, std::string name) {
  return std::make_unique<DescriptorSink>(fd, std::move(name));
}
std::unique_ptr<EventSink> file_sink(std::string path) {
  return std::make_unique<FileSink>(std::move(path));
}
std::unique_ptr<EventSink> unix_sink(std::string path) {
  return std::make_unique<SocketSink>(std::move(path), false);
}
std::unique_ptr<EventSink> journal_sink(std::string path) {
  return std::make_unique<SocketSink>(std::move(path), true);
}

}  // namespace sallyport::daemon
