#include "event_output.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sallyport/core/limits.h"

namespace sallyport::daemon {
namespace {

constexpr std::chrono::seconds kGrace{1};
constexpr std::chrono::seconds kIdle{1};
constexpr std::size_t kBatch = 256;

}  // namespace

EventOutput::EventOutput(std::string name, std::unique_ptr<EventSink> sink, std::function<void(const std::string&)> say)
    : name_(std::move(name)), sink_(std::move(sink)), say_(std::move(say)), thread_([this] { run(); }) {}

EventOutput::~EventOutput() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void EventOutput::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) give_up_ = std::chrono::steady_clock::now() + kGrace;
    stopping_ = true;
  }
  wake_.notify_all();
}

void EventOutput::add(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    if (broken_ || stopping_ || bytes_ + line.size() > kEventBufferBytes) {
      lost_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    bytes_ += line.size();
    lines_.push_back(std::move(line));
  }
  wake_.notify_one();
}

std::string EventOutput::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void EventOutput::lose(std::size_t lines) {
  lost_.fetch_add(lines, std::memory_order_relaxed);
}

void EventOutput::run() {
  std::deque<std::string> taken;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (taken.empty()) wake_.wait_for(lock, kIdle, [this] { return stopping_ || !lines_.empty(); });
      if (stopping_ && taken.empty() && lines_.empty()) break;
      if (stopping_ && std::chrono::steady_clock::now() >= give_up_) {
        lose(taken.size() + lines_.size());
        break;
      }
      if (taken.empty()) taken.swap(lines_);
    }
    if (taken.empty()) {
      sink_->idle();
    } else if (!write_some(taken)) {
      const std::lock_guard lock(mutex_);
      lose(taken.size() + lines_.size());
      broken_ = true;
      lines_.clear();
      break;
    }
    if (const std::uint64_t lost = this->lost(); lost != told_lost_ && taken.empty()) {
      say_(std::to_string(lost - told_lost_) + " events lost: " + name_ + " is too slow, or takes none");
      told_lost_ = lost;
    }
  }
  if (const std::uint64_t lost = this->lost(); lost != told_lost_) say_(std::to_string(lost - told_lost_) + " events lost for " + name_);
  ended_.store(true);
}

bool EventOutput::write_some(std::deque<std::string>& lines) {
  std::vector<std::string> batch(std::make_move_iterator(lines.begin()), std::make_move_iterator(lines.begin() + static_cast<std::ptrdiff_t>(std::min(lines.size(), kBatch))));
  const EventSink::Progress progress = sink_->write(batch);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < progress.done; ++i) bytes += batch[i].size();
  for (std::size_t i = progress.done; i < batch.size(); ++i) lines[i] = std::move(batch[i]);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(progress.done));
  written_.fetch_add(progress.done - progress.lost, std::memory_order_relaxed);
  lose(progress.lost);
  note(progress);
  std::unique_lock lock(mutex_);
  bytes_ -= bytes;
  if (progress.state == EventSink::State::kLater && progress.wait.count() != 0) {
    wake_.wait_for(lock, progress.wait, [this] { return stopping_; });
    // Nobody calls while it stops: without this pause it would ask without end.
    if (stopping_) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return progress.state != EventSink::State::kBroken;
}

void EventOutput::note(const EventSink::Progress& progress) {
  bool again = false;
  {
    const std::lock_guard lock(mutex_);
    again = !error_.empty() && progress.state == EventSink::State::kReady;
    if (!progress.error.empty()) error_ = progress.error;
    if (again) error_.clear();
  }
  if (!progress.error.empty()) say_(progress.error);
  if (again) say_(name_ + " takes events again");
}

}  // namespace sallyport::daemon
