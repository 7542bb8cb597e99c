// FlowTable maps addresses and ports to the flow's state. One worker owns a table and is its only
// caller. Memory is taken in the constructor. Flows of one age class are kept in the order of their last
// packet; a full table gives up a flow in the order denied, allowed for good, other (R17): the kernel
// keeps the verdicts of the first two, and the last is judged anew or denied as mid-stream.
// References are valid until the flow is closed.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "flow.h"
#include "keyed_hash.h"

namespace sallyport::engine {

enum class AgeClass : std::uint8_t { kUndecidedTcp, kTcp, kUdp, kDenied, kFinal, kCount };

class FlowTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  FlowTable(std::size_t capacity, const HashKey& hash_key);
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  // find returns the flow between the two endpoints, whichever of them is the client, or null.
  Flow* find(const FlowKey& key);
  // open makes a flow; the caller has found that there is none, and that the table is not full.
  Flow& open(const FlowKey& key);
  void close(Flow& flow);
  bool full() const { return unused_.empty() && next_ == capacity_; }
  std::size_t size() const { return index_.size(); }

  // The flow of a slot, or null; slots are counted up to slots().
  std::size_t slots() const { return next_; }
  Flow* at(std::size_t slot) { return flows_[slot].open ? &flows_[slot] : nullptr; }

  // touch moves the flow to the young end of a class.
  void touch(Flow& flow, AgeClass age);
  // oldest returns the flow of the class that was touched longest ago, or null.
  Flow* oldest(AgeClass age);
  // eviction_candidate returns what a full table gives up next, or null when it is empty.
  Flow* eviction_candidate();

  // Two lists in the order of entry: the flows with held packets, and those that wait for missing bytes
  // (whose packets may have been dropped meanwhile). A flow that is in a list already stays where it is.
  void start_holding(Flow& flow) { enter(holding_, &Flow::holding, flow); }
  void stop_holding(Flow& flow) { leave(holding_, &Flow::holding, flow); }
  Flow* oldest_holding() { return holding_.head == kNone ? nullptr : &flows_[holding_.head]; }
  void start_waiting(Flow& flow) { enter(waiting_, &Flow::waiting, flow); }
  void stop_waiting(Flow& flow) { leave(waiting_, &Flow::waiting, flow); }
  Flow* oldest_waiting() { return waiting_.head == kNone ? nullptr : &flows_[waiting_.head]; }

  // The flows that wait for a binding, in the order of entry, and in that in which they were tried last.
  void start_unbound(Flow& flow) {
    enter(unbound_, &Flow::unbound, flow);
    enter(unbound_turn_, &Flow::unbound_turn, flow);
  }
  void stop_unbound(Flow& flow) {
    leave(unbound_, &Flow::unbound, flow);
    leave(unbound_turn_, &Flow::unbound_turn, flow);
  }
  Flow* oldest_unbound() { return unbound_.head == kNone ? nullptr : &flows_[unbound_.head]; }
  Flow* next_unbound() { return unbound_turn_.head == kNone ? nullptr : &flows_[unbound_turn_.head]; }
  void end_unbound_turn(Flow& flow) {
    leave(unbound_turn_, &Flow::unbound_turn, flow);
    enter(unbound_turn_, &Flow::unbound_turn, flow);
  }

 private:
  // Tuple is the key without direction: the smaller endpoint first.
  using Tuple = std::array<std::uint8_t, 48>;
  struct TupleHash {
    HashKey key;
    std::size_t operator()(const Tuple& tuple) const { return keyed_hash(key, tuple.data(), tuple.size()); }
  };
  struct List {
    std::uint32_t head = kNone;
    std::uint32_t tail = kNone;
  };

  static Tuple tuple_of(const FlowKey& key);
  std::uint32_t index_of(const Flow& flow) const { return static_cast<std::uint32_t>(&flow - flows_); }
  void enter(List& list, Flow::Links Flow::*links, Flow& flow);
  void leave(List& list, Flow::Links Flow::*links, Flow& flow);
  void unlink(List& list, Flow::Links Flow::*links, std::uint32_t index);
  void append(List& list, Flow::Links Flow::*links, std::uint32_t index);

  std::size_t capacity_;
  std::size_t next_ = 0;  // Slots from here on were never used; their pages are not touched.
  Flow* flows_;
  std::vector<std::uint32_t> unused_;
  absl::flat_hash_map<Tuple, std::uint32_t, TupleHash> index_;
  std::array<List, static_cast<std::size_t>(AgeClass::kCount)> ages_;
  List holding_;
  List waiting_;
  List unbound_;
  List unbound_turn_;
};

}  // namespace sallyport::engine
