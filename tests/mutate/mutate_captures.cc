// Replays captures and random mutations of each through reader, link layer, fragments and inspector, and
// checks the inspector's promises: a packet is released once, and only if it was held; nothing stays held;
// a decision that was not made drops. Meant for a build with sanitizers.
//
//   mutate_captures [--mutations N] [--seed S] FOLDER_OR_FILE...
//
// Half of the mutations change the file (its container included), half the frames: bytes, lengths, order,
// repetition. A mutation is told by file and number and can be repeated alone with --only NUMBER. An input that
// takes longer than kInputTimeMax ends the program. The last line tells how much was done, and the memory.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/pcap/capture_reader.h"
#include "sallyport/pcap/fragments.h"
#include "sallyport/pcap/link_layer.h"
#include "sallyport/policy/policy_file.h"

namespace {

using namespace sallyport;
using Bytes = std::vector<std::uint8_t>;

constexpr unsigned kInputTimeMax = 60;       // Seconds; a sanitized replay of the largest file takes a few.
constexpr std::size_t kFramesPerRun = 256;   // Of a mutated sequence of frames: a window of the capture.

constexpr Duration kSequenceTimeMax = std::chrono::hours(1);  // Long enough for most time-outs.

constexpr std::string_view kPolicy = R"(
[[rules]]
to = [".google.com", ".facebook.com", ".microsoft.com", ".example.com", ".wikipedia.org", "localhost"]
protocols = ["tls", "quic", "http", "dns"]
bind = "any"
ports = ["any"]
[[rules]]
to = ["0.0.0.0/1", "8000::/1"]
protocols = ["ssh"]
ports = ["any"]
[[rules]]
to = ["10.0.0.0/8"]
protocols = ["tcp", "udp"]
ports = ["1-65535"]
)";

// What comes before it. Names bind as the captures' answers say, whoever gives them.
constexpr std::string_view kClosed = R"(
version = 1
[dns]
private = "any"
)";
constexpr std::string_view kOpened = R"(
version = 1
[dns]
private = "any"
names = "any"
[inspect]
tunnels = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
[[rules]]
to = ["0.0.0.0/0", "::/0"]
protocols = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
[[rules]]
to = [".googleapis.com", ".cloudfront.net", ".wireshark.org", "*.local", "*.lan"]
protocols = ["tls", "quic", "http", "ssh", "smtp"]
)";

char g_current[4'096] = "nothing";  // What runs now; for the report of a hang.

void tell_current_and_end(int) {
  (void)!write(STDERR_FILENO, "too long: ", 10);
  (void)!write(STDERR_FILENO, g_current, std::strlen(g_current));
  (void)!write(STDERR_FILENO, "\n", 1);
  _exit(2);
}

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", g_current, what);
  std::abort();
}

struct Frame {
  Timestamp time;
  int link_type = 0;
  Bytes bytes;
  std::uint32_t wire_length = 0;
};

// Run feeds sequences of frames to one inspector. Between two of them, finish() leaves it without flows; time
// goes on.
class Run {
 public:
  Run(const policy::Policy& policy, bool details) : policy_(policy), inspector_(options(details)) {}

  void frame(ByteSpan bytes, std::uint32_t wire_length, int link_type, Timestamp time) {
    if (!first_) {
      first_ = time;
      start_ = now_;
    }
    now_ = std::max(now_, start_ + std::clamp<Duration>(time - *first_, Duration::zero(), kSequenceTimeMax));
    const auto ip = pcap::find_ip(link_type, bytes, wire_length);
    if (!ip) return;
    const pcap::FragmentResult whole = fragments_.add(ip->bytes, ip->wire_size, ++id_, now_);
    if (whole.outcome == pcap::FragmentOutcome::kNotAFragment) {
      inspect(ip->bytes, ip->wire_size);
    } else if (whole.outcome == pcap::FragmentOutcome::kComplete) {
      inspect(whole.packet, static_cast<std::uint32_t>(whole.packet.size()));
    }
  }

  std::size_t finish() {
    std::vector<PacketId> expired;
    while (fragments_.take_expired(Timestamp::max(), expired)) {
    }
    fragments_ = pcap::FragmentTable();
    first_.reset();
    inspector_.finish(policy_, now_);
    settle();
    check(held_.empty(), "a packet stays held");
    return std::exchange(packets_, 0);
  }

