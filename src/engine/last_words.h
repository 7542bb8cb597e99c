// LastWordsQueue remembers who was told of a refusal over TCP, until its connection is reset: in order of time, in a ring of fixed
// size. When it is full the oldest is forgotten, whose client then ends by itself.
#pragma once

#include <cstdint>
#include <vector>

#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"

namespace sallyport::engine {

struct LastWords {
  FlowKey key;
  std::uint32_t sequence = 0;  // Of the first byte of the words.
  std::uint32_t size = 0;
  Timestamp due;
};

class LastWordsQueue {
 public:
  LastWordsQueue() : ring_(kLastWordsMax) {}

  void push(const LastWords& told) {
    ring_[(first_ + count_) % ring_.size()] = told;
    if (count_ < ring_.size()) {
      ++count_;
    } else {
      first_ = (first_ + 1) % ring_.size();
    }
  }
  // due returns the oldest if its time has come; valid until pop or push.
  const LastWords* due(Timestamp now) const { return count_ != 0 && ring_[first_].due <= now ? &ring_[first_] : nullptr; }
  void pop() {
    first_ = (first_ + 1) % ring_.size();
    --count_;
  }

 private:
  std::vector<LastWords> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace sallyport::engine
