// InspectorWatch feeds packets to an inspector on behalf of a fuzz target and ends the program when one of the
// inspector's promises is broken:
// - a held packet is answered for exactly once, and nothing else is;
// - the client's payload leaves only in a flow that an allow rule allows at that moment;
// - a ct mark fits its verdict; every flow that was opened is ended;
// - an observing inspector lets everything go at once.
// The policy's default must be to deny.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/ip_packet.h"

namespace sallyport::testing {

class InspectorWatch {
 public:
  InspectorWatch(engine::Inspector& inspector, const policy::Policy& policy, bool observing = false)
      : inspector_(inspector), policy_(policy), observing_(observing) {}

  // send gives the next packet; its id is its number, from 1 on. The answer holds the ids of the packets that
  // leave now, in their order.
  const std::vector<PacketId>& send(ByteSpan bytes, Origin origin, bool truncated = false) {
    left_.clear();
    // A heap block of the exact size, so that AddressSanitizer sees a read one byte too far.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    Packet packet;
    packet.id = ++last_id_;
    packet.bytes = exact;
    packet.wire_size = static_cast<std::uint32_t>(exact.size() + (truncated ? 10 : 0));
    packet.origin = origin;
    const auto ip = parsers::parse_ip_packet(packet.bytes, packet.wire_size);
    const bool client_payload = ip && origin == Origin::kOriginal && !ip->payload.empty();
    const Decision decision = inspector_.inspect(packet, policy_, now_);
    const Sent sent{inspector_.flow_of_last_packet(), client_payload};
    read_verdicts();
    settle_releases();
    judge(packet.id, decision, sent);
    forget_ended();
    verdicts_.push_back(decision.verdict);
    check(decision.reason != Reason::kNotEvaluated);
    if (decision.verdict == Verdict::kHold) held_.emplace(packet.id, sent);
    return left_;
  }

  // wait lets time pass; with `expire` the inspector is told.
  const std::vector<PacketId>& wait(Duration duration, bool expire) {
    now_ += duration;
    left_.clear();
    if (!expire) return left_;
    inspector_.expire(policy_, now_);
    settle();
    return left_;
  }

  void finish() {
    left_.clear();
    inspector_.finish(policy_, now_);
    settle();
    check(held_.empty() && flows_.empty());
  }

  const std::vector<Verdict>& verdicts() const { return verdicts_; }
  // denied tells whether any flow was ever denied.
  bool denied() const { return denied_; }
  Duration passed() const { return now_ - kStart; }

  static void check(bool holds) {
    if (!holds) std::abort();
  }

 private:
  struct Sent {
    std::optional<std::uint64_t> flow;
    bool client_payload = false;
  };

  void settle() {
    read_verdicts();
    settle_releases();
    forget_ended();
  }

  bool is_allow_rule(RuleId rule) const {
    return rule != kNoRule && policy_.rules().at(rule).action == policy::Action::kAllow;
  }

  void read_verdicts() {
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind == engine::FlowEvent::Kind::kEnd) continue;
      bool& allowed = flows_[event.flow];
      if (event.kind != engine::FlowEvent::Kind::kVerdict) continue;
      allowed = event.verdict == engine::FlowVerdict::kAllow;
      denied_ |= event.verdict == engine::FlowVerdict::kDeny;
      check(!allowed || (is_allow_rule(event.rule) && event.reason == Reason::kRuleAllows));
    }
  }

  void forget_ended() {
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind == engine::FlowEvent::Kind::kEnd) flows_.erase(event.flow);
    }
  }

  void settle_releases() {
    for (const engine::Release& release : inspector_.releases()) {
      const auto held = held_.find(release.id);
      check(held != held_.end() && release.decision.verdict != Verdict::kHold);
      judge(release.id, release.decision, held->second);
      held_.erase(held);
    }
  }

  void judge(PacketId id, const Decision& decision, const Sent& packet) {
    if (decision.verdict == Verdict::kAccept) left_.push_back(id);
    if (observing_) {
      check(decision.verdict == Verdict::kAccept);
      return;
    }
    const auto flow = packet.flow ? flows_.find(*packet.flow) : flows_.end();
    const bool allowed = flow != flows_.end() && flow->second;
    if (packet.client_payload && decision.verdict == Verdict::kAccept) check(allowed);
    if (!decision.mark) return;
    switch (*decision.mark) {
      case FlowMark::kAllow:
        check(decision.verdict == Verdict::kAccept && allowed);
        break;
      case FlowMark::kWatch:
        check(decision.verdict == Verdict::kAccept);
        break;
      case FlowMark::kReset:
      case FlowMark::kSilent:
      case FlowMark::kIcmp:
        check(decision.verdict == Verdict::kDrop);
        break;
      case FlowMark::kUndecided:
      case FlowMark::kPass:
      case FlowMark::kReply:
        check(false);
    }
  }

  static constexpr Timestamp kStart{std::chrono::seconds(1'800'000'000)};
  engine::Inspector& inspector_;
  const policy::Policy& policy_;
  const bool observing_;
  Timestamp now_ = kStart;
  PacketId last_id_ = 0;
  bool denied_ = false;
  std::vector<Verdict> verdicts_;
  std::vector<PacketId> left_;
  std::map<std::uint64_t, bool> flows_;  // Number; whether it is allowed.
  std::map<PacketId, Sent> held_;
};

// KeptInspector keeps an inspector from input to input, as to make one costs more than to run most inputs:
// after finish() nothing of an input may remain. Now and then it is made anew, so that a leak across inputs
// stays findable.
class KeptInspector {
 public:
  explicit KeptInspector(const engine::InspectorOptions& options) : options_(options) {}

  engine::Inspector& get() {
    constexpr unsigned kUses = 256;
    if (uses_++ % kUses == 0) inspector_ = std::make_unique<engine::Inspector>(options_);
    return *inspector_;
  }

 private:
  engine::InspectorOptions options_;
  unsigned uses_ = 0;
  std::unique_ptr<engine::Inspector> inspector_;
};

// small_inspector gives options for a few flows; four windows for each flow are plenty.
inline engine::InspectorOptions small_inspector(std::size_t windows, bool details = false,
                                                std::optional<policy::Mode> mode = {}) {
  engine::InspectorOptions options;
  options.flows = 16;
  options.stream_windows = windows;
  options.held_packets = 32;
  options.read_details = details;
  options.mode = mode;
  return options;
}

}  // namespace sallyport::testing