 private:
  static engine::InspectorOptions options(bool details) {
    engine::InspectorOptions options;
    options.flows = 512;
    options.stream_windows = 256;
    options.held_packets = 512;
    options.read_details = details;
    return options;
  }

  void inspect(ByteSpan bytes, std::uint32_t wire_size) {
    const Bytes exact(bytes.begin(), bytes.end());  // So that a read too far is seen.
    Packet packet;
    packet.id = id_;
    packet.bytes = exact;
    packet.wire_size = wire_size;
    const Decision decision = inspector_.inspect(packet, policy_, now_);
    settle();
    check(decision.reason != Reason::kNotEvaluated || decision.verdict == Verdict::kDrop, "let go unjudged");
    if (decision.verdict == Verdict::kHold) held_.insert(id_);
    if (++packets_ % 16 == 0) {
      inspector_.expire(policy_, now_);
      settle();
    }
  }

  void settle() {
    for (const engine::Release& release : inspector_.releases()) {
      check(held_.erase(release.id) == 1, "released, but not held");
      check(release.decision.verdict != Verdict::kHold, "released into being held");
    }
  }

  const policy::Policy& policy_;
  engine::Inspector inspector_;
  pcap::FragmentTable fragments_;
  std::set<PacketId> held_;
  Timestamp now_;
  Timestamp start_;                 // The inspector's time of the sequence's first frame,
  std::optional<Timestamp> first_;  // and the capture's.
  PacketId id_ = 0;
  std::size_t packets_ = 0;
};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  // bytes changes a few bytes, mostly near the beginning, where the headers are.
  void bytes(Bytes& data) {
    if (data.empty()) return;
    const std::size_t changes = 1 + below(4);
    for (std::size_t i = 0; i < changes && !data.empty(); ++i) {
      const std::size_t at = below(2) == 0 ? below(std::min<std::size_t>(data.size(), 160)) : below(data.size());
      switch (below(6)) {
        case 0: data[at] ^= static_cast<std::uint8_t>(1U << below(8)); break;
        case 1: data[at] = static_cast<std::uint8_t>(random_()); break;
        case 2: data[at] = below(2) == 0 ? 0x00 : 0xff; break;
        case 3: data.resize(data.size() - below(data.size())); break;
        case 4: data.insert(data.begin() + static_cast<std::ptrdiff_t>(at), 1 + below(8), data[at]); break;
        default: {
          const std::size_t end = std::min(data.size(), at + 1 + below(16));
          data.erase(data.begin() + static_cast<std::ptrdiff_t>(at), data.begin() + static_cast<std::ptrdiff_t>(end));
        }
      }
    }
  }

  void frames(std::vector<Frame>& frames) {
    const std::size_t changes = 1 + below(8);
    for (std::size_t i = 0; i < changes && !frames.empty(); ++i) {
      const std::size_t at = below(frames.size());
      const std::size_t other = below(frames.size());
      switch (below(5)) {
        case 0: frames.erase(frames.begin() + static_cast<std::ptrdiff_t>(at)); break;
        case 1: {
          const Frame copy = frames[at];
          frames.insert(frames.begin() + static_cast<std::ptrdiff_t>(other), copy);
          break;
        }
        case 2: std::swap(frames[at], frames[other]); break;
        default: bytes(frames[at].bytes); break;
      }
    }
  }

 private:
  std::mt19937_64 random_;
};

struct Totals {
  std::size_t captures = 0;
  std::size_t runs = 0;
  std::size_t packets = 0;
};

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return {text.begin(), text.end()};
}

// replay_bytes runs a capture file that is in memory.
std::size_t replay_bytes(const Bytes& file, Run& run, std::size_t frames_max) {
  auto reader = pcap::CaptureReader::open_memory(file);
  if (!reader) return 0;
  pcap::Frame frame;
  for (std::size_t i = 0; i < frames_max && reader->next(frame); ++i) {
    run.frame(frame.bytes, frame.wire_length, frame.link_type, frame.time);
  }
  return run.finish();
}

std::size_t replay_frames(const std::vector<Frame>& frames, Run& run) {
  for (const Frame& frame : frames) {
    const Bytes exact(frame.bytes);
    const auto size = static_cast<std::uint32_t>(exact.size());
    run.frame(exact, std::max(frame.wire_length, size), frame.link_type, frame.time);
  }
  return run.finish();
}

