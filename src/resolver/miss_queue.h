// MissQueue carries misses from the workers to the resolver's thread: bounded, lock-free for any number of producers,
// one consumer. A slot's sequence number says whose turn it is: equal to the position, it is free to write; one more,
// it is full; a full round more, it was read.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace sallyport::resolver {

template <typename Item>
class MissQueue {
 public:
  // capacity is a power of two.
  explicit MissQueue(std::size_t capacity) : slots_(capacity) {
    for (std::size_t i = 0; i < capacity; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }

  // push is for any thread; a full queue refuses. Never waits for another thread.
  bool push(const Item& item) {
    std::size_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Slot& slot = slots_[position & (slots_.size() - 1)];
      const std::size_t turn = slot.turn.load(std::memory_order_acquire);
      if (turn == position) {
        if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
          slot.item = item;
          slot.turn.store(position + 1, std::memory_order_release);
          return true;
        }
      } else if (turn < position) {
        return false;  // Not read yet since the round before.
      } else {
        position = tail_.load(std::memory_order_relaxed);
      }
    }
  }

  // pop is for the consuming thread alone.
  bool pop(Item& item) {
    Slot& slot = slots_[head_ & (slots_.size() - 1)];
    if (slot.turn.load(std::memory_order_acquire) != head_ + 1) return false;
    item = slot.item;
    slot.turn.store(head_ + slots_.size(), std::memory_order_release);
    ++head_;
    return true;
  }

 private:
  struct Slot {
    std::atomic<std::size_t> turn{0};
    Item item{};
  };
  std::vector<Slot> slots_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::size_t head_ = 0;
};

}  // namespace sallyport::resolver
