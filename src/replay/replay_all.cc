#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "sallyport/replay/replay.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t kWaitingPerThread = 4;  // Results that may wait for an earlier file.
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

std::uint64_t total_size(const std::vector<std::filesystem::path>& files) {
  std::uint64_t total = 0;
  for (const auto& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (!error) total += size;
  }
  return total;
}

// OrderedResults hands results from the threads that make them to the one that takes them in order.
class OrderedResults {
 public:
  OrderedResults(std::size_t count, std::size_t window) : slots_(count), window_(window) {}

  // claim returns the next file for a thread, or nullopt when there is none; waits while too many results
  // are ahead of the slowest file.
  std::optional<std::size_t> claim() {
    std::unique_lock lock(mutex_);
    taken_.wait(lock, [&] { return claimed_ < delivered_ + window_ || claimed_ == slots_.size(); });
    if (claimed_ == slots_.size()) return std::nullopt;
    return claimed_++;
  }

  void put(std::size_t index, CaptureResult result) {
    const std::lock_guard lock(mutex_);
    slots_[index] = std::move(result);
    ready_.notify_one();
  }

  // take waits for the next result in order; nullopt when `interval` has passed without it.
  template <typename Interval>
  std::optional<CaptureResult> take(Interval interval) {
    std::unique_lock lock(mutex_);
    if (!ready_.wait_for(lock, interval, [&] { return slots_[delivered_].has_value(); })) return std::nullopt;
    std::optional<CaptureResult> result = std::move(slots_[delivered_]);
    slots_[delivered_].reset();
    ++delivered_;
    taken_.notify_all();
    return result;
  }

  bool finished() const { return delivered_ == slots_.size(); }  // Only for the taking thread.

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable taken_;
  std::vector<std::optional<CaptureResult>> slots_;
  std::size_t window_;
  std::size_t claimed_ = 0;
  std::size_t delivered_ = 0;
};

}  // namespace

void replay_all(const std::vector<std::filesystem::path>& files, const ReplayOptions& options,
                const OnResult& on_result, const OnProgress& on_progress) {
  const std::size_t wanted = options.jobs != 0 ? options.jobs : std::thread::hardware_concurrency();
  const std::size_t threads = std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(files.size(), 1));
  const std::uint64_t total = total_size(files);
  std::atomic<std::uint64_t> bytes_read{0};
  OrderedResults results(files.size(), threads * kWaitingPerThread);
  const auto work = [&] {
    while (const auto index = results.claim()) {
      results.put(*index, replay_capture(files[*index], options, bytes_read));
    }
  };
  std::vector<std::jthread> pool;
  for (std::size_t i = 0; i < threads; ++i) pool.emplace_back(work);
  while (!results.finished()) {
    if (auto result = results.take(kProgressInterval)) {
      on_result(std::move(*result));
    }
    if (on_progress) on_progress(bytes_read.load(std::memory_order_relaxed), total);
  }
}

}  // namespace sallyport::replay
