// Transcript collects what the inspector said during one capture: a row per flow and, if asked, a row per
// frame. It owns its text; it neither reads packets nor decides anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sallyport/core/decision.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/packet.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/inspector.h"

namespace sallyport::replay {

inline constexpr std::size_t kNamesPerRowMax = 50;    // Distinct names of one flow in its row.
inline constexpr std::size_t kValuesPerDetailMax = 50;  // DNS answers and offered protocols likewise.

struct FlowRow {
  std::uint64_t flow = 0;  // From 1, in the order of first packets.
  bool turned = false;     // A further row: the verdict changed after it had been given.
  Timestamp time;          // First packet; of a turned row: the packet that turned it.
  std::uint64_t first_frame = 0;
  FlowKey key;
  Protocol protocol = Protocol::kUnknown;
  Protocol tunnel = Protocol::kUnknown;  // Of a flow inside a tunnel that is looked into: what it came in,
  std::uint64_t tunnel_flow = 0;         // and the row of the flow that brought its first packet.
  std::string name;  // The first name; of a turned row: the one that turned it. May be empty.
  std::vector<std::string> names;
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  // IP packets with their headers, before the capture cut them.
  std::vector<std::pair<engine::Detail, std::string>> details;  // In order of appearance.
  // Of ICMP: the types of the client's requests, each once, and the most octets behind the header of one.
  std::vector<std::uint8_t> icmp_types;
  std::size_t icmp_payload = 0;
};

struct FrameRow {
  std::uint64_t frame = 0;
  Timestamp time;
  std::optional<std::uint64_t> flow;  // FlowRow::flow.
  std::optional<std::uint64_t> inner_flow;  // Likewise, of the flow inside the tunnel.
  Verdict verdict = Verdict::kDrop;
  // Why: a Reason's word, or that of a frame without an IP packet, which the firewall never sees.
  std::string_view reason;
  bool seen_by_inspector = true;
  bool rewritten = false;           // Other bytes go on in its place (an answer without its ECH keys).
  std::optional<Verdict> released;  // Of a held frame; never kHold.
  std::uint64_t released_by = 0;    // The frame whose arrival released it; the last frame at the end.
};

// InnerPacket is what a tunnel's packet carried.
struct InnerPacket {
  std::optional<std::uint64_t> inspector_flow;
  std::uint32_t wire_size = 0;
};

class Transcript {
 public:
  explicit Transcript(bool keep_frames) : keep_frames_(keep_frames) {}

  // begin_frame opens frame `number`; every other call up to the next is about it.
  void begin_frame(std::uint64_t number, Timestamp time);
  // without_packet closes a frame that holds no IP packet. `why` must be a constant.
  void without_packet(std::string_view why);
  // fragment_kept closes a frame whose packet is not whole yet; fragments_end tells what became of it.
  void fragment_kept();
  void fragment_dropped();
  void fragments_end(std::span<const PacketId> frames, Verdict verdict);
  // packet records the answer for the frame's packet; `fragments` are the earlier frames of its datagram.
  void packet(const Decision& decision, std::optional<std::uint64_t> inspector_flow, std::uint32_t wire_size,
              std::span<const PacketId> fragments, const InnerPacket& inner = {});
  // icmp_request tells what the packet recorded last is, if its sender is the flow's client.
  void icmp_request(std::uint64_t inspector_flow, const IpAddress& sender, std::uint8_t type, std::size_t payload);
  // rewritten tells that other bytes go on in place of the packet recorded last.
  void rewritten() {
    if (keep_frames_) frames_.back().rewritten = true;
  }
  // releases and events of one call of the inspector. Order of calls: releases, packet, events, so that a
  // flow that ends with its packet is still known when the packet is counted.
  void releases(std::span<const engine::Release> releases);
  void events(std::span<const engine::FlowEvent> events);

  // take_flows and take_frames end the transcript. Flow rows are in the order of first packets, turned
  // rows behind their flow's own; frame rows in the order of frames.
  std::vector<FlowRow> take_flows();
  std::vector<FrameRow> take_frames() { return std::move(frames_); }
  std::uint64_t frames_seen() const { return frame_; }

 private:
  FlowRow& flow_row(std::uint64_t inspector_flow);
  void apply(const engine::FlowEvent& event);
  void apply_verdict(FlowRow& row, const engine::FlowEvent& event);
  FrameRow* frame_row(std::uint64_t number);
  void close_frame(FrameRow row);
  void release(PacketId id, Verdict verdict);

  bool keep_frames_;
  std::uint64_t frame_ = 0;
  Timestamp time_;
  std::vector<FlowRow> flows_;  // Index: FlowRow::flow - 1.
  std::vector<FlowRow> turned_;
  std::unordered_map<std::uint64_t, std::size_t> index_;  // The inspector's flow number to index in flows_.
  std::vector<FrameRow> frames_;                          // Index: frame - 1.
  // Held datagrams that came in fragments: their last frame to the earlier ones.
  std::unordered_map<PacketId, std::vector<PacketId>> fragments_of_;
};

}  // namespace sallyport::replay
