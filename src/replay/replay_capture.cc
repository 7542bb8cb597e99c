#include <algorithm>
#include <chrono>

#include "checksum_offload.h"
#include "sallyport/parsers/icmp.h"
#include "sallyport/parsers/ip_packet.h"
#include "sallyport/pcap/capture_reader.h"
#include "sallyport/pcap/fragments.h"
#include "sallyport/pcap/link_layer.h"
#include "sallyport/replay/json_rows.h"
#include "sallyport/replay/replay.h"

namespace sallyport::replay {
namespace {

constexpr Duration kExpireInterval = std::chrono::milliseconds(100);
// A gap of hours between two frames costs no more calls than this; what timed out in it ends in the first
// of them that comes later.
constexpr std::int64_t kExpireCallsPerFrame = 64;

// Replayer is one capture on its way through the inspector.
class Replayer {
 public:
  Replayer(const ReplayOptions& options, engine::Inspector& inspector)
      : policy_(*options.policy), inspector_(inspector), transcript_(options.frames) {}

  void frame(const pcap::Frame& frame, CaptureResult& result) {
    transcript_.begin_frame(frame.number, frame.time);
    advance(frame.time);
    const auto ip = pcap::find_ip(frame.link_type, frame.bytes, frame.wire_length);
    if (ip) return packet(*ip, frame.number);
    ++result.without_packet[to_string(ip.error())];
    transcript_.without_packet(to_string(ip.error()));
  }

  void finish(CaptureResult& result) {
    inspector_.finish(policy_, now_);
    record();
    while (fragments_.take_expired(Timestamp::max(), expired_)) transcript_.fragments_end(expired_, Verdict::kDrop);
    result.flows = transcript_.take_flows();
    result.frames = transcript_.take_frames();
  }

 private:
  // advance moves the inspector's clock, which never goes back whatever the capture's does.
  void advance(Timestamp time) {
    if (!started_) {
      now_ = expired_at_ = time;
      started_ = true;
    }
    now_ = std::max(now_, time);
    const Duration step = std::max(kExpireInterval, (now_ - expired_at_) / kExpireCallsPerFrame);
    while (now_ - expired_at_ >= step) {
      expired_at_ += step;
      inspector_.expire(policy_, expired_at_);
      record();
    }
    while (fragments_.take_expired(now_, expired_)) transcript_.fragments_end(expired_, Verdict::kDrop);
  }

  void packet(const pcap::IpSpan& ip, PacketId id) {
    const pcap::FragmentResult whole = fragments_.add(ip.bytes, ip.wire_size, id, now_);
    switch (whole.outcome) {
      case pcap::FragmentOutcome::kKept: return transcript_.fragment_kept();
      case pcap::FragmentOutcome::kIgnored: return transcript_.fragment_dropped();
      case pcap::FragmentOutcome::kRefused:
        transcript_.fragment_dropped();
        return transcript_.fragments_end(whole.earlier, Verdict::kDrop);
      case pcap::FragmentOutcome::kNotAFragment: return inspect(ip.bytes, ip.wire_size, id, {});
      case pcap::FragmentOutcome::kCut:
      case pcap::FragmentOutcome::kComplete: return inspect(whole.packet, whole.wire_size, id, whole.earlier);
    }
  }

  void inspect(ByteSpan bytes, std::uint32_t wire_size, PacketId id, std::span<const PacketId> fragments) {
    Packet packet;
    packet.id = id;
    packet.bytes = bytes;
    packet.wire_size = wire_size;
    packet.checksum_pending = checksum_left_to_hardware(bytes);
    const Decision decision = inspector_.inspect(packet, policy_, now_);
    transcript_.releases(inspector_.releases());
    transcript_.packet(decision, inspector_.flow_of_last_packet(), wire_size, fragments,
                       {inspector_.inner_flow_of_last_packet(), inspector_.inner_size_of_last_packet()});
    if (!inspector_.replacement().empty()) transcript_.rewritten();
    transcript_.events(inspector_.events());
    note_icmp(bytes, wire_size);
  }

