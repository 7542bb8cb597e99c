// Feeds captures to the inspector under their own clocks, many files at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/policy/policy.h"
#include "sallyport/replay/transcript.h"

namespace sallyport::replay {

struct ReplayOptions {
  std::shared_ptr<const policy::Policy> policy;  // Never null.
  std::optional<policy::Mode> mode;              // Overrides the policy's own.
  bool frames = false;                           // Keep a row per frame.
  bool json = false;                             // Render rows as JSON and keep only the text.
  // The DNS servers that the captured host believed, beside the policy's. Empty: the policy's, and any if it says "system".
  std::vector<IpAddress> resolvers;
  unsigned jobs = 0;                             // Threads; 0: one per core.
};

struct CaptureResult {
  std::filesystem::path file;  // As named.
  std::vector<FlowRow> flows;
  std::vector<FrameRow> frames;
  std::string flow_json;  // One object a line; likewise frame_json. Empty unless options.json.
  std::string frame_json;
  std::uint64_t frames_read = 0;
  std::map<std::string_view, std::uint64_t> without_packet;  // Frames that hold no IP packet, by why.
  std::optional<std::string> error;  // The capture could not be read, or only up to here.
};

// replay_capture replays one file. `bytes_read` grows by the file's size on the way. Reads the file only.
CaptureResult replay_capture(const std::filesystem::path& file, const ReplayOptions& options,
                             std::atomic<std::uint64_t>& bytes_read);

// Progress is told now and then, from the calling thread. `total` may be 0 (sizes unknown).
using OnProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;
using OnResult = std::function<void(CaptureResult&&)>;

// replay_all replays `files` on options.jobs threads and calls `on_result` from the calling thread, in the
// order of `files`. Holds at most a few results per thread that wait for their turn.
void replay_all(const std::vector<std::filesystem::path>& files, const ReplayOptions& options,
                const OnResult& on_result, const OnProgress& on_progress);

// list_captures replaces folders by the captures in them: *.pcap, *.pcapng, *.cap, also with .gz or .zst,
// at any depth, sorted. Files stay as named. An error is one line.
std::expected<std::vector<std::filesystem::path>, std::string> list_captures(
    const std::vector<std::filesystem::path>& paths);

}  // namespace sallyport::replay
