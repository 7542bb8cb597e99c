#include "sallyport/pcap/capture_reader.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "capture_time.h"
#include "compressed_file.h"
#include "pcapng_reader.h"

namespace sallyport::pcap {
namespace {

// is_pcapng looks at the first bytes and puts them back; glibc takes back what it has just given.
bool is_pcapng(std::FILE* file) {
  constexpr std::uint8_t kMagic[4] = {0x0a, 0x0d, 0x0d, 0x0a};
  std::uint8_t first[4];
  const std::size_t got = std::fread(first, 1, sizeof first, file);
  for (std::size_t i = got; i-- > 0;) std::ungetc(first[i], file);
  return got == sizeof first && std::equal(first, first + 4, kMagic);
}

}  // namespace

std::string link_type_text(int link_type) {
  const char* description = pcap_datalink_val_to_description(link_type);
  const std::string number = std::to_string(link_type);
  return description == nullptr ? number : number + " (" + description + ")";
}

struct CaptureReader::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (capture != nullptr) {
      pcap_close(capture);  // Closes the FILE as well.
    } else if (file != nullptr) {
      std::fclose(file);
    }
  }

  std::FILE* file = nullptr;
  pcap_t* capture = nullptr;             // For pcap,
  std::optional<PcapngReader> pcapng;    // or this for pcapng.
  std::shared_ptr<InputStatus> input = std::make_shared<InputStatus>();
  bool next_of_pcap(Frame& frame);

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
  state->file = open_input(raw, state->input);
  if (state->file == nullptr) return std::unexpected("out of memory");
  if (is_pcapng(state->file)) {
    state->pcapng.emplace(state->file);
    return CaptureReader(std::move(state));
  }
  char message[PCAP_ERRBUF_SIZE] = "";
  state->capture = pcap_fopen_offline_with_tstamp_precision(state->file, PCAP_TSTAMP_PRECISION_NANO, message);
  if (state->capture == nullptr) {
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
  if (state.pcapng ? state.pcapng->next(frame) : state.next_of_pcap(frame)) {
    frame.number = ++state.frames;
    return true;
  }
  state.ended = true;
  if (state.pcapng) state.error = state.pcapng->error();
  // A damaged compressed stream is the cause; what the capture's reader makes of it is the effect.
  if (state.input->error) state.error = state.input->error;
  return false;
}

bool CaptureReader::State::next_of_pcap(Frame& frame) {
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int result = pcap_next_ex(capture, &header, &data);
  if (result != 1) {
    if (result != PCAP_ERROR_BREAK) error = pcap_geterr(capture);
    return false;
  }
  frame.time = capture_time(header->ts.tv_sec, header->ts.tv_usec);  // tv_usec counts nanoseconds here.
  frame.link_type = pcap_datalink(capture);
  frame.bytes = {data, header->caplen};
  frame.wire_length = std::max(header->len, header->caplen);
  return true;
}

const std::optional<std::string>& CaptureReader::error() const { return state_->error; }
std::uint64_t CaptureReader::position() const { return state_->input->position; }

}  // namespace sallyport::pcap
