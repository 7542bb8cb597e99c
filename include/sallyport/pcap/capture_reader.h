// Reads capture files: pcap in both byte orders, with micro- or nanoseconds, and pcapng; plain, gzip or zstd.
// What a file is told by its first bytes, never by its name.
#pragma once

#include <cstdint>
#include <cstdio>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "sallyport/core/bytes.h"
#include "sallyport/core/time.h"

namespace sallyport::pcap {

struct Frame {
  std::uint64_t number = 0;  // From 1, as capture tools count.
  Timestamp time;            // Clamped to years that a Timestamp can hold (1970 to 2255).
  int link_type = 0;         // DLT_ value; pcap/link_layer.h reads it.
  ByteSpan bytes;            // What was captured. Valid until the next call of next().
  std::uint32_t wire_length = 0;  // Length of the frame on the wire; >= bytes.size().
};

// link_type_text names a link type for people: "105 (802.11)".
std::string link_type_text(int link_type);

// CaptureReader owns the open file. One thread uses it.
class CaptureReader {
 public:
  // open gives a one-line message when the file cannot be opened or is no capture.
  static std::expected<CaptureReader, std::string> open(const std::filesystem::path& path);
  // open_memory reads a capture from memory that outlives the reader.
  static std::expected<CaptureReader, std::string> open_memory(ByteSpan bytes);

  CaptureReader(CaptureReader&&) noexcept;
  CaptureReader& operator=(CaptureReader&&) noexcept;
  ~CaptureReader();

  // next reads one frame. False at the end of the file and at the first damage; error() tells which.
  bool next(Frame& frame);
  // error returns what is wrong with the file; absent while it is well and after a clean end.
  const std::optional<std::string>& error() const;
  // position returns how many bytes of the file, as it is on disk, are read so far.
  std::uint64_t position() const;

 private:
  struct State;
  explicit CaptureReader(std::unique_ptr<State> state);
  static std::expected<CaptureReader, std::string> open_file(std::FILE* raw);
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::pcap
