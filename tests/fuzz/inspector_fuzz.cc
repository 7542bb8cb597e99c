// The whole inspector: a sequence of IP packets, with their directions and the time between them, in;
// decisions out. The promises checked: no packet that was not held is released, none is released twice,
// and a denied or unidentified byte never goes out by a decision that was not made.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/policy/policy_file.h"

namespace {

constexpr const char* kPolicy = R"(
version = 1
[inspect]
tunnels = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
[[rules]]
to = ["10.91.0.0/16", "192.0.2.0/24"]
protocols = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
ports = "any"
[[rules]]
to = ["good.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns"]
bind = "any"
ports = "any"
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["ssh"]
[[rules]]
to = ["bad.wild.example"]
protocols = ["tls", "quic", "http"]
ports = "any"
action = "deny"
[[rules]]
to = ["192.0.2.0/24"]
protocols = ["tcp", "udp"]
ports = ["7000-7999"]
)";

using namespace sallyport;

void check(bool holds) {
  if (!holds) std::abort();
}

// Input: repeated [control: 1 byte][length: 2 bytes][packet]. Control: bits 0-1 origin, 2 truncated,
// 3-7 time step.
std::vector<Verdict> run(ByteSpan input, const policy::Policy& policy, bool details, std::size_t windows) {
  std::vector<Verdict> verdicts;
  engine::InspectorOptions options;
  options.flows = 16;
  options.stream_windows = windows;
  options.held_packets = 32;
  options.read_details = details;
  engine::Inspector inspector(options);
  Timestamp now{std::chrono::seconds(1'800'000'000)};
  std::set<PacketId> held;
  const auto settle = [&] {
    for (const engine::Release& release : inspector.releases()) {
      check(held.erase(release.id) == 1);
      check(release.decision.verdict != Verdict::kHold);
    }
  };
  ByteReader in(input);
  std::uint8_t control = 0;
  std::uint16_t length = 0;
  ByteSpan bytes;
  for (PacketId id = 1; in.read_u8(control) && in.read_u16(length); ++id) {
    if (!in.read_bytes(length, bytes)) in.read_bytes(in.size(), bytes);
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    Packet packet;
    packet.id = id;
    packet.bytes = exact;
    packet.wire_size = static_cast<std::uint32_t>(exact.size() + ((control & 4) != 0 ? 10 : 0));
    packet.origin = static_cast<Origin>((control & 3) % 3);
    now += std::chrono::milliseconds(40) * (control >> 3);
    const Decision decision = inspector.inspect(packet, policy, now);
    settle();
    verdicts.push_back(decision.verdict);
    check(decision.reason != Reason::kNotEvaluated || decision.verdict == Verdict::kDrop);
    if (decision.verdict == Verdict::kHold) held.insert(id);
    if ((control >> 3) > 20) {
      inspector.expire(policy, now);
      settle();
    }
  }
  inspector.finish(policy, now);
  settle();
  check(held.empty());
  return verdicts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const policy::Policy> policy = *policy::load_policy_text(kPolicy, "fuzz.toml");
  constexpr std::size_t kScarce = 8;
  constexpr std::size_t kPlenty = 64;  // Four for each flow: details take more, and must not change a verdict.
  (void)run({data, size}, *policy, false, kScarce);
  (void)run({data, size}, *policy, true, kScarce);
  check(run({data, size}, *policy, false, kPlenty) == run({data, size}, *policy, true, kPlenty));
  return 0;
}
