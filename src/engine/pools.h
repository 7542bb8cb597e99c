// The memory of one inspector, taken once: stream windows and the list of held packets.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "sallyport/core/packet.h"
#include "sallyport/core/limits.h"
#include "sallyport/parsers/http2.h"
#include "stream_window.h"

namespace sallyport::engine {

// WindowPool lends StreamWindows. The last one returned is lent first, so that a quiet worker keeps to a
// few warm pages however large the pool is; pages are touched on first use only.
class WindowPool {
 public:
  explicit WindowPool(std::size_t count)
      : windows_(count), storage_(std::make_unique_for_overwrite<std::uint8_t[]>(count * kStreamWindowSize)) {
    free_.reserve(count);
    for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
  }

  // acquire returns an empty window with its base at `offset`, or null when all are lent.
  StreamWindow* acquire(std::uint64_t offset) {
    if (free_.empty()) return nullptr;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    windows_[index].reset(storage_.get() + std::size_t{index} * kStreamWindowSize, offset);
    return &windows_[index];
  }

  // scarce tells that windows are wanted more elsewhere than for a history that may never be asked for.
  bool scarce() const { return free_.size() < windows_.size() / 2; }

  // release takes a window back and nulls the caller's pointer; a null pointer is left alone.
  void release(StreamWindow*& window) {
    if (window == nullptr) return;
    free_.push_back(static_cast<std::uint32_t>(window - windows_.data()));
    window = nullptr;
  }

 private:
  std::vector<StreamWindow> windows_;
  std::unique_ptr<std::uint8_t[]> storage_;
  std::vector<std::uint32_t> free_;
};

// Http2Pool lends readers of HTTP/2 streams. Readers are large and plaintext HTTP/2 is rare, so they are
// made when they are first needed, up to the bound, and kept: the one allocation on the packet path, which
// a steady state does not see.
class Http2Pool {
 public:
  explicit Http2Pool(std::size_t bound) : bound_(bound) {
    readers_.reserve(bound);
    free_.reserve(bound);
  }

  parsers::Http2RequestReader* acquire(bool upgraded) {
    if (free_.empty()) {
      if (readers_.size() == bound_) return nullptr;
      readers_.push_back(std::make_unique<parsers::Http2RequestReader>());
      free_.push_back(readers_.back().get());
    }
    parsers::Http2RequestReader* reader = free_.back();
    free_.pop_back();
    reader->reset(upgraded);
    return reader;
  }

  void release(parsers::Http2RequestReader*& reader) {
    if (reader != nullptr) free_.push_back(reader);
    reader = nullptr;
  }

 private:
  std::size_t bound_;
  std::vector<std::unique_ptr<parsers::Http2RequestReader>> readers_;
  std::vector<parsers::Http2RequestReader*> free_;
};

// HeldPackets keeps, for each flow, the packets that wait for a verdict in order of arrival.
class HeldPackets {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  struct Node {
    PacketId id = 0;
    std::uint64_t end = 0;  // Stream offset behind the packet's payload; 0 for datagrams.
    std::uint32_t next = kNone;
  };
  struct List {
    std::uint32_t head = kNone;
    std::uint32_t tail = kNone;
    std::uint32_t count = 0;
  };

  explicit HeldPackets(std::size_t count) : nodes_(count) {
    free_.reserve(count);
    for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
  }

  // push answers false when all nodes are in use.
  bool push(List& list, PacketId id, std::uint64_t end) {
    if (free_.empty()) return false;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    nodes_[index] = {id, end, kNone};
    (list.tail == kNone ? list.head : nodes_[list.tail].next) = index;
    list.tail = index;
    ++list.count;
    return true;
  }

  // take_if hands the nodes for which `ready` holds to `take`, in order, and frees them.
  template <typename Ready, typename Take>
  void take_if(List& list, Ready&& ready, Take&& take) {
    std::uint32_t previous = kNone;
    for (std::uint32_t index = list.head; index != kNone;) {
      const std::uint32_t next = nodes_[index].next;
      if (ready(nodes_[index])) {
        take(nodes_[index]);
        (previous == kNone ? list.head : nodes_[previous].next) = next;
        if (next == kNone) list.tail = previous;
        --list.count;
        free_.push_back(index);
      } else {
        previous = index;
      }
      index = next;
    }
  }

  std::size_t in_use() const { return nodes_.size() - free_.size(); }

 private:
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_;
};

}  // namespace sallyport::engine
