// The whole inspector: a sequence of IP packets, with their directions and the time between them, in;
// decisions out. Beside what InspectorWatch checks, reading on for details must change no verdict.
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sallyport/policy/policy_file.h"
#include "support/inspector_watch.h"

namespace {

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = ["good.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns"]
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
void feed(ByteSpan input, test::InspectorWatch& watch) {
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

// Bench keeps an inspector, as to make one costs more than to run an input: after finish() nothing of an input
// may remain. Now and then it is made anew, so that a leak across inputs stays findable.
class Bench {
 public:
  Bench(bool details, std::size_t windows, std::optional<policy::Mode> mode) : observing_(mode.has_value()) {
    options_.flows = 16;
    options_.stream_windows = windows;
    options_.held_packets = 32;
    options_.read_details = details;
    options_.mode = mode;
  }

  std::vector<Verdict> run(ByteSpan input, const policy::Policy& policy) {
    constexpr unsigned kUses = 256;
    if (uses_++ % kUses == 0) inspector_ = std::make_unique<engine::Inspector>(options_);
    test::InspectorWatch watch(*inspector_, policy, observing_);
    feed(input, watch);
    return watch.verdicts();
  }

 private:
  engine::InspectorOptions options_;
  bool observing_;
  unsigned uses_ = 0;
  std::unique_ptr<engine::Inspector> inspector_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const policy::Policy> policy = *policy::load_policy_text(kPolicy, "fuzz.toml");
  constexpr std::size_t kScarce = 8;
  constexpr std::size_t kPlenty = 64;  // Four for each flow: details take more, and must not change a verdict.
  static Bench scarce(false, kScarce, {}), scarce_details(true, kScarce, {});
  static Bench plenty(false, kPlenty, {}), plenty_details(true, kPlenty, {});
  static Bench observer(true, kScarce, policy::Mode::kObserve);
  (void)scarce.run({data, size}, *policy);
  (void)scarce_details.run({data, size}, *policy);
  (void)observer.run({data, size}, *policy);
  test::InspectorWatch::check(plenty.run({data, size}, *policy) == plenty_details.run({data, size}, *policy));
  return 0;
}
