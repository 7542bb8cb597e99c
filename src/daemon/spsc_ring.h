// SpscRing is a bounded queue from one thread to one other, without locks. A full ring refuses.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace sallyport::daemon {

template <typename Item>
class SpscRing {
 public:
  // capacity is a power of two.
  explicit SpscRing(std::size_t capacity) : items_(capacity) {}

  // push is for the producing thread.
  bool push(const Item& item) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == items_.size()) return false;
    items_[tail & (items_.size() - 1)] = item;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // pop is for the consuming thread.
  bool pop(Item& item) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    item = items_[head & (items_.size() - 1)];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  std::vector<Item> items_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace sallyport::daemon
