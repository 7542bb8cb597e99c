// DnsPending remembers the questions that were let through and have no answer yet: what an answer must match to bind
// anything (R16). One worker owns it; memory is taken in the constructor. A flow's questions are in the order in which
// they were asked, and so are all of them: a flow at its bound, or a full pool, forgets the oldest.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"

namespace sallyport::engine {

class DnsPending {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // List is a flow's part; the flow gives it back by forget_all before it goes.
  struct List {
    std::uint32_t head = kNone;
    std::uint32_t tail = kNone;
    std::uint32_t count = 0;
  };
  struct Question {
    std::uint64_t name_hash = 0;  // Keyed, of the name in lower case.
    std::uint16_t id = 0;
    std::uint16_t type = 0;
    std::uint16_t dns_class = 0;
    friend bool operator==(const Question&, const Question&) = default;
  };

  explicit DnsPending(std::size_t capacity) : nodes_(std::make_unique_for_overwrite<Node[]>(capacity)), capacity_(capacity) {
    free_.reserve(capacity);
  }

  void ask(List& list, const Question& question, Timestamp now) {
    (void)take(list, [&](const Question& other) { return other == question; }, now);  // Sent again: the time counts anew.
    if (list.count >= kDnsPendingPerFlow) drop_head(list);
    if (free_.empty() && used_ == capacity_) drop_head(*nodes_[oldest_].list);
    std::uint32_t index = used_;
    if (free_.empty()) {
      ++used_;
    } else {
      index = free_.back();
      free_.pop_back();
    }
    nodes_[index] = {question, now, &list, kNone, youngest_, kNone};
    (youngest_ == kNone ? oldest_ : nodes_[youngest_].younger) = index;
    youngest_ = index;
    (list.tail == kNone ? list.head : nodes_[list.tail].next) = index;
    list.tail = index;
    ++list.count;
  }

  // take removes the first question that `matches`. False: there is none, or it was asked too long ago.
  template <typename Matches>
  bool take(List& list, Matches&& matches, Timestamp now) {
    std::uint32_t previous = kNone;
    for (std::uint32_t index = list.head; index != kNone; previous = index, index = nodes_[index].next) {
      if (!matches(nodes_[index].question)) continue;
      const bool in_time = nodes_[index].asked + kDnsAnswerTime > now;
      remove(list, previous, index);
      return in_time;
    }
    return false;
  }

  void forget_all(List& list) {
    while (list.head != kNone) drop_head(list);
  }

  std::size_t size() const { return used_ - free_.size(); }

 private:
  struct Node {
    Question question;
    Timestamp asked;
    List* list;
    std::uint32_t next;  // Of the flow.
    std::uint32_t older, younger;  // Of all.
  };

  void drop_head(List& list) { remove(list, kNone, list.head); }

  void remove(List& list, std::uint32_t previous, std::uint32_t index) {
    const Node& node = nodes_[index];
    (previous == kNone ? list.head : nodes_[previous].next) = node.next;
    if (list.tail == index) list.tail = previous;
    --list.count;
    (node.older == kNone ? oldest_ : nodes_[node.older].younger) = node.younger;
    (node.younger == kNone ? youngest_ : nodes_[node.younger].older) = node.older;
    free_.push_back(index);
  }

  std::unique_ptr<Node[]> nodes_;
  std::size_t capacity_;
  std::uint32_t used_ = 0;  // Nodes from here on were never used.
  std::vector<std::uint32_t> free_;
  std::uint32_t oldest_ = kNone;
  std::uint32_t youngest_ = kNone;
};

}  // namespace sallyport::engine
