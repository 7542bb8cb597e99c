// MarkField encodes a verdict in eight bits of the 32-bit packet mark or ct mark: the high three bits are
// the FlowMark, the low five the generation of the policy that gave it. Bits outside of the field belong
// to others (routing, VPNs, Kubernetes) and are never changed.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "sallyport/core/decision.h"

namespace sallyport::netfilter {

// Generation tells verdicts of different policies apart: a ct mark of another generation is judged again.
// 0 is observe mode, whose marks must mean nothing to a later enforcing run; 1 to 31 come from the policy.
using Generation = std::uint8_t;
inline constexpr Generation kObserveGeneration = 0;

// Injected is what a packet that this program made itself has in its packet mark, where a generation stands: its verdict
// is "undecided", so no chain takes it for a verdict and none saves it. Never in a ct mark.
enum class Injected : std::uint8_t {
  kTracked = 0x1d,    // Connection tracking sees it, and translates its addresses as it does the flow's.
  kUntracked = 0x1f,  // Connection tracking leaves it alone.
};

// generation_of maps a policy's fingerprint to 1..31, so a restart with the same policy keeps the flows
// that it allowed. One changed policy in 31 gets the generation of its predecessor.
constexpr Generation generation_of(std::uint64_t fingerprint) {
  return static_cast<Generation>(1 + fingerprint % 31);
}

class MarkField {
 public:
  constexpr MarkField() = default;  // 0xff000000

  // from_mask takes a mask of eight contiguous bits; any other gives nullopt.
  static constexpr std::optional<MarkField> from_mask(std::uint32_t mask) {
    if (mask == 0) return std::nullopt;
    const int shift = std::countr_zero(mask);
    if (mask >> shift != 0xff) return std::nullopt;
    return MarkField(static_cast<unsigned>(shift));
  }

  // mask covers the whole field, verdict_mask its three verdict bits.
  constexpr std::uint32_t mask() const { return std::uint32_t{0xff} << shift_; }
  constexpr std::uint32_t verdict_mask() const { return std::uint32_t{0xe0} << shift_; }

  // deny_bit is set in each verdict that denies and in none of those that a ct mark holds otherwise.
  constexpr std::uint32_t deny_bit() const { return std::uint32_t{0x40} << shift_; }

  constexpr std::uint32_t encode(FlowMark verdict, Generation generation) const {
    return (static_cast<std::uint32_t>(verdict) << 5 | (generation & 0x1fU)) << shift_;
  }
  constexpr FlowMark verdict_of(std::uint32_t mark) const {
    return static_cast<FlowMark>((mark >> shift_ >> 5) & 0x7U);
  }
  constexpr Generation generation_in(std::uint32_t mark) const {
    return static_cast<Generation>((mark >> shift_) & 0x1fU);
  }
  // injected is the whole mark of a packet of our own; both codes are alike under injected_mask.
  constexpr std::uint32_t injected(Injected code) const {
    return static_cast<std::uint32_t>(code) << shift_;
  }
  constexpr std::uint32_t injected_mask() const { return std::uint32_t{0xfd} << shift_; }

  // fresh is how a packet carries the worker's verdict to the rules: with the complement of the generation that a ct mark has.
  // Rules of others that copy ct marks to packets (CONNMARK --restore-mark without a mask) so make none.
  constexpr std::uint32_t fresh(FlowMark verdict, Generation generation) const {
    return encode(verdict, static_cast<Generation>(~generation & 0x1f));
  }
  constexpr std::uint32_t generation_mask() const { return std::uint32_t{0x1f} << shift_; }

  // replace returns `mark` with the field set to a fresh verdict and every foreign bit kept.
  constexpr std::uint32_t replace(std::uint32_t mark, FlowMark verdict, Generation generation) const {
    return (mark & ~mask()) | fresh(verdict, generation);
  }

  friend constexpr bool operator==(const MarkField&, const MarkField&) = default;

 private:
  constexpr explicit MarkField(unsigned shift) : shift_(shift) {}
  unsigned shift_ = 24;
};

}  // namespace sallyport::netfilter