std::vector<Frame> frames_of(const Bytes& file) {
  std::vector<Frame> frames;
  auto reader = pcap::CaptureReader::open_memory(file);
  if (!reader) return frames;
  pcap::Frame frame;
  while (reader->next(frame)) {
    frames.push_back({frame.time, frame.link_type, Bytes(frame.bytes.begin(), frame.bytes.end()), frame.wire_length});
  }
  return frames;
}

struct Arguments {
  std::uint64_t mutations = 100;
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> only;
  std::vector<std::filesystem::path> paths;
};

// Runs is inspectors that read details or do not, and look into tunnels or do not.
struct Runs {
  Runs(const policy::Policy& closed, const policy::Policy& opened)
      : all{Run(closed, true), Run(closed, false), Run(opened, true), Run(opened, false)} {}
  std::array<Run, 4> all;
};

void mutate_capture(const std::filesystem::path& path, const Arguments& arguments, Runs& runs, Totals& totals) {
  const Bytes file = read_file(path);
  const std::vector<Frame> frames = frames_of(file);
  ++totals.captures;
  for (std::uint64_t number = arguments.only.value_or(0); number <= arguments.only.value_or(arguments.mutations); ++number) {
    std::snprintf(g_current, sizeof g_current, "%s: mutation %llu of seed %llu", path.c_str(),
                  static_cast<unsigned long long>(number), static_cast<unsigned long long>(arguments.seed));
    alarm(kInputTimeMax);
    Mutator mutator(arguments.seed * 1'000'003 + number);
    Run& run = runs.all[number / 2 % runs.all.size()];
    ++totals.runs;
    if (number == 0) {  // The capture itself.
      for (Run& one : runs.all) totals.packets += replay_bytes(file, one, frames.size() + 1);
    } else if (number % 2 == 0) {
      Bytes changed = file;
      mutator.bytes(changed);
      totals.packets += replay_bytes(changed, run, kFramesPerRun);
    } else if (!frames.empty()) {
      const std::size_t begin = mutator.below(2) == 0 ? 0 : mutator.below(frames.size());
      const std::size_t count = std::min(kFramesPerRun, frames.size() - begin);
      const auto first = frames.begin() + static_cast<std::ptrdiff_t>(begin);
      std::vector<Frame> changed(first, first + static_cast<std::ptrdiff_t>(count));
      mutator.frames(changed);
      totals.packets += replay_frames(changed, run);
    }
  }
  alarm(0);
}

std::optional<Arguments> read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      arguments.paths.emplace_back(word);
      continue;
    }
    std::uint64_t value = 0;
    const std::string_view text = i + 1 < argc ? argv[++i] : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (word == "--mutations") {
      arguments.mutations = value;
    } else if (word == "--seed") {
      arguments.seed = value;
    } else if (word == "--only") {
      arguments.only = value;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

std::vector<std::filesystem::path> captures_in(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::filesystem::path> captures;
  for (const auto& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      captures.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      const std::string name = entry.path().filename().string();
      const bool is_capture = name.find("pcap") != std::string::npos || name.find(".cap") != std::string::npos;
      if (entry.is_regular_file() && is_capture) captures.push_back(entry.path());
    }
  }
  std::ranges::sort(captures);
  return captures;
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = read_arguments(argc, argv);
  if (!arguments) {
    std::fputs("usage: mutate_captures [--mutations N] [--seed S] [--only NUMBER] FOLDER_OR_FILE...\n", stderr);
    return 2;
  }
  std::vector<std::shared_ptr<const policy::Policy>> policies;
  for (const std::string_view begin : {kClosed, kOpened}) {
    const auto policy = policy::load_policy_text(std::string(begin) + std::string(kPolicy), "mutate.toml");
    if (!policy) {
      for (const auto& problem : policy.error()) std::fprintf(stderr, "%s\n", problem.to_string().c_str());
      return 2;
    }
    policies.push_back(*policy);
  }
  std::signal(SIGALRM, tell_current_and_end);
  const auto begin = std::chrono::steady_clock::now();
  Totals totals;
  Runs runs(*policies[0], *policies[1]);
  for (const auto& path : captures_in(arguments->paths)) mutate_capture(path, *arguments, runs, totals);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%zu captures, %zu runs, %zu packets, %lld s, at most %ld MB\n", totals.captures, totals.runs,
              totals.packets, static_cast<long long>(seconds.count()), usage.ru_maxrss / 1024);
  return totals.runs == 0 ? 1 : 0;  // A folder without captures must not pass.
}
