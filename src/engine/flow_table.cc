#include "flow_table.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace sallyport::engine {

static_assert(std::is_trivially_destructible_v<Flow>, "slots are reused without a destructor");

FlowTable::FlowTable(std::size_t capacity, const HashKey& hash_key)
    : capacity_(capacity),
      flows_(std::allocator<Flow>().allocate(capacity)),
      index_(0, TupleHash{hash_key}) {
  unused_.reserve(capacity);
  // Twice the room: erased slots then never force the map to grow, so it does not allocate again.
  index_.reserve(capacity * 2);
}

FlowTable::~FlowTable() { std::allocator<Flow>().deallocate(flows_, capacity_); }

FlowTable::Tuple FlowTable::tuple_of(const FlowKey& key) {
  const bool swap = key.server < key.client;
  const Endpoint& low = swap ? key.server : key.client;
  const Endpoint& high = swap ? key.client : key.server;
  Tuple tuple{};
  std::uint8_t* out = tuple.data();
  for (const Endpoint* endpoint : {&low, &high}) {
    const ByteSpan bytes = endpoint->address.bytes();
    std::copy(bytes.begin(), bytes.end(), out);
    out[16] = static_cast<std::uint8_t>(endpoint->port >> 8);
    out[17] = static_cast<std::uint8_t>(endpoint->port);
    out += 18;
  }
  out[0] = key.ip_protocol;
  out[1] = low.address.is_v6() ? 6 : 4;
  std::memcpy(out + 4, &key.tunnel, sizeof key.tunnel);
  return tuple;
}

Flow* FlowTable::find(const FlowKey& key) {
  const auto found = index_.find(tuple_of(key));
  return found == index_.end() ? nullptr : &flows_[found->second];
}

Flow& FlowTable::open(const FlowKey& key) {
  std::uint32_t index = 0;
  if (unused_.empty()) {
    index = static_cast<std::uint32_t>(next_++);
  } else {
    index = unused_.back();
    unused_.pop_back();
  }
  Flow* flow = std::construct_at(flows_ + index);
  flow->key = key;
  flow->open = true;
  flow->age.list = static_cast<std::uint8_t>(AgeClass::kCount);
  index_.emplace(tuple_of(key), index);
  return *flow;
}

void FlowTable::close(Flow& flow) {
  const std::uint32_t index = index_of(flow);
  if (flow.age.list != static_cast<std::uint8_t>(AgeClass::kCount)) unlink(ages_[flow.age.list], &Flow::age, index);
  stop_holding(flow);
  stop_waiting(flow);
  stop_unbound(flow);
  index_.erase(tuple_of(flow.key));
  flow.open = false;
  unused_.push_back(index);
}

void FlowTable::touch(Flow& flow, AgeClass age) {
  const std::uint32_t index = index_of(flow);
  if (flow.age.list != static_cast<std::uint8_t>(AgeClass::kCount)) unlink(ages_[flow.age.list], &Flow::age, index);
  flow.age.list = static_cast<std::uint8_t>(age);
  append(ages_[flow.age.list], &Flow::age, index);
}

Flow* FlowTable::oldest(AgeClass age) {
  const std::uint32_t head = ages_[static_cast<std::size_t>(age)].head;
  return head == kNone ? nullptr : &flows_[head];
}

Flow* FlowTable::eviction_candidate() {
  for (const AgeClass age : {AgeClass::kDenied, AgeClass::kFinal, AgeClass::kUndecidedTcp, AgeClass::kUdp, AgeClass::kTcp}) {
    if (Flow* flow = oldest(age)) return flow;
  }
  return nullptr;
}

void FlowTable::enter(List& list, Flow::Links Flow::*links, Flow& flow) {
  if ((flow.*links).list != 0) return;
  (flow.*links).list = 1;
  append(list, links, index_of(flow));
}

void FlowTable::leave(List& list, Flow::Links Flow::*links, Flow& flow) {
  if ((flow.*links).list == 0) return;
  (flow.*links).list = 0;
  unlink(list, links, index_of(flow));
}

void FlowTable::unlink(List& list, Flow::Links Flow::*links, std::uint32_t index) {
  const Flow::Links& own = flows_[index].*links;
  (own.previous == kNone ? list.head : (flows_[own.previous].*links).next) = own.next;
  (own.next == kNone ? list.tail : (flows_[own.next].*links).previous) = own.previous;
}

void FlowTable::append(List& list, Flow::Links Flow::*links, std::uint32_t index) {
  Flow::Links& own = flows_[index].*links;
  own.previous = list.tail;
  own.next = kNone;
  (list.tail == kNone ? list.head : (flows_[list.tail].*links).next) = index;
  list.tail = index;
}

}  // namespace sallyport::engine
