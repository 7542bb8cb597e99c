#include "sallyport/replay/transcript.h"

#include <algorithm>

namespace sallyport::replay {
namespace {

using engine::Detail;
using engine::FlowEvent;
using engine::FlowVerdict;

void add_name(FlowRow& row, std::string_view name) {
  if (name.empty()) return;
  if (row.names.empty()) row.name = name;
  if (row.names.size() >= kNamesPerRowMax || std::ranges::find(row.names, name) != row.names.end()) return;
  row.names.emplace_back(name);
}

// The first value of a detail stands; answers and offered protocols are lists.
void add_detail(FlowRow& row, Detail detail, std::string_view text) {
  std::size_t same = 0;
  for (const auto& [known, value] : row.details) {
    if (known != detail) continue;
    const bool list = detail == Detail::kAnswer || detail == Detail::kAlpn;
    if (!list || value == text) return;
    ++same;
  }
  if (same < kValuesPerDetailMax) row.details.emplace_back(detail, text);
}

}  // namespace

void Transcript::begin_frame(std::uint64_t number, Timestamp time) {
  frame_ = number;
  time_ = time;
}

void Transcript::close_frame(FrameRow row) {
  if (!keep_frames_) return;
  row.frame = frame_;
  row.time = time_;
  frames_.push_back(std::move(row));
}

void Transcript::without_packet(std::string_view why) {
  FrameRow row;
  row.reason = why;
  row.seen_by_inspector = false;
  close_frame(std::move(row));
}

void Transcript::fragment_kept() {
  FrameRow row;
  row.verdict = Verdict::kHold;
  row.reason = to_string(Reason::kFragment);
  close_frame(std::move(row));
}

void Transcript::fragment_dropped() {
  FrameRow row;
  row.reason = to_string(Reason::kFragment);
  close_frame(std::move(row));
}

FrameRow* Transcript::frame_row(std::uint64_t number) {
  return number >= 1 && number <= frames_.size() ? &frames_[number - 1] : nullptr;
}

void Transcript::fragments_end(std::span<const PacketId> frames, Verdict verdict) {
  for (const PacketId id : frames) {
    FrameRow* row = frame_row(id);
    if (row == nullptr || row->released) continue;
    row->released = verdict;
    row->released_by = frame_;
  }
}

void Transcript::packet(const Decision& decision, std::optional<std::uint64_t> inspector_flow,
                        std::uint32_t wire_size, std::span<const PacketId> fragments, const InnerPacket& inner) {
  FrameRow row;
  row.verdict = decision.verdict;
  row.reason = to_string(decision.reason);
  if (inspector_flow) {
    FlowRow& flow = flow_row(*inspector_flow);
    flow.packets += 1 + fragments.size();
    flow.bytes += wire_size;
    row.flow = flow.flow;
    for (const PacketId id : fragments) {
      if (FrameRow* earlier = frame_row(id)) earlier->flow = flow.flow;
    }
  }
  if (inner.inspector_flow) {
    FlowRow& flow = flow_row(*inner.inspector_flow);
    ++flow.packets;
    flow.bytes += inner.wire_size;
    row.inner_flow = flow.flow;
  }
  close_frame(std::move(row));
  if (decision.verdict != Verdict::kHold) {
    fragments_end(fragments, decision.verdict);
  } else if (keep_frames_ && !fragments.empty()) {
    fragments_of_.emplace(frame_, std::vector<PacketId>(fragments.begin(), fragments.end()));
  }
}

void Transcript::release(PacketId id, Verdict verdict) {
  if (!keep_frames_) return;
  const PacketId frame[] = {id};
  fragments_end(frame, verdict);
  const auto held = fragments_of_.find(id);
  if (held == fragments_of_.end()) return;
  fragments_end(held->second, verdict);
  fragments_of_.erase(held);
}

void Transcript::releases(std::span<const engine::Release> releases) {
  for (const engine::Release& item : releases) release(item.id, item.decision.verdict);
}

FlowRow& Transcript::flow_row(std::uint64_t inspector_flow) {
  const auto [it, is_new] = index_.try_emplace(inspector_flow, flows_.size());
  if (is_new) {
    FlowRow& row = flows_.emplace_back();
    row.flow = flows_.size();
    row.time = time_;
    row.first_frame = frame_;
  }
  return flows_[it->second];
}

void Transcript::apply_verdict(FlowRow& row, const FlowEvent& event) {
  if (row.verdict == FlowVerdict::kPending) {
    row.verdict = event.verdict;
    row.reason = event.reason;
    row.rule = event.rule;
    add_name(row, event.text);
    return;
  }
  FlowRow turned = row;
  turned.turned = true;
  turned.time = event.time;
  turned.first_frame = frame_;
  turned.verdict = event.verdict;
  turned.reason = event.reason;
  turned.rule = event.rule;
  if (!event.text.empty()) turned.name = event.text;
  add_name(row, event.text);
  turned_.push_back(std::move(turned));
}

void Transcript::apply(const FlowEvent& event) {
  FlowRow& row = flow_row(event.flow);
  row.key = event.key;
  if (event.protocol != Protocol::kUnknown) row.protocol = event.protocol;
  if (event.tunnel != Protocol::kUnknown && row.tunnel == Protocol::kUnknown) {
    row.tunnel = event.tunnel;
    // Inserting a row for the carrier, if it is gone, could move this one.
    const auto carrier = index_.find(event.carrier);
    if (carrier != index_.end()) row.tunnel_flow = flows_[carrier->second].flow;
  }
  switch (event.kind) {
    case FlowEvent::Kind::kName: add_name(row, event.text); break;
    case FlowEvent::Kind::kDetail: add_detail(row, event.detail, event.text); break;
    case FlowEvent::Kind::kVerdict: apply_verdict(row, event); break;
    case FlowEvent::Kind::kEnd:
      if (row.verdict == FlowVerdict::kPending) {
        row.verdict = event.verdict;
        row.reason = event.reason;
        row.rule = event.rule;
      }
      break;
  }
}

void Transcript::events(std::span<const engine::FlowEvent> events) {
  for (const FlowEvent& event : events) apply(event);
}

void Transcript::icmp_request(std::uint64_t inspector_flow, const IpAddress& sender, std::uint8_t type, std::size_t payload) {
  FlowRow& row = flow_row(inspector_flow);
  if (row.key.client.address != sender.unmapped() && row.key.client.address != sender) return;
  row.icmp_payload = std::max(row.icmp_payload, payload);
  if (std::ranges::find(row.icmp_types, type) == row.icmp_types.end()) row.icmp_types.push_back(type);
}

std::vector<FlowRow> Transcript::take_flows() {
  // What a flow told after it turned belongs to its further rows too.
  for (FlowRow& turned : turned_) {
    const FlowRow& flow = flows_[turned.flow - 1];
    turned.key = flow.key;
    turned.protocol = flow.protocol;
    turned.names = flow.names;
    turned.details = flow.details;
    turned.packets = flow.packets;
    turned.bytes = flow.bytes;
    turned.icmp_types = flow.icmp_types;
    turned.icmp_payload = flow.icmp_payload;
  }
  flows_.insert(flows_.end(), std::make_move_iterator(turned_.begin()), std::make_move_iterator(turned_.end()));
  // Stable: a flow's own row was before its turned ones, and those are in the order of their events.
  std::ranges::stable_sort(flows_, {}, &FlowRow::flow);
  index_.clear();
  turned_.clear();
  return std::move(flows_);
}

}  // namespace sallyport::replay