  // note_icmp tells the transcript what an ICMP request was: no event has that.
  void note_icmp(ByteSpan bytes, std::uint32_t wire_size) {
    const auto flow = inspector_.flow_of_last_packet();
    if (!flow) return;
    const auto packet = parsers::parse_ip_packet(bytes, wire_size);
    if (!packet || (packet->transport != Transport::kIcmp && packet->transport != Transport::kIcmpv6)) return;
    const auto family = packet->transport == Transport::kIcmp ? parsers::IcmpFamily::kIcmp : parsers::IcmpFamily::kIcmpv6;
    const auto icmp = parsers::parse_icmp(family, packet->payload, packet->payload_size);
    if (!icmp || icmp->kind != parsers::IcmpKind::kRequest) return;
    transcript_.icmp_request(*flow, packet->source, icmp->type, icmp->payload_size);
  }

  void record() {
    transcript_.releases(inspector_.releases());
    transcript_.events(inspector_.events());
  }

  const policy::Policy& policy_;
  engine::Inspector& inspector_;
  Transcript transcript_;
  pcap::FragmentTable fragments_;
  std::vector<PacketId> expired_;
  bool started_ = false;
  Timestamp now_;
  Timestamp expired_at_;
};

void render(const ReplayOptions& options, CaptureResult& result) {
  const std::string file = result.file.string();
  const LocateRule locate = [&](RuleId rule) { return options.policy->location(rule); };
  for (const FlowRow& row : result.flows) append_flow_json(row, file, locate, result.flow_json);
  for (const FrameRow& row : result.frames) append_frame_json(row, file, result.frame_json);
  result.flows.clear();
  result.frames.clear();
}

}  // namespace

namespace {

// ReadCount adds to a counter of many threads, in the end the size of the file whatever was read of it.
class ReadCount {
 public:
  ReadCount(const std::filesystem::path& file, std::atomic<std::uint64_t>& total) : total_(total) {
    std::error_code error;
    size_ = std::filesystem::file_size(file, error);
    if (error) size_ = 0;
  }
  ~ReadCount() { reach(size_); }
  ReadCount(const ReadCount&) = delete;
  ReadCount& operator=(const ReadCount&) = delete;

  void reach(std::uint64_t position) {
    position = std::min(position, size_);
    if (position <= counted_) return;
    total_.fetch_add(position - counted_, std::memory_order_relaxed);
    counted_ = position;
  }

 private:
  std::atomic<std::uint64_t>& total_;
  std::uint64_t size_ = 0;
  std::uint64_t counted_ = 0;
};

// resolvers_of returns the DNS servers that were named, or null when none was.
std::shared_ptr<const engine::Resolvers> resolvers_of(const ReplayOptions& options) {
  if (options.resolvers.empty()) return nullptr;
  std::vector<IpAddress> all = options.resolvers;
  const auto& own = options.policy->dns().resolvers;
  all.insert(all.end(), own.begin(), own.end());
  auto resolvers = std::make_shared<engine::Resolvers>();
  (void)resolvers->set(all);
  return resolvers;
}

}  // namespace

CaptureResult replay_capture(const std::filesystem::path& file, const ReplayOptions& options,
                             std::atomic<std::uint64_t>& bytes_read) {
  CaptureResult result;
  result.file = file;
  ReadCount count(file, bytes_read);
  auto reader = pcap::CaptureReader::open(file);
  if (!reader) {
    result.error = reader.error();
    return result;
  }
  engine::InspectorOptions inspector_options;
  inspector_options.mode = options.mode;
  inspector_options.read_details = true;
  inspector_options.resolvers = resolvers_of(options);
  engine::Inspector inspector(inspector_options);
  Replayer replayer(options, inspector);
  pcap::Frame frame;
  while (reader->next(frame)) {
    replayer.frame(frame, result);
    ++result.frames_read;
    count.reach(reader->position());
  }
  replayer.finish(result);
  result.error = reader->error();
  // One unreadable interface among several is counted; a capture of nothing else is an error.
  const auto unknown = result.without_packet.find(to_string(pcap::LinkError::kUnknownLinkType));
  if (!result.error && unknown != result.without_packet.end() && unknown->second == result.frames_read) {
    result.error = "link type " + pcap::link_type_text(frame.link_type) + " is not supported";
  }
  if (options.json) render(options, result);
  return result;
}

}  // namespace sallyport::replay
