// The whole inspector: a sequence of IP packets, with their directions and the time between them, in;
// decisions out. Beside what InspectorWatch checks, reading on for details must change no verdict.
#include <cstdint>
#include <memory>
#include <vector>

#include "sallyport/policy/policy_file.h"
#include "support/inspector_watch.h"

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
protocols = ["tls", "quic", "http", "dns", "dtls"]
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

// Input: repeated [control: 1 byte][length: 2 bytes][packet]. Control: bits 0-1 origin, 2 truncated,
// 3-7 time step.
void feed(ByteSpan input, testing::InspectorWatch& watch) {
  ByteReader in(input);
  std::uint8_t control = 0;
  std::uint16_t length = 0;
  ByteSpan bytes;
  while (in.read_u8(control) && in.read_u16(length)) {
    if (!in.read_bytes(length, bytes)) in.read_bytes(in.size(), bytes);
    watch.wait(std::chrono::milliseconds(40) * (control >> 3), false);
    watch.send(bytes, static_cast<Origin>((control & 3) % 3), (control & 4) != 0);
    if ((control >> 3) > 20) watch.wait({}, true);
  }
  watch.finish();
}

std::vector<Verdict> run(ByteSpan input, testing::KeptInspector& kept, bool observing = false) {
  static const std::shared_ptr<const policy::Policy> policy = *policy::load_policy_text(kPolicy, "fuzz.toml");
  testing::InspectorWatch watch(kept.get(), *policy, observing);
  feed(input, watch);
  return watch.verdicts();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kScarce = 8;
  constexpr std::size_t kPlenty = 64;  // Details take more than the judgement, and must not change a verdict.
  static testing::KeptInspector scarce(testing::small_inspector(kScarce));
  static testing::KeptInspector scarce_details(testing::small_inspector(kScarce, true));
  static testing::KeptInspector plenty(testing::small_inspector(kPlenty));
  static testing::KeptInspector plenty_details(testing::small_inspector(kPlenty, true));
  static testing::KeptInspector observer(testing::small_inspector(kScarce, true, policy::Mode::kObserve));
  (void)run({data, size}, scarce);
  (void)run({data, size}, scarce_details);
  (void)run({data, size}, observer, true);
  testing::InspectorWatch::check(run({data, size}, plenty) == run({data, size}, plenty_details));
  return 0;
}
