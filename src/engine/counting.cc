// What the inspector counts of flows and of their packets.
#include <algorithm>

#include "inspector_impl.h"

namespace sallyport::engine {

void Inspector::Impl::count_packets(Flow& flow) {
  std::atomic<std::uint64_t>& counter = counters.packets_by_protocol[static_cast<std::size_t>(flow.protocol)];
  counter.store(counter.load(std::memory_order_relaxed) + (flow.packets - flow.packets_counted), std::memory_order_relaxed);
  flow.packets_counted = flow.packets;
}

// count_noted_packets waits with the first packets of a flow, a TCP handshake's, until it is known what they are for.
void Inspector::Impl::count_noted_packets() {
  if (noted_ == nullptr) return;
  if (noted_->protocol != Protocol::kUnknown || noted_->verdict != FlowVerdict::kPending) count_packets(*noted_);
  noted_ = nullptr;
}

void Inspector::Impl::count_verdict(const Flow& flow) {
  increment(counters.flows_by_verdict[static_cast<std::size_t>(flow.verdict)]);
  increment(counters.flows_by_reason[static_cast<std::size_t>(flow.reason)]);
  if (flow.reason == Reason::kRevoked) return;  // It had been decided before.
  const Duration time = std::max(now_ - flow.opened, Duration{});
  increment(counters.decision_times[decision_time_bucket(time)]);
  const auto micros = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  counters.decision_time_us.store(counters.decision_time_us.load(std::memory_order_relaxed) + micros, std::memory_order_relaxed);
}

}  // namespace sallyport::engine
