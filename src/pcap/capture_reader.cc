#include "sallyport/pcap/capture_reader.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "compressed_file.h"

namespace sallyport::pcap {
namespace {

// A signed 64-bit count of nanoseconds ends in the year 2262; files can claim any second.
constexpr std::int64_t kSecondsMax = 9'000'000'000;
constexpr std::int64_t kNanosecondsMax = 999'999'999;

Timestamp timestamp_of(const timeval& time) {
  // With PCAP_TSTAMP_PRECISION_NANO, tv_usec counts nanoseconds.
  const std::int64_t seconds = std::clamp<std::int64_t>(time.tv_sec, 0, kSecondsMax);
  const std::int64_t nanoseconds = std::clamp<std::int64_t>(time.tv_usec, 0, kNanosecondsMax);
  return Timestamp(std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds));
}

}  // namespace

struct CaptureReader::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (capture != nullptr) pcap_close(capture);  // Closes the FILE as well.
  }

  pcap_t* capture = nullptr;
  std::shared_ptr<InputStatus> input = std::make_shared<InputStatus>();
  std::uint64_t frames = 0;
  bool ended = false;
  std::optional<std::string> error;
};

CaptureReader::CaptureReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureReader::CaptureReader(CaptureReader&&) noexcept = default;
CaptureReader& CaptureReader::operator=(CaptureReader&&) noexcept = default;
CaptureReader::~CaptureReader() = default;

std::expected<CaptureReader, std::string> CaptureReader::open_file(std::FILE* raw) {
  auto state = std::make_unique<State>();
  std::FILE* file = open_input(raw, state->input);
  if (file == nullptr) return std::unexpected("out of memory");
  char message[PCAP_ERRBUF_SIZE] = "";
  state->capture = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, message);
  if (state->capture == nullptr) {
    std::fclose(file);  // libpcap leaves it open when it fails.
    return std::unexpected(state->input->error ? *state->input->error : std::string(message));
  }
  return CaptureReader(std::move(state));
}

std::expected<CaptureReader, std::string> CaptureReader::open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return std::unexpected("is a folder");
  std::FILE* raw = std::fopen(path.c_str(), "rbe");
  if (raw == nullptr) return std::unexpected(std::string(std::strerror(errno)));
  return open_file(raw);
}

std::expected<CaptureReader, std::string> CaptureReader::open_memory(ByteSpan bytes) {
  if (bytes.empty()) return std::unexpected("the file is empty");  // fmemopen refuses a size of zero.
  // Mode "r" never writes, so the buffer may be const.
  std::FILE* raw = fmemopen(const_cast<std::uint8_t*>(bytes.data()), bytes.size(), "r");
  if (raw == nullptr) return std::unexpected(std::string(std::strerror(errno)));
  return open_file(raw);
}

bool CaptureReader::next(Frame& frame) {
  State& state = *state_;
  if (state.ended) return false;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int result = pcap_next_ex(state.capture, &header, &data);
  if (result != 1) {
    state.ended = true;
    // A damaged compressed stream is the cause; what libpcap makes of it is the effect.
    if (state.input->error) {
      state.error = state.input->error;
    } else if (result != PCAP_ERROR_BREAK) {
      state.error = pcap_geterr(state.capture);
    }
    return false;
  }
  frame.number = ++state.frames;
  frame.time = timestamp_of(header->ts);
  frame.link_type = pcap_datalink(state.capture);
  frame.bytes = {data, header->caplen};
  frame.wire_length = std::max(header->len, header->caplen);
  return true;
}

const std::optional<std::string>& CaptureReader::error() const { return state_->error; }
std::uint64_t CaptureReader::position() const { return state_->input->position; }

}  // namespace sallyport::pcap
