// Makes capture files in memory for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "sallyport/core/bytes.h"
#include "sallyport/core/time.h"
#include "support/packet_builder.h"

namespace sallyport::testing {

inline constexpr std::uint32_t kLinkEthernet = 1;
inline constexpr std::uint32_t kLinkRaw = 101;

// at returns a fixed day (2026-01-31 12:00:00 UTC) and `offset`.
Timestamp at(Duration offset = {});

// ethernet puts an IP packet behind an Ethernet header; short frames are padded to 60 bytes, as cards do.
Bytes ethernet(ByteSpan ip_packet);

struct PcapStyle {
  bool big_endian = false;
  bool nanoseconds = false;
  bool pcapng = false;  // pcapng is written with nanosecond stamps.
  std::uint32_t link_type = kLinkRaw;
  std::uint32_t snap_length = 262'144;
};

class PcapWriter {
 public:
  explicit PcapWriter(const PcapStyle& style = {});
  // add writes a frame; `wire_length` is its length before it was cut.
  PcapWriter& add(ByteSpan frame, Timestamp time, std::optional<std::uint32_t> wire_length = {});
  const Bytes& bytes() const { return bytes_; }
  // write stores the capture in a file; false when it cannot.
  bool write(const std::filesystem::path& path) const;

 private:
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  void put_padded(ByteSpan bytes);

  PcapStyle style_;
  Bytes bytes_;
};

}  // namespace sallyport::testing
