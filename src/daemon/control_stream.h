// ControlStream carries lines to one client of the control socket that asked for a stream. Any thread may send; a client
// that does not read costs lines, which are counted, and nobody's time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace sallyport::daemon {

class ControlStream {
 public:
  static constexpr std::size_t kPendingMax = 1'048'576;

  // `wake` has the server look at the stream; it is called by whoever sends.
  explicit ControlStream(std::function<void()> wake) : wake_(std::move(wake)) {}
  ControlStream(const ControlStream&) = delete;
  ControlStream& operator=(const ControlStream&) = delete;

  // send takes one line without its newline. False: it is lost, as the client reads too slowly or is gone.
  bool send(std::string_view line) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return false;
      if (pending_.size() + line.size() >= kPendingMax) {
        lost_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
      pending_ += line;
      pending_ += '\n';
      wake_();  // Within the lock: a closed stream's server may be gone.
    }
    return true;
  }
  bool closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  friend class ControlServer;
  std::string take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(pending_, {});
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    pending_.clear();
  }

  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::string pending_;
  bool closed_ = false;
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace sallyport::daemon
