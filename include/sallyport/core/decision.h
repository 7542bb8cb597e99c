// What the inspector answers for one packet. Whatever is left unset drops.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "sallyport/core/reason.h"

namespace sallyport {

enum class Verdict : std::uint8_t {
  kDrop,
  kAccept,
  kHold,  // No verdict yet: a later Release (engine/inspector.h) answers for the packet.
};

constexpr std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kDrop: return "drop";
    case Verdict::kAccept: return "accept";
    case Verdict::kHold: return "hold";
  }
  std::unreachable();
}

// FlowMark is what the ct mark says of a whole flow: the three verdict bits of the mark field.
// The generation bits and the position of the field belong to netfilter/mark_field.h.
enum class FlowMark : std::uint8_t {
  kUndecided = 0,  // Queue the original direction.
  kAllow = 1,      // The kernel passes the flow alone.
  kReset = 2,      // TCP: reset to the client.
  kSilent = 3,     // Drop; our own refusal was sent.
  kWatch = 4,      // Queue both directions.
  kPass = 5,       // Let this packet go; never stored in the ct mark.
  kReply = 6,      // On the way to the queue: a packet of the server's direction; never stored, never a verdict.
  kIcmp = 7,       // ICMP admin-prohibited to the client.
};

// RuleId is the index of a rule in its policy, in file order.
using RuleId = std::uint32_t;
inline constexpr RuleId kNoRule = std::numeric_limits<RuleId>::max();

struct Decision {
  Verdict verdict = Verdict::kDrop;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  // Set when the verdict is about more than this packet: kAllow and the deny values end the flow's
  // inspection, kWatch asks for both directions. Never kPass or kReply.
  std::optional<FlowMark> mark = std::nullopt;
};
static_assert(Decision{}.verdict == Verdict::kDrop, "an unfinished decision must not leak a packet");

}  // namespace sallyport
