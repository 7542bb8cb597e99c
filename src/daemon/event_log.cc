#include "event_log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace sallyport::daemon {
namespace {

constexpr std::size_t kRingCapacity = 4'096;
constexpr std::size_t kLinesMax = 4'096;
constexpr std::chrono::milliseconds kIdle{40};

std::string base36(std::uint64_t number) {
  std::string digits;
  do {
    digits += "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    number /= 36;
  } while (number != 0);
  std::ranges::reverse(digits);
  return digits;
}

std::uint64_t microseconds(Timestamp time) {
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count());
}

}  // namespace

EventLog::EventLog(unsigned workers, EventFormatter formatter, int fd)
    : formatter_(std::move(formatter)), fd_(fd), id_prefix_(base36(microseconds(std::chrono::system_clock::now())) + '-') {
  for (unsigned i = 0; i < workers; ++i)
    rings_.push_back(std::make_unique<SpscRing<EventRecord>>(kRingCapacity));
}

EventLog::~EventLog() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
}

void EventLog::start() {
  thread_ = std::thread([this] { run(); });
}

void EventLog::add(unsigned worker, const engine::FlowEvent& event) {
  // A flow that ends without a verdict sent nothing to judge; it gets its line all the same.
  if (event.kind != engine::FlowEvent::Kind::kEnd && event.kind != engine::FlowEvent::Kind::kVerdict) return;
  EventRecord record = EventRecord::of(event);
  record.worker = worker;
  if (!record.is_row() && !observer_) return;
  const bool broken = broken_.load(std::memory_order_relaxed);
  const bool taken = (!broken || observer_) && rings_[worker]->push(record);
  if (record.is_row() && (broken || !taken)) dropped_.fetch_add(1, std::memory_order_relaxed);
}

std::string EventLog::next_id() {
  return id_prefix_ + base36(next_id_.fetch_add(1, std::memory_order_relaxed));
}

void EventLog::add_event(std::string_view kind, nlohmann::ordered_json fields) {
  add_line(formatter_.line(next_id(), std::chrono::system_clock::now(), kind, fields));
}

void EventLog::set_policy(std::shared_ptr<const policy::Policy> policy) {
  const std::lock_guard lock(lines_mutex_);
  policies_.push_back(std::move(policy));
}

void EventLog::add_line(std::string line) {
  const std::lock_guard lock(lines_mutex_);
  if (broken_.load(std::memory_order_relaxed) || lines_.size() >= kLinesMax) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
  } else {
    lines_.push_back(std::move(line));
  }
}

void EventLog::run() {
  while (!stopping_.load()) {
    if (!write_pending()) std::this_thread::sleep_for(kIdle);
  }
  while (!broken_ && write_pending()) {
  }
}

bool EventLog::write_pending() {
  std::vector<EventRecord> records;
  EventRecord record;
  for (const auto& ring : rings_) {
    constexpr int kPerTurn = 256;  // No worker keeps the others waiting.
    for (int i = 0; i < kPerTurn && ring->pop(record); ++i) records.push_back(record);
  }
  std::ranges::stable_sort(records, {}, &EventRecord::time);  // The workers' rows in one order.
  std::string text;
  std::size_t rows = 0;
  for (const EventRecord& each : records) {
    if (observer_) observer_(each, each.is_row() ? next_id() : std::string());
    if (!each.is_row() || quiet_ || broken_) continue;
    text += formatter_.line(each);
    ++rows;
  }
  std::vector<std::string> lines;
  {
    const std::lock_guard lock(lines_mutex_);
    lines.swap(lines_);
    // Records of older ones are out of the rings, and no worker is behind by more than one.
    constexpr std::size_t kPoliciesKept = 3;
    while (records.empty() && policies_.size() > kPoliciesKept) policies_.pop_front();
  }
  for (const std::string& line : lines) text += line;
  if (const std::uint64_t lost = dropped(); lost != reported_) {
    const std::string note =
        "sallyport: " + std::to_string(lost - reported_) + " events lost: the log is too slow\n";
    (void)!::write(STDERR_FILENO, note.data(), note.size());
    reported_ = lost;
  }
  if (text.empty()) return !records.empty();
  if (write(text)) return true;
  dropped_.fetch_add(rows + lines.size(), std::memory_order_relaxed);
  return false;
}

bool EventLog::write(std::string_view text) {
  auto give_up = std::chrono::steady_clock::time_point::max();
  while (!text.empty() && !broken_) {
    if (stopping_.load() && give_up == std::chrono::steady_clock::time_point::max()) {
      give_up = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    }
    if (std::chrono::steady_clock::now() >= give_up) {
      broken_ = true;
      break;
    }
    pollfd out{fd_, POLLOUT, 0};
    if (::poll(&out, 1, 100) <= 0) continue;
    // A pipe that polls as writable takes PIPE_BUF bytes without blocking.
    const ssize_t written = ::write(fd_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && errno != EINTR && errno != EAGAIN) {
      const std::string note = std::string("sallyport: standard output takes no more events: ") + std::strerror(errno) + '\n';
      (void)!::write(STDERR_FILENO, note.data(), note.size());
      broken_ = true;
    }
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return !broken_;
}

}  // namespace sallyport::daemon
